"""Upkeep of a partition: old seconds become minutes, and what is past its time goes.

Each symbol by itself, by its own newest record that is not ahead of the clock: the exchange's time and, for live data,
the wall clock, whichever is earlier. So a replay of an old year keeps what a live feed would have kept, a clock or a
single trade that is wrong deletes nothing, and a symbol that has stopped trading keeps its last days.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

import structlog

from flows.clock import monotonic_ms, wall_ms
from flows.model import DAY_MS, Incident, IncidentKind
from sinks.buffered.outage import OnIncident
from sinks.trades.codec import END_MS, MINUTE_MS, minute_of
from sinks.trades.merge import Second, merge_minutes
from sinks.trades.store import StoreBusyError, TradeStore, TradeStoreError

log = structlog.get_logger(__name__)

INTERVAL_S: Final = 60.0
"""Time between two rounds."""
EXPIRY_INTERVAL_MS: Final = 3_600_000
"""Least local time between two deletions of what is past its time."""
ROUND_RECORDS: Final = 20_000
"""Records that a round looks at: about 0.2 s of work, and more than 300 instruments write in that time."""
UNSURE_MS: Final = 3_600_000
"""Local time for which a deletion waits for a sure clock before that is an incident."""
APART_MS: Final = DAY_MS
"""Difference of the exchange's time and the wall clock that is an incident; the earlier one counts in any case."""
AHEAD_MS: Final = 3_600_000
"""A record of live data that is so much ahead of the clock is an incident; it never counts."""

VenueNow = Callable[[], int | None]
"""The exchange's time, ms UTC; None while it is not sure. Called from the upkeep's thread."""
WallNow = Callable[[], int]
"""The wall clock, ms UTC."""


def unsure() -> None:
    """A clock that never knows the time: nothing is deleted by it."""
    return


class Clocks(NamedTuple):
    """What time it is, for whoever deletes what is old."""

    venue_now: VenueNow = unsure
    """At the exchange."""
    wall_bound: WallNow | None = None
    """Given for live data, of which nothing can be newer than the wall clock."""


