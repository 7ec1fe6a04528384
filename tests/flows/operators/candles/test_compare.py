from decimal import ROUND_DOWN, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import ANY_VENUE
from flows.model import Kline, Trade, TradedOhlcv
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.compare import (
    Period,
    describe_difference,
    differing_fields,
    falls_below,
    has_traded,
    is_borne_out,
    is_known_difference,
    may_hold,
    quote_volume_slack,
)
from flows.operators.candles.made_of import is_made_of
from flows.operators.candles.upgrade import contradicts
from flows.operators.candles.versions import candle_of_kline
from sources.binance.rules import RULES
from sources.kraken.klines import stated
from sources.kraken.rules import RULES as KRAKEN
from tests.fakes.candles import candle, kline_like
from tests.fakes.trades import BEGIN, trade

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


# --- a venue that states an average price ---


@st.composite
def averaged(draw: st.DrawFn) -> tuple[TradedOhlcv[int], Kline, list[Trade]]:
    """What trades make, the venue's kline of them with its average cut to so many decimals, and the trades."""
    decimals = draw(st.integers(0, 8))
    prices = draw(st.lists(st.integers(20, 10**7), min_size=1, max_size=12))
    sizes = draw(st.lists(st.integers(1, 10**9), min_size=len(prices), max_size=len(prices)))
    trades = [
        trade(number, number * 1_000, price / 10, size / 10**8)
        for number, (price, size) in enumerate(zip(prices, sizes, strict=True))
    ]
    bucket = Bucket(BEGIN, 0.0)
    bucket.add_trades(trades)
    made = TradedOhlcv(*bucket.figures)
    volume = Decimal(sum(sizes)) / 10**8
    value = Decimal(sum(price * size for price, size in zip(prices, sizes, strict=True))) / 10**9
    average = (value / volume).quantize(Decimal(1).scaleb(-decimals), ROUND_DOWN)
    kline = stated(
        "BTCUSDT", "1m", BEGIN, made.prices, format(average, "f"), float(volume), len(trades), event_time=BEGIN + 59_999
    )
    return made, structs.replace(kline, is_closed=True), trades


@given(averaged())
def test_the_stored_version_of_a_kline_is_the_same_as_the_kline_is(
    drawn: tuple[TradedOhlcv[int], Kline, list[Trade]],
) -> None:
    made, kline, trades = drawn
    stored = candle_of_kline("kraken", kline)
    assert quote_volume_slack(stored) >= kline.quote_volume_slack * (1 - 2**-50)
    assert differing_fields(made, kline) == differing_fields(made, stored) == []
    assert is_made_of(stored, trades)
    ours = candle(
        **{name: getattr(made, name) for name in TradedOhlcv.__struct_fields__}, status="repaired", symbol="BTCUSDT"
    )
    assert not contradicts(ours, stored, rules=KRAKEN)
    assert not contradicts(structs.replace(ours, status="partial"), stored, rules=KRAKEN)


@given(averaged(), st.data())
def test_it_holds_any_of_its_trades(drawn: tuple[TradedOhlcv[int], Kline, list[Trade]], data: st.DataObject) -> None:
    _, kline, trades = drawn
    some = data.draw(st.lists(st.sampled_from(trades), min_size=1, unique_by=lambda one: one.id))
    bucket = Bucket(BEGIN, 0.0)
    bucket.add_trades(sorted(some, key=lambda one: one.id))
    figures: dict[str, Any] = dict(zip(TradedOhlcv.__struct_fields__, bucket.figures, strict=True))
    part = candle(**figures)
    for version in (kline, candle_of_kline("kraken", kline)):
        assert may_hold(version, part, ANY_VENUE)
        assert not falls_below(version, part, "quote_volume")
        least = structs.replace(part, quote_volume=version.quote_volume + 12 * quote_volume_slack(version) + 1e-3)
        assert falls_below(version, least, "quote_volume")


def test_a_sum_over_trades_has_no_slack_and_an_average_only_its_own_unit() -> None:
    product: dict[str, Any] = {"volume": 2.5, "quote_volume": 93_122.25 * 2.5, "status": "venue"}
    unstated: dict[str, Any] = {"taker_buy_volume": float("nan"), "taker_buy_quote_volume": float("nan")}
    assert quote_volume_slack(candle(**product)) == 0
    assert quote_volume_slack(candle(**product, **unstated)) == pytest.approx(0.025)
    assert quote_volume_slack(candle(**{**product, "status": "final"}, **unstated)) == 0
    assert quote_volume_slack(candle(**{**product, "quote_volume": float("nan")}, **unstated)) == 0
    assert quote_volume_slack(candle(**{**product, "volume": 0.0, "quote_volume": 0.0}, **unstated)) == 0
    stored = candle(**product, **unstated)
    assert differing_fields(
        stored, structs.replace(stored, quote_volume=stored.quote_volume + 0.06, status="final")
    ) == ["quote_volume"]


@pytest.mark.parametrize(
    ("trades", "volume", "expected"), [(0, 0.0, False), (3, 1.0, True), (-1, 0.0, False), (-1, 1.0, True)]
)
def test_where_trades_are_not_counted_the_volume_says_that_there_are_any(
    trades: int, volume: float, *, expected: bool
) -> None:
    version = candle(trades=trades, volume=volume, status="venue")
    assert has_traded(version) is expected
    assert expected or is_made_of(version, [])
