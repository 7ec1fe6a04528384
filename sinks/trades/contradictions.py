"""Which stored trades cannot be true beside those of a source that is vouched for: times rise with the ids, but for
`BACK_MS`, and a source that is complete has all trades of its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from flows.bounds import BACK_MS
from flows.model import TradeBatch
from flows.modules.late import late_module
from sinks.trades.codec import Row, TradeColumns, is_aggregate
from sinks.trades.places import Ids, ids_of

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")

EDGE_MS = 60_000
"""How far from the time at which a source begins or ends its first and last trade may be: it is cut near that time."""

IdTime: TypeAlias = tuple[int, int]
"""Id and time of a trade, ms UTC."""


class Whole(Struct, frozen=True, gc=False):
    """A source that has all trades of `[begin, end)`, ms UTC, and which they are."""

    begin: int
    end: int
    first: IdTime
    last: IdTime
    has_aggregates: bool = False
    """Some of them are of several fills, or of fills with other ids."""


class SourceBatch(TradeBatch, frozen=True, gc=False):
    """Trades of a source that is vouched for. What it says of other trades, stored ones must not contradict."""

    after: IdTime | None = None
    """The trade before these in the source, which has none in between."""
    whole: Whole | None = None
    """The source, all of whose trades are stored: these are its first and its last one."""


class Contradictions:
    """Compares stored records with the trades of a source."""

    def __init__(self, encoded: Iterable[TradeColumns], batches: Sequence[TradeBatch] = ()) -> None:
        """`batches` are those that are encoded. Without a `SourceBatch` among them no stored trade is false."""
        parts = list(encoded)
        self._ids = np.unique(np.concatenate([ids_of(part) for part in parts]))
        known = [batch for batch in batches if isinstance(batch, SourceBatch)]
        self._wholes = [batch.whole for batch in known if batch.whole]
        self._are_aggregates = any(part.first_id for part in parts) or any(one.has_aggregates for one in self._wholes)
        self._known_ids, self._known_times = _known(parts, known) if known else (_none(), _none())

    def of(self, record: TradeColumns, others: TradeColumns | None = None) -> list[int]:
        """The ids in a stored record that the source has at another time, whose time cannot be that of a trade with
        such an id, or whose trade the source has under another id. `others` are the source's own of the record's time.
        Single fills have ids of their own, which say nothing of those of aggregates.
        """
        ids = ids_of(record)
        if others is not None:
            ids = ids[~_are_among(ids, ids_of(others))]
        suspects = ids[_are_among(ids, self._ids) | self._are_suspect(record, ids)] if len(ids) else ids
        if not len(suspects):
            return []
        rows = {row[0]: row for row in record.rows() if is_aggregate(row) == self._are_aggregates}
        suspects = suspects[[number in rows for number in suspects.tolist()]]
        are_false = _are_among(suspects, self._ids) | self._are_impossible(record, suspects)
        false, left = set(suspects[are_false].tolist()), set(suspects[~are_false].tolist())
        for whole in self._wholes if left else ():
            false |= _copies([*rows.values(), *(others.rows() if others else ())], left, whole)
        return sorted(false)

    def _are_suspect(self, record: TradeColumns, ids: Ids) -> Any:
        """Which of the ids of a record may be false."""
        suspect = self._are_impossible(record, ids)
        for whole in self._wholes:
            suspect |= (ids < whole.first[0]) | (ids > whole.last[0])
        return suspect

    def _are_impossible(self, record: TradeColumns, ids: Ids) -> Any:
        """Whether the time of each id of a record contradicts those of the next trades with a smaller and a larger id.
        Where these contradict each other, they prove nothing.
        """
        if not len(self._known_ids):
            return np.zeros(len(ids), bool)
        times = _times_of(record)[np.searchsorted(ids_of(record), ids)]
        around = np.concatenate(([_NEVER_BEFORE], self._known_times, [_NEVER_AFTER]))
        after = around[np.searchsorted(self._known_ids, ids, "left")]
        before = around[np.searchsorted(self._known_ids, ids, "right") + 1]
        return (after <= before + BACK_MS) & ((times < after - BACK_MS) | (times > before + BACK_MS))


_NEVER_BEFORE, _NEVER_AFTER = -(1 << 62), 1 << 62


def _none() -> Ids:
    return np.empty(0, np.int64)


def _known(parts: Iterable[TradeColumns], batches: Iterable[SourceBatch]) -> tuple[Ids, Ids]:
    """Ids and times of the trades of a source, rising by both, and of what else it says."""
    said = [batch.after for batch in batches if batch.after]
    for whole in (batch.whole for batch in batches if batch.whole):
        said.append((whole.first[0], min(whole.first[1], whole.begin + EDGE_MS)))
        said.append((whole.last[0], max(whole.last[1], whole.end - EDGE_MS)))
    ids = np.concatenate([*(ids_of(part) for part in parts), np.array([one[0] for one in said], np.int64)])
    times = np.concatenate([*(_times_of(part) for part in parts), np.array([one[1] for one in said], np.int64)])
    order = np.lexsort((times, ids))
    return ids[order], times[order]


def _times_of(columns: TradeColumns) -> Ids:
    return np.frombuffer(columns.time, "<i8")


def _copies(rows: Sequence[Row], suspects: set[int], whole: Whole) -> set[int]:
    """Those of the suspects that are trades of a whole source under ids that are not among its own."""
    first, last = whole.first[0], whole.last[0]
    true = {row[3:7] for row in rows if first <= row[0] <= last}
    return {
        row[0]
        for row in rows
        if row[0] in suspects and not first <= row[0] <= last and whole.begin <= row[3] < whole.end and row[3:7] in true
    }


def _are_among(ids: Ids, others: Ids) -> Any:
    """Which of the ids are among others; both rise."""
    if not len(others):
        return np.zeros(len(ids), bool)
    return others[np.minimum(np.searchsorted(others, ids), len(others) - 1)] == ids
