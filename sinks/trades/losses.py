"""What a partition of the trade store lacks of its durable contents: looked for when it is opened."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from operator import lt
from typing import TYPE_CHECKING, Protocol

from msgspec import structs

from flows.modules.late import late_module
from sinks.trades.codec import END_MS
from sinks.trades.database import StoreDamagedError, TradeStoreError
from sinks.trades.durable import Durable, IdSpan, Spans
from sinks.trades.record_checks import BadRecord, OnBad, RecordError

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")

OnUnreadable = Callable[[TradeStoreError], bool]
"""Called where something cannot be read: whether the ids that are not found then count as lost."""


class Contents(Protocol):
    """The stored trades of a partition."""

    def id_column(self, symbol: str, begin_ms: int, end_ms: int, *, on_bad: OnBad) -> bytes:
        """The ids, int64, of the records that start between the minute of `begin_ms` and `end_ms`, exclusive."""
        ...

    def last_id_of(self, symbol: str) -> int:
        """The id of the last trade in a symbol's newest record that can be read; -1 without any."""
        ...

    def newest_of(self, symbol: str) -> int | None:
        """Start of a symbol's newest record; None without any."""
        ...


def lost_of(
    contents: Contents,
    durable: Durable,
    *,
    with_newest: bool,
    on_unreadable: OnUnreadable,
) -> Spans:
    """Durable ids that are missing: of the logs' contents and, `with_newest`, after the newest stored ones. A span that
    cannot be read is handed to `on_unreadable`, and not compared. Of one with records that are none, the ids that no
    other record has are missing if that says so.
    """
    lost: Spans = {}
    for symbol, spans in durable.spans().items():
        found: list[IdSpan] = []
        for span in spans:
            bad: list[BadRecord] = []
            try:
                gaps = list(_gaps(contents, symbol, span, bad.append))
            except StoreDamagedError as error:
                on_unreadable(error)
            else:
                found += gaps if not bad or on_unreadable(RecordError(bad[0])) else []
        if found:
            lost[symbol] = found
    for symbol, known in durable.newest.items() if with_newest else ():
        found_id = contents.last_id_of(symbol)
        if found_id < known:
            start = contents.newest_of(symbol) or 0
            before = [gap for gap in lost.get(symbol, []) if gap.first_id <= found_id]
            lost[symbol] = [*before, IdSpan(found_id + 1, known, start, END_MS)]
    return lost


def _gaps(contents: Contents, symbol: str, span: IdSpan, on_bad: OnBad) -> Iterator[IdSpan]:
    """The missing ids of a span."""
    column = contents.id_column(symbol, span.begin, span.end + 1, on_bad=on_bad)
    if _is_whole(column, span):
        return
    ids = np.unique(np.frombuffer(column, "<i8"))
    ids = ids[(ids >= span.first_id) & (ids <= span.last_id)]
    edges = np.concatenate(([span.first_id - 1], ids, [span.last_id + 1]))
    for place in np.flatnonzero(np.diff(edges) > 1).tolist():
        yield structs.replace(span, first_id=int(edges[place]) + 1, last_id=int(edges[place + 1]) - 1)


def _is_whole(column: bytes, span: IdSpan) -> bool:
    """Whether ids that rise, which nearly all do, are all of a span. Nothing but that is found without NumPy."""
    ids = memoryview(column).cast("q")
    begin, end = bisect_left(ids, span.first_id), bisect_right(ids, span.last_id)
    return end - begin == span.last_id - span.first_id + 1 and all(map(lt, ids, islice(ids, 1, None)))
