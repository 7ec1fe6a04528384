"""Sums of candles: exact, with one rounding at the end, however trades come: cut into batches, in any order, with a
restart or a gap in between.
"""

import pickle
from collections.abc import Iterable, Sequence
from fractions import Fraction
from random import Random
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.model import Candle, Gap, Trade, TradeBatch, timeframe_ms
from flows.model.printed import printed
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.builder import CandleBuilder
from flows.operators.runs.plain import exact_parts
from tests.fakes.trades import BEGIN, at, trade

K = TypeVar("K")
TIMEFRAMES = ("1m", "5m", "1h")

UNITS = (1e-8, 1e-3, 1.0, 1e3, 2.0**40)

runs = st.integers(1, 40)
seeds = st.integers(0, 2**32)


def adverse_trades(count: int, seed: int, *, max_step_ms: int = 10_000) -> list[Trade]:
    """Trades whose quantities, prices and products have few binary digits in common."""
    chance = Random(seed)

    def value() -> float:
        unit = chance.choice(UNITS)
        return unit * chance.choice((1, 3, 1 + chance.random()))

    time, trades = 0, []
    for number in range(1, count + 1):
        trades.append(trade(number, time, value(), value(), sold=chance.random() < 0.5))
        time += chance.randrange(max_step_ms)
    return trades


def cut(items: list[Trade], chance: Random) -> list[list[Trade]]:
    """The items in batches of any sizes."""
    batches, rest = [], items
    while rest:
        size = chance.randint(1, len(rest))
        batches.append(rest[:size])
        rest = rest[size:]
    return batches


def rounded(values: Iterable[float]) -> float:
    """Their sum with one rounding, and as a candle prints it."""
    return printed(float(sum(map(Fraction, values), Fraction(0))))


def sums_of(trades: Sequence[Trade]) -> tuple[float, ...]:
    """Volume, quote volume, and both of what takers bought, from one exact sum each."""
    bought = [t for t in trades if not t.buyer_is_maker]
    return (
        rounded(t.quantity for t in trades),
        rounded(t.price * t.quantity for t in trades),
        rounded(t.quantity for t in bought),
        rounded(t.price * t.quantity for t in bought),
    )


def sums_in(bucket: Bucket) -> tuple[float, ...]:
    _, _, _, _, _, volume, quote_volume, _, bought, bought_value, _, _ = bucket.figures
    return volume, quote_volume, bought, bought_value


def bucket_of(trades: list[Trade]) -> Bucket:
    bucket = Bucket(BEGIN, 0.0)
    bucket.add_trades(trades)
    return bucket


def check_merged(trades: list[Trade], seed: int) -> None:
    """Whatever parts of a period are made, in whatever order they are merged, and whatever is recovered between."""
    chance = Random(seed)
    first, *others = cut(trades, chance)
    parts = [bucket_of(first)]
    for batch in others:
        if chance.random() < 0.5:
            parts[-1].add_trades(batch)
        else:
            parts.append(bucket_of(batch))
    chance.shuffle(parts)
    whole = Bucket(BEGIN, 0.0)
    for part in parts:
        whole.merge(part)
        if chance.random() < 0.5:
            whole = Bucket.of_state(pickle.loads(pickle.dumps(whole.state())))
    assert sums_in(whole) == sums_of(trades)
    assert whole.figures == bucket_of(trades).figures


@given(st.integers(1, 300), seeds)
def test_sums_of_a_period_are_rounded_once_however_its_trades_are_cut_and_merged(count: int, seed: int) -> None:
    check_merged(adverse_trades(count, seed), seed + 1)


@given(seeds)
def test_what_is_lost_twice_counts(seed: int) -> None:
    """A tie but for the smallest, which is lost where it is rounded together with 1.0."""
    quantities = 2.0**53, 1.0, 2.0**-80, 2.0**53
    check_merged([trade(number, number, 1.0, quantity) for number, quantity in enumerate(quantities, 1)], seed)


