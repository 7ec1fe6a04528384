"""Made-up candles and incidents, and strategies that make them."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from flows.clock import Now
from flows.model import (
    DAY_MS,
    Candle,
    Incident,
    Kline,
    Stats24h,
    Ticker,
    TickerFigures,
    Trade,
    TradeBatch,
    TradedOhlcv,
)
from flows.operators.candles.builder import CandleBuilder
from tests.fakes.trades import trade

BEGIN = 1_767_225_600_000
"""A midnight, so every timeframe begins there."""

BASE = Candle(
    venue="binance",
    symbol="BTCUSDT",
    timeframe="1m",
    open_time=BEGIN,
    open=100.0,
    high=101.5,
    low=99.25,
    close=101.0,
    volume=12.5,
    quote_volume=1_255.125,
    trades=42,
    taker_buy_volume=7.5,
    taker_buy_quote_volume=752.75,
    first_id=1_000,
    last_id=1_041,
    is_closed=True,
    status="final",
    revision=0,
    event_time=BEGIN + 60_003,
)


def candle(minute: int = 0, **changes: Any) -> Candle:
    """A closed candle, so many minutes after `BEGIN`."""
    open_time = BEGIN + minute * 60_000
    return msgspec.structs.replace(BASE, **{"open_time": open_time, "event_time": open_time + 60_003, **changes})


ONES = Kline(
    **dict.fromkeys(TradedOhlcv.__struct_fields__, 1),
    symbol="BTCUSDT",
    timeframe="1m",
    event_time=BEGIN,
    is_closed=True,
)


def kline_of_ones(**changes: Any) -> Kline:
    """A closed kline at `BEGIN` in which every other number is 1."""
    return msgspec.structs.replace(ONES, **{"open_time": BEGIN, **changes})


TICKER_OF_ONES = Ticker(
    **dict.fromkeys(TickerFigures.__struct_fields__[1:], 1),
    symbol="BTCUSDT",
    event_time=BEGIN,
    open_time=0,
    close_time=1,
)


def ticker_of_ones(**changes: Any) -> Ticker:
    """A ticker at `BEGIN` in which every other number is 1, and that begins with the epoch."""
    return msgspec.structs.replace(TICKER_OF_ONES, **changes)


def kline_like(ours: Candle, **changes: Any) -> Kline:
    """The exchange's own version of a candle, with some fields different."""
    values = {name: getattr(ours, name) for name in Kline.__struct_fields__ if hasattr(ours, name)}
    return Kline(**{**values, "is_closed": True, **changes})


def candle_of(trades: list[Trade], **changes: Any) -> Candle:
    """The minute that is made of them."""
    builder = CandleBuilder("binance:BTCUSDT", timeframes=("1m",), close_grace_ms=2_000, forming_ms=100)
    events = [TradeBatch("binance", "BTCUSDT", [one]) for one in [*trades, trade(trades[-1].id + 1, 60_000)]]
    built = [item for event in events for item in builder.on_events(event, Now(BEGIN, 0))]
    [closed] = [item for item in built if isinstance(item, Candle) and item.is_closed]
    return msgspec.structs.replace(closed, **{"status": "final", **changes})


def forming(minute: int = 0, *, last_id: int = 1_020, **changes: Any) -> Candle:
    """A running version of it."""
    known = {"last_id": last_id, "close": float(last_id), "is_closed": False, "status": "forming"}
    return candle(minute, **{"event_time": BEGIN + minute * 60_000 + 30_000, **known, **changes})


def of_symbol(version: Candle, symbol: str) -> Candle:
    """The same version of another instrument's candle, as a store gives it back."""
    return msgspec.structs.replace(version, symbol=symbol, event_time=0)


def gap(first_id: int = 7, **changes: Any) -> Incident:
    """An incident."""
    known = Incident(
        "gap", "binance", "BTCUSDT", BEGIN, BEGIN + 250, "ids missing", "asked for", first_id, first_id + 2
    )
    return msgspec.structs.replace(known, **changes)


@st.composite
def versions(draw: st.DrawFn) -> list[Candle]:
    """All versions of one candle as it lives: forming with rising ids, closed, amended. At least one."""
    runs = draw(st.lists(st.integers(1_000, 1_040), unique=True, max_size=4).map(sorted))
    amendments = draw(st.integers(0 if runs else 1, 4))
    lived = [forming(last_id=last_id) for last_id in runs]
    return lived + [candle(revision=revision, close=float(revision)) for revision in range(amendments)]


@st.composite
def shuffled_versions(draw: st.DrawFn) -> tuple[Candle, list[list[Candle]]]:
    """The newest version, and all versions in any order, repeated, in batches of any size."""
    lived = draw(versions())
    arrivals = draw(st.permutations(lived + draw(st.lists(st.sampled_from(lived), max_size=6))))
    batches = []
    while arrivals:
        size = draw(st.integers(1, len(arrivals)))
        batches.append(arrivals[:size])
        arrivals = arrivals[size:]
    return lived[-1], batches


def stats(minute: int = 0, *, seconds: int = 0, **changes: Any) -> Stats24h:
    """Statistics, so many minutes and seconds after `BEGIN`."""
    time = BEGIN + minute * 60_000 + seconds * 1_000
    made = Stats24h(
        venue="binance", symbol="BTCUSDT", time=time,
        open_time=BEGIN + minute * 60_000 - DAY_MS, open=100.0, high=110.0, low=90.0,
        last=105.0, volume=2_000.0, quote_volume=201_000.0, change=5.0, change_percent=5.0, weighted_average=100.5,
        trades=12_345, complete=True,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)
