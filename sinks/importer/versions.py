"""A stored candle and an imported one: which is written, which others that puts in doubt, and what the ledger says."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, structs

from flows.model import COMPLETE, Candle, Incident

_VALUES = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "taker_buy_volume")


class Known(Protocol):
    """What is stored of one symbol's closed candles."""

    def __call__(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Those that open in `[start_ms, end_ms)`, of all timeframes. `PyMongoError` when the server cannot answer."""


class Improved(Protocol):
    """How to choose between two versions."""

    def __call__(self, candle: Candle, stored: Candle, *, is_vouched: bool) -> Candle:
        """The version to write of a candle and of the stored one; the candle itself where the stored one stays."""


class Improvement(Struct, frozen=True):
    """How candles take the place of stored ones that know less."""

    known: Known
    improved: Improved
    contradicts: Callable[[Candle, Candle], bool]
    """Whether both claim to be right, and say something else."""


def in_doubt(
    refuted: list[Candle], stored_on: dict[tuple[str, int], Candle], written: set[tuple[str, int]]
) -> list[Candle]:
    """The stored candles that hold the same trades as refuted ones, or some of them, and have no proof of their own."""
    if not refuted:
        return []
    times: dict[int, list[int]] = defaultdict(list)
    for candle in sorted(refuted, key=lambda candle: candle.open_time):
        times[_length(candle)].append(candle.open_time)
    return [
        structs.replace(stored, status="unproven", revision=stored.revision + 1)
        for place, stored in stored_on.items()
        if place not in written and stored.status in COMPLETE and not stored.proof and _touches(stored, times)
    ]


def _touches(candle: Candle, times: dict[int, list[int]]) -> bool:
    """Whether it lies in one of the periods that begin at some times, by their length, or around one of them."""
    for length, begins in times.items():
        first = candle.open_time - candle.open_time % length
        at = bisect_left(begins, first)
        if at < len(begins) and begins[at] <= candle.close_time:
            return True
    return False


def _length(candle: Candle) -> int:
    return candle.close_time + 1 - candle.open_time


def is_same_candle(candle: Candle, stored: Candle) -> bool:
    """Whether two versions have the same values, whatever is believed of them."""
    return all(getattr(candle, name) == getattr(stored, name) for name in _VALUES)


def replacement(stored: list[Candle]) -> Incident:
    """What the ledger says of stored candles that something better has taken the place of."""
    first, last = min(c.open_time for c in stored), max(c.close_time for c in stored)
    cause = f"{len(stored)} stored candles said something else than what was imported, which is better proven"
    return Incident("repair", stored[0].venue, stored[0].symbol, first, last, cause, "the imported ones are served")


def contradiction(stored: list[Candle]) -> Incident:
    """What the ledger says of stored candles that something has contradicted that is not better proven."""
    first, last = min(c.open_time for c in stored), max(c.close_time for c in stored)
    cause = f"{len(stored)} stored candles say something else than what was imported"
    outcome = "the stored ones are kept: the imported ones are not better proven"
    return Incident("mismatch", stored[0].venue, stored[0].symbol, first, last, cause, outcome)
