"""Writes trades to RocksDB: `data/trades/<venue>/<partition>/`, in the layout of `codec.py`.

The flow's thread only queues batches; a thread of the writer stores them, and another merges and deletes old records
(`compaction.py`).
"""

import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog

from flows.model import Incident, TradeBatch, Voucher
from flows.texts import counted
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from sinks.buffered.summary import Summary
from sinks.buffered.writer import BufferedWriter
from sinks.trades.buffer import Loss, TradeBuffer
from sinks.trades.codec import SECOND_MS
from sinks.trades.compaction import Clocks, Deletable, TradeCompactor
from sinks.trades.disputes import Dispute
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeView
from sinks.trades.record_checks import BadRecord, incident_of
from sinks.trades.store import StoreBusyError, TradeStore, TradeStoreError

log = structlog.get_logger(__name__)

BATCH_TRADES = 5_000
"""Trades in one atomic write, during which RocksDB holds the interpreter lock: about half a millisecond."""
BATCHES_A_SYNC = 40
"""Atomic writes between two syncs to the disk, when there is much to write."""
PENDING_TIMEOUT_S = 1.0
"""How long a snapshot waits for the store, before what is queued becomes part of the recovered state."""
_BUSY_S = 0.05
_LONGEST_BUSY_S = 30.0  # then it is an outage: the flow must not wait for a stuck store
_OUTCOMES: Final[Mapping[Voucher, str]] = {
    "": "the stored ones are kept: nothing vouches for the others",
    "checksum": "replaced, or dropped: a checksum of the exchange vouches for the new ones",
    "rest": "replaced: the exchange contradicts the candle of the stored ones, and its REST side has the new ones",
}
"""Outcomes of a dispute, by what vouches for the new trades."""
_OTHER_VALUES: Final = "other values than those that came with the same ids"
_OTHER_VALUES_OR_IDS: Final = f"{_OTHER_VALUES}, or with ids that cannot be theirs beside these"
_TRIES_BEFORE_REOPEN = 5  # RocksDB recovers from a full disk within 5 s, but not from every error


class TradeSettings(Protocol):
    """The settings that a writer uses; the section `trades` describes each."""

    path: Path
    flush_ms: int
    retention_days: float
    merge_after_minutes: int


def part_of(instrument_key: str, partitions: int) -> int:
    """The partition of an instrument's trades, the same in every process."""
    return zlib.crc32(instrument_key.encode()) % partitions


def partition_names(partitions: int, of_shard: str = "") -> list[str]:
    """The names of all partitions in order, each a directory of the venue's store. Those of a shard are its own, so
    that several can be in one store.
    """
    prefix = f"{of_shard}-" if of_shard else ""
    return [f"{prefix}part-{number:02d}" for number in range(partitions)]


