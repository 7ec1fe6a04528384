from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from sources.replay.exchange.fanout import Fanout
from sources.replay.market.market import Message
from sources.replay.protocol.conversation import Joining
from sources.replay.protocol.frames import Encoding, encode_message


class Ear:
    def __init__(self, *streams: str, combined: bool = False) -> None:
        self.encoding = Encoding(combined, microseconds=False)
        self.delivered = frozenset(streams)
        self.held: list[bytes] = []
        self.heard: list[bytes] = []

    def take(self, frame: bytes) -> None:
        self.held.append(frame)

    def flush(self) -> None:
        self.heard += self.held
        self.held.clear()


def message(stream: str, number: int = 0) -> Message:
    return Message(number, stream, b"%d" % number)


def frames(client: Ear, *messages: Message) -> list[bytes]:
    return [encode_message(one, client.encoding) for one in messages]


def test_each_gets_its_streams_in_its_form_and_order() -> None:
    fanout, raw, combined = Fanout(), Ear("a", "b"), Ear("b", combined=True)
    fanout.subscribe(raw)
    fanout.subscribe(combined)
    fanout.deliver([message("a", 1), message("b", 2), message("c", 3), message("b", 4)])
    assert raw.heard == frames(raw, message("a", 1), message("b", 2), message("b", 4))
    assert combined.heard == frames(combined, message("b", 2), message("b", 4))


def test_those_who_want_the_same_share_the_frame() -> None:
    fanout, one, other = Fanout(), Ear("a"), Ear("a")
    for client in (one, other):
        fanout.subscribe(client)
    fanout.deliver([message("a")])
    assert one.heard[0] is other.heard[0]


def test_whoever_is_dismissed_hears_nothing_more() -> None:
    fanout, client = Fanout(), Ear("a")
    fanout.subscribe(client)
    fanout.unsubscribe(client)
    fanout.unsubscribe(client)
    fanout.deliver([message("a")])
    assert client.heard == []
    assert not fanout.wants("a")


@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.sampled_from("abc"))), max_size=20))
def test_the_audience_wants_what_its_listeners_want_now(changes: list[tuple[int, set[str]]]) -> None:
    fanout, clients = Fanout(), [Ear() for _ in range(4)]
    for index, streams in changes:
        clients[index].delivered = frozenset(streams)
        clients[index].encoding = Encoding(bool(len(streams) % 2), microseconds=False)
        fanout.subscribe(clients[index])
    assert fanout.streams == union(client.delivered for client in clients)


def union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


class Pairs(Joining):
    """Joins messages of a stream that have the same last digit."""

    def frame(self, message: Message) -> bytes:
        return self.joined([message])

    def key(self, message: Message) -> object:
        return None if message.data == b"0" else message.data[-1]

    def joined(self, messages: Sequence[Message]) -> bytes:
        return b"+".join(message.data for message in messages)


def test_messages_that_follow_one_another_may_share_a_frame_within_a_turn() -> None:
    fanout, client, plain = Fanout(), Ear("a", "b"), Ear("a")
    client.encoding = Pairs()  # type: ignore[assignment]
    for one in (client, plain):
        fanout.subscribe(one)
    numbers = [("a", 1), ("b", 1), ("a", 11), ("a", 0), ("a", 0), ("a", 2), ("b", 2)]
    fanout.deliver([message(stream, number) for stream, number in numbers])
    assert sorted(client.heard) == sorted([b"1+11", b"0", b"0", b"2", b"1", b"2"])
    assert [frame for frame in client.heard if frame in (b"1+11", b"0")] == [b"1+11", b"0", b"0"]
    assert plain.heard == frames(plain, *(message(stream, number) for stream, number in numbers if stream == "a"))
    fanout.deliver([message("a", 21), message("b", 3)])
    assert client.heard[-2:] == [b"21", b"3"]
