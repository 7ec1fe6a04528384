import pytest

from flows.operators.refusals import EVERY_MS, Refusals


def test_the_first_is_told_at_once_and_the_others_together_a_second_later() -> None:
    refusals = Refusals("trades")
    assert refusals.take_report(0, ends=False) is None
    refusals.note("odd")
    assert refusals.due is None
    assert refusals.take_report(10, ends=False) == "trades refused: 1, the last one for this: odd"
    refusals.note("odd", 3)
    refusals.note("even")
    assert refusals.due == 10 + EVERY_MS
    assert refusals.take_report(9 + EVERY_MS, ends=False) is None
    assert refusals.take_report(10 + EVERY_MS, ends=False) == "trades refused: 4, the last one for this: even"
    assert (refusals.due, refusals.count) == (None, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_the_end_of_the_input_does_not_wait(count: int) -> None:
    refusals = Refusals("trades")
    refusals.note("odd")
    refusals.take_report(0, ends=False)
    refusals.note("odd", count)
    assert refusals.take_report(1, ends=True) == f"trades refused: {count}, the last one for this: odd"
