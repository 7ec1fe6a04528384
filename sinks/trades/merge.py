"""The two changes of the store's records: adding trades, and merging seconds into minutes.

Each is one atomic batch, and may be repeated: trades are joined by id, and the stored one counts, unless a batch
replaces it or comes from a vouched source.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np
import structlog
from rocksdict import WriteBatch

from flows.model import Trade, TradeBatch, Voucher
from sinks.trades.codec import (
    MINUTE_MS,
    SECOND_MS,
    Row,
    TradeColumns,
    columns_of,
    decode_start,
    decode_symbol,
    encode_key,
    encode_periods,
    encode_record,
    first_id,
    is_aggregate,
    join_columns,
    last_id,
    minute_of,
    without,
)
from sinks.trades.disputes import Dispute
from sinks.trades.durable import IdSpan, Moves, runs_of
from sinks.trades.places import TimeSpan, ids_of, shared, spans_around, spans_of, starts_beyond
from sinks.trades.record_checks import BadRecord, OnBad, RecordError, are_sound, refusal_of
from sinks.trades.store import TradeStore
from sinks.trades.stored_records import leave_out

log = structlog.get_logger(__name__)

Second = tuple[str, int]
"""A symbol, and the start of a second in ms UTC."""


def add_batches(
    store: TradeStore,
    batches: Iterable[TradeBatch],
    *,
    record_ms: int = SECOND_MS,
    on_dispute: Callable[[Dispute], None] = lambda _: None,
    before_write: Callable[[Sequence[Dispute]], None] = lambda _: None,
    on_replaced: OnBad = leave_out,
) -> list[Second]:
    """Writes the trades of batches to records of `record_ms`, a second or directly a minute, and returns the starts of
    these.

    A stored trade is unchanged, unless the batch replaces it or is vouched for. Where the values differ, `on_dispute`
    is called, once for each symbol and voucher. In minutes that holds for the trade of an id in whatever minute it
    is stored: an id is there once. Trades that are vouched for go to minutes in any case. A trade that cannot be is
    refused with an ERROR. A stored record that cannot be read is replaced where new trades belong into it, with a call
    of `on_replaced`; elsewhere it stays. `before_write` is called with all disputes before anything is written.
    `TradeStoreError` when nothing was written. The caller holds `store.lock`.
    """
    seconds: list[Second] = []
    disputes: list[Dispute] = []
    batches = list(batches)
    changes = _changes_without_replaced(store, batches)
    written: dict[str, list[IdSpan]] = {}
    for (symbol, voucher), possible in _encoded(_by_source(batches), record_ms).items():
        dispute = Dispute(symbol, voucher)
        length_ms = MINUTE_MS if voucher else record_ms
        encoded = possible
        old = {start: [start] for start in encoded}
        if length_ms == MINUTE_MS:
            of_source = [batch for batch in batches if (batch.symbol, batch.vouched_by) == (symbol, voucher)]
            old = changes.old_starts(symbol, spans_around(of_source), encoded)
            encoded, refused = (encoded, []) if voucher else changes.without_stored(symbol, encoded, old)
            dispute.include(refused)
        moved = _MovedIds(encoded.values()) if voucher and old else None
        for start, columns in encoded.items():
            dispute.include(changes.add(symbol, start, columns, old.get(start, []), moved))
            seconds.append((symbol, start))
            written.setdefault(symbol, []).extend(spans_of(columns, start, start + length_ms - 1))
        if moved:
            for start in old.keys() - encoded.keys():
                dispute.include(changes.drop(symbol, old[start], moved))
        if dispute.trades:
            disputes.append(dispute)
    before_write(disputes)
    moves = changes.moves()
    store.on_moving(moves)
    if writes := changes.writes():
        store.write(writes)
    for symbol, spans in written.items():
        store.on_stored(symbol, spans)
    store.on_moving(moves)  # another batch of these may have written the same trade to the time that it has no more
    for dispute in disputes:
        on_dispute(dispute)
    changes.report_replaced(on_replaced)
    return seconds


class _MovedIds:
    """Finds stored trades that have another time in a vouched source."""

    def __init__(self, encoded: Iterable[TradeColumns]) -> None:
        parts = list(encoded)
        self._ids = frozenset(row[0] for part in parts for row in part.rows())
        self._are_aggregates = any(part.first_id for part in parts)

    def of(self, known: Mapping[int, Row], columns: Mapping[int, Row]) -> list[int]:
        """The ids in `known` that the source has, but not in `columns`. Single fills have ids of their own."""
        return [
            number
            for number, row in known.items()
            if number in self._ids and number not in columns and is_aggregate(row) == self._are_aggregates
        ]


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

    def remove(self, symbol: str, trade: Trade) -> None:
        """Removes a trade from its second and from its minute, wherever it is."""
        for length_ms in (SECOND_MS, MINUTE_MS):
            key = encode_key(symbol, trade.time // length_ms * length_ms)
            known = self._now_at(key)
            kept = known and without(known, trade.id)
            if kept is not known:
                self._changed[key] = kept
                self._take_out(symbol, [trade.id])

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

    def old_starts(
        self, symbol: str, spans: list[TimeSpan], encoded: Mapping[int, TradeColumns]
    ) -> dict[int, list[int]]:
        """Starts of the records within the spans, and of others that hold the same ids, by their minutes: a minute may
        be stored as seconds.
        """
        starts = set(starts_beyond(self._store, symbol, spans, encoded))
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
        moved: _MovedIds | None = None  # nearly never needed
        for minute, start in ((minute, start) for minute, starts in old.items() for start in starts):
            own, record = encoded.get(minute), self._now_at(encode_key(symbol, start))
            if record is None or (own is not None and own.id == record.id):
                continue
            found = shared(ids_of(record), ids)
            if len(found) > (0 if own is None else len(shared(found, ids_of(own)))):
                known = {row[0]: row for row in record.rows()}
                here = {} if own is None else {row[0]: row for row in own.rows()}
                moved = moved or _MovedIds(encoded.values())
                yield from (known[number] for number in moved.of(known, here))

    def add(self, symbol: str, start: int, columns: TradeColumns, old: list[int], moved: _MovedIds | None) -> list[Row]:
        """Joins new trades with the stored ones of their time into one record. Without `moved` the stored ones win.
        Returns the disputed trades, as they are stored from now on.
        """
        key = encode_key(symbol, start)
        old_keys = [encode_key(symbol, number) for number in old]
        known = [(at, record) for at in old_keys if (record := self._now_at(at)) is not None]
        if not known:
            self._changed[key] = columns
            return []
        stored = known[0][1] if len(known) == 1 else join_columns([record for _, record in known])
        joined, disputed, elsewhere = _joined(stored, columns, moved)
        self._take_out(symbol, elsewhere)
        if joined is not stored or len(known) > 1 or known[0][0] != key:
            self._changed |= dict.fromkeys((at for at, _ in known), None)
            self._changed[key] = joined
        return disputed

    def drop(self, symbol: str, old: list[int], moved: _MovedIds) -> list[Row]:
        """Removes the trades that have another time from stored records; returns them."""
        dropped: list[Row] = []
        for key in (encode_key(symbol, start) for start in old):
            record = self._now_at(key)
            known = {row[0]: row for row in record.rows()} if record is not None else {}
            elsewhere = moved.of(known, {})
            if elsewhere:
                dropped += [known[number] for number in elsewhere]
                self._take_out(symbol, elsewhere)
                kept = [known[number] for number in sorted(known.keys() - set(elsewhere))]
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
    stored: TradeColumns, columns: TradeColumns, moved: _MovedIds | None
) -> tuple[TradeColumns, list[Row], list[int]]:
    """Both as one record, `stored` itself where nothing changes; the disputed rows, as in the record; and the ids that
    have another time.
    """
    if moved is None and last_id(stored) < first_id(columns):
        return join_columns([stored, columns]), [], []
    old, new = ({row[0]: row for row in part.rows()} for part in (stored, columns))
    elsewhere = moved.of(old, new) if moved else []
    disputed = [number for number, row in new.items() if old.get(number, row) != row]
    if not elsewhere and not (disputed and moved) and old.keys() >= new.keys():
        return stored, [old[number] for number in disputed], []
    rows = old | new if moved else new | old
    kept = {number: row for number, row in rows.items() if number not in elsewhere}
    reported = [*(rows[number] for number in disputed), *(old[number] for number in elsewhere)]
    return columns_of(kept[number] for number in sorted(kept)), reported, elsewhere


def _by_source(batches: Iterable[TradeBatch]) -> dict[tuple[str, Voucher], list[Trade]]:
    """Trades by symbol and what vouches for them."""
    sources: dict[tuple[str, Voucher], list[Trade]] = {}
    for batch in batches:
        trades = sources.setdefault((batch.symbol, batch.vouched_by), [])
        if batch.replaced:
            trades[:] = [trade for trade in trades if trade not in batch.replaced]
        trades += batch.trades
    return sources


def _changes_without_replaced(store: TradeStore, batches: Iterable[TradeBatch]) -> _Changes:
    """Changes that begin with the removal of the replaced trades."""
    changes = _Changes(store)
    for batch in batches:
        for trade in batch.replaced:
            changes.remove(batch.symbol, trade)
    return changes


def _encoded(
    sources: Mapping[tuple[str, Voucher], list[Trade]], record_ms: int
) -> dict[tuple[str, Voucher], dict[int, TradeColumns]]:
    """The records of the trades of each source, without those that cannot be: a record with one could not be read."""

    def encode(is_possible: Callable[[str, Trade], bool] | None) -> dict[tuple[str, Voucher], dict[int, TradeColumns]]:
        encoded = {}
        for (symbol, voucher), trades in sources.items():
            possible = trades if is_possible is None else [trade for trade in trades if is_possible(symbol, trade)]
            encoded[symbol, voucher] = encode_periods(possible, length_ms=MINUTE_MS if voucher else record_ms)
        return encoded

    try:
        encoded = encode(None)
    except (struct.error, TypeError, ValueError, OverflowError):
        return encode(_is_possible)
    records = [record for periods in encoded.values() for record in periods.items()]
    # all at once: a check of a few trades costs as much as one of thousands
    are_possible = are_sound([start for start, _ in records], [columns for _, columns in records])
    return encoded if are_possible else encode(_is_possible)


def _is_possible(symbol: str, trade: Trade) -> bool:
    if reason := refusal_of(trade):
        log.error("trade_refused", symbol=symbol, trade=trade, reason=reason)
    return not reason


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
