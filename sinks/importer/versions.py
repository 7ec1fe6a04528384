"""A stored and an imported candle: which version is written, which others become unproven, and the incidents."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, structs

from flows.model import COMPLETE, IDS, LIVE, PRICES, TRADED, Candle, Incident, Origin, timeframe_ms

_VALUES = (*PRICES, *TRADED, "trades", "taker_buy_volume")


class Known(Protocol):
    """Reads the stored closed candles of one symbol."""

    def __call__(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """Those that open in `[start_ms, end_ms)`, of all timeframes. `PyMongoError` when the server cannot answer,
        `DocumentError` when a document is no candle.
        """


class Improved(Protocol):
    """Chooses between two versions."""

    def __call__(self, candle: Candle, stored: Candle, *, origin: Origin, stored_origin: Origin) -> Candle:
        """The version to write, made of a candle and the stored one; `candle` itself where the stored one is kept."""


class Improvement(Struct, frozen=True):
    """How candles replace stored ones that are worse proven."""

    known: Known
    improved: Improved
    contradicts: Callable[[Candle, Candle], bool]
    """Whether the first says something else than the second, the stored one."""
    origin_of: Callable[[Candle], Origin] = lambda _: LIVE
    """Where a stored candle comes from."""


def in_doubt(
    refuted: list[Candle], stored_on: dict[tuple[str, int], Candle], written: set[tuple[str, int]]
) -> list[Candle]:
    """The stored candles that contain trades of refuted ones and have no proof of their own, as `unproven`."""
    if not refuted:
        return []
    times: dict[int, list[int]] = defaultdict(list)
    for candle in sorted(refuted, key=lambda candle: candle.open_time):
        times[timeframe_ms(candle.timeframe)].append(candle.open_time)
    return [
        structs.replace(stored, status="unproven", revision=stored.revision + 1)
        for place, stored in stored_on.items()
        if place not in written and stored.status in COMPLETE and not stored.proof and _touches(stored, times)
    ]


def _touches(candle: Candle, times: dict[int, list[int]]) -> bool:
    """Whether it overlaps one of the periods that begin at `times`, by their length."""
    for length, begins in times.items():
        first = candle.open_time - candle.open_time % length
        at = bisect_left(begins, first)
        if at < len(begins) and begins[at] <= candle.close_time:
            return True
    return False


def is_same_candle(candle: Candle, stored: Candle) -> bool:
    """Whether two versions have the same values, and ids where both have some, whatever their status."""
    names = (*_VALUES, *IDS) if candle.first_id >= 0 and stored.first_id >= 0 else _VALUES
    return all(getattr(candle, name) == getattr(stored, name) for name in names)


def replacement(stored: list[Candle]) -> Incident:
    """The incident about stored candles that better ones have replaced."""
    first, last = min(c.open_time for c in stored), max(c.close_time for c in stored)
    cause = f"{len(stored)} stored candles said something else than what was imported, which is better proven"
    return Incident("repair", stored[0].venue, stored[0].symbol, first, last, cause, "the imported ones are served")


def contested(stored: Candle, *, was_vouched: bool) -> Candle:
    """What a stored candle is after an imported one that is no better proven has contradicted it: one of the two is
    wrong, and only a proof of its own, or that the exchange vouched for its trades, says that it is not the stored one.
    """
    if stored.proof or stored.status not in COMPLETE or was_vouched:
        return stored
    return structs.replace(stored, status="unproven", revision=stored.revision + 1)


def contradiction(stored: list[Candle], doubted: int) -> Incident:
    """The incident about stored candles that imported ones contradict without being better proven, and by which
    `doubted` of them have become unproven.
    """
    first, last = min(c.open_time for c in stored), max(c.close_time for c in stored)
    cause = f"{len(stored)} stored candles say something else than what was imported"
    outcome = "the stored ones are kept: the imported ones are not better proven"
    outcome += f"; {doubted} are unproven now: nothing proves them either" if doubted else ""
    return Incident("mismatch", stored[0].venue, stored[0].symbol, first, last, cause, outcome)
