"""What of the trade store may be deleted for its age: what the lake has."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from flows.model import DAY_MS
from sinks.lake.place import Lake
from sinks.lake.series import TRADES, LakeSeries, begin_of, day_of
from sinks.trades.compaction import Deletable


def deletable_of(place: Path | str | None, venue: str) -> Deletable | None:
    """The rule for the trades of a venue; None without a lake. It raises `LakeError` where that cannot be read."""
    return partial(_until, cache(partial(Lake, place)), venue) if place else None


def _until(opened: Callable[[], Lake], venue: str, symbol: str, oldest_ms: int) -> int:
    """End of the days that follow each other in the lake, the one of `oldest_ms` first; that time where the lake does
    not have it. A file counts when its digest is that of the manifest. `LakeError` when it is not.
    """
    lake, series = opened(), LakeSeries(venue, TRADES, symbol)
    days = lake.manifest(series).days
    begin = begin_of(day_of(oldest_ms))
    while day_of(begin) in days:
        lake.present(series, day_of(begin))
        begin += DAY_MS
    return max(begin, 0) if begin > oldest_ms else 0
