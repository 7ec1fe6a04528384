from flows.model import Behind
from sources.frame_queue import FrameQueue


def full_queue(rings: list[int]) -> FrameQueue:
    queue = FrameQueue("market", 4, lambda: rings.append(1))
    queue.items.extend([b"frame"] * 4)
    return queue


def test_an_event_stands_behind_the_frames_before_it_and_wakes_the_taker() -> None:
    rings: list[int] = []
    queue = full_queue(rings)
    queue.put_event(Behind("market", ("BTCUSDT",), 4))
    assert list(queue.items) == [b"frame"] * 4 + [Behind("market", ("BTCUSDT",), 4)]
    assert (queue.has_events(), rings) == (True, [1])
    queue.note_taken_event()
    assert not queue.has_events()


def test_that_the_flow_is_behind_is_said_once_until_there_is_room_again() -> None:
    queue = full_queue([])
    told = Behind("market", ("BTCUSDT",), 4)
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
