"""What a restarted sequence of trades queries once: what was traded while the process was away, also when no live
trade comes to show it, and what the store has lost of the trades before.

The laws:
* What was missed is queried until the stream itself has joined: what it does not bring from then on shows as a gap.
* Where more was made than one answer holds, the next query leaves at once. A smaller answer has reached the present, so
  the next one leaves after a delay that doubles; one without trades is the last.
* What the stream has brought, or is about to bring, was not missed.

A new sequence begins behind what is stored, or what another process has handed on: that is queried with its first
trade, and the latter as soon as its stream is subscribed, since a quiet instrument's first trade may be far.
"""

from collections.abc import Callable
from typing import cast

from msgspec import Struct

from flows.bounds import TRADE_AHEAD_MS
from flows.clock import Now
from flows.model import DAY_MS, AggregateTrade, Incident, IncidentKind, StoreOnlyTrades, Trade, TradeBatch
from flows.operators.delay import doubled_ms
from flows.operators.trades.chain import TradeChain, by_id
from flows.operators.trades.checks import TradeChecks
from flows.operators.trades.gaps import QUERY_TRADES
from flows.operators.trades.position import Position
from flows.operators.trades.results import Results, StoredAnswer, TradesAnswer, whole_from
from flows.queries import (
    Continued,
    LastTradeQuery,
    MissedTradesQuery,
    Query,
    QueryError,
    RefillQuery,
    StoreCheckQuery,
    TradesQuery,
)
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
        checks_store: bool = True,
    ) -> None:
        """`last_id` was handed on last; at most `most_trades` are fetched for the store, if it is checked at all: not
        where another process has handed them on.
        """
        self._venue = venue
        self._symbol = symbol
        self._position = position
        self._chain = chain
        self._checks = checks
        self._last_id = last_id
        self._most_trades = most_trades
        self._store_due: int | None = 0 if checks_store else None
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


class Beginning:
    """Where a new sequence of one instrument begins."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        position: Position,
        *,
        chain: TradeChain,
        checks: TradeChecks,
        is_new: bool,
        take: Callable[[list[Trade], Now], Results],
    ) -> None:
        """`is_new`: there is no position yet, and it can be queried. `take` takes trades that were held."""
        self._venue = venue
        self._symbol = symbol
        self._position = position
        self._chain = chain
        self._checks = checks
        self._is_new = is_new
        self._take = take
        self._early = LastTradeQuery(symbol)
        """Before there is a trade."""
        self._after: tuple[int, int] | Continued | None = None
        """Where another process has ended, while what was made since is queried."""
        self._missed: MissedTradesQuery | None = None
        self._resumption: Resumption | None = None

    def on_subscribed(self) -> list[Query]:
        """The stream of trades begins: queries where another process has ended, if one has."""
        if not self._is_new or self._chain.open_query is not None:
            return []
        self._is_new = False
        self._chain.open_query = self._early
        return [self._early]

    def on_trades(self, trades: list[Trade], now: Now) -> Results:
        """Trades have come while there is no position: begins where that is known, or queries it."""
        if self._after is not None:
            after, self._after = self._after, None
            return self._begin(after, now)
        if not self._is_new and self._chain.open_query != self._early:
            return []
        self._is_new = False  # nor do trades wait for the answer to the early query, but for that to their own
        first = min(trades, key=by_id)
        self._chain.open_query = LastTradeQuery(self._symbol, first.id, first.time)
        return [self._chain.open_query]

    def is_own(self, query: Query) -> bool:
        """Whether a query is one of these."""
        return isinstance(query, LastTradeQuery) or (self._missed is not None and query == self._missed)

    def on_answer(self, query: Query, answer: object, now: Now) -> Results:
        """Takes the answer to one of them."""
        if query == self._early and self._chain.open_query != query:
            return []
        self._chain.open_query = None
        if isinstance(query, TradesQuery):
            return self._on_missed(query, cast("TradesAnswer", answer), now)
        stored = cast("StoredAnswer", answer)
        if query == self._early and not isinstance(stored, tuple):
            self._is_new = True
            return []
        if self._chain.held.trades or not isinstance(stored, tuple):
            return self._begin(stored, now)
        self._after, time = stored, stored[1]
        first, end = stored[0] + 1, max(now.feed, time) if now.feed else time + LONGEST_AWAY_MS
        self._chain.open_query = self._missed = MissedTradesQuery(
            self._symbol, first, first + QUERY_TRADES - 1, time, end
        )
        return [self._missed]

    def take_resumption(self) -> Resumption | None:
        """What goes on with queries behind the first one, once."""
        resumption, self._resumption = self._resumption, None
        return resumption

    def _begin(self, stored: StoredAnswer, now: Now) -> Results:
        """Begins behind a stored trade, so that what was missed while no process followed is a gap."""
        if self._position.next_id is not None or not isinstance(stored, tuple):
            return []
        waiting = self._chain.begin_after(stored)
        return whole_from(stored) + (self._take(waiting, now) if waiting else [])

    def _on_missed(self, query: TradesQuery, answer: TradesAnswer, now: Now) -> Results:
        """What was made since the other process has ended has come, or nothing."""
        self._missed, out = None, cast("Results", [])
        latest = max(query.end, now.feed + DAY_MS) + TRADE_AHEAD_MS
        trades = [] if isinstance(answer, QueryError) else self._checks.answered(query, answer, latest, out)
        after, self._after = self._after, None
        if after is not None and not trades:
            self._is_new = True  # the first trade queries again
            return out
        if after is not None:
            self._position.counts_fills = not isinstance(trades[0], AggregateTrade)
            out += self._begin(after, now)
            self._resumption = Resumption(
                self._venue, self._symbol, self._position, chain=self._chain, checks=self._checks,
                last_id=after[0], most_trades=0, checks_store=False,
            )  # fmt: skip
        missed = self._chain.missed(trades)
        self._chain.sort_in(trades, now, out, is_confirmed=True)
        if missed:
            cause = f"{counted(len(missed), 'trade was', 'trades were')} made while no flow followed the instrument"
            where, ids = (self._venue, self._symbol, query.begin, missed[-1].time), (missed[0].id, missed[-1].id)
            out.append(Incident("repair", *where, cause, "fetched after the takeover", *ids))
        return out
