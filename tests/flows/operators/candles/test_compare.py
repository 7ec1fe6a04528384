import pytest

from flows.operators.candles.compare import (
    Period,
    describe_difference,
    differing_fields,
    is_borne_out,
    is_known_difference,
)
from sources.binance.rules import RULES
from tests.fakes.candles import candle, kline_like

OURS = candle(volume=12.5, quote_volume=1_234_567.891_234_56, trades=7, first_id=10, last_id=16)


def test_the_same_in_every_field_is_equal() -> None:
    assert differing_fields(OURS, kline_like(OURS)) == []


def test_each_field_that_differs_is_named_with_both_versions() -> None:
    theirs = kline_like(OURS, high=OURS.high + 1, trades=8, last_id=17)
    assert differing_fields(OURS, theirs) == ["high", "trades", "last_id"]
    assert describe_difference(OURS, theirs, ["trades"]) == "trades 7 ≠ 8"


def test_rounding_is_no_difference_and_a_printed_unit_is_one() -> None:
    beyond = OURS.quote_volume * (1 + 2**-51)
    assert differing_fields(OURS, kline_like(OURS, quote_volume=beyond, volume=12.5 + 4e-9)) == []
    assert differing_fields(OURS, kline_like(OURS, volume=12.5 + 1e-8)) == ["volume"]


def test_ids_that_the_exchange_does_not_tell_are_not_compared() -> None:
    assert differing_fields(OURS, kline_like(OURS, first_id=-1, last_id=-1)) == []


def test_counts_and_volumes_of_usdm_may_differ_but_no_price() -> None:
    assert is_known_difference(RULES["binance-usdm"], ["trades", "volume"])
    assert not is_known_difference(RULES["binance-usdm"], ["trades", "high"])
    assert not is_known_difference(RULES["binance"], ["trades"])


OUTER = Period(0, 5)


@pytest.mark.parametrize("inner", range(5))
@pytest.mark.parametrize("different", [None, 0, 1, 2, 3, 4])
@pytest.mark.parametrize("is_outer_equal", [True, False])
def test_a_longer_period_bears_out_a_shorter_one_where_all_others_in_it_are_equal(
    inner: int, different: int | None, *, is_outer_equal: bool
) -> None:
    equal = {minute for minute in range(5) if minute not in (inner, different)}
    found = is_borne_out(
        Period(inner, 1),
        OUTER,
        is_outer_equal=is_outer_equal,
        are_equal=lambda begin, end: equal >= set(range(begin, end)),
    )
    assert found is (is_outer_equal and different in (None, inner))
