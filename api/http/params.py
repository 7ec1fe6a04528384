"""Parameters that select candles and bars: the newest `limit`, a range of time, a kind and size."""

from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import Symbol, Time, Timeframe, Venue, check_span, check_timeframe
from flows.names import TEXT_END
from sinks.bars.rule import SIZE_PATTERN, BarKind, BarRule, rule_of

MOST: Final = 1_000
"""Most candles in one answer."""
USUAL: Final = 100
"""Default number of candles."""

Count = Annotated[int, Meta(ge=1, le=MOST, description="number of newest candles; default 100, or all of start to end")]


BarSize = Annotated[
    str,
    Meta(
        pattern=f"^{SIZE_PATTERN}{TEXT_END}",
        description="of time `7m`, `4h` or `1w`; else trades, or an amount of the base or quote currency",
        examples=["1m"],
    ),
]


class RangeParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Candles that open in `[start, end)`, the newest `limit` of them."""

    symbol: Symbol
    timeframe: Timeframe
    venue: Venue = ""
    start: Time | None = None
    end: Time | None = None
    limit: Count | None = None


class CandleRange(NamedTuple):
    """The newest `most` candles that open before `end`, none of them before `start`; ms UTC, None: unbounded."""

    start: int | None
    end: int | None
    most: int


def range_of(params: RangeParams) -> CandleRange:
    """The range of checked parameters; `Problem` when they are invalid, or mean more candles than one answer holds."""
    length_ms = check_timeframe(params.timeframe)
    start, end = params.start, params.end
    if start is None or end is None:
        return CandleRange(start, end, params.limit or (MOST if start is not None else USUAL))
    check_span(start, end)
    periods = -(-(end - start) // length_ms)
    if params.limit is None and periods > MOST:
        raise Problem(
            "range_too_large",
            f"{periods} candles are more than the {MOST} of one answer: use smaller ranges, or set limit",
        )
    return CandleRange(start, end, params.limit or periods)


def bar_rule(kind: BarKind, size: str) -> BarRule:
    """The rule of bars; `Problem` when the size is none of that kind."""
    try:
        return rule_of(kind, size)
    except ValueError as error:
        raise Problem("bad_request", str(error)) from error
