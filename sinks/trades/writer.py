"""Writes trades to RocksDB: `data/trades/<venue>/<partition>/`, in the layout of `trade_codec`.

The flow's thread only queues batches; a thread of the writer's own puts them into the store, and another looks after
what is old (`trade_upkeep`).
"""

import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import structlog
from msgspec import Struct

from flows.clock import monotonic_ms, wall_ms
from flows.model import Incident, TradeBatch
from flows.settings import Trades
from sinks.trades.buffer import Loss, TradeBuffer
from sinks.trades.codec import SECOND_MS
from sinks.trades.compaction import OnIncident, TradeUpkeep, VenueNow, WallNow, unsure
from sinks.trades.merge import Dispute, add_batches
from sinks.trades.reader import TradeView
from sinks.trades.store import StoreBusyError, TradeStore, TradeStoreError

log = structlog.get_logger(__name__)

BATCH_TRADES = 5_000
"""Trades in one atomic write: RocksDB keeps the interpreter for that time, about half a millisecond."""
BATCHES_A_SYNC = 40
"""Atomic writes between two syncs to the disk, when there is much to write."""
CLOSE_TIMEOUT_S = 5.0
"""How long `close` tries to write out what is held."""
PENDING_TIMEOUT_S = 1.0
"""How long the flow waits for the store to take what is queued, before that becomes part of its recovered state."""
_BUSY_S = 0.05
_LONGEST_BUSY_S = 30.0  # then it is an outage: the flow must not wait for a store that is stuck
_LONGEST_RETRY_S = 5.0
_TRIES_BEFORE_REOPEN = 5  # RocksDB ends a full disk by itself within 5 s, but not every error


def part_of(instrument_key: str, partitions: int) -> int:
    """The partition that an instrument's trades belong to, the same in every process."""
    return zlib.crc32(instrument_key.encode()) % partitions


def retry_delay_s(tries: int, *, first_s: float) -> float:
    """Time to wait after the n-th failure in a row: it doubles up to five seconds."""
    return min(first_s * 2.0 ** min(tries - 1, 16), _LONGEST_RETRY_S)


class _Outage(Struct):
    """A time in which the store did not take what was to be written."""

    begin: int
    began_local_ms: int
    cause: str
    tries: int = 0


