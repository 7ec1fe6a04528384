"""Where a series of days is in a lake: `venue=binance/kind=trades/symbol=BTCUSDT/date=2026-01-31/data.parquet`.

That is the layout of Hive, which polars, DuckDB and Spark read as columns. A name is percent-encoded where it has other
characters than letters, digits and `-._~`; what belongs to the whole venue has Hive's name of no value.
"""

import re
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Final, NamedTuple, Self
from urllib.parse import quote, unquote

from flows.model import DAY_MS
from flows.model.instrument import is_timeframe

TRADES: Final = "trades"
INCIDENTS: Final = "incidents"
DATA: Final = "data.parquet"
MANIFEST: Final = "manifest.json"

_CANDLES: Final = "candles-"
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
_LEVELS: Final = "venue", "kind", "symbol"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class LakeSeries(NamedTuple):
    """The days of one kind of data of an instrument; an empty symbol is the whole venue."""

    venue: str
    kind: str
    """`trades`, `candles-1m` and so on, or `incidents`."""
    symbol: str

    @property
    def folder(self) -> PurePosixPath:
        """Its folder within the lake."""
        return PurePosixPath(*(f"{level}={_encoded(value)}" for level, value in zip(_LEVELS, self, strict=True)))

    @property
    def manifest(self) -> PurePosixPath:
        """Its manifest within the lake."""
        return self.folder / MANIFEST

    def file(self, day: str) -> PurePosixPath:
        """The file of a day, as in `2026-01-31`."""
        return self.folder / f"date={day}" / DATA

    @property
    def timeframe(self) -> str:
        """Of candles; empty of anything else."""
        return self.kind.removeprefix(_CANDLES) if self.kind.startswith(_CANDLES) else ""

    @classmethod
    def of_candles(cls, venue: str, timeframe: str, symbol: str) -> Self:
        """The candles of an instrument."""
        return cls(venue, f"{_CANDLES}{timeframe}", symbol)

    @classmethod
    def at(cls, folder: PurePosixPath) -> Self | None:
        """The series of a folder; None where its name is none of a series."""
        parts = [part.partition("=") for part in folder.parts[-3:]]
        if tuple(name for name, _, _ in parts) != _LEVELS:
            return None
        venue, kind, symbol = (_decoded(value) for _, _, value in parts)
        return cls(venue, kind, symbol) if venue and _is_kind(kind) else None

    def __str__(self) -> str:
        return " ".join(filter(None, self))


def day_of(time_ms: int) -> str:
    """The date of a time, UTC."""
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date().isoformat()


def begin_of(day: str) -> int:
    """When a day begins, ms UTC. `ValueError` for what is no date."""
    if not _DATE.fullmatch(day):
        raise ValueError(f"{day!r} is no date")
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * DAY_MS


def _is_kind(kind: str) -> bool:
    return kind in (TRADES, INCIDENTS) or (kind.startswith(_CANDLES) and is_timeframe(kind.removeprefix(_CANDLES)))


def _encoded(value: str) -> str:
    return quote(value, safe="") or _NO_VALUE


def _decoded(value: str) -> str:
    return "" if value == _NO_VALUE else unquote(value)
