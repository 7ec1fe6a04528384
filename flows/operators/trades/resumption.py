"""What a restarted sequence of trades queries once: what was traded while the process was away, also when no live
trade comes to show it, and what the store has lost of the trades before.

The laws:
* What was missed is queried until the stream itself has joined: what it does not bring from then on shows as a gap.
* Where more was made than one answer holds, the next query leaves at once. A smaller answer has reached the present, so
  the next one leaves after a delay that doubles; one without trades is the last.
* What the stream has brought, or is about to bring, was not missed.
"""

from typing import cast

from msgspec import Struct

from flows.bounds import TRADE_AHEAD_MS
from flows.clock import Now
from flows.model import DAY_MS, Incident, IncidentKind, StoreOnlyTrades, Trade, TradeBatch
from flows.operators.delay import doubled_ms
from flows.operators.trades.chain import TradeChain
from flows.operators.trades.checks import TradeChecks
from flows.operators.trades.gaps import QUERY_TRADES
from flows.operators.trades.position import Position
from flows.operators.trades.results import Results, StoredAnswer, TradesAnswer
from flows.queries import MissedTradesQuery, Query, QueryError, RefillQuery, StoreCheckQuery, TradesQuery
from flows.texts import counted

RETRY_MS = 1_000
"""First delay before something is queried again, local time; doubles each time, up to `LONGEST_RETRY_MS`."""
LONGEST_RETRY_MS = 60_000
MOST_TRIES = 5
"""Failures in a row after which a gap in the store is left as it is, and reported."""
MANY_TRADES = QUERY_TRADES // 2
"""Ids that an answer reaches, from which on the venue is taken to have more: some of the queried ones may be no trades.
"""
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

    def __init__(
        self,
        venue: str,
        symbol: str,
        position: Position,
        *,
        chain: TradeChain,
        checks: TradeChecks,
        last_id: int,
        most_trades: int,
    ) -> None:
        """`last_id` was handed on last; at most `most_trades` are fetched for the store."""
        self._venue = venue
        self._symbol = symbol
        self._position = position
        self._chain = chain
        self._checks = checks
        self._last_id = last_id
        self._most_trades = most_trades
        self._store_due: int | None = 0
        self._store_failures = 0
        self._waits_for_store = False
        self._lacking: _Lacking | None = None
        self._probe_due: int | None = 0
        self._probes = 0
        self._is_probing = False

    @property
    def is_over(self) -> bool:
        """Nothing is queried any more."""
        is_store_known = self._store_due is None and not self._waits_for_store
        is_joined = not self._is_probing and (self._probe_due is None or self._chain.has_joined)
        return is_store_known and is_joined and self._lacking is None

    def due(self, now: Now) -> int | None:
        """Local time of the next query; None while there is none."""
        dues = [] if self._store_due is None else [self._store_due]
        if self._probe_due is not None and self._can_probe(now):
            dues.append(self._probe_due)
        if self._lacking is not None and not self._lacking.is_queried:
            dues.append(self._lacking.due)
        return min(dues, default=None)

    def _can_probe(self, now: Now) -> bool:
        """Whether what was missed may be queried now. Single fills may have to be queried by time."""
        chain = self._chain
        waits = chain.has_joined or chain.open_query is not None or bool(chain.held.trades)
        return not waits and (not self._position.counts_fills or now.feed > 0)

    def next_queries(self, now: Now) -> list[Query]:
        """The queries about the store that are due."""
        queries: list[Query] = []
        if self._store_due is not None and self._store_due <= now.local:
            self._store_due, self._waits_for_store = None, True
            queries.append(StoreCheckQuery(self._symbol, self._last_id, self._position.counts_fills))
        lacking = self._lacking
        if lacking is not None and not lacking.is_queried and lacking.due <= now.local:
            lacking.is_queried = True
            last = min(lacking.last, lacking.following + QUERY_TRADES - 1)
            queries.append(RefillQuery(self._symbol, lacking.following, last, lacking.begin, lacking.end))
        return queries

    def on_answer(self, query: StoreCheckQuery | TradesQuery, answer: object, now: Now) -> Results:
        """Takes the answer to any of the queries."""
        if isinstance(query, StoreCheckQuery):
            return [*self._on_store(cast("StoredAnswer", answer), self._position.last_time, now)]
        out: Results = []
        found = cast("TradesAnswer", answer)
        error = found if isinstance(found, QueryError) else None
        latest = max(query.end, now.feed + DAY_MS) + TRADE_AHEAD_MS
        trades = [] if isinstance(found, QueryError) else self._checks.answered(query, found, latest, out)
        if isinstance(query, RefillQuery):
            return [*out, *self._on_refill(query, trades, error, now)]
        missed = self._chain.missed(trades)
        self._chain.sort_in(trades, now, out, is_confirmed=True)
        self._on_probe(query, trades, error, now)
        return [*out, *self._report_missed(query, missed)]

    # --- what was traded meanwhile ---

    def next_probe(self, now: Now) -> MissedTradesQuery | None:
        """Queries the trades behind the newest one; None while it is not time for that."""
        following, last_time = self._position.next_id, self._position.last_time
        if following is None or self._probe_due is None or now.local < self._probe_due or not self._can_probe(now):
            return None
        self._is_probing = True
        end = now.feed or last_time + LONGEST_AWAY_MS
        return MissedTradesQuery(self._symbol, following, following + QUERY_TRADES - 1, last_time, end)

    def _on_probe(self, query: TradesQuery, trades: list[Trade], error: QueryError | None, now: Now) -> None:
        """The probe is answered: when the next one leaves, or that it was the last."""
        self._is_probing = False
        if error is None and not trades:
            self._probe_due = None
        elif error is None and self._position.end_of(trades[-1]) - query.first_id >= MANY_TRADES:
            self._probes, self._probe_due = 0, now.local
        else:
            self._probes += 1
            is_lasting = error is not None and error.lasting
            self._probe_due = None if is_lasting else _retry_at(self._probes, now)

    def _report_missed(self, query: TradesQuery, missed: list[Trade]) -> list[Incident]:
        if not missed:
            return []
        cause = f"{counted(len(missed), 'trade was', 'trades were')} made while nothing was received"
        begin, end = query.begin, missed[-1].time
        ids = missed[0].id, missed[-1].id
        return [Incident("repair", self._venue, self._symbol, begin, end, cause, "fetched after the restart", *ids)]

    # --- what the store lacks ---

    def _on_store(self, answer: StoredAnswer, last_time: int, now: Now) -> list[Incident]:
        """The store is checked: the newest trade that it has, where that is not the newest that was handed on."""
        self._waits_for_store = False
        if isinstance(answer, QueryError):
            return self._on_unreadable_store(answer, last_time, now)
        if answer is None:
            return []
        stored_id, begin = answer[0], answer[1]
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

    def _on_refill(
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
            outcome = (
                f"{counted(lacking.fetched, 'trade')} of {counted(lacking.last - lacking.first + 1, 'id')} "
                f"{'is' if lacking.fetched == 1 else 'are'} stored again"
            )
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
