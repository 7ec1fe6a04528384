"""Stateful reconnects as laws: whatever is cut, all arrives once, in order; against a model of the official client."""

import json
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.signalr.protocol import CODECS, Ack, Cancellation, Close, Codec, Ignored, Ping, ProtocolError, Sequence
from api.signalr.resumption import WINDOW_MS, Inbox, Outbox, Resumption
from api.signalr.session import Session
from tests.fakes.signalr import as_json, packed, records_of

JSON, PACKED = CODECS["json"], CODECS["messagepack"]


class Official:
    """The other end, as `MessageBuffer` of @microsoft/signalr 10 is written."""

    def __init__(self, codec: Codec) -> None:
        self.write = packed if codec.is_binary else as_json
        self.messages: list[tuple[int, Any]] = []
        self.total = 0
        self.next_receiving, self.latest_received = 1, 0
        self.waits_for_sequence = False
        self.received: list[Any] = []

    def send(self, message: Any) -> bytes:
        self.total += 1
        self.messages.append((self.total, message))
        return self.write(message)

    def take(self, message: dict[str, Any]) -> None:
        if self.waits_for_sequence and message["type"] != 9:
            return
        if message["type"] == 9:
            self.waits_for_sequence = False
            assert message["sequenceId"] <= self.next_receiving, "the official client ends the connection here"
            self.next_receiving = message["sequenceId"]
        elif message["type"] == 8:
            self.messages = [held for held in self.messages if held[0] > message["sequenceId"]]
        elif message["type"] <= 5:
            current, self.next_receiving = self.next_receiving, self.next_receiving + 1
            if current > self.latest_received:
                self.latest_received = current
                self.received.append(message["arguments"][0])

    def ack(self) -> bytes:
        return self.write(Ack(self.latest_received))

    def again(self) -> Iterator[bytes]:
        self.waits_for_sequence = True
        yield self.write(Sequence(self.messages[0][0] if self.messages else self.total + 1))
        yield from (self.write(message) for _, message in self.messages)


