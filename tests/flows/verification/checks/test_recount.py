from fractions import Fraction
from itertools import groupby

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from flows.model import Trade
from flows.operators.candles.bucket import Bucket
from flows.verification.checks.recount import base_length_ms, candle_of, merged, recount
from tests.fakes.trades import trade_runs
from tests.fakes.verified import SYMBOL, TRADES_SCHEMA, VENUE, rows_of


@given(trade_runs(), st.sampled_from((1_000, 30_000, 60_000)), st.sampled_from((60_000, 300_000)))
def test_periods_are_those_of_the_flow_in_every_digit(trades: list[Trade], base: int, length: int) -> None:
    made = merged(recount(pl.DataFrame(rows_of(trades), schema=TRADES_SCHEMA), base), length)

    for period, group in groupby(trades, lambda trade: trade.time // length):
        bucket = Bucket(period * length, 0.0)
        bucket.add_trades(list(group))
        ours = made.pop(period * length)
        assert candle_of(ours, VENUE, SYMBOL, "1m") == candle_of(bucket, VENUE, SYMBOL, "1m")
    assert not made


def test_times_that_run_back_stay_in_their_period() -> None:
    rows = [
        {"first_id": n, "last_id": n, "time": time, "price": float(n), "quantity": 1.0, "buyer_is_maker": False}
        for n, time in enumerate((59_000, 60_100, 59_900, 61_000), 1)
    ]
    first, second = recount(pl.DataFrame(rows), 60_000)

    assert (first.open, first.close, first.totals.trades, first.first_id, first.last_id) == (1.0, 3.0, 2, 1, 3)
    assert (second.open, second.close, second.totals.trades) == (2.0, 4.0, 2)


def test_sums_are_exact_whatever_their_magnitudes() -> None:
    quantities = [2.0**53, 1.0, 2.0**-80, 1e-8, 1e12, 2.0**53]
    rows = [
        {"first_id": n, "last_id": n, "time": n, "price": 3.0, "quantity": quantity, "buyer_is_maker": n % 2 == 0}
        for n, quantity in enumerate(quantities, 1)
    ]
    [period] = recount(pl.DataFrame(rows), 60_000)

    bought = quantities[::2]
    totals = period.totals
    assert sum(map(Fraction, totals.volume)) == sum(map(Fraction, quantities))
    assert sum(map(Fraction, totals.quote_volume)) == sum(Fraction(3.0 * quantity) for quantity in quantities)
    assert sum(map(Fraction, totals.taker_buy_volume)) == sum(map(Fraction, bought))
    assert sum(map(Fraction, totals.taker_buy_quote_volume)) == sum(Fraction(3.0 * quantity) for quantity in bought)


def test_the_base_divides_a_minute_and_every_timeframe() -> None:
    assert base_length_ms(["1m", "1d"]) == 60_000
    assert base_length_ms(["5m"]) == 60_000
    assert base_length_ms(["45s", "1m"]) == 15_000
