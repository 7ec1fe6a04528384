"""Compares a candle with the shorter ones in it."""

from collections.abc import Iterator, Mapping, Sequence
from math import fsum, isnan

from flows.bounds import ANY_VENUE, VenueRules
from flows.model import IDS, VOLUMES, Candle, timeframe_ms
from flows.operators.candles.compare import PRINTED_UNIT, ULPS, is_known_difference
from flows.texts import counted

_SET_ASIDE = ("partial", "unproven", "forming")
"""Candles of these statuses may not have every trade."""

Rollup = tuple[Candle, str, str]
"""The longer candle, its values, and those of the shorter ones."""


def rollups(
    candles: Mapping[str, Sequence[Candle]], set_aside: set[tuple[str, int]], rules: VenueRules = ANY_VENUE
) -> Iterator[Rollup]:
    """The candles that those of the next shorter timeframe contradict, where all of these exist. Timeframes come the
    shortest first. Candles in `set_aside`, by timeframe and open time, are not compared.
    """
    names = list(candles)
    for place, name in enumerate(names):
        length = timeframe_ms(name)
        shorter = next((n for n in reversed(names[:place]) if length % timeframe_ms(n) == 0 and candles[n]), None)
        if shorter is None:
            continue
        known = {c.open_time: c for c in candles[shorter] if _counts(c, set_aside)}
        for candle in candles[name]:
            if _counts(candle, set_aside):
                open_times = range(candle.open_time, candle.open_time + length, timeframe_ms(shorter))
                parts = [part for open_time in open_times if (part := known.get(open_time))]
                if len(parts) == len(open_times):
                    yield from _compared(candle, parts, shorter, rules)


def _counts(candle: Candle, set_aside: set[tuple[str, int]]) -> bool:
    is_known = candle.is_closed and candle.status not in _SET_ASIDE
    return is_known and (candle.timeframe, candle.open_time) not in set_aside


def _compared(candle: Candle, parts: list[Candle], shorter: str, rules: VenueRules) -> Iterator[Rollup]:
    made = rolled_up(parts)
    fields = [name for name, value in made.items() if not _is_same(name, getattr(candle, name), value, len(parts))]
    if any(one.status == "venue" for one in (candle, *parts)):
        fields = [name for name in fields if name not in rules.rounded_fields]
    if not fields or _may_differ(candle, parts, fields, rules):
        return
    claimed = ", ".join(f"{name} {getattr(candle, name)}" for name in fields)
    true = ", ".join(f"{name} {made[name]}" for name in fields)
    yield candle, claimed, f"{true} by {counted(len(parts), 'candle')} of {shorter}"


def _may_differ(candle: Candle, parts: list[Candle], fields: list[str], rules: VenueRules) -> bool:
    """Whether fields are known to differ: one of the candles is the exchange's, and USD-M counts differ from trades'
    sums.
    """
    statuses = {part.status == "venue" for part in parts} | {candle.status == "venue"}
    return len(statuses) > 1 and is_known_difference(rules, fields)


def rolled_up(parts: Sequence[Candle]) -> dict[str, float]:
    """The fields of the candle that these form, in the order of time; ids and the number of trades only where all parts
    have them. A volume that one part does not have is NaN.
    """
    traded = [part for part in parts if part.trades > 0 or part.volume] or list(parts[:1])
    made: dict[str, float] = {
        "open": traded[0].open,
        "high": max(part.high for part in traded),
        "low": min(part.low for part in traded),
        "close": traded[-1].close,
    }
    if all(part.trades >= 0 for part in parts):
        made["trades"] = sum(part.trades for part in parts)
    made |= {name: fsum(getattr(part, name) for part in parts) for name in VOLUMES}
    if all(part.first_id >= 0 for part in traded):
        made["first_id"] = min(part.first_id for part in traded)
        made["last_id"] = max(part.last_id for part in traded)
    return made


def _is_same(name: str, claimed: float, made: float, parts: int) -> bool:
    """Sums of rounded parts may be off by the rounding of each; nothing differs from what one side does not have."""
    if name in (*IDS, "trades"):
        return claimed < 0 or claimed == made
    if name not in VOLUMES:
        return claimed == made
    if isnan(claimed) or isnan(made):
        return True
    difference = abs(claimed - made)
    return difference <= PRINTED_UNIT / 2 * (parts + 1) + ULPS * 2**-52 * abs(made)
