"""The gap before the lowest held trade: how long it is waited for, what is queried about it, and whether there is one.

A held trade claims that all ids before it exist. It is overtaken when ids before it are of later trades. Where that is
so, where the venue's REST side knows none of those, or the gap is too
large to be fetched, REST must know the held trade itself before the sequence goes on with it: a trade with a wrong id
would otherwise make a gap of any size, and turn every true trade behind it into a duplicate.
"""

from typing import Final

from flows.clock import Now
from flows.model import Trade
from flows.operators.delay import doubled_ms
from flows.operators.trades.gaps import QUERY_TRADES, PendingGap
from flows.operators.trades.held import HeldTrades
from flows.operators.trades.position import Position
from flows.operators.trades.results import TradesAnswer
from flows.queries import LastTradeQuery, Query, QueryError, TradesQuery

MAX_HELD: Final = 200_000
"""Trades that wait behind a gap; one more, and it is given up at once."""
MANY_CONTRADICTIONS: Final = 2
"""So many trades in a row that contradict their predecessors: all that are held are queried too."""
OVERTAKEN_MS: Final = 500
"""Times rise with the ids but for so much: a trade that is older than one of a lower id may have a wrong id."""
DENIED_MS: Final = 500
"""First delay before the venue is queried again where it was queried for overtaken trades, local time; doubles with
every other query, up to `LONGEST_DENIED_MS`.
"""
LONGEST_DENIED_MS: Final = 2_000


