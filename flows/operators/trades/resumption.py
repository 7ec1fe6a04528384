"""What a restarted sequence of trades queries once: what was traded while the process was away, also when no live
trade comes to show it, and what the store has lost of the trades before.
"""

from msgspec import Struct

from flows.clock import Now
from flows.model import DAY_MS, Incident, IncidentKind, StoreOnlyTrades, Trade, TradeBatch
from flows.operators.delay import doubled_ms
from flows.operators.trades.gaps import QUERY_TRADES
from flows.operators.trades.results import StoredAnswer
from flows.queries import MissedTradesQuery, Query, QueryError, RefillQuery, StoreCheckQuery

RETRY_MS = 1_000
"""First delay before something is queried again, local time; doubles each time, up to `LONGEST_RETRY_MS`."""
LONGEST_RETRY_MS = 60_000
MOST_TRIES = 5
"""Failures in a row after which a gap in the store is left as it is, and reported."""
LONGEST_AWAY_MS = 366 * DAY_MS
"""Latest time after the newest trade for what was missed, while the feed's own time is not known."""


class _Lacking(Struct):
    """Ids that the store lacks, both inclusive; those before `following` are there again."""

    first: int
    last: int
    begin: int
    """Time of the last stored trade before them, ms UTC."""
    end: int
    """Time of the last trade that was handed on."""
    following: int
    due: int
    """Local time of the next query."""
    fetched: int = 0
    failures: int = 0
    is_queried: bool = False