class TradeWriter(BufferedWriter[Loss, Counter[str]]):
    """Writer of one partition.

    The queue is written every `flush_ms`: one atomic batch, or several above `BATCH_TRADES`, and then a sync. So a
    killed process, or a machine that loses power, loses only what came since the last flush. Writing trades again
    changes nothing.

    At most `buffer_trades` trades are held; `TradeBuffer` defines what happens at that bound. Failed writes are
    retried, see `BufferedWriter`; an incident names each symbol with dropped trades. `on_incident` is called from the
    writer's threads.
    """

    def __init__(
        self,
        path: Path,
        *,
        venue: str,
        flush_ms: int = 1_000,
        retention_days: float = 7,
        merge_after_minutes: int = 60,
        buffer_trades: int = 1_000_000,
        summary_s: float = 60.0,
        first_retry_s: float = 0.25,
        record_ms: int = SECOND_MS,
        clocks: Clocks | None = None,
        deletable: Deletable | None = None,
        on_incident: OnIncident = lambda _: None,
        are_incidents_stored: Callable[[], bool] = lambda: True,
    ) -> None:
        """Opens the store, and creates it if need be. `TradeStoreError` when that fails; no other method raises.
        `record_ms` is the length of a record: a second, or a minute where all trades are old. Old trades are deleted by
        `clocks` and `deletable`, see `TradeCompactor`; without clocks, never. Stored trades are replaced or dropped by
        what is vouched for when `are_incidents_stored`, which may wait; until then the write is tried again.
        """
        self._are_incidents_stored = are_incidents_stored
        self._reported: list[Dispute] = []
        """Those of the write that is being tried."""
        self._flush_s = flush_ms / 1_000
        self._record_ms = record_ms
        self._store = TradeStore(path, accepts_loss=True)
        self._buffer = TradeBuffer(capacity=buffer_trades)
        super().__init__(
            thread_name=f"trade-writer-{path.name}",
            buffer=self._buffer,
            outages=OutageWatch(
                StoreNames("trades", "the store", venue), on_incident=on_incident, first_retry_s=first_retry_s
            ),
            summary=Summary(Counter[str], _log_stored, interval_s=summary_s),
        )
        self._venue = venue
        self._compactor = TradeCompactor(
            self._store,
            retention_days=retention_days,
            merge_after_minutes=merge_after_minutes,
            venue=venue,
            clocks=clocks,
            deletable=deletable,
            on_incident=self._outages.notify,
        )
        self._busy_s = 0.0
        self._report_lost_writes()
        self._start()
        self._compactor.start()

    def write(self, batch: list[TradeBatch]) -> None:
        """Queues trades: a fraction of a microsecond for each batch, whatever its size."""
        self._buffer.put(batch)

    @property
    def stored(self) -> int:
        """Number of trades stored so far."""
        return self._summary.total.total()

    def flush(self, *, timeout_s: float = 10.0) -> bool:
        """Waits until all earlier writes are durable; False when they are not after `timeout_s`."""
        return self._buffer.flush(timeout_s)

    def pending(self) -> list[TradeBatch]:
        """What a restart must write again if this process ends now: nothing, unless the store fails or is slow."""
        return self._buffer.pending(PENDING_TIMEOUT_S)

    def view(self) -> TradeView:
        """A view of the store for this process; valid until `close`."""
        return TradeView([self._store])

    def close(self) -> None:
        """Writes what is held, for at most `CLOSE_TIMEOUT_S` if the store fails; the rest is reported as lost."""
        self._begin_close()
        self._compactor.stop()
        self._thread.join()
        self._store.close()

    def _wait(self) -> bool:
        return self._buffer.wait(self._outages.pause_s or self._flush_s)

    def _write_due(self) -> tuple[bool, str]:
        try:
            self._reopen_if_stuck()
            while self._write_some():
                pass
        except StoreBusyError as error:
            time.sleep(_BUSY_S)
            self._busy_s += _BUSY_S
            return False, str(error) if self._busy_s > _LONGEST_BUSY_S else ""
        except TradeStoreError as error:
            return False, str(error)
        except Exception as error:
            log.exception("trade_writer_failed")  # a bug must not silence the writer for good
            return False, repr(error)
        self._busy_s = 0.0
        return True, ""

    def _reopen_if_stuck(self) -> None:
        if self._outages.failures >= _TRIES_BEFORE_REOPEN:
            self._store.reopen()
            self._report_lost_writes()

    def _write_some(self) -> bool:
        """Writes the oldest batches and syncs. False when there were none; else there may be more."""
        taken: list[TradeBatch] = []
        try:
            for _ in range(BATCHES_A_SYNC):
                batches = self._buffer.take(most_trades=BATCH_TRADES)
                taken += batches
                self._add(batches)
            if taken:
                self._store.sync()
        except Exception as error:
            busy = isinstance(error, StoreBusyError) and self._busy_s <= _LONGEST_BUSY_S
            self._buffer.put_back(taken, failing=not busy)
            raise
        self._buffer.settle(sum(len(batch.trades) for batch in taken))
        stored: Counter[str] = Counter()
        for batch in taken:
            stored[batch.symbol] += len(batch.trades)
        self._summary.count(stored)
        return bool(taken)

    def _add(self, batches: list[TradeBatch]) -> None:
        if batches:
            with self._store.lock:
                seconds = add_batches(
                    self._store,
                    batches,
                    record_ms=self._record_ms,
                    before_write=self._report_disputes,
                    on_replaced=self._report_replaced,
                )
                self._reported.clear()
                self._compactor.on_written(seconds)
            self._outages.on_feed_time(max(batch.trades[-1].time for batch in batches))

    def _report_loss(self, loss: Loss) -> None:
        log.error(
            "trades_not_stored", symbol=loss.symbol, trades=loss.trades, first_id=loss.first_id, last_id=loss.last_id
        )
        self._outages.notify(
            Incident(
                "store_outage",
                self._venue,
                loss.symbol,
                loss.begin,
                loss.end,
                cause="the store took no trades, and the buffer no more of them",
                outcome=f"{counted(loss.trades, 'trade is', 'trades are')} not stored",
                first_id=loss.first_id,
                last_id=loss.last_id,
            )
        )

    def _report_disputes(self, disputes: Sequence[Dispute]) -> None:
        """Reports stored trades that are about to be replaced or dropped, and those that stay beside other ones.
        `TradeStoreError` when that is not known to be noted.
        """
        new = [dispute for dispute in disputes if dispute not in self._reported]  # of a write that is tried again
        for dispute in new:
            log.warning("trades_disputed", symbol=dispute.symbol, trades=dispute.trades, vouched_by=dispute.vouched_by)
            self._outages.notify(_incident_of(dispute, self._venue))
        self._reported += new
        if any(dispute.vouched_by for dispute in disputes) and not self._are_incidents_stored():
            raise TradeStoreError("trades wait for the ledger, which is to name those that they replace")

    def _report_replaced(self, record: BadRecord) -> None:
        """Reports that new trades were written over a record that could not be read."""
        log.error("trade_record_replaced", record=record.name, reason=record.reason)
        outcome = "the new trades of its time have taken its place"
        self._outages.notify(incident_of(record, self._venue, outcome))

    def _report_lost_writes(self) -> None:
        """Reports what was durable and is missing: a log was truncated or is missing, or a record is none."""
        writes, losses, cause = self._store.lost_writes, self._store.losses, self._store.unreadable
        if cause:
            log.error("trade_store_unreadable", reason=cause)
            outcome = "opened all the same: what is damaged cannot be read, the rest is, and new trades are stored"
            self._outages.report(cause, outcome)
        if not (writes or losses):
            return
        log.error("trade_store_lost_writes", path=str(self._store.path), writes=writes, symbols=len(losses))
        if writes or not cause:
            what = f"the last {counted(writes, 'write')}" if writes else "writes, not the last ones,"
            cause = f"the trade store {self._store.path} lacks {what} that it had: a log of it is gone or damaged"
            self._outages.report(cause, "opened with what is left")
        for loss in losses:
            log.error("trades_lost", symbol=loss.symbol, first_id=loss.first_id, last_id=loss.last_id)
            outcome = "fetched again where the venue still has them"
            self._outages.report(cause, outcome, symbol=loss.symbol, first_id=loss.first_id, last_id=loss.last_id)


