"""The kline intervals of the exchange and where their periods begin.

Days, weeks (from Monday) and months are UTC. The anchor of `3d` is not documented; here it is the epoch.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from flows.model import DAY_MS
from sources.replay.market.market import MarketKind

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MONTH = "1M"
_MONDAY_MS = 4 * DAY_MS
"""The first Monday, 1970-01-05."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH_MS = 28 * DAY_MS
"""Length of the shortest month."""

INTERVALS_MS: dict[str, int] = {
    "1s": 1_000,
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
    "3d": 3 * DAY_MS,
    "1w": 7 * DAY_MS,
    MONTH: _MONTH_MS,
}
"""Name and length; of a month the shortest."""


def intervals_of(kind: MarketKind) -> tuple[str, ...]:
    """The intervals a market offers: USD-M has no seconds."""
    return tuple(name for name in INTERVALS_MS if kind == "spot" or name != "1s")


def open_of(interval: str, time_ms: int, *, zone_ms: int = 0) -> int:
    """Begin of the period that a moment belongs to, ms UTC; `zone_ms`: how far the clock of periods is ahead."""
    if interval == MONTH:
        moment = _EPOCH + timedelta(milliseconds=time_ms + zone_ms)
        return _milliseconds(moment.year, moment.month) - zone_ms
    length = INTERVALS_MS[interval]
    anchor = _MONDAY_MS if interval == "1w" else 0
    return time_ms - (time_ms + zone_ms - anchor) % length


def next_open(interval: str, open_ms: int, *, zone_ms: int = 0) -> int:
    """Begin of the period after the one that begins at `open_ms`."""
    if interval == MONTH:
        # Four days past the shortest month always lie in the next one, whatever the month's length.
        return open_of(MONTH, open_ms + _MONTH_MS + 4 * DAY_MS, zone_ms=zone_ms)
    return open_ms + INTERVALS_MS[interval]


def period_of(interval: str, time: pl.Expr, *, zone_ms: int = 0) -> pl.Expr:
    """Column of moments as the begin of their periods."""
    if interval == MONTH:
        return (time + zone_ms).cast(pl.Datetime("ms")).dt.truncate("1mo").cast(pl.Int64) - zone_ms
    anchor = _MONDAY_MS if interval == "1w" else 0
    return time - (time + (zone_ms - anchor)) % INTERVALS_MS[interval]


def earlier_open(interval: str, open_ms: int, periods: int, *, zone_ms: int = 0) -> int:
    """Begin of the period that many periods before the one that begins at `open_ms`."""
    if interval != MONTH:
        return open_ms - periods * INTERVALS_MS[interval]
    for _ in range(periods):
        open_ms = open_of(MONTH, open_ms - 1, zone_ms=zone_ms)
    return open_ms


def _milliseconds(year: int, month: int) -> int:
    return (datetime(year, month, 1, tzinfo=UTC) - _EPOCH) // timedelta(milliseconds=1)
