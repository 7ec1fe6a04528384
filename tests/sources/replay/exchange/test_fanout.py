from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sources.replay.exchange.fanout import Fanout
from sources.replay.market.market import Message
from sources.replay.protocol.frames import Form, encode_message


class Ear:
    def __init__(self, *streams: str, combined: bool = False) -> None:
        self.form = Form(combined, microseconds=False)
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


def frames(ear: Ear, *messages: Message) -> list[bytes]:
    return [encode_message(one, ear.form) for one in messages]


def test_each_gets_its_streams_in_its_form_and_order() -> None:
    audience, raw, combined = Fanout(), Ear("a", "b"), Ear("b", combined=True)
    audience.seat(raw)
    audience.seat(combined)
    audience.deliver([message("a", 1), message("b", 2), message("c", 3), message("b", 4)])
    assert raw.heard == frames(raw, message("a", 1), message("b", 2), message("b", 4))
    assert combined.heard == frames(combined, message("b", 2), message("b", 4))


def test_those_who_want_the_same_share_the_frame() -> None:
    audience, one, other = Fanout(), Ear("a"), Ear("a")
    for ear in (one, other):
        audience.seat(ear)
    audience.deliver([message("a")])
    assert one.heard[0] is other.heard[0]


def test_whoever_is_dismissed_hears_nothing_more() -> None:
    audience, ear = Fanout(), Ear("a")
    audience.seat(ear)
    audience.dismiss(ear)
    audience.dismiss(ear)
    audience.deliver([message("a")])
    assert ear.heard == []
    assert not audience.wants("a")


@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.sampled_from("abc"))), max_size=20))
def test_the_audience_wants_what_its_listeners_want_now(changes: list[tuple[int, set[str]]]) -> None:
    audience, ears = Fanout(), [Ear() for _ in range(4)]
    for index, streams in changes:
        ears[index].delivered = frozenset(streams)
        ears[index].form = Form(bool(len(streams) % 2), microseconds=False)
        audience.seat(ears[index])
    assert audience.streams == union(ear.delivered for ear in ears)


def union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
