"""Files of a public archive: their names, the days they cover, their paths in the folder of their market.

daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-10-27.zip
monthly/klines/BTCUSDT/1h/BTCUSDT-1h-2024-10.zip
"""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from flows.model import DAY_MS
from flows.names import is_symbol

TRADES = "aggTrades"
_NAME = re.compile(r"([^-].{0,63}?)-(aggTrades|[0-9]{1,2}[smhd])-([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?\.(?:zip|csv)")

_ANY_NAME = re.compile(r"([^-].{0,63}?)-([A-Za-z0-9]{1,32})-([0-9]{4})-([0-9]{2})(?:-([0-9]{2}))?\.(?:zip|csv)")


class ArchiveFile(Struct, frozen=True, order=True):
    """One file: whole UTC days of one kind of data of one symbol."""

    begin: int
    """First millisecond, UTC."""
    end: int
    """First millisecond after it."""
    symbol: str
    kind: str
    """`aggTrades`, or the interval of klines."""
    name: str

    @property
    def is_trades(self) -> bool:
        """Whether it contains trades."""
        return self.kind == TRADES

    @property
    def is_month(self) -> bool:
        """Whether it covers a month, not a day."""
        return self.end - self.begin > DAY_MS

    def days(self) -> list["ArchiveFile"]:
        """The daily files for the same days."""
        return list(files_for(self.symbol, self.kind, date_of(self.begin), date_of(self.end), by_month=False))

    @property
    def path(self) -> str:
        """Its path in the folder of its market."""
        period = "monthly" if self.is_month else "daily"
        kind = TRADES if self.is_trades else f"klines/{self.symbol}/{self.kind}"
        folder = f"{kind}/{self.symbol}" if self.is_trades else kind
        return f"{period}/{folder}/{self.name}"


def file_named(name: str) -> ArchiveFile | None:
    """Parses a file name; None when it is not one of the archive."""
    match = _NAME.fullmatch(name)
    if match is None or not is_symbol(match[1]):
        return None
    symbol, kind, year, month, day = match.groups()
    try:
        first = date(int(year), int(month), int(day or 1))
    except ValueError:
        return None
    behind = first + timedelta(days=1) if day else _next_month(first)
    return ArchiveFile(_ms(first), _ms(behind), symbol, kind, name)


def is_archive_name(name: str) -> bool:
    """Whether a name has the form of a file of the archive, of any kind of data."""
    return _ANY_NAME.fullmatch(name) is not None


def files_for(symbol: str, kind: str, first: date, behind: date, *, by_month: bool = True) -> Iterator[ArchiveFile]:
    """The files that cover the days from `first` to the one before `behind`: whole months by month if `by_month`, the
    rest by day.
    """
    day = first
    while day < behind:
        is_month = by_month and day.day == 1 and _next_month(day) <= behind
        label = f"{day:%Y-%m}" if is_month else f"{day:%Y-%m-%d}"
        following = _next_month(day) if is_month else day + timedelta(days=1)
        yield ArchiveFile(_ms(day), _ms(following), symbol, kind, f"{symbol}-{kind}-{label}.zip")
        day = following


def days_for(symbol: str, kind: str, begin: int, end: int) -> Iterator[ArchiveFile]:
    """Virtual files for days read from a venue's REST, in `[begin, end)`, ms UTC; the first and last may be cut."""
    for day in range(begin - begin % DAY_MS, end, DAY_MS):
        name = f"{symbol}-{kind}-{date_of(day):%Y-%m-%d}"
        yield ArchiveFile(max(begin, day), min(end, day + DAY_MS), symbol, kind, name)


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def date_of(ms: int) -> date:
    """The UTC day of a time."""
    return datetime.fromtimestamp(ms / 1_000, UTC).date()


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000
