"""The two changes of the store's records: adding trades, and merging seconds into minutes.

Each is one atomic batch, and may be repeated: trades are joined by id, and the stored one counts, unless a batch
replaces it or comes from a vouched source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rocksdict import WriteBatch

from flows.model import Trade, TradeBatch
from flows.modules.late import late_module
from sinks.trades.codec import (
    MINUTE_MS,
    SECOND_MS,
    Row,
    TradeColumns,
    columns_of,
    decode_start,
    decode_symbol,
    encode_key,
    encode_record,
    first_id,
    join_columns,
    last_id,
    minute_of,
    without,
)
from sinks.trades.contradictions import Contradictions, SourceBatch
from sinks.trades.disputes import Dispute
from sinks.trades.durable import IdSpan, Moves, runs_of
from sinks.trades.places import TimeSpan, ids_of, shared, spans_around, spans_of, starts_beyond
from sinks.trades.record_checks import BadRecord, OnBad, RecordError
from sinks.trades.sources import Source, by_source, encoded
from sinks.trades.store import TradeStore
from sinks.trades.stored_records import leave_out

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")

Second = tuple[str, int]
"""A symbol, and the start of a second in ms UTC."""


def add_batches(
    store: TradeStore,
    batches: Iterable[TradeBatch],
    *,
    record_ms: int = SECOND_MS,
    before_write: Callable[[Sequence[Dispute]], None] = lambda _: None,
    on_replaced: OnBad = leave_out,
) -> list[Second]:
    """Writes the trades of batches to records of `record_ms`, a second or directly a minute, and returns the starts of
    these.

    A stored trade is unchanged, unless the batch replaces it, is vouched for, or is a `SourceBatch` that it cannot be
    true beside. In minutes that holds for the trade of an id in whatever minute it is stored: an id is there once.
    Trades that are vouched for go to minutes in any case. A trade that cannot be is refused with an ERROR. A stored
    record that cannot be read is replaced where new trades belong into it, with a call of `on_replaced`; elsewhere it
    stays. `before_write` is called before anything is written with what is stored otherwise, one dispute for each
    symbol and voucher. `TradeStoreError` when nothing was written. The caller holds `store.lock`.
    """
    seconds: list[Second] = []
    disputes: list[Dispute] = []
    batches = list(batches)
    changes = _changes_without_replaced(store, batches)
    written: dict[str, list[IdSpan]] = {}
    sources = by_source(batches)
    for source, possible in zip(sources, encoded(sources, record_ms), strict=True):
        length_ms = MINUTE_MS if source.voucher else record_ms
        records, dispute = _add_source(changes, source, possible, length_ms)
        for start, columns in records.items():
            seconds.append((source.symbol, start))
            written.setdefault(source.symbol, []).extend(spans_of(columns, start, start + length_ms - 1))
        disputes += [dispute] if dispute.trades else []
    before_write(disputes)
    moves = changes.moves()
    store.on_moving(moves)
    if writes := changes.writes():
        store.write(writes)
    for symbol, spans in written.items():
        store.on_stored(symbol, spans)
    store.on_moving(moves)  # another batch of these may have written the same trade to the time that it has no more
    changes.report_replaced(on_replaced)
    return seconds


def _add_source(
    changes: _Changes, source: Source, possible: dict[int, TradeColumns], length_ms: int
) -> tuple[dict[int, TradeColumns], Dispute]:
    """Adds the records of a source to the changes; returns those that were added, and what stored trades differ from
    them, or cannot be true beside them.
    """
    symbol, records = source.symbol, possible
    dispute = Dispute(symbol, source.voucher)
    old = {start: [start] for start in records}
    if length_ms == MINUTE_MS:
        old = changes.old_starts(symbol, spans_around(source.batches), _ids_of(records, source.batches))
        if not source.voucher:
            records, refused = changes.without_stored(symbol, records, old)
            dispute.include(refused)
    contradictions = Contradictions(records.values(), source.batches) if source.voucher and old and records else None
    for start, columns in records.items():
        dispute.include(changes.add(symbol, start, columns, old.get(start, []), contradictions))
    if contradictions:
        for start in old.keys() - records.keys():
            dispute.include(changes.drop(symbol, old[start], contradictions))
    return records, dispute


def _ids_of(records: Mapping[int, TradeColumns], batches: Sequence[TradeBatch]) -> tuple[int, int] | None:
    """The first and the last id of new trades, and of what a source says to have none of; None without any."""
    if not records:
        return None
    first, last = min(map(first_id, records.values())), max(map(last_id, records.values()))
    known = [batch.after[0] + 1 for batch in batches if isinstance(batch, SourceBatch) and batch.after]
    return min([first, *known]), last


class _Changes:
    """Pending records, on top of the stored ones."""

    def __init__(self, store: TradeStore) -> None:
        self._store = store
        self._changed: dict[bytes, TradeColumns | None] = {}
        self._taken_out: dict[str, set[int]] = {}
        """Ids that have left a record, by symbol."""
        self._stored: dict[bytes, TradeColumns | None] = {}
        """Records as they are stored: one is needed up to three times, and the caller holds the lock."""
        self._bad: dict[bytes, BadRecord] = {}

    def remove(self, symbol: str, trades: Iterable[Trade]) -> None:
        """Removes trades from their seconds and from their minutes, wherever they are."""
        trades = list(trades)
        for length_ms in (SECOND_MS, MINUTE_MS):
            by_start: dict[int, set[int]] = {}
            for trade in trades:
                by_start.setdefault(trade.time // length_ms * length_ms, set()).add(trade.id)
            for start, ids in by_start.items():
                self._remove(symbol, encode_key(symbol, start), ids)

    def _remove(self, symbol: str, key: bytes, ids: set[int]) -> None:
        known = self._now_at(key)
        if known and (found := ids.intersection(np.frombuffer(known.id, "<i8").tolist())):
            self._changed[key] = without(known, found)
            self._take_out(symbol, found)

    def _take_out(self, symbol: str, ids: Iterable[int]) -> None:
        if taken := set(ids):
            self._taken_out.setdefault(symbol, set()).update(taken)

    def moves(self) -> list[Moves]:
        """Where the trades that have left a record are from now on; they may be in the same one again."""
        return [self._moves_of(symbol, ids) for symbol, ids in self._taken_out.items()]

    def _moves_of(self, symbol: str, ids: set[int]) -> Moves:
        places: list[IdSpan] = []
        gone = set(ids)
        for key, columns in self._changed.items():
            if columns is not None and decode_symbol(key) == symbol:
                found = ids.intersection(np.frombuffer(columns.id, "<i8").tolist())
                gone -= found
                places += runs_of(sorted(found), decode_start(key), decode_start(key))
        return Moves(symbol, places, runs_of(sorted(gone), 0, 0))

    def old_starts(self, symbol: str, spans: list[TimeSpan], ids: tuple[int, int] | None) -> dict[int, list[int]]:
        """Starts of the records within the spans, and of others that hold ids from the first to the last of these, by
        their minutes: a minute may be stored as seconds.
        """
        starts = set(starts_beyond(self._store, symbol, spans, ids))
        for begin, end in spans:
            first, last = encode_key(symbol, begin), encode_key(symbol, end)
            starts.update(decode_start(key) for key in self._changed if first <= key < last)
            starts.update(self._store.starts(symbol, begin, end))
        found: dict[int, list[int]] = {}
        for start in sorted(starts):
            found.setdefault(minute_of(start), []).append(start)
        return found

    def without_stored(
        self, symbol: str, encoded: dict[int, TradeColumns], old: Mapping[int, list[int]]
    ) -> tuple[dict[int, TradeColumns], list[Row]]:
        """New trades of minutes without those that are stored in another one of the `old` minutes; and these, as they
        are stored.
        """
        stored = {row[0]: row for row in self._stored_elsewhere(symbol, encoded, old)}
        if not stored:
            return encoded, []
        kept: dict[int, TradeColumns] = {}
        for start, columns in encoded.items():
            rows = [row for row in columns.rows() if row[0] not in stored]
            if rows:
                kept[start] = columns if len(rows) == len(columns) else columns_of(rows)
        return kept, list(stored.values())

    def _stored_elsewhere(
        self, symbol: str, encoded: Mapping[int, TradeColumns], old: Mapping[int, list[int]]
    ) -> Iterator[Row]:
        """Reads the records one by one: with a wrong time among the new trades they may be of a long time."""
        if not old:
            return
        ids = np.sort(np.concatenate([ids_of(columns) for columns in encoded.values()]))
        moved: Contradictions | None = None  # nearly never needed
        for minute, start in ((minute, start) for minute, starts in old.items() for start in starts):
            own, record = encoded.get(minute), self._now_at(encode_key(symbol, start))
            if record is None or (own is not None and own.id == record.id):
                continue
            found = shared(ids_of(record), ids)
            if len(found) > (0 if own is None else len(shared(found, ids_of(own)))):
                moved = moved or Contradictions(encoded.values())
                elsewhere = set(moved.of(record, own))
                yield from (row for row in record.rows() if row[0] in elsewhere)

    def add(
        self, symbol: str, start: int, columns: TradeColumns, old: list[int], contradictions: Contradictions | None
    ) -> list[Row]:
        """Joins new trades with the stored ones of their time into one record. Without `contradictions` the stored ones
        win. Returns the disputed trades, as they are stored from now on, or were.
        """
        key = encode_key(symbol, start)
        old_keys = [encode_key(symbol, number) for number in old]
        known = [(at, record) for at in old_keys if (record := self._now_at(at)) is not None]
        if not known:
            self._changed[key] = columns
            return []
        stored = known[0][1] if len(known) == 1 else join_columns([record for _, record in known])
        joined, disputed, taken_out = _joined(stored, columns, contradictions)
        self._take_out(symbol, taken_out)
        if joined is not stored or len(known) > 1 or known[0][0] != key:
            self._changed |= dict.fromkeys((at for at, _ in known), None)
            self._changed[key] = joined
        return disputed

    def drop(self, symbol: str, old: list[int], contradictions: Contradictions) -> list[Row]:
        """Removes the trades that have another time, or are false, from stored records; returns them."""
        dropped: list[Row] = []
        for key in (encode_key(symbol, start) for start in old):
            record = self._now_at(key)
            gone = contradictions.of(record) if record is not None else []
            if record is not None and gone:
                known = {row[0]: row for row in record.rows()}
                dropped += [known[number] for number in gone]
                self._take_out(symbol, gone)
                kept = [known[number] for number in sorted(known.keys() - set(gone))]
                self._changed[key] = columns_of(kept) if kept else None
        return dropped

    def _now_at(self, key: bytes) -> TradeColumns | None:
        if key in self._changed:
            return self._changed[key]
        if key not in self._stored:
            try:
                self._stored[key] = self._store.record(key)
            except RecordError as error:
                self._bad[key] = error.record
                self._stored[key] = None
        return self._stored[key]

    def report_replaced(self, on_replaced: OnBad) -> None:
        """Reports the records that could not be read, and that the changes are written over."""
        for key, record in self._bad.items():
            if key in self._changed:
                on_replaced(record)

    def writes(self) -> WriteBatch | None:
        """All changes as one batch; None without any."""
        if not self._changed:
            return None
        writes = WriteBatch(raw_mode=True)
        for key, kept in self._changed.items():
            if kept is None:
                writes.delete(key)
            else:
                writes.put(key, encode_record(kept))
        return writes


def _joined(
    stored: TradeColumns, columns: TradeColumns, contradictions: Contradictions | None
) -> tuple[TradeColumns, list[Row], list[int]]:
    """Both as one record, `stored` itself where nothing changes; the disputed rows, as in the record or as they were;
    and the ids that leave it.
    """
    if contradictions is None and last_id(stored) < first_id(columns):
        return join_columns([stored, columns]), [], []
    old, new = ({row[0]: row for row in part.rows()} for part in (stored, columns))
    gone = contradictions.of(stored, columns) if contradictions else []
    disputed = [number for number, row in new.items() if old.get(number, row) != row]
    if not gone and not (disputed and contradictions) and old.keys() >= new.keys():
        return stored, [old[number] for number in disputed], []
    rows = old | new if contradictions else new | old
    reported = [*(rows[number] for number in disputed), *(old[number] for number in gone)]
    return columns_of(rows[number] for number in sorted(rows.keys() - set(gone))), reported, gone


def _changes_without_replaced(store: TradeStore, batches: Iterable[TradeBatch]) -> _Changes:
    """Changes that begin with the removal of the replaced trades."""
    changes = _Changes(store)
    for batch in batches:
        changes.remove(batch.symbol, batch.replaced)
    return changes


def merge_minutes(
    store: TradeStore, symbol: str, begin_ms: int, end_ms: int, *, most_records: int, on_bad: OnBad = leave_out
) -> tuple[int, int]:
    """Merges the seconds of a symbol into minutes, from the minute `begin_ms` to the minute before `end_ms`; stops
    after the minute in which it has read `most_records`.

    Returns where to go on (`end_ms` when all is done) and the number of records read. A minute is merged in one batch;
    a merged one is left unchanged, and so is one with a record that cannot be read, which `on_bad` gets.
    `TradeStoreError` when the store cannot be written.
    """
    seen = 0
    for minute, starts in groupby(store.starts(symbol, begin_ms, end_ms), minute_of):
        if seen >= most_records:
            return minute, seen
        found = list(starts)
        seen += len(found)
        if found != [minute]:
            with store.lock:
                _merge_minute(store, symbol, minute, on_bad)
    return end_ms, seen


def _merge_minute(store: TradeStore, symbol: str, minute: int, on_bad: OnBad) -> None:
    # Read again under the lock: a late trade may have come since the keys were listed.
    bad: list[BadRecord] = []
    records = list(store.records(symbol, minute, minute + MINUTE_MS, on_bad=bad.append))
    if bad:
        for record in bad:
            on_bad(record)
        return
    merged = join_columns([columns for _, columns in records])
    writes = WriteBatch(raw_mode=True)
    for start, _ in records:
        writes.delete(encode_key(symbol, start))
    writes.put(encode_key(symbol, minute), encode_record(merged))
    store.write(writes)
