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
