"""Where the store has the ids of new trades. There is no index by id: ids rise with the time, but for a moment or a
wrong time, so a record is found by its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from flows.model import TradeBatch
from flows.modules.late import late_module
from sinks.trades.codec import END_MS, MINUTE_MS, TradeColumns, first_id, last_id, minute_of
from sinks.trades.durable import IdSpan, runs_of
from sinks.trades.store import TradeStore

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")

Ids: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
TimeSpan: TypeAlias = tuple[int, int]
"""`[begin, end)`, ms UTC."""


def spans_around(batches: Iterable[TradeBatch]) -> list[TimeSpan]:
    """The whole minutes that the trades of batches are in, or may be stored in, and one before and behind; apart."""
    spans: list[TimeSpan] = []
    for first, last in sorted(_bounds(batch) for batch in batches if batch.trades):
        begin, end = minute_of(first) - MINUTE_MS, minute_of(last) + 2 * MINUTE_MS
        if spans and begin <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(spans[-1][1], end)
        else:
            spans.append((begin, end))
    return spans


def _bounds(batch: TradeBatch) -> TimeSpan:
    times = [trade.time for trade in batch.trades]
    return min(batch.begin or times[0], *times), max(batch.end, *times)


def starts_beyond(store: TradeStore, symbol: str, spans: list[TimeSpan], ids: tuple[int, int] | None) -> Iterator[int]:
    """Starts of stored records outside the spans that may hold ids from the first to the last of new trades. Nearly
    always there are none, which two reads show: what is stored before has lower ids, and what is stored behind has
    higher ones.
    """
    if not spans or ids is None:
        return
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    before, behind = store.before(symbol, begin), store.from_on(symbol, end)
    is_below, is_above = before is None or last_id(before[1]) < ids[0], behind is None or first_id(behind[1]) > ids[1]
    if is_below and is_above:
        return
    places = {found[0] for found in (before, behind) if found is not None}
    for around in {_place_of(store, symbol, ids[0]), *places}:
        if around is not None:
            yield from (start for start in _holding(store, symbol, around, *ids) if not begin <= start < end)


def _holding(store: TradeStore, symbol: str, start: int, first: int, last: int) -> Iterator[int]:
    """Starts of the records from one on, in both directions, whose ids reach into those from `first` to `last`, or
    cannot be read.
    """

    def reaches(at: int) -> bool:
        record = store.readable(symbol, at)
        return record is None or (last_id(record) >= first and first_id(record) <= last)

    before: int | None = start
    while before is not None and reaches(before):
        yield before
        before = store.newest_of(symbol, until_ms=before - 1) if before else None
    for behind in store.starts(symbol, start + 1, END_MS):
        if not reaches(behind):
            return
        yield behind


def _place_of(store: TradeStore, symbol: str, number: int) -> int | None:
    """Start of the first record whose ids are not all below `number`, in a few reads; None without records."""
    bounds = store.bounds(symbol)
    if bounds is None:
        return None
    low, high = bounds
    while low < high:
        # `high` is the start of a record that is not below, or the newest one; `low` is a time with all before it below
        middle = (low + high) // 2
        found = store.from_on(symbol, middle)
        if found is not None and last_id(found[1]) < number:
            low = found[0] + 1
        else:
            high = middle
    return next(store.starts(symbol, low, END_MS), bounds[1])


def ids_of(columns: TradeColumns) -> Ids:
    """The ids of a record, rising."""
    return np.frombuffer(columns.id, "<i8")


def spans_of(columns: TradeColumns, begin: int, end: int) -> list[IdSpan]:
    """The ids of a record of `[begin, end]`, ms UTC, nearly always one span."""
    first, last = first_id(columns), last_id(columns)
    if last - first + 1 == len(columns):
        return [IdSpan(first, last, begin, end)]
    return runs_of(ids_of(columns), begin, end)


def shared(ids: Ids, others: Ids) -> Ids:
    """Those of the ids that are among others, which are not none; both rise."""
    places = np.searchsorted(others, ids)
    found: Ids = ids[others[np.minimum(places, len(others) - 1)] == ids]
    return found