class Resumption:
    """The queries of one instrument after a restart. It is over when all are answered, or given up."""

    def __init__(self, venue: str, symbol: str, *, last_id: int, counts_fills: bool, most_trades: int) -> None:
        """`last_id` was handed on last; at most `most_trades` are fetched for the store."""
        self._venue = venue
        self._symbol = symbol
        self._counts_fills = counts_fills
        self._last_id = last_id
        self._most_trades = most_trades
        self._store_due: int | None = 0
        self._store_failures = 0
        self._waits_for_store = False
        self._lacking: _Lacking | None = None
        self._probe_due: int | None = 0
        self._probes = 0

    @property
    def is_over(self) -> bool:
        """Nothing is queried any more."""
        is_store_known = self._store_due is None and not self._waits_for_store
        return is_store_known and self._probe_due is None and self._lacking is None

    def due(self, now: Now, *, can_probe: bool) -> int | None:
        """Local time of the next query; None while there is none."""
        dues = [] if self._store_due is None else [self._store_due]
        if self._probe_due is not None and can_probe and self._knows_time(now):
            dues.append(self._probe_due)
        if self._lacking is not None and not self._lacking.is_queried:
            dues.append(self._lacking.due)
        return min(dues, default=None)

    def _knows_time(self, now: Now) -> bool:
        """Single fills may have to be queried by time."""
        return not self._counts_fills or now.feed > 0

    def next_queries(self, now: Now) -> list[Query]:
        """The queries about the store that are due."""
        queries: list[Query] = []
        if self._store_due is not None and self._store_due <= now.local:
            self._store_due, self._waits_for_store = None, True
            queries.append(StoreCheckQuery(self._symbol, self._last_id, self._counts_fills))
        lacking = self._lacking
        if lacking is not None and not lacking.is_queried and lacking.due <= now.local:
            lacking.is_queried = True
            last = min(lacking.last, lacking.following + QUERY_TRADES - 1)
            queries.append(RefillQuery(self._symbol, lacking.following, last, lacking.begin, lacking.end))
        return queries

    # --- what was traded meanwhile ---

    def next_probe(self, following: int, last_time: int, now: Now) -> MissedTradesQuery | None:
        """Queries the trades from `following` on; None while it is not time for that."""
        if self._probe_due is None or now.local < self._probe_due or not self._knows_time(now):
            return None
        end = now.feed or last_time + LONGEST_AWAY_MS
        return MissedTradesQuery(self._symbol, following, following + QUERY_TRADES - 1, last_time, end)

    def on_missed(
        self, query: MissedTradesQuery, trades: list[Trade], error: QueryError | None, now: Now
    ) -> list[Incident]:
        """The probe is answered; where trades came there may be more."""
        if error is not None:
            self._probes += 1
            self._probe_due = None if error.lasting else _retry_at(self._probes, now)
            return []
        if not trades:
            self._probe_due = None
            return []
        self._probes, self._probe_due = 0, now.local
        cause = f"{len(trades)} trades were made while nothing was received"
        begin, end = query.begin, trades[-1].time
        ids = query.first_id, trades[-1].id
        return [Incident("repair", self._venue, self._symbol, begin, end, cause, "fetched after the restart", *ids)]

    # --- what the store lacks ---

    def on_store(self, answer: StoredAnswer, last_time: int, now: Now) -> list[Incident]:
        """The store is checked: the newest trade that it has, where that is not the newest that was handed on."""
        self._waits_for_store = False
        if isinstance(answer, QueryError):
            return self._on_unreadable_store(answer, last_time, now)
        if answer is None:
            return []
        stored_id, begin = answer
        first, count = stored_id + 1, self._last_id - stored_id
        if stored_id < 0:
            return [self._incident("store_outage", -1, begin, last_time, "not fetched, as their ids are not known")]
        if count > self._most_trades:
            outcome = f"not fetched, as feed.repair_trades is {self._most_trades}: import them with flows.backfill"
            return [self._incident("store_outage", first, begin, last_time, outcome)]
        self._lacking = _Lacking(first, self._last_id, begin, last_time, first, now.local)
        return [self._incident("store_outage", first, begin, last_time, "being fetched again")]

    def _on_unreadable_store(self, error: QueryError, last_time: int, now: Now) -> list[Incident]:
        self._store_failures += 1
        if self._store_failures < MOST_TRIES:
            self._store_due = _retry_at(self._store_failures, now)
            return []
        cause = f"the trade store cannot be read: {error}"
        outcome = "whether it holds what was handed on before the restart is not known: run flows.verify"
        ids = self._last_id, self._last_id
        return [Incident("store_outage", self._venue, self._symbol, last_time, last_time, cause, outcome, *ids)]

    def on_refill(
        self, query: RefillQuery, trades: list[Trade], error: QueryError | None, now: Now
    ) -> list[StoreOnlyTrades | Incident]:
        """Trades for the store have come, or none."""
        lacking = self._lacking
        if lacking is None:
            return []
        lacking.is_queried = False
        if not trades:
            return [*self._on_failure(lacking, str(error or "the venue does not give them"), now)]
        lacking.failures, lacking.following = 0, query.last_id + 1
        lacking.fetched += len(trades)
        out: list[StoreOnlyTrades | Incident] = [
            StoreOnlyTrades(TradeBatch(self._venue, self._symbol, trades, late=True))
        ]
        if lacking.following > lacking.last:
            self._lacking = None
            outcome = f"{lacking.fetched} trades of {lacking.last - lacking.first + 1} ids are stored again"
            out.append(self._incident("repair", lacking.first, lacking.begin, lacking.end, outcome))
        return out

    def _on_failure(self, lacking: _Lacking, reason: str, now: Now) -> list[Incident]:
        lacking.failures += 1
        lacking.due = _retry_at(lacking.failures, now)
        if lacking.failures < MOST_TRIES:
            return []
        self._lacking = None
        outcome = f"not to be had: {reason}"
        return [self._incident("store_outage", lacking.following, lacking.begin, lacking.end, outcome)]

    def _incident(self, kind: IncidentKind, first_id: int, begin: int, end: int, outcome: str) -> Incident:
        cause = "the trade store lacks trades that were handed on before the restart"
        return Incident(kind, self._venue, self._symbol, begin, end, cause, outcome, first_id, self._last_id)


def _retry_at(failures: int, now: Now) -> int:
    """Local time of the next query after so many failures in a row."""
    return now.local + doubled_ms(RETRY_MS, failures, longest_ms=LONGEST_RETRY_MS)
