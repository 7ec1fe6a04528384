from decimal import Decimal
from itertools import pairwise

from sources.replay.accounts.brackets import BRACKETS, MOST_LEVERAGE, bracket_of, maintenance_of, most_value

D = Decimal


def test_the_margin_that_must_be_kept_grows_without_a_step() -> None:
    for lower, upper in pairwise(BRACKETS):
        assert upper.floor == lower.cap
        at_the_seam = lower.cap * upper.ratio - upper.deduction
        assert maintenance_of(lower.cap) == at_the_seam
        assert upper.leverage < lower.leverage
    assert maintenance_of(D(1_000)) == D(4)
    assert maintenance_of(D(600_000)) == D(600_000) * D("0.01") - D("2550")


def test_the_bracket_of_a_value() -> None:
    assert bracket_of(D(50_000)).number == 1
    assert bracket_of(D("50000.01")).number == 2
    assert bracket_of(D(10**15)) == BRACKETS[-1]
    assert (most_value(MOST_LEVERAGE), most_value(20), most_value(21)) == (D(50_000), D(25_000_000), D(5_000_000))
