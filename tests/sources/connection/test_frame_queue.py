from hypothesis import given
from hypothesis import strategies as st

from flows.model import Backpressure, StreamNames
from sources.connection.frame_queue import MOST_RETIRED, RETIRED_S, FrameQueue


def full_queue(rings: list[int]) -> FrameQueue:
    queue = FrameQueue("market", 4, lambda: rings.append(1))
    queue.items.extend([b"frame"] * 4)
    return queue


def test_an_event_stands_behind_the_frames_before_it_and_wakes_the_taker() -> None:
    rings: list[int] = []
    queue = full_queue(rings)
    queue.put_event(Backpressure("market", ("BTCUSDT",), 4))
    assert list(queue.items) == [b"frame"] * 4 + [Backpressure("market", ("BTCUSDT",), 4)]
    assert (queue.has_events(), rings) == (True, [1])
    queue.note_taken_event()
    assert not queue.has_events()


def test_that_the_flow_is_behind_is_said_once_until_there_is_room_again() -> None:
    queue = full_queue([])
    told = Backpressure("market", ("BTCUSDT",), 4)
    queue.fall_behind(("BTCUSDT",))
    queue.fall_behind(("BTCUSDT",))
    assert [item for item in queue.items if item != b"frame"] == [told]
    queue.items.clear()
    assert queue.has_room()
    queue.items.extend([b"frame"] * 4)
    queue.fall_behind(("BTCUSDT",))
    assert list(queue.items) == [b"frame"] * 4 + [told]


def test_there_is_room_again_well_below_the_bound() -> None:
    queue = full_queue([])
    queue.items.popleft()
    queue.items.popleft()
    assert not queue.has_room()
    queue.items.popleft()
    assert queue.has_room()


def names_of(queue: FrameQueue) -> StreamNames:
    assert queue.names is not None
    return queue.names


def test_before_anything_is_admitted_every_stream_is_taken() -> None:
    assert full_queue([]).names is None


def test_a_stream_that_ended_is_late_for_a_minute_and_foreign_then() -> None:
    queue = full_queue([])
    queue.admit(("a", "b"))
    queue.retire(("a",), now_s=100)
    assert names_of(queue) == StreamNames(frozenset(("b",)), frozenset(("a",)))
    queue.forget_retired(now_s=100 + RETIRED_S - 1)
    assert names_of(queue).retired == {"a"}
    queue.forget_retired(now_s=100 + RETIRED_S)
    assert names_of(queue) == StreamNames(frozenset(("b",)))


def test_the_ended_streams_that_are_remembered_are_bounded() -> None:
    queue = full_queue([])
    queue.retire((f"first{number}" for number in range(10)), now_s=0)
    queue.retire((f"then{number}" for number in range(MOST_RETIRED)), now_s=1)
    assert names_of(queue).retired == {f"then{number}" for number in range(MOST_RETIRED)}


@given(st.lists(st.tuples(st.booleans(), st.sets(st.sampled_from("abcdef"))), max_size=20))
def test_a_stream_is_carried_or_late_or_neither(steps: list[tuple[bool, set[str]]]) -> None:
    queue, carried, late = full_queue([]), set[str](), set[str]()
    queue.admit(())
    for is_new, streams in steps:
        if is_new:
            queue.admit(streams)
            carried, late = carried | streams, late - streams
        else:
            queue.retire(streams)
            carried, late = carried - streams, late | streams
        assert names_of(queue) == StreamNames(frozenset(carried), frozenset(late))
