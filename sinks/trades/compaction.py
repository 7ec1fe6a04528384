"""Compaction and retention of a partition: merges old seconds into minutes, and deletes expired records.

Each symbol separately, by its own newest record that is not ahead of the clock: the exchange's time and, for live data,
the wall clock, whichever is earlier. So a replay of an old year keeps what a live feed would have kept, a wrong clock
or a single wrong trade deletes nothing, and a symbol that has stopped trading keeps its last days.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from flows.clock import monotonic_ms, wall_ms
from flows.model import DAY_MS, Incident, IncidentKind
from sinks.buffered.outage import OnIncident
from sinks.trades.begins import TradeBegins
from sinks.trades.codec import END_MS, MINUTE_MS, minute_of
from sinks.trades.merge import Second, merge_minutes
from sinks.trades.record_checks import BadRecord, incident_of
from sinks.trades.store import StoreBusyError, TradeStore, TradeStoreError

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 60.0
"""Time between two rounds."""
EXPIRY_INTERVAL_MS: Final = 3_600_000
"""Least local time between two deletions of expired records."""
ROUND_RECORDS: Final = 20_000
"""Records that a round reads: about 0.2 s of work, and more than 300 instruments write in that time."""
UNSURE_MS: Final = 3_600_000
"""Local time that a deletion waits for a sure clock before that is an incident."""
APART_MS: Final = DAY_MS
"""Difference of the exchange's time and the wall clock that is an incident; the earlier one always counts."""
AHEAD_MS: Final = 3_600_000
"""A record of live data so far ahead of the clock is an incident; it never counts."""

VenueNow = Callable[[], int | None]
"""The exchange's time, ms UTC; None while it is not sure. Called from the compactor's thread."""
WallNow = Callable[[], int]
"""The wall clock, ms UTC."""


Deletable = Callable[[str, int], int]
"""Up to which time, ms UTC, trades of a symbol may be deleted whose oldest record starts then. It may raise `OSError`,
or whatever else keeps it from knowing: then nothing is deleted.
"""


def unsure() -> None:
    """A clock that never knows the time, so that nothing is deleted."""
    return


class Clocks(NamedTuple):
    """The clocks that retention is measured by."""

    venue_now: VenueNow = unsure
    """The exchange's time."""
    wall_bound: WallNow | None = None
    """Set for live data, which cannot be newer than the wall clock."""