class HeadGap:
    """The gap between a position and the trades that are held. Only decides; the chain moves the trades.

    It is waited for `reorder_ms` of the feed's time without a query, then until its repair has made no progress for
    `repair_ms` of local time, unless it is larger than `repair_trades`. With `repair_ms` = 0 nothing is queried.
    """

    def __init__(
        self,
        symbol: str,
        position: Position,
        held: HeldTrades,
        *,
        reorder_ms: int,
        repair_ms: int,
        repair_trades: int,
    ) -> None:
        self._symbol = symbol
        self._position = position
        self._held = held
        self._reorder_ms = reorder_ms
        self._repair_ms = repair_ms
        self._repair_trades = repair_trades
        self.pending: PendingGap | None = None
        """The gap, once it is queried."""
        self.contradictions = 0
        """Trades of the stream that contradicted their predecessor, since one of it was handed on."""
        self.expects_stragglers = True
        """False at the last end of the input."""
        self._check: TradesQuery | None = None
        """Open query whether the venue's REST side knows the held trades."""
        self._checked: int | None = None
        """Lowest held id of which it has answered that, or could not."""
        self._overtaken: frozenset[int] = frozenset()
        """Ids of the overtaken trades that the open query is about; empty when it is about others."""
        self._checks = 0
        """Queries about overtaken trades since a gap was filled."""
        self._due = 0
        """Local time before which nothing is queried after one of them."""
        self._failing_since: int | None = None
        """Local time since which queries about the held trades fail."""

    def reason_to_give_up(self, now: Now) -> str | None:
        """Why the gap is not waited for any longer; None while it is."""
        held, following = self._held, self._position.next_id
        if len(held.trades) > MAX_HELD:
            return f"more than {MAX_HELD} trades wait behind them"
        if self.pending is not None:
            return self.pending.given_up(now, self._repair_ms)
        if self._waits_for_stragglers(now):
            return None
        if following is None or not self._repair_ms:
            return "open"
        if held.lowest - following > self._repair_trades:
            return f"not fetched, as feed.repair_trades is {self._repair_trades}: import them with flows.backfill"
        return None

    def _waits_for_stragglers(self, now: Now) -> bool:
        since = self._held.since
        return self.expects_stragglers and since is not None and now.feed - since < self._reorder_ms

    def wait_ms(self, now: Now, open_query: Query | None) -> int | None:
        """Milliseconds until something is to be decided; None while nothing waits, or only an answer can decide."""
        since = self._held.since
        if not self._held.trades or since is None or self._waits_for_answer(now, open_query):
            return None
        if open_query is None and now.local < self._due and self.must_be_checked and self.reason_to_give_up(now):
            return self._due - now.local
        if self.pending is None:
            return since + self._reorder_ms - now.feed
        if open_query is None:
            return self.pending.due - now.local
        return self.pending.since + self._repair_ms - now.local

    def _waits_for_answer(self, now: Now, open_query: Query | None) -> bool:
        """Whether nothing but the answer to an open query lets the held trades go on."""
        if open_query is None or isinstance(open_query, LastTradeQuery):
            return open_query is not None
        return self.must_be_checked and self.reason_to_give_up(now) is not None

    # --- its ids ---

    def next_query(self, now: Now, *, can_query: bool, begin: int) -> TradesQuery | None:
        """Queries the first missing ids, once no straggler is expected and no other query is open (`can_query`). They
        were made from `begin` on, ms UTC.
        """
        held, following = self._held, self._position.next_id
        if following is None or (self.pending is None and self._waits_for_stragglers(now)):
            return None
        if self.pending is None:
            end, local = held.trades[held.lowest].time, now.local
            self.pending = PendingGap(
                following, held.lowest - 1, begin, end, found=local, since=local, due=max(local, self._due)
            )  # fmt: skip
        if not can_query or now.local < self.pending.due:
            return None
        # where one after the other is wrong, those that are held are too
        end = held.lowest - 1 if self.contradictions < MANY_CONTRADICTIONS else max(held.trades)
        last = min(end, following + QUERY_TRADES - 1)
        return TradesQuery(self._symbol, following, last, begin, self.pending.end)

    def on_answer(self, query: TradesQuery, trades: list[Trade], error: QueryError | None, now: Now) -> None:
        """Notes whether a query of its ids has made progress. Answers about ids before it say nothing of it."""
        following = self._position.next_id
        if self.pending is None or following is None or query.first_id < following:
            return
        if trades:
            self.pending.on_progress(now, is_whole=self._position.end_of(trades[-1]) >= query.last_id)
        else:
            self.pending.on_failure(error, now)

    def take_filled(self) -> PendingGap | None:
        """The gap, if the position is behind it now; None otherwise."""
        gap, following = self.pending, self._position.next_id
        if gap is None or following is None or following <= gap.last:
            return None
        self.pending, self._checks, self._due = None, 0, 0
        return gap

    # --- the trades behind it ---

    @property
    def _may_be_skipped(self) -> bool:
        """Whether the held trades alone suffice to skip the gap: at the beginning, without a REST side, and where REST
        has not answered that it knows none of the missing trades.
        """
        is_denied = self.pending is None or self.pending.is_denied
        return self._position.next_id is None or not self._repair_ms or not is_denied

    @property
    def must_be_checked(self) -> bool:
        """Whether the venue's REST side, which knows no trade of the gap or was not queried for so many, has yet to say
        that it knows the lowest held one. Several that continue each other prove no more than one.
        """
        held, number = self._held, self._held.lowest
        is_known = number in held.confirmed or number == self._checked
        return not (self._may_be_skipped or is_known or len(held.trades) > MAX_HELD)

    @property
    def is_unlikely(self) -> bool:
        """Whether the lowest held trade is the only one to say that there is a gap before it, and the venue's REST side
        knows of none, or it is too large to be queried.
        """
        return not (self._may_be_skipped or self._held.is_continued(self._held.lowest))

    def is_overtaken(self, now: Now) -> bool:
        """Whether the lowest held trade is overtaken, or the one that has waited longest, and it is time to query the
        venue about it.
        """
        trades = self._held.trades
        if self._position.next_id is None or not self._repair_ms or now.local < self._due:
            return False
        return self._was_overtaken(trades[self._held.lowest]) or self._was_overtaken(next(iter(trades.values())))

    def take_overtaken(self) -> list[Trade]:
        """The overtaken trades, which are no longer held: at the end of the input REST is not queried for them any
        more, and a restart fetches what was true of them. Without a REST side none.
        """
        held = self._held
        if not self._repair_ms or self._position.next_id is None:
            return []
        return held.take([number for number, trade in held.trades.items() if self._was_overtaken(trade)])

    def _was_overtaken(self, trade: Trade) -> bool:
        return trade.time < self._position.last_time - OVERTAKEN_MS and trade.id not in self._held.confirmed

    @property
    def is_doubtful(self) -> bool:
        """Whether it is too large to be queried, and trades behind it were denied: those before it are to be queried as
        if there were none.
        """
        following = self._position.next_id
        is_large = following is not None and self._held.lowest - following > self._repair_trades
        return is_large and self._checks > 0

    def can_check(self, now: Now) -> bool:
        """Whether it is time to query the held trades."""
        return now.local >= self._due

    def check_query(self) -> TradesQuery:
        """Queries the lowest held trade and those that continue it."""
        first, last = self._held.first_run()
        begin, end = sorted((first.time, last.time))
        self._overtaken = frozenset()
        self._check = TradesQuery(self._symbol, first.id, last.id, begin, end)
        return self._check

    def overtaken_query(self) -> TradesQuery:
        """Queries the overtaken trades, at most as many ids as a query names."""
        held = self._held
        overtaken = [one for one in held.trades.values() if self._was_overtaken(one)]
        self._overtaken = frozenset(one.id for one in overtaken)
        first = min(self._overtaken)
        last = max(number for number in self._overtaken if number < first + QUERY_TRADES)
        times = [one.time for one in overtaken]
        self._check = TradesQuery(self._symbol, first, last, min(times), max(times))
        return self._check

    def is_check(self, query: TradesQuery) -> bool:
        """Whether a query is the one of `check_query`."""
        return query == self._check

    def on_check(self, query: TradesQuery, answer: TradesAnswer, now: Now) -> list[Trade]:
        """Gives the held trades that the venue's REST side does not know, to be refused. A query that failed decides
        nothing, nor does an answer of aggregates where ids count fills: they need not begin where the query does.
        """
        held, overtaken = self._held, self._overtaken
        self._check, self._overtaken = None, frozenset()
        error = answer if isinstance(answer, QueryError) else None
        if error is None:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = now.local
        is_hopeless = self._failing_since is not None and now.local - self._failing_since >= self._repair_ms
        if not overtaken and (error is None or error.lasting or is_hopeless):
            self._checked = query.first_id
        if overtaken or error is not None or not answer:
            self._checks += 1
            self._due = now.local + doubled_ms(DENIED_MS, (self._checks + 1) // 2, longest_ms=LONGEST_DENIED_MS)
        if isinstance(answer, QueryError) or (self._position.counts_fills and answer):
            return []
        # where the venue has no id from the first one on, it has none of those behind either
        last = query.last_id if answer or not overtaken else max(overtaken)
        asked = [n for n in held.trades if query.first_id <= n <= last and n not in held.confirmed]
        unknown = [n for n in asked if n in overtaken] if overtaken else asked
        return self._without(sorted(unknown)) if unknown else []

    def take_lowest(self) -> Trade:
        """The lowest held trade, which no longer waits; the next one waits for a gap of its own."""
        return self._without([self._held.lowest])[0]

    def _without(self, numbers: list[int]) -> list[Trade]:
        self.pending = None
        taken = self._held.take(numbers)
        if not self._held.trades:
            self._held.since = None
        return taken