class TradeUpkeep:
    """Looks after one store in a thread of its own, a bounded amount of work at a time.

    A round that fails is logged and repeated at the next interval, and is an incident `store_outage`; nothing is lost
    by being late. What keeps a deletion from being right is an incident `retention`. Each is told once until it ends.
    """

    def __init__(
        self,
        store: TradeStore,
        *,
        retention_days: float,
        merge_after_minutes: int,
        venue: str = "",
        clocks: Clocks | None = None,
        on_incident: OnIncident = lambda _: None,
        local_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        """Without `clocks` nothing is deleted."""
        self._store = store
        self._retention_ms = int(retention_days * DAY_MS)
        self._merge_after_ms = merge_after_minutes * MINUTE_MS
        self._venue = venue
        self._clocks = clocks or Clocks()
        self._on_incident = on_incident
        self._local_ms = local_ms
        self._merged_until: dict[str, int] = {}
        self._expired_at_ms: int | None = None
        self._unsure_since_ms: int | None = None
        self._reported: set[str] = set()
        self._has_failed = False
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
            if start < self._merged_until.get(symbol, 0):
                self._merged_until[symbol] = minute_of(start)

    def _run(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            self.round()

    def round(self) -> None:
        """Does what is due. It never raises: what fails is told, once until a round succeeds."""
        try:
            self.expire()
            self.merge(most_records=ROUND_RECORDS)
        except StoreBusyError:
            log.debug("trade upkeep waits for the store", path=str(self._store.path))
        except TradeStoreError as error:
            log.error("trade upkeep failed", path=str(self._store.path), reason=str(error))  # noqa: TRY400
            self._on_failure(str(error))
        except Exception as error:
            log.exception("trade upkeep failed", path=str(self._store.path))
            self._on_failure(repr(error))
        else:
            self._on_success()

    def _on_failure(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            cause = f"the upkeep of stored trades failed: {reason}"
            self._tell("store_outage", cause, "tried again every minute; new trades are stored meanwhile")

    def _on_success(self) -> None:
        if self._has_failed:
            self._has_failed = False
            self._tell("store_outage", "the upkeep of stored trades works again", "nothing of it was missed")

    def _tell(self, kind: IncidentKind, cause: str, outcome: str, symbol: str = "") -> None:
        now_ms = wall_ms()
        self._on_incident(Incident(kind, self._venue, symbol, now_ms, now_ms, cause, outcome))

    # --- what is past its time ---

    def expire(self) -> list[str]:
        """Deletes what is older than the retention, at most once in `EXPIRY_INTERVAL_MS`, in whole minutes, and nothing
        while the clock is unsure. Returns the symbols that lost something. `TradeStoreError` when the store cannot be
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
        """The latest time that can be true; None while that is not known."""
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
            self._report("unsure", "the exchange's time is not sure", "no trades are deleted until it is")

    def _compare(self, venue_ms: int, wall: int) -> None:
        if abs(venue_ms - wall) <= APART_MS:
            self._reported.discard("apart")
            return
        cause = f"the exchange's time is {_text(venue_ms)}, and the wall clock's {_text(wall)}"
        self._report("apart", cause, "trades are kept by the earlier one")

    def _expire_symbol(self, symbol: str, bound_ms: int) -> bool:
        """Deletes what is past its time of one symbol. False when there was nothing."""
        newest_ms = self._newest_ms(symbol, bound_ms)
        self._look_ahead(symbol, bound_ms)
        if newest_ms is None:
            return False
        before_ms = minute_of(newest_ms - self._retention_ms)
        extent = self._store.extent(symbol, before_ms)
        if extent is None:
            return False
        self._store.delete_before(symbol, before_ms)
        log.info(
            "old trades deleted",
            venue=self._venue,
            symbol=symbol,
            records=extent.records,
            first_id=extent.first_id,
            last_id=extent.last_id,
            begin=_text(extent.begin_ms),
            until=_text(before_ms),
        )
        return True

    def _newest_ms(self, symbol: str, bound_ms: int) -> int | None:
        """Start of the newest record of a symbol that is not ahead of the clock."""
        return self._store.newest_of(symbol, until_ms=bound_ms)

    def _look_ahead(self, symbol: str, bound_ms: int) -> None:
        """A replay may begin again behind what it has stored; the present may not."""
        newest_ms = self._store.newest_of(symbol)
        if self._clocks.wall_bound is None or newest_ms is None or newest_ms <= bound_ms + AHEAD_MS:
            return
        cause = f"trades of {_text(newest_ms)} are stored, and it is {_text(bound_ms)}"
        self._report(f"ahead {symbol}", cause, "they are kept, and do not count for what is old", symbol)

    def _report(self, key: str, cause: str, outcome: str, symbol: str = "") -> None:
        """Tells of something once, until `key` is taken back."""
        if key in self._reported:
            return
        self._reported.add(key)
        log.warning("retention of trades", venue=self._venue, symbol=symbol or "all", cause=cause, outcome=outcome)
        self._tell("retention", cause, outcome, symbol)

    # --- seconds become minutes ---

    def merge(self, *, most_records: int) -> int:
        """Merges what is old enough, and looks at about `most_records` records. Returns how many it looked at; fewer
        than asked means that all is merged. `TradeStoreError` when the store cannot be written.

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
        # Claimed before it is done: a late second that comes meanwhile then moves the mark back.
        self._merged_until[symbol] = end_ms
        reached_ms = begin_ms
        try:
            reached_ms, seen = merge_minutes(self._store, symbol, begin_ms, end_ms, most_records=most_records)
        finally:
            with self._store.lock:
                self._merged_until[symbol] = min(self._merged_until[symbol], reached_ms)
        return seen


def _is_past(since_ms: int | None, interval_ms: int, now_ms: int) -> bool:
    return since_ms is None or now_ms - since_ms >= interval_ms


def _text(time_ms: int) -> str:
    """A time for people; all that a key can hold has one."""
    return datetime.fromtimestamp(min(max(time_ms, 0), END_MS) / 1_000, UTC).isoformat(timespec="seconds")