@given(st.lists(st.floats(2.0**-1074, 1e18), max_size=200))
def test_parts_of_a_sum_are_exact(values: list[float]) -> None:
    parts = exact_parts(list(values), min(values, default=0.0))
    assert sum(map(Fraction, parts)) == sum(map(Fraction, values))


class Run:
    """A builder that is fed, and restarted from its pickled state."""

    def __init__(self) -> None:
        self._builder = self._build(None)
        self.closed: dict[tuple[str, int], Candle] = {}
        """The newest version of each closed candle."""
        self.running: dict[str, Candle] = {}

    @staticmethod
    def _build(state: object) -> CandleBuilder:
        return CandleBuilder("binance:BTCUSDT", timeframes=TIMEFRAMES, close_grace_ms=100, forming_ms=0, state=state)  # type: ignore[arg-type]

    def take(self, event: TradeBatch | Gap) -> None:
        for item in self._builder.on_events(event, at(0)):
            if isinstance(item, Candle) and item.is_closed:
                self.closed[item.timeframe, item.open_time] = item
            elif isinstance(item, Candle):
                self.running[item.timeframe] = item

    def restart(self) -> None:
        self._builder = self._build(pickle.loads(pickle.dumps(self._builder.snapshot())))


def batch_of(trades: list[Trade], *, late: bool = False) -> TradeBatch:
    times = [t.time for t in trades]
    return TradeBatch("binance", "BTCUSDT", trades, late, min(times), max(times))


def check(candles: Iterable[Candle], trades: list[Trade]) -> None:
    """Each candle has all figures of the trades of its period, its sums exact."""
    for candle in candles:
        end = candle.open_time + timeframe_ms(candle.timeframe)
        inside = [t for t in trades if candle.open_time <= t.time < end]
        found = candle.volume, candle.quote_volume, candle.taker_buy_volume, candle.taker_buy_quote_volume
        assert found == sums_of(inside), candle
        prices = [t.price for t in inside]
        flat = [candle.open, candle.open, candle.open, candle.open]  # a period without trades
        expected = [prices[0], max(prices), min(prices), prices[-1]] if prices else flat
        ids = (inside[0].id, inside[-1].id) if inside else (-1, -1)
        assert [candle.open, candle.high, candle.low, candle.close] == expected, candle
        assert (candle.trades, (candle.first_id, candle.last_id)) == (len(inside), ids), candle


def untimed(candles: dict[K, Candle]) -> dict[K, Candle]:
    """Without the time of the newest message at the moment: a whole batch is there at once."""
    return {key: structs.replace(candle, event_time=0) for key, candle in candles.items()}


@given(runs, seeds)
def test_candles_have_exact_sums_after_any_cut_roll_up_and_restart(count: int, seed: int) -> None:
    trades, chance = adverse_trades(count, seed), Random(seed + 1)
    whole, run = Run(), Run()
    whole.take(batch_of(trades))
    for batch in cut(trades, chance):
        run.take(batch_of(batch))
        if chance.random() < 0.5:
            run.restart()
    check([*run.closed.values(), *run.running.values()], trades)
    assert (untimed(run.closed), untimed(run.running)) == (untimed(whole.closed), untimed(whole.running))


@given(st.integers(3, 40), seeds)
def test_repaired_candles_have_exact_sums(count: int, seed: int) -> None:
    trades, chance = adverse_trades(count, seed), Random(seed + 1)
    begin = chance.randint(1, count - 2)
    end = chance.randint(begin + 1, count - 1)
    before, missing, behind = trades[:begin], trades[begin:end], trades[end:]
    run = Run()
    run.take(batch_of(before))
    run.take(Gap("binance", "BTCUSDT", missing[0].id, missing[-1].id, before[-1].time, behind[0].time))
    for batch in cut(behind, chance):
        run.take(batch_of(batch))
    for batch in cut(missing, chance):
        run.take(batch_of(batch, late=True))
        if chance.random() < 0.5:
            run.restart()
    check([*run.closed.values(), *run.running.values()], trades)
