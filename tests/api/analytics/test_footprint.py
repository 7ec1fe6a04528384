"""Footprints against a recount that goes from trade to trade, in fractions."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.analytics.footprint import FootprintCandle, FootprintLevel, FootprintMaker
from flows.model import Trade
from sinks.bars.maker import BarMaker
from sinks.bars.missing import MissingIds
from sinks.bars.rule import rule_of
from tests.fakes.trade_frames import trade_frame
from tests.fakes.trades import BEGIN, cut, trade, trade_runs


def made(
    batches: Sequence[Sequence[Trade]], size: str, *, tick: float | None = None, before: float = 0.0
) -> list[FootprintCandle]:
    rule, missing = rule_of("time", size), MissingIds()
    bars = BarMaker(rule, start_ms=0, end_ms=BEGIN + 10**12)
    maker = FootprintMaker(rule, tick=tick)
    maker.begin(before)
    found: list[FootprintCandle] = []
    for batch in batches:
        frame = trade_frame(batch)
        maker.take(frame)
        found += maker.candles(bars.take(frame, missing))
    return [*found, *maker.candles(bars.end(missing))]


def exact(value: float) -> Fraction:
    return Fraction(repr(value))


def printed(value: Fraction) -> float:
    return round(float(value), 8)


@settings(deadline=None)
@given(
    st.data(),
    trade_runs(max_size=40),
    st.sampled_from(("1s", "1m", "7m", "1d")),
    st.sampled_from((None, 0.01, 0.5, 2.5, 10_000.0, 0.007)),
)
def test_levels_and_deltas_are_those_of_a_recount(
    data: st.DataObject, trades: list[Trade], size: str, tick: float | None
) -> None:
    found = [one for one in made(data.draw(cut(trades)), size, tick=tick) if one.trades]

    periods = rule_of("time", size).periods
    assert periods
    cumulative = Fraction(0)
    groups = groupby(trades, lambda one: periods.begin_of(one.time))
    for candle, (begin, group) in zip(found, groups, strict=True):
        volumes: defaultdict[Fraction, list[Fraction]] = defaultdict(lambda: [Fraction(0), Fraction(0)])
        for one in group:
            level = exact(one.price) if tick is None else exact(one.price) // exact(tick) * exact(tick)
            volumes[level][not one.buyer_is_maker] += Fraction(one.quantity)
        delta = sum((ask - bid for bid, ask in volumes.values()), Fraction(0))
        cumulative += delta
        assert candle.open_time == begin
        assert candle.levels == [
            FootprintLevel(float(level), printed(bid), printed(ask)) for level, (bid, ask) in sorted(volumes.items())
        ]
        assert (candle.delta, candle.cumulative_delta) == (printed(delta), printed(cumulative))


def test_a_quiet_candle_has_no_levels_and_the_cumulative_delta_goes_on() -> None:
    trades = [trade(1, 0, 5.0, 2.0), trade(2, 130_000, 5.5, 0.5, sold=True)]
    found = made([trades], "1m", before=10.25)
    assert [(one.close, one.trades, one.delta, one.cumulative_delta, len(one.levels)) for one in found] == [
        (5.0, 1, 2.0, 12.25, 1),
        (5.0, 0, 0.0, 12.25, 0),
        (5.5, 1, -0.5, 11.75, 1),
    ]
    assert [one.is_closed for one in found] == [True, True, False]


@pytest.mark.parametrize("finer", [100.125, 100.00000001])
def test_prices_that_get_more_decimals_stay_the_same_levels(finer: float) -> None:
    batches = [[trade(1, 0, 100.5)], [trade(2, 1, finer)], [trade(3, 2, 100.5, sold=True)]]
    [candle] = made(batches, "1m")
    assert candle.levels == [FootprintLevel(finer, 0.0, 1.0), FootprintLevel(100.5, 1.0, 1.0)]


def test_prices_far_apart_are_levels_too() -> None:
    prices = [0.00000001, 8e7]
    [candle] = made([[trade(number, number, price) for number, price in enumerate(prices, 1)]], "1m")
    assert [level.price for level in candle.levels] == prices