class Pair:
    """Both ends, and what is on its way between them."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.session = Session(0, may_resume=True)
        name = json.dumps({"protocol": codec.name, "version": 2}).encode()
        assert self.session.on_frame(name + b"\x1e", 0) == []
        assert self.session.resumption is not None
        self.ours = self.session.resumption
        self.theirs = Official(codec)
        self.down: deque[bytes] = deque()
        self.up: deque[bytes] = deque()
        self.pushed: list[int] = []
        self.called: list[int] = []
        self.served: list[int] = []

    def push(self, count: int) -> None:
        """So many messages in one write, and a ping behind them, which is not counted."""
        numbers = range(len(self.pushed), len(self.pushed) + count)
        self.pushed += numbers
        records = b"".join(self.codec.push("T", number) for number in numbers)
        self.ours.on_written(records)
        self.down += (records, self.codec.ping())

    def call(self) -> None:
        self.called.append(len(self.called))
        self.up += (self.theirs.send(Cancellation(str(self.called[-1]))), self.theirs.write(Ping()))

    def deliver_down(self, count: int) -> None:
        for _ in range(min(count, len(self.down))):
            for message in records_of(self.down.popleft(), packed=self.codec.is_binary):
                self.theirs.take(message)

    def deliver_up(self, count: int) -> None:
        for _ in range(min(count, len(self.up))):
            for message in self.session.on_frame(self.up.popleft(), 0):
                if isinstance(message, Cancellation):
                    self.served.append(int(message.id))

    def cut(self) -> None:
        """Whatever is on its way is lost, and both begin again over another connection."""
        self.down.clear()
        self.up.clear()
        self.ours.on_cut()
        self.down.append(self.ours.again())
        self.up += self.theirs.again()

    def acknowledge(self) -> None:
        self.up.append(self.theirs.ack())
        if ack := self.ours.take_ack():
            self.down.append(ack)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 3)),
        st.tuples(st.just("deliver_down"), st.integers(1, 9)),
        st.tuples(st.just("deliver_up"), st.integers(1, 9)),
        st.sampled_from([("call",), ("cut",), ("acknowledge",)]),
    ),
    max_size=60,
)


@pytest.mark.parametrize("codec", [JSON, PACKED], ids=["json", "messagepack"])
@given(steps=STEPS)
def test_whatever_is_cut_all_arrives_once_and_in_order(codec: Codec, steps: list[tuple[Any, ...]]) -> None:
    pair = Pair(codec)
    for name, *arguments in steps:
        getattr(pair, name)(*arguments)
        assert pair.theirs.received == pair.pushed[: len(pair.theirs.received)]
        assert pair.served == pair.called[: len(pair.served)]
    pair.cut()
    pair.deliver_down(len(pair.down))
    pair.deliver_up(len(pair.up))
    assert (pair.theirs.received, pair.served) == (pair.pushed, pair.called)
    pair.acknowledge()
    pair.deliver_down(len(pair.down))
    pair.deliver_up(len(pair.up))
    assert pair.ours.again() == codec.sequence(len(pair.pushed) + 1), "nothing is kept of what was acknowledged"
    assert pair.theirs.messages == []


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 40)), max_size=40))
def test_what_is_kept_is_bounded_by_a_write_beyond_the_limit(writes: list[tuple[int, int]]) -> None:
    outbox, sent = Outbox(kept_bytes=100), 0
    for count, ahead in writes:
        if outbox.is_full:
            first, _ = outbox.unacknowledged()
            outbox.on_ack(min(first + ahead, sent))
            continue
        outbox.put(b"." * 10 * count, count)
        sent += count
        first, kept = outbox.unacknowledged()
        assert sum(map(len, kept)) == (sent - first + 1) * 10
        assert sum(map(len, kept)) < 100 + 40
    outbox.on_ack(sent)
    assert outbox.unacknowledged() == (sent + 1, [])
    assert not outbox.is_full


def test_the_part_of_a_write_that_was_not_acknowledged_is_sent_with_the_rest_of_it() -> None:
    outbox = Outbox()
    outbox.put(b"abc", 3)
    outbox.put(b"d", 1)
    outbox.on_ack(2)
    assert outbox.unacknowledged() == (1, [b"abc", b"d"])
    outbox.on_ack(3)
    assert outbox.unacknowledged() == (4, [b"d"])


def test_what_cannot_be_is_refused() -> None:
    outbox, inbox = Outbox(), Inbox()
    outbox.put(b"a", 1)
    with pytest.raises(ProtocolError):
        outbox.on_ack(2)
    with pytest.raises(ProtocolError):
        inbox.is_new(Sequence(1))  # there was no cut
    inbox.is_new(Cancellation("0"))
    for number in (0, 3):
        inbox.on_cut()
        with pytest.raises(ProtocolError):
            inbox.is_new(Sequence(number))


def test_behind_a_cut_nothing_counts_before_the_sequence_but_the_end() -> None:
    inbox = Inbox()
    assert inbox.is_new(Cancellation("0"))
    inbox.on_cut()
    assert [inbox.is_new(one) for one in (Cancellation("1"), Ping(), Ack(0), Close())] == [False, False, False, True]
    assert inbox.is_new(Sequence(1))
    assert [inbox.is_new(one) for one in (Cancellation("0"), Ignored(is_counted=True), Ignored())] == [
        False, True, True,
    ]  # fmt: skip
    assert inbox.take_ack() == 2


def test_a_message_that_comes_again_is_acknowledged_again() -> None:
    inbox = Inbox()
    inbox.is_new(Cancellation("0"))
    assert (inbox.take_ack(), inbox.take_ack()) == (1, None)
    inbox.on_cut()
    inbox.is_new(Sequence(1))
    inbox.is_new(Cancellation("0"))
    assert inbox.take_ack() == 1


def test_a_client_may_be_away_for_a_while_each_time() -> None:
    resumption = Resumption(JSON)
    assert not resumption.has_left(5)
    assert not resumption.has_left(WINDOW_MS + 4)
    resumption.again()
    assert not resumption.has_left(WINDOW_MS + 5)
    assert resumption.has_left(2 * WINDOW_MS + 5)


@pytest.mark.parametrize(("may_resume", "version", "resumes"), [(True, 2, True), (True, 1, False), (False, 2, False)])
def test_it_is_in_use_when_the_negotiation_granted_it_and_the_handshake_wants_it(
    may_resume: bool, version: int, resumes: bool
) -> None:
    session = Session(0, may_resume=may_resume)
    session.on_frame(json.dumps({"protocol": "json", "version": version}).encode() + b"\x1e", 0)
    assert (session.resumption is not None) is resumes
    twice = as_json(Cancellation("0")) * 2 + as_json(Ack(0))
    assert session.on_frame(twice, 0) == [Cancellation("0"), Cancellation("0"), Ack(0)]


def test_acknowledgements_are_to_the_letter() -> None:
    assert [json.loads(one[:-1]) for one in (JSON.ack(5), JSON.sequence(6))] == [
        {"type": 8, "sequenceId": 5}, {"type": 9, "sequenceId": 6},
    ]  # fmt: skip
    assert [msgpack.unpackb(one[1:]) for one in (PACKED.ack(500), PACKED.sequence(6))] == [[8, 500], [9, 6]]
    for codec in (JSON, PACKED):
        assert codec.count(codec.push("T", "\x1e" * 300) + codec.done("0") + codec.push("T")) == 3