class TradeWriter:
    """Writer of one partition.

    What is queued is written every `flush_ms`: one atomic batch, or several when it is more than `BATCH_TRADES`, and
    then a sync. So a killed process loses what came since the last flush and nothing before it, nor does a machine
    that loses its power. Writing trades again changes nothing.

    At most `buffer_trades` trades are held; what happens at that bound is said in `TradeBuffer`. A store that fails
    costs an ERROR line and an incident when it begins, another incident when it is over, and one for each symbol of
    which trades had to be dropped; it is tried again for as long as it takes. `on_incident` is called from the writer's
    threads.
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
        venue_now: VenueNow = unsure,
        wall_bound: WallNow | None = None,
        on_incident: OnIncident = lambda _: None,
    ) -> None:
        """Opens the store, and makes it if need be. `TradeStoreError` when that fails; nothing else ever raises.
        `record_ms` is how much time goes into a record: a second, or a minute where all trades are old. By `venue_now`
        and `wall_bound` old trades are deleted, see `TradeUpkeep`: without the first, none ever are.
        """
        self._venue = venue
        self._flush_s = flush_ms / 1_000
        self._first_retry_s = first_retry_s
        self._record_ms = record_ms
        self._on_incident = on_incident
        self._store = TradeStore(path, accepts_loss=True)
        self._buffer = TradeBuffer(capacity=buffer_trades)
        self._upkeep = TradeUpkeep(
            self._store,
            retention_days=retention_days,
            merge_after_minutes=merge_after_minutes,
            venue=venue,
            venue_now=venue_now,
            wall_bound=wall_bound,
            on_incident=self._notify,
        )
        self._newest_ms = 0
        self._busy_s = 0.0
        self._outage: _Outage | None = None
        self.failures = 0
        """Attempts to write that failed."""
        self._summary = _Summary(interval_s=summary_s)
        self._thread = threading.Thread(target=self._run, name=f"trade-writer-{path.name}", daemon=True)
        self._report_lost_writes()
        self._thread.start()
        self._upkeep.start()

    def write(self, batch: list[TradeBatch]) -> None:
        """Queues trades: a fraction of a microsecond for each batch, whatever its size."""
        self._buffer.put(batch)

    @property
    def held(self) -> int:
        """Trades that are not stored yet."""
        return len(self._buffer)

    @property
    def stored(self) -> int:
        """Trades that were stored so far."""
        return self._summary.total

    @property
    def outage(self) -> str:
        """Why the store takes nothing now; "" when it does."""
        outage = self._outage  # the writer's thread may end it meanwhile
        return outage.cause if outage else ""

    def flush(self, *, timeout_s: float = 10.0) -> bool:
        """Waits until what was written before is in the store for good; False when it is not after `timeout_s`."""
        return self._buffer.flush(timeout_s)

    def pending(self) -> list[TradeBatch]:
        """What a restart must write again, if this process ends now: nothing, unless the store fails or is slow."""
        return self._buffer.pending(PENDING_TIMEOUT_S)

    def resume(self, pending: list[TradeBatch]) -> None:
        """Takes over what a process before this one could not write."""
        self.write(pending)

    def view(self) -> TradeView:
        """A view of what is stored so far, for this process; good until `close`."""
        return TradeView([self._store])

    def close(self) -> None:
        """Writes out what is held, for at most `CLOSE_TIMEOUT_S` if the store fails; the rest is reported as lost."""
        self._buffer.close()
        self._upkeep.stop()
        self._thread.join()
        self._store.close()

    def _run(self) -> None:
        while self._buffer.wait(self._pause_s()):
            self._flush()
        deadline_ms = monotonic_ms() + int(CLOSE_TIMEOUT_S * 1_000)
        while not self._flush() and monotonic_ms() < deadline_ms:
            time.sleep(self._first_retry_s)
        for loss in self._buffer.take_rest():
            self._report_loss(loss)
        self._summary.log_all()

    def _pause_s(self) -> float:
        if self._outage is None:
            return self._flush_s
        return retry_delay_s(self._outage.tries, first_s=self._first_retry_s)

    def _flush(self) -> bool:
        """Writes all that is queued. False when that failed."""
        try:
            self._reopen_if_stuck()
            while self._write_some():
                pass
        except StoreBusyError as error:
            self._on_busy(str(error))
            return False
        except TradeStoreError as error:
            self._on_failure(str(error))
            return False
        except Exception as error:
            log.exception("trade writer failed")  # a bug must not silence the writer for good
            self._on_failure(repr(error))
            return False
        self._on_success()
        self._summary.log_if_due()
        return True

    def _reopen_if_stuck(self) -> None:
        if self._outage and self._outage.tries >= _TRIES_BEFORE_REOPEN:
            self._store.reopen()
            self._report_lost_writes()

    def _write_some(self) -> bool:
        """Writes the oldest batches and syncs. False when there were none; otherwise there may be more."""
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
        self._summary.count(taken)
        return bool(taken)

    def _add(self, batches: list[TradeBatch]) -> None:
        if batches:
            with self._store.lock:
                seconds = add_batches(self._store, batches, record_ms=self._record_ms, on_dispute=self._report_dispute)
                self._upkeep.on_written(seconds)
            self._newest_ms = max(self._newest_ms, *(batch.trades[-1].time for batch in batches))

    def _on_busy(self, cause: str) -> None:
        time.sleep(_BUSY_S)
        self._busy_s += _BUSY_S
        if self._busy_s > _LONGEST_BUSY_S:
            self._on_failure(cause)

    def _on_failure(self, cause: str) -> None:
        if self._outage is None:
            self._outage = _Outage(begin=self._newest_ms, began_local_ms=monotonic_ms(), cause=cause)
            log.error("trades cannot be stored, trying again", venue=self._venue, cause=cause)
            self._report(cause=cause, outcome="held back, trying again")
        self._outage.tries += 1
        self._outage.cause = cause
        self.failures += 1

    def _on_success(self) -> None:
        self._busy_s = 0.0
        if self._outage is None:
            return
        lasted_s = (monotonic_ms() - self._outage.began_local_ms) / 1_000
        log.info("trades are stored again", venue=self._venue, after_s=lasted_s, tries=self._outage.tries)
        self._report(cause="the store takes trades again", outcome=f"stored what was held, after {lasted_s:.1f} s")
        self._outage = None
        for loss in self._buffer.take_losses():
            self._report_loss(loss)

    def _report(self, *, cause: str, outcome: str) -> None:
        begin = self._outage.begin if self._outage else self._newest_ms
        self._notify(Incident("store_outage", self._venue, "", begin, self._newest_ms, cause, outcome))

    def _report_loss(self, loss: Loss) -> None:
        log.error("trades lost", symbol=loss.symbol, trades=loss.trades, first_id=loss.first_id, last_id=loss.last_id)
        self._notify(
            Incident(
                "store_outage",
                self._venue,
                loss.symbol,
                loss.begin,
                loss.end,
                cause="the store took no trades, and the buffer no more of them",
                outcome=f"{loss.trades} trades are not stored",
                first_id=loss.first_id,
                last_id=loss.last_id,
            )
        )

    def _report_dispute(self, dispute: Dispute) -> None:
        """Names trades of which something else was stored than came."""
        log.warning("trades_disputed", symbol=dispute.symbol, trades=dispute.trades, is_replaced=dispute.is_replaced)
        outcome = (
            "replaced: a checksum of the exchange vouches for the new ones"
            if dispute.is_replaced
            else "the stored ones are kept: nothing vouches for the others"
        )
        cause = f"{dispute.trades} trades are stored with other values than those that came with the same ids"
        span, ids = (dispute.begin, dispute.end), (dispute.first_id, dispute.last_id)
        self._notify(Incident("mismatch", self._venue, dispute.symbol, *span, cause, outcome, *ids))

    def _report_lost_writes(self) -> None:
        """Names what the store had when it was last synced, and has no more: a log was cut or is gone."""
        writes, losses, now_ms = self._store.lost_writes, self._store.losses, wall_ms()
        if self._store.unreadable:
            log.error("trade_store_unreadable", reason=self._store.unreadable)
            outcome = "opened all the same: what is damaged cannot be read, the rest is, and new trades are stored"
            self._notify(Incident("store_outage", self._venue, "", now_ms, now_ms, self._store.unreadable, outcome))
        if not (writes or losses):
            return
        what = f"the last {writes} writes" if writes else "writes, not the last ones,"
        cause = f"the trade store {self._store.path} lacks {what} that it had: a log of it is gone or damaged"
        log.error("trade_store_lost_writes", path=str(self._store.path), writes=writes, symbols=len(losses))
        outcome = "opened with what is left"
        self._notify(Incident("store_outage", self._venue, "", now_ms, now_ms, cause, outcome))
        for loss in losses:
            ids = loss.first_id, loss.last_id
            log.error("trades_lost", symbol=loss.symbol, first_id=ids[0], last_id=ids[1])
            outcome = "fetched again where the venue still has them"
            self._notify(Incident("store_outage", self._venue, loss.symbol, now_ms, now_ms, cause, outcome, *ids))

    def _notify(self, incident: Incident) -> None:
        try:
            self._on_incident(incident)
        except Exception:
            log.exception("incident not delivered", incident=incident)  # a bug of the listener is not the writer's end


class _Summary:
    """Says once in a while, and at the end, how many trades were stored of each symbol."""

    def __init__(self, *, interval_s: float) -> None:
        self._interval_ms = int(interval_s * 1_000)
        self._due_ms = monotonic_ms() + self._interval_ms
        self._stored: Counter[str] = Counter()
        self.total = 0

    def count(self, batches: list[TradeBatch]) -> None:
        for batch in batches:
            self._stored[batch.symbol] += len(batch.trades)
            self.total += len(batch.trades)

    def log_if_due(self) -> None:
        if monotonic_ms() >= self._due_ms:
            self.log_all()

    def log_all(self) -> None:
        for symbol, trades in self._stored.items():
            log.info("trades stored", symbol=symbol, trades=trades)
        self._stored.clear()
        self._due_ms = monotonic_ms() + self._interval_ms


def open_trade_writer(
    settings: Trades,
    *,
    venue: str,
    partition: str,
    on_incident: OnIncident,
    summary_s: float = 60.0,
    record_ms: int = SECOND_MS,
    venue_now: VenueNow = unsure,
    wall_bound: WallNow | None = None,
) -> TradeWriter:
    """The writer of a partition (`part-00`, …) of a venue, as the settings say. `TradeStoreError` when the store cannot
    be opened. `venue_now` and `wall_bound`: see `TradeWriter`.
    """
    return TradeWriter(
        settings.path / venue / partition,
        venue=venue,
        flush_ms=settings.flush_ms,
        retention_days=settings.retention_days,
        merge_after_minutes=settings.merge_after_minutes,
        summary_s=summary_s,
        record_ms=record_ms,
        venue_now=venue_now,
        wall_bound=wall_bound,
        on_incident=on_incident,
    )
