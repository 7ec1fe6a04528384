"""What the stores must hold: which trades the trade store cannot be without, and which candles every period needs."""

from collections.abc import Mapping

from msgspec import Struct

from flows.model import DAY_MS

MINUTE_MS = 60_000
EXPIRY_MS = MINUTE_MS
"""A candle that expires within this time is not required."""

Span = tuple[int, int]
"""The first and the last, both inclusive; ms UTC."""


class FirstSeen(Struct, frozen=True):
    """The first trade of an instrument that was ever to be stored."""

    id: int
    time: int
    """Its exchange time, ms UTC."""
    deleted_until: int = 0
    """Older trades were deleted for their age, ms UTC."""


class Held(Struct, frozen=True):
    """What the trade store must hold of an instrument. Only retention excuses what lacks of it."""

    since: int | None = None
    """From this time on every trade, ms UTC; None where nothing says so."""
    first: FirstSeen | None = None
    """The trade with which it must begin; None where that is not known, or may have been deleted."""


def held_by(first: FirstSeen | None, trades: Span | None, last: int, *, retention_days: float) -> Held:
    """What a trade store must hold that has `trades` between these times. `first` is the first one ever seen, `last`
    the time of the newest trade or candle. Trades are kept for `retention_days`, 0 for ever.
    """
    deleted = last // MINUTE_MS * MINUTE_MS - int(retention_days * DAY_MS) if retention_days else 0
    if first is None:
        return Held(deleted if trades is None else trades[0])
    deleted = max(deleted, first.deleted_until)
    since = max(first.time, deleted)
    if trades is not None and trades[0] < since:
        return Held(trades[0])  # of an import, for instance
    return Held(since, first if first.time >= deleted else None)


class Required(Struct, frozen=True):
    """The candles of a timeframe that must be stored although none is stored before, or behind them."""

    begin: int
    """Those that open at this time or later, ms UTC."""
    may_be_new: bool
    """Whether the timeframe may have been added to the settings behind the first stored trade: others are stored."""


def required_candles(
    timeframes: Mapping[str, int | None], spans: Mapping[str, Span], trades: Span | None, now: int
) -> dict[str, Required]:
    """The required ones of the flow's timeframes, each with the time that its candles are kept, ms, None for ever.
    `spans` are the open times of the stored candles, `now` is the wall clock's time, ms UTC.
    """
    if trades is None:
        return {}
    return {
        name: Required(
            max(trades[0] + 1, 0 if kept is None else now - kept + EXPIRY_MS),
            any(other != name for other in spans),
        )
        for name, kept in timeframes.items()
    }
