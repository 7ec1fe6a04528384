"""Copies a partition record by record: a consistent copy beside the writing process, as RocksDB's own checkpoint of a
store that another process writes leaves out what is only in its log.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from rocksdict import WriteBatch

from sinks.trades.codec import END_MS, encode_key, encode_record, first_id, last_id
from sinks.trades.durable import IdSpan, read_durable, write_durable
from sinks.trades.store import StoreBusyError, TradeStore
from sinks.trades.stored_records import refuse

BATCH_BYTES: Final = 4_000_000
_BUSY_S: Final = 0.05

OnCopied = Callable[[int], None]
"""Called with the number of records of each batch that is copied."""


class Copied(msgspec.Struct, frozen=True):
    """What a copy of a partition holds."""

    records: int
    trades: int
    newest: dict[str, int]
    """The id in the last record of each symbol."""


def copy_partition(source: TradeStore, to: Path, *, on_copied: OnCopied) -> Copied:
    """Copies what `source`, open as a secondary, shows, into a new partition at `to`. The copy is durable when this
    returns, and names the ids that `source` has lost, so that these are fetched also by a flow that uses the copy.
    `TradeStoreError` when something cannot be read or written, a single record included: a copy has all, or is none.
    """
    records = trades = 0
    newest: dict[str, int] = {}
    for stray in source.strays():
        refuse(stray)
    with TradeStore(to) as copy:
        for symbol in source.symbols():
            batch, size, spans = WriteBatch(raw_mode=True), 0, list[IdSpan]()
            for start, columns in source.records(symbol, 0, END_MS):
                value = encode_record(columns)
                batch.put(encode_key(symbol, start), value)
                size += len(value)
                trades += len(columns)
                spans.append(IdSpan(first_id(columns), last_id(columns), start, start))
                newest[symbol] = last_id(columns)
                if size >= BATCH_BYTES:
                    _write(copy, symbol, batch, spans)
                    on_copied(len(spans))
                    records += len(spans)
                    batch, size, spans = WriteBatch(raw_mode=True), 0, []
            _write(copy, symbol, batch, spans)
            on_copied(len(spans))
            records += len(spans)
        copy.sync()
    _carry_lost(source, to)
    return Copied(records, trades, newest)


def _write(copy: TradeStore, symbol: str, batch: WriteBatch, spans: list[IdSpan]) -> None:
    while True:
        try:
            copy.write(batch)
        except StoreBusyError:
            time.sleep(_BUSY_S)  # its tables are being written, which ends
        else:
            copy.on_stored(symbol, spans)
            return


def _carry_lost(source: TradeStore, to: Path) -> None:
    known, durable = read_durable(source.path), read_durable(to)
    if known and durable and known.lost:
        write_durable(to, sequence=durable.sequence, newest=durable.newest, logged=durable.logged, lost=known.lost)