def _incident_of(dispute: Dispute, venue: str) -> Incident:
    """The line of a dispute in the ledger."""
    other = _OTHER_VALUES_OR_IDS if dispute.vouched_by == "checksum" else _OTHER_VALUES
    cause = f"{counted(dispute.trades, 'trade is', 'trades are')} stored with {other}"
    outcome = _OUTCOMES[dispute.vouched_by]
    span, ids = (dispute.begin, dispute.end), (dispute.first_id, dispute.last_id)
    return Incident("mismatch", venue, dispute.symbol, *span, cause, outcome, *ids)


def _log_stored(recent: Counter[str]) -> None:
    for symbol, trades in recent.items():
        log.info("trades_stored", symbol=symbol, trades=trades)


def open_trade_writer(
    settings: TradeSettings,
    *,
    venue: str,
    partition: str,
    on_incident: OnIncident,
    summary_s: float = 60.0,
    record_ms: int = SECOND_MS,
    clocks: Clocks | None = None,
    deletable: Deletable | None = None,
    are_incidents_stored: Callable[[], bool] = lambda: True,
) -> TradeWriter:
    """The writer of a partition (`part-00`, …) of a venue, by the settings. `TradeStoreError` when the store cannot be
    opened. `clocks`, `deletable` and `are_incidents_stored`: see `TradeWriter`.
    """
    return TradeWriter(
        settings.path / venue / partition,
        venue=venue,
        flush_ms=settings.flush_ms,
        retention_days=settings.retention_days,
        merge_after_minutes=settings.merge_after_minutes,
        summary_s=summary_s,
        record_ms=record_ms,
        clocks=clocks,
        deletable=deletable,
        on_incident=on_incident,
        are_incidents_stored=are_incidents_stored,
    )
