from sources.account_numbers import AccountNumbers


def test_the_next_one_counts_another_one_twice_does_not_and_a_jump_ends_the_connection() -> None:
    numbers = AccountNumbers()
    assert [numbers.take(number) for number in (7, 8, 8, 3)] == [True, True, False, False]
    event = numbers.take(11)
    assert not isinstance(event, bool)
    assert (event.kind, event.reason) == ("expired", "messages of the stream are missing: 2 before the newest one")
    assert numbers.take(12) is True
    numbers.begin()
    assert numbers.take(1) is True