class TradeCompactor:
    """Maintains one store in its own thread, with bounded work in each round.

    A failed round is logged and repeated at the next interval, and is an incident `store_outage`; a delay loses
    nothing. A reason not to delete is an incident `retention`. Each is reported once until it ends. A record that
    cannot be read keeps its minute from being merged, until it is old enough to be deleted like any other; that is an
    incident `store_outage` too.
    """

    def __init__(
        self,
        store: TradeStore,
        *,
        retention_days: float,
        merge_after_minutes: int,
        venue: str = "",
        clocks: Clocks | None = None,
        deletable: Deletable | None = None,
        on_incident: OnIncident = lambda _: None,
        local_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        """Without `clocks` nothing is deleted; with `deletable` only what it permits."""
        self._store = store
        self._begins = TradeBegins(store.path.parent)
        self._retention_ms = int(retention_days * DAY_MS)
        self._merge_after_ms = merge_after_minutes * MINUTE_MS
        self._venue = venue
        self._clocks = clocks or Clocks()
        self._deletable = deletable
        self._on_incident = on_incident
        self._local_ms = local_ms
        self._merged_until: dict[str, int] = {}
        self._expired_at_ms: int | None = None
        self._unsure_since_ms: int | None = None
        self._reported: set[str] = set()
        self._has_failed = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"trade-compactor-{store.path.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread; the first round is one interval from now."""
        self._thread.start()

    def stop(self) -> None:
        """Stops after the minute that is being merged."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def on_written(self, seconds: Iterable[Second]) -> None:
        """Records what was written. The caller holds the store's lock, so no merge misses a late second."""
        for symbol, start in seconds:
            if start < self._merged_until.get(symbol, 0):
                self._merged_until[symbol] = minute_of(start)

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            self.round()

    def round(self) -> None:
        """Does what is due. It never raises: a failure is reported, once until a round succeeds."""
        try:
            self.expire()
            self.merge(most_records=ROUND_RECORDS)
        except StoreBusyError:
            log.debug("compaction_waits_for_store", path=str(self._store.path))
        except TradeStoreError as error:
            log.error("compaction_failed", path=str(self._store.path), reason=str(error))  # noqa: TRY400
            self._on_failure(str(error))
        except Exception as error:
            log.exception("compaction_failed", path=str(self._store.path))
            self._on_failure(repr(error))
        else:
            self._on_success()

    def _on_failure(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            cause = f"the upkeep of stored trades failed: {reason}"
            self._report_incident("store_outage", cause, "tried again every minute; new trades are stored meanwhile")

    def _on_success(self) -> None:
        if self._has_failed:
            self._has_failed = False
            self._report_incident("store_outage", "the upkeep of stored trades works again", "nothing of it was missed")

    def _report_incident(self, kind: IncidentKind, cause: str, outcome: str, symbol: str = "") -> None:
        now_ms = wall_ms()
        self._on_incident(Incident(kind, self._venue, symbol, now_ms, now_ms, cause, outcome))

    # --- retention ---

    def expire(self) -> list[str]:
        """Deletes records older than the retention, at most once in `EXPIRY_INTERVAL_MS`, in whole minutes, and none
        while the clock is unsure. Returns the symbols with deleted records. `TradeStoreError` when the store cannot be
        written.
        """
        local_ms = self._local_ms()
        if not self._retention_ms or not _is_past(self._expired_at_ms, EXPIRY_INTERVAL_MS, local_ms):
            return []
        bound_ms = self._bound_ms()
        if bound_ms is None:
            self._wait_for_clock(local_ms)
            return []
        self._unsure_since_ms = None
        self._reported.discard("unsure")
        expired = [symbol for symbol in self._store.symbols() if self._expire_symbol(symbol, bound_ms)]
        self._expired_at_ms = local_ms
        return expired

    def _bound_ms(self) -> int | None:
        """The latest possible time; None while it is not known."""
        venue_ms = self._clocks.venue_now()
        wall_bound = self._clocks.wall_bound
        if venue_ms is None or wall_bound is None:
            return venue_ms
        wall = wall_bound()
        self._compare(venue_ms, wall)
        return min(venue_ms, wall)

    def _wait_for_clock(self, local_ms: int) -> None:
        if self._unsure_since_ms is None:
            self._unsure_since_ms = local_ms
        if local_ms - self._unsure_since_ms >= UNSURE_MS:
            self._report_once("unsure", "the exchange's time is not sure", "no trades are deleted until it is")

    def _compare(self, venue_ms: int, wall: int) -> None:
        if abs(venue_ms - wall) <= APART_MS:
            self._reported.discard("apart")
            return
        cause = f"the exchange's time is {_text(venue_ms)}, and the wall clock's {_text(wall)}"
        self._report_once("apart", cause, "trades are kept by the earlier one")

    def _expire_symbol(self, symbol: str, bound_ms: int) -> bool:
        """Deletes expired records of one symbol. False when there were none."""
        newest_ms = self._newest_ms(symbol, bound_ms)
        self._check_ahead(symbol, bound_ms)
        if newest_ms is None:
            return False
        before_ms = self._permitted(symbol, minute_of(newest_ms - self._retention_ms))
        extent = self._store.extent(symbol, before_ms)
        if extent is None:
            return False
        self._begins.note_deleted(symbol, before_ms)  # before it is so: a deletion is never without its reason
        self._store.delete_before(symbol, before_ms)
        log.info(
            "old_trades_deleted",
            venue=self._venue,
            symbol=symbol,
            records=extent.records,
            first_id=extent.first_id,
            last_id=extent.last_id,
            begin=_text(extent.begin_ms),
            until=_text(before_ms),
        )
        return True

    def _permitted(self, symbol: str, before_ms: int) -> int:
        """The earlier one of this time and that up to which trades may be deleted."""
        oldest_ms = next(self._store.starts(symbol, 0, before_ms), None) if self._deletable else None
        if self._deletable is None or oldest_ms is None:
            return before_ms
        try:
            until_ms, reason = self._deletable(symbol, oldest_ms), "are not in the lake"
        except Exception as error:  # noqa: BLE001 - whatever it is, the trades stay
            until_ms, reason = 0, f"may not be in the lake: {error}"
        if until_ms >= before_ms:
            self._reported.discard(f"held {symbol}")
            return before_ms
        cause = f"trades from {_text(max(oldest_ms, until_ms))} on are old enough to be deleted, and {reason}"
        self._report_once(f"held {symbol}", cause, "they are kept until they are there", symbol)
        return minute_of(until_ms)

    def _newest_ms(self, symbol: str, bound_ms: int) -> int | None:
        """Start of the newest record of a symbol that is not ahead of the clock."""
        return self._store.newest_of(symbol, until_ms=bound_ms)

    def _check_ahead(self, symbol: str, bound_ms: int) -> None:
        """Reports stored live trades ahead of the clock. A replay may have some: it may begin again earlier."""
        newest_ms = self._store.newest_of(symbol)
        if self._clocks.wall_bound is None or newest_ms is None or newest_ms <= bound_ms + AHEAD_MS:
            return
        cause = f"trades of {_text(newest_ms)} are stored, and it is {_text(bound_ms)}"
        self._report_once(f"ahead {symbol}", cause, "they are kept, and do not count for what is old", symbol)

    def _report_once(self, key: str, cause: str, outcome: str, symbol: str = "") -> None:
        """Reports an incident once, until `key` is removed."""
        if key in self._reported:
            return
        self._reported.add(key)
        log.warning("trade_retention", venue=self._venue, symbol=symbol or "all", cause=cause, outcome=outcome)
        self._report_incident("retention", cause, outcome, symbol)

    # --- merging of seconds ---

    def merge(self, *, most_records: int) -> int:
        """Merges records that are old enough, and reads about `most_records`. Returns the number of records read; fewer
        than `most_records` means that all are merged. `TradeStoreError` when the store cannot be written.

        It loses nothing, so it need not wait for a sure clock.
        """
        venue_ms = self._clocks.venue_now()
        bound_ms = END_MS if venue_ms is None else venue_ms
        seen = 0
        for symbol in self._store.symbols():
            if seen >= most_records or self._stopping.is_set():
                break
            newest_ms = self._newest_ms(symbol, bound_ms)
            if newest_ms is not None:
                end_ms = minute_of(newest_ms - self._merge_after_ms)
                seen += self._merge_symbol(symbol, end_ms, most_records=most_records - seen)
        return seen

    def _merge_symbol(self, symbol: str, end_ms: int, *, most_records: int) -> int:
        begin_ms = self._merged_until.get(symbol, 0)
        if begin_ms >= end_ms:
            return 0
        # Set before the merge: a late second that comes meanwhile then moves the mark back.
        self._merged_until[symbol] = end_ms
        reached_ms = begin_ms
        try:
            reached_ms, seen = merge_minutes(
                self._store, symbol, begin_ms, end_ms, most_records=most_records, on_bad=self._report_bad
            )
        finally:
            with self._store.lock:
                self._merged_until[symbol] = min(self._merged_until[symbol], reached_ms)
        return seen

    def _report_bad(self, record: BadRecord) -> None:
        log.error("trade_record_unreadable", record=record.name, reason=record.reason)
        self._on_incident(incident_of(record, self._venue, "its minute is left as it is"))


def _is_past(since_ms: int | None, interval_ms: int, now_ms: int) -> bool:
    return since_ms is None or now_ms - since_ms >= interval_ms


def _text(time_ms: int) -> str:
    """A time as text, for all times that a key can hold."""
    return datetime.fromtimestamp(min(max(time_ms, 0), END_MS) / 1_000, UTC).isoformat(timespec="seconds")
