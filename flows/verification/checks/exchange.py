"""Stored candles against the exchange's own, field by field."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from flows.bounds import ANY_VENUE, VenueRules
from flows.model import COMPLETE, Candle, Kline
from flows.operators.candles.compare import describe_difference, differing_fields, has_traded, is_known_difference
from flows.texts import counted
from flows.verification.checks.findings import Finding


def against(
    candles: Sequence[Candle],
    klines: Mapping[int, Kline],
    *,
    covered: tuple[int, int],
    rules: VenueRules = ANY_VENUE,
    has_no_ground: Callable[[Candle], bool] = lambda _: False,
) -> Iterator[Finding]:
    """Differences of closed candles of one instrument and timeframe from the exchange's. `klines` are its closed ones
    by open time, complete for those that open in `covered`, `[begin, end)` in ms UTC. `has_no_ground` says of a candle
    with the proof `theirs wrong` that nothing bears it out.
    """
    begin, end = covered
    for candle in candles:
        kline = klines.get(candle.open_time)
        if kline is not None:
            yield from _compared(candle, kline, rules, has_no_ground)
        elif begin <= candle.open_time < end and has_traded(candle):
            yield _finding(candle, f"trades {candle.trades}", "the exchange has no candle of this time")


def _compared(
    candle: Candle, kline: Kline, rules: VenueRules, has_no_ground: Callable[[Candle], bool]
) -> Iterator[Finding]:
    fields = differing_fields(candle, kline)
    is_refuted = candle.proof == "theirs wrong" and has_no_ground(candle)
    if fields and (is_refuted or not _may_differ(candle, fields, rules)):
        yield _finding(candle, *_both(candle, kline, fields))
    elif not fields and candle.proof in ("not comparable", "ours wrong") and candle.status != "venue":
        yield _finding(candle, f"proof {candle.proof!r}", "the exchange says the same in every field")


def _may_differ(candle: Candle, fields: Sequence[str], rules: VenueRules) -> bool:
    """Whether the difference is known: by missing trades, by an error of the exchange, or as one of its two sources."""
    if candle.status == "partial" or candle.proof == "theirs wrong":
        return True
    is_claimed_equal = candle.proof == "equal" or candle.status not in COMPLETE
    return not is_claimed_equal and is_known_difference(rules, fields)


def _both(candle: Candle, kline: Kline, fields: Sequence[str]) -> tuple[str, str]:
    claimed = ", ".join(f"{name} {getattr(candle, name)}" for name in fields)
    return f"{claimed} ({candle.status}, proof {candle.proof!r})", describe_difference(candle, kline, fields)


def absent(
    stored: set[int], klines: Mapping[int, Kline], span: tuple[int, int], names: tuple[str, str]
) -> list[Finding]:
    """The exchange's candles between the first and the last stored one that are missing in the store. `span` are the
    open times of those two, `names` symbol and timeframe.
    """
    first, last = span
    return [
        Finding("exchange", *names, open_time, "no candle", f"the exchange has one of {counted(kline.trades, 'trade')}")
        for open_time, kline in klines.items()
        if first < open_time < last and open_time not in stored
    ]


def _finding(candle: Candle, claimed: str, true: str) -> Finding:
    return Finding("exchange", candle.symbol, candle.timeframe, candle.open_time, claimed, true)
