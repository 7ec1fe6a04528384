from sinks.hub.handoff import Delivery, Handoff


def test_only_the_first_batch_rings() -> None:
    handoff: Handoff[int] = Handoff(100)
    assert [handoff.put([1]), handoff.put([2, 3])] == [True, False]
    assert handoff.take_all() == Delivery([[1], [2, 3]], 0)
    assert handoff.put([4])


def test_beyond_the_bound_the_oldest_batches_go_and_are_counted_once() -> None:
    handoff: Handoff[int] = Handoff(4)
    for batch in ([1, 2], [3], [4, 5]):
        handoff.put(batch)
    assert handoff.take_all() == Delivery([[3], [4, 5]], 2)
    assert handoff.take_all() == Delivery([], 0)


def test_a_batch_larger_than_the_bound_is_taken_alone() -> None:
    handoff: Handoff[int] = Handoff(2)
    handoff.put([1])
    handoff.put([2, 3, 4])
    assert handoff.take_all() == Delivery([[2, 3, 4]], 1)


def test_what_follows_something_urgent_does_not_ring_but_the_next_urgent_one_does() -> None:
    handoff: Handoff[int] = Handoff(100)
    assert handoff.put([1], urgent=True)
    assert handoff.take_all(can_look=True) == Delivery([[1]], 0, is_followed=True)
    assert [handoff.put([2]), handoff.put([3], urgent=True), handoff.put([4], urgent=True)] == [False, True, False]
    assert handoff.take_all(can_look=True) == Delivery([[2], [3], [4]], 0, is_followed=True)
    assert not handoff.put([5])
    assert handoff.take_all(can_look=True) == Delivery([[5]], 0)  # it does not look again by itself now
    assert [handoff.put([6]), handoff.put([7], urgent=True)] == [True, False]
    assert handoff.take_all() == Delivery([[6], [7]], 0)  # nor then
    assert handoff.put([8])
