"""Parameters that select candles: the newest `limit`, or those of a range of time."""

from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import Symbol, Time, Timeframe, Venue, check_timeframe

MOST: Final = 1_000
"""Most candles in one answer."""
USUAL: Final = 100
"""Default number of candles."""

Count = Annotated[int, Meta(ge=1, le=MOST, description="the newest so many; default 100, or all of start to end")]


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
    if end <= start:
        raise Problem("bad_request", f"end={end} must be later than start={start}")
    periods = -(-(end - start) // length_ms)
    if params.limit is None and periods > MOST:
        raise Problem(
            "range_too_large",
            f"{periods} candles are more than the {MOST} of one answer: use smaller ranges, or set limit",
        )
    return CandleRange(start, end, params.limit or periods)
