from sinks.hub.handoff import Delivery, Inbox


def test_only_the_first_batch_rings() -> None:
    inbox: Inbox[int] = Inbox(100)
    assert [inbox.put([1]), inbox.put([2, 3])] == [True, False]
    assert inbox.take_all() == Delivery([[1], [2, 3]], 0)
    assert inbox.put([4])


def test_beyond_the_bound_the_oldest_batches_go_and_are_counted_once() -> None:
    inbox: Inbox[int] = Inbox(4)
    for batch in ([1, 2], [3], [4, 5]):
        inbox.put(batch)
    assert inbox.take_all() == Delivery([[3], [4, 5]], 2)
    assert inbox.take_all() == Delivery([], 0)


def test_a_batch_larger_than_the_bound_is_taken_alone() -> None:
    inbox: Inbox[int] = Inbox(2)
    inbox.put([1])
    inbox.put([2, 3, 4])
    assert inbox.take_all() == Delivery([[2, 3, 4]], 1)
