"""What one client is sent, in which order, with a line that takes so many writes."""

from typing import NamedTuple

from sinks.hub.client import CHUNK_BYTES, FULL_MS, STALLED_MS, Client
from sinks.hub.messages import Encoding, Message, Topic
from sinks.hub.replies import Reset, SharedReply
from sinks.hub.subscription import DEFAULT


class Text(NamedTuple):
    """Something for one client alone."""

    text: bytes

    def frame(self, encoding: Encoding) -> bytes:
        return self.text


class Told(Message):
    """A message of the hub whose frame is its number."""

    def frame(self, encoding: Encoding) -> bytes:
        return b"%d " % self.seq


class Line:
    def __init__(self, room: int) -> None:
        self.room = room
        self.writes: list[bytes] = []

    def write_frames(self, frames: bytes) -> bool:
        self.writes.append(frames)
        self.room -= 1
        return self.room > 0

    def begin_close(self, code: int, reason: str) -> None:
        raise AssertionError("nobody asked for that")


def message(seq: int) -> Message:
    return Told(Topic("Trade", "BTCUSDT"), None, seq=seq, stamp_ms=0)


def client_of(line: Line, capacity: int = 10) -> Client:
    return Client(line, encoding="json", subscription=DEFAULT, capacity=capacity)


def test_what_it_alone_gets_comes_before_what_waits() -> None:
    line = Line(room=1)
    client = client_of(line)
    client.write(b"0 ", 0)
    assert client.behind
    client.queue([message(1), message(2)], 0)
    client.put_ahead([Text(b"answer ")])
    assert client.pump(0) == 0, "its line has no room"
    line.room = 10
    client.resume()
    assert client.pump(1) == 3
    assert line.writes == [b"0 ", b"answer 1 2 "]
    assert not client.behind


def test_what_was_lost_is_told_in_its_place() -> None:
    line = Line(room=1)
    client = client_of(line, capacity=2)
    client.write(b"0 ", 0)
    assert client.queue([message(seq) for seq in range(1, 6)], 0) == 3
    client.lose(2)
    assert client.dropped == 5
    line.room = 10
    client.resume()
    client.pump(0)
    told = line.writes[-1]
    assert b'{"type":"Lagged","dropped":5}' in told
    assert told.endswith(b"4 5 ")
    assert client.dropped == 0


def test_it_gets_a_chunk_a_write_as_long_as_its_line_takes_them() -> None:
    line = Line(room=2)
    client = client_of(line)
    client.put_ahead([Text(bytes(CHUNK_BYTES))] * 3)
    assert client.pump(0) == 2
    assert [len(write) for write in line.writes] == [CHUNK_BYTES] * 2
    assert client.behind


def test_it_is_stuck_when_its_queue_is_full_for_long_or_it_reads_nothing_for_longer() -> None:
    full = client_of(Line(room=1), capacity=1)
    full.write(b"0 ", 0)
    full.queue([message(1), message(2)], 100)
    assert not full.is_stuck(100 + FULL_MS - 1)
    assert full.is_stuck(100 + FULL_MS)
    silent = client_of(Line(room=1))
    silent.write(b"0 ", 0)
    assert not silent.is_stuck(STALLED_MS - 1)
    assert silent.is_stuck(STALLED_MS)
    silent.resume()
    assert not silent.is_stuck(STALLED_MS)


def test_a_new_beginning_drops_the_state_that_waits_and_keeps_the_answers() -> None:
    line = Line(room=1)
    client = client_of(line)
    client.write(b"0 ", 0)
    client.put_ahead([Text(b"answer "), message(1), SharedReply(Reset())])
    client.queue([message(2)], 0)
    client.begin_anew([Text(b"anew ")])
    client.queue([message(3)], 0)
    line.room = 10
    client.resume()
    client.pump(1)
    assert line.writes == [b"0 ", b"answer anew 3 "]
