"""What ends a bar: the end of a period, or the trade with which its trades, volume or value reach a size."""

import re
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from flows.model import DAY_MS

BarKind: TypeAlias = Literal["time", "tick", "volume", "dollar"]
KINDS: Final[tuple[BarKind, ...]] = get_args(BarKind)
MOST_TICKS: Final = 10_000_000
LENGTH_PATTERN: Final = r"[1-9][0-9]{0,2}[smhdw]"
SIZE_PATTERN: Final = rf"({LENGTH_PATTERN}|[0-9]{{1,15}}(\.[0-9]{{1,8}})?)"
"""Sizes of every kind."""

_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS, "w": 7 * DAY_MS}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,2})([smhdw])")
_AMOUNT: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,8})?")
_FIRST_MONDAY_MS: Final = 4 * DAY_MS


class Periods(NamedTuple):
    """Periods of equal length that follow each other, all UTC, ms. Weeks begin on Monday, all others are counted from
    1970-01-01: those that divide a day begin with it.
    """

    length_ms: int
    offset_ms: int = 0

    def begin_of(self, time_ms: int) -> int:
        """When the period of a time begins."""
        return time_ms - (time_ms - self.offset_ms) % self.length_ms

    def next_begin(self, time_ms: int) -> int:
        """When the first period that begins at a time or later begins."""
        return self.begin_of(time_ms + self.length_ms - 1)


class BarRule(NamedTuple):
    """A kind of bars and their size: trades as they are stored, the base currency, or the quote currency."""

    kind: BarKind
    size: float = 0.0
    """0 for bars of time."""
    periods: Periods | None = None
    """Of bars of time only."""


def periods_of(length: str) -> Periods:
    """The periods of a length such as `7m` or `1w`; `ValueError`, with a text for the user, for anything else."""
    match = _LENGTH.fullmatch(length)
    if not match:
        raise ValueError(f"{length!r} is no length of time: write a number and s, m, h, d or w, as in 7m or 1w")
    return Periods(int(match[1]) * _UNITS_MS[match[2]], _FIRST_MONDAY_MS if match[2] == "w" else 0)


def rule_of(kind: BarKind, size: str) -> BarRule:
    """The rule of a kind and size; `ValueError`, with a text for the user, when the size is none of that kind."""
    if kind == "time":
        return BarRule(kind, periods=periods_of(size))
    if kind == "tick":
        if not (size.isascii() and size.isdigit() and 0 < int(size) <= MOST_TICKS):
            raise ValueError(f"{size!r} is no number of trades: write one from 1 to {MOST_TICKS:,}, as in 500")
        return BarRule(kind, float(size))
    if not _AMOUNT.fullmatch(size) or not float(size):
        what = "base" if kind == "volume" else "quote"
        raise ValueError(f"{size!r} is no amount of the {what} currency: write one above 0, as in 250 or 12.5")
    return BarRule(kind, float(size))
