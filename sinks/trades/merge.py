"""The two ways in which the store's records change: trades come in, and seconds become minutes.

Each is one atomic batch, and each may be repeated: trades are joined by id, and what is there counts, but where a
batch replaces it.
"""

import struct
from collections.abc import Iterable
from itertools import groupby

import numpy as np
import structlog
from rocksdict import WriteBatch

from flows.model import Trade, TradeBatch
from sinks.trades.codec import (
    MINUTE_MS,
    SECOND_MS,
    TradeColumns,
    encode_columns,
    encode_key,
    encode_periods,
    encode_record,
    first_id,
    join_columns,
    last_id,
    minute_of,
    without,
)
from sinks.trades.durable import IdSpan
from sinks.trades.store import TradeStore

log = structlog.get_logger(__name__)

Second = tuple[str, int]
"""A symbol, and the start of a second in ms UTC."""


def add_batches(store: TradeStore, batches: Iterable[TradeBatch], *, record_ms: int = SECOND_MS) -> list[Second]:
    """Writes the trades of some batches to their seconds, or at once to the minutes that old seconds become, and
    returns the starts of these.

    A trade that is there already changes nothing, unless the batch replaces it. A trade whose values do not fit the
    columns is refused with an ERROR. `TradeStoreError` when nothing was written. The caller holds `store.lock`.
    """
    writes = WriteBatch(raw_mode=True)
    seconds: list[Second] = []
    batches = list(batches)
    changed = _without_replaced(store, batches)
    for key, kept in changed.items():
        if kept is None:
            writes.delete(key)
        else:
            writes.put(key, encode_record(kept))
    written: dict[str, list[IdSpan]] = {}
    for symbol, trades in _by_symbol(batches).items():
        for start, columns in _encoded(symbol, trades, record_ms).items():
            key = encode_key(symbol, start)
            known = changed[key] if key in changed else store.record(key)
            joined = columns if known is None else join_columns([known, columns])
            if joined is not known:
                writes.put(key, encode_record(joined))
            seconds.append((symbol, start))
            written.setdefault(symbol, []).extend(spans_of(columns, start, start + record_ms - 1))
    if len(writes):
        store.write(writes)
    for symbol, spans in written.items():
        store.on_stored(symbol, spans)
    return seconds


def spans_of(columns: TradeColumns, begin: int, end: int) -> list[IdSpan]:
    """The ids of a record of `[begin, end]`, ms UTC, nearly always one span."""
    first, last = first_id(columns), last_id(columns)
    if last - first + 1 == len(columns):
        return [IdSpan(first, last, begin, end)]
    ids = np.frombuffer(columns.id, "<i8")
    runs = np.split(ids, np.flatnonzero(np.diff(ids) > 1) + 1)
    return [IdSpan(int(run[0]), int(run[-1]), begin, end) for run in runs]


def _by_symbol(batches: Iterable[TradeBatch]) -> dict[str, list[Trade]]:
    symbols: dict[str, list[Trade]] = {}
    for batch in batches:
        trades = symbols.setdefault(batch.symbol, [])
        if batch.replaced:
            trades[:] = [trade for trade in trades if trade not in batch.replaced]
        trades += batch.trades
    return symbols


def _without_replaced(store: TradeStore, batches: Iterable[TradeBatch]) -> dict[bytes, TradeColumns | None]:
    """The records of which trades are replaced, without them, by key; None for one that has no other."""
    changed: dict[bytes, TradeColumns | None] = {}
    for batch in batches:
        for trade in batch.replaced:
            for length_ms in (SECOND_MS, MINUTE_MS):
                key = encode_key(batch.symbol, trade.time // length_ms * length_ms)
                known = changed[key] if key in changed else store.record(key)
                kept = known and without(known, trade.id)
                if kept is not known:
                    changed[key] = kept
    return changed


def _encoded(symbol: str, trades: list[Trade], record_ms: int) -> dict[int, TradeColumns]:
    try:
        return encode_periods(trades, length_ms=record_ms)
    except (struct.error, TypeError, ValueError, OverflowError):
        return _encoded_where_possible(symbol, trades, record_ms)


def _encoded_where_possible(symbol: str, trades: list[Trade], record_ms: int) -> dict[int, TradeColumns]:
    possible = []
    for trade in trades:
        try:
            encode_columns([trade])
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            log.error("trade refused", symbol=symbol, trade=trade, reason=str(error))  # noqa: TRY400
        else:
            possible.append(trade)
    return encode_periods(possible, length_ms=record_ms)


def merge_minutes(store: TradeStore, symbol: str, begin_ms: int, end_ms: int, *, most_records: int) -> tuple[int, int]:
    """Merges the seconds of a symbol into minutes, from the minute `begin_ms` to the minute before `end_ms`, and stops
    after the minute in which it has looked at `most_records`.

    Returns where to go on (`end_ms` when all is done) and the records looked at. A minute is merged in one batch, and
    one that is merged already is left as it is. `TradeStoreError` when the store cannot be written.
    """
    seen = 0
    for minute, starts in groupby(store.starts(symbol, begin_ms, end_ms), minute_of):
        if seen >= most_records:
            return minute, seen
        found = list(starts)
        seen += len(found)
        if found != [minute]:
            with store.lock:
                _merge_minute(store, symbol, minute)
    return end_ms, seen


def _merge_minute(store: TradeStore, symbol: str, minute: int) -> None:
    # Read again under the lock: a late trade may have come since the keys were listed.
    records = list(store.records(symbol, minute, minute + MINUTE_MS))
    merged = join_columns([columns for _, columns in records])
    writes = WriteBatch(raw_mode=True)
    for start, _ in records:
        writes.delete(encode_key(symbol, start))
    writes.put(encode_key(symbol, minute), encode_record(merged))
    store.write(writes)
