"""Upkeep of a partition: old seconds become minutes, and what is past its time goes.

Both follow the feed's time, the newest second that the store holds. So a replay of an old year keeps what a live feed
would have kept, and nothing is deleted because a clock is wrong.
"""

import threading
from collections.abc import Iterable

import structlog

from flows.clock import monotonic_ms
from flows.model import DAY_MS
from sinks.trade_codec import MINUTE_MS, minute_of
from sinks.trade_merge import Second, merge_minutes
from sinks.trade_store import StoreBusyError, TradeStore, TradeStoreError

log = structlog.get_logger(__name__)

INTERVAL_S = 60.0
"""Time between two rounds."""
EXPIRY_INTERVAL_MS = 3_600_000
"""Least local time between two deletions of what is past its time."""
ROUND_RECORDS = 20_000
"""Records that a round looks at: about 0.2 s of work, and more than 300 instruments write in that time."""


class TradeUpkeep:
    """Looks after one store in a thread of its own, a bounded amount of work at a time.

    A round that fails is logged and repeated at the next interval; nothing is lost by being late.
    """

    def __init__(self, store: TradeStore, *, retention_days: float, merge_after_minutes: int) -> None:
        self._store = store
        self._retention_ms = int(retention_days * DAY_MS)
        self._merge_after_ms = merge_after_minutes * MINUTE_MS
        self._newest_ms = store.newest_ms()
        self._merged_until: dict[str, int] = {}
        self._expired_at_ms: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"trade-upkeep-{store.path.name}", daemon=True)

    def start(self) -> None:
        """Begins with the first round, one interval from now."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the minute that is being merged."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def on_written(self, seconds: Iterable[Second]) -> None:
        """Takes note of what was written. The caller holds the store's lock, so no merge passes by a late second."""
        for symbol, start in seconds:
            self._newest_ms = max(self._newest_ms, start)
            if start < self._merged_until.get(symbol, 0):
                self._merged_until[symbol] = minute_of(start)

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            try:
                self.expire()
                self.merge(most_records=ROUND_RECORDS)
            except StoreBusyError:
                log.debug("trade upkeep waits for the store", path=str(self._store.path))
            except TradeStoreError as error:
                log.error("trade upkeep failed", path=str(self._store.path), reason=str(error))  # noqa: TRY400
            except Exception:
                log.exception("trade upkeep failed", path=str(self._store.path))

    def expire(self) -> list[str]:
        """Deletes what is older than the retention, at most once in `EXPIRY_INTERVAL_MS`, in whole minutes. Returns the
        symbols that lost something. `TradeStoreError` when the store cannot be written.
        """
        local_ms = monotonic_ms()
        if not self._retention_ms or (
            self._expired_at_ms is not None and local_ms - self._expired_at_ms < EXPIRY_INTERVAL_MS
        ):
            return []
        self._expired_at_ms = local_ms
        before_ms = minute_of(self._newest_ms - self._retention_ms)
        expired = [symbol for symbol in self._store.symbols() if self._begins_before(symbol, before_ms)]
        for symbol in expired:
            self._store.delete_before(symbol, before_ms)
            log.info("old trades deleted", symbol=symbol, before_ms=before_ms)
        return expired

    def _begins_before(self, symbol: str, time_ms: int) -> bool:
        bounds = self._store.bounds(symbol)
        return bounds is not None and bounds[0] < time_ms

    def merge(self, *, most_records: int) -> int:
        """Merges what is old enough, and looks at about `most_records` records. Returns how many it looked at; fewer
        than asked means that all is merged. `TradeStoreError` when the store cannot be written.
        """
        end_ms = minute_of(self._newest_ms - self._merge_after_ms)
        seen = 0
        for symbol in self._store.symbols():
            if seen >= most_records or self._stopping.is_set():
                break
            seen += self._merge_symbol(symbol, end_ms, most_records=most_records - seen)
        return seen

    def _merge_symbol(self, symbol: str, end_ms: int, *, most_records: int) -> int:
        begin_ms = self._merged_until.get(symbol, 0)
        if begin_ms >= end_ms:
            return 0
        # Claimed before it is done: a late second that comes meanwhile then moves the mark back.
        self._merged_until[symbol] = end_ms
        reached_ms = begin_ms
        try:
            reached_ms, seen = merge_minutes(self._store, symbol, begin_ms, end_ms, most_records=most_records)
        finally:
            with self._store.lock:
                self._merged_until[symbol] = min(self._merged_until[symbol], reached_ms)
        return seen
