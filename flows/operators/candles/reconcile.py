"""Third machine of the step `candles`: compares closed candles with the exchange's own, and numbers the versions.

The parts: `track` (what is known of one timeframe, and the revisions), `kline_queries` (klines that the stream did not
bring), `settle` (comparing, and which version is served), `doubt` (what a proof means for the shorter and longer
candles of the same trades), `disputed_trades` (those of candles that were wrong), `past` (the exchange's history, and
requests for it).

The laws of the order in which candles leave:
* Where history can be queried, candles wait until it is there, at most `HISTORY_MS`: what is of the past is stored
  before what follows it, and what a restart has found waiting before what it builds. Prices and trades do not wait.
* Periods that were skipped across a gap leave before the candle behind it, as the exchange's version.
* Where files hold klines and no trades, the klines are the candles.
"""

from typing import Any, Final, NamedTuple, TypeAlias

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import Now
from flows.model import (
    Candle,
    Coverage,
    Instrument,
    Kline,
    RefreshRequest,
    Seeded,
    StoreOnlyTrades,
    Trade,
    TradeBatch,
    TradeResult,
)
from flows.operators.candles.disputed_trades import DisputedState, DisputedTrades
from flows.operators.candles.kline_queries import next_due
from flows.operators.candles.past import Past
from flows.operators.candles.settle import Settler
from flows.operators.candles.track import Track, TrackState
from flows.operators.candles.versions import Published
from flows.operators.state_version import restore
from flows.queries import DisputedTradesQuery, HistoryQuery, KlinesQuery, Query, QueryError

KEPT_MS = 600_000
"""Candles and klines of periods that ended so long ago are forgotten, but for the last ones."""
HISTORY_MS = 120_000
"""Candles wait for the history of their instrument at most so long, local time."""
REFRESHED_MS = 3_600_000
"""Timeframes of this length and longer are refreshed from time to time."""
MOST_SKIPPED = 10_000
"""Periods without a candle of ours that are queried at once; older ones are left to an import."""

STATE_VERSION: Final = 5
NAME: Final = "the proofs of candles"

Results: TypeAlias = list[TradeResult | Query]


class ProofState(NamedTuple):
    """The state of version `STATE_VERSION`."""

    version: int
    tracks: dict[str, TrackState]
    """What is known of each timeframe."""
    waiting: list[Candle]
    """The closed candles that wait for their history."""
    disputed: list[DisputedState]
    """The trades that are queried, and not answered."""


class Reconciler:
    """Machine of one instrument, behind the one that builds candles. Takes `Candle` and klines; gives `Candle` with its
    revision, `StoreOnly`, `Incident` and queries; passes everything else on.

    Without `can_query` a proof comes by the stream or not at all.
    """

    def __init__(
        self,
        key: str,
        *,
        timeframes: tuple[str, ...],
        rules: VenueRules = ANY_VENUE,
        can_query: bool = False,
        grace_ms: int = 10_000,
        refresh_ms: int = 0,
        kept_ms: int = KEPT_MS,
        state: object = None,
    ) -> None:
        """Candles are remembered for `kept_ms` of the feed's time after the newest in which something was traded. A
        kline that has not come `grace_ms` after its candle is queried. `state` is a `snapshot`; `StateVersionError` for
        one of another version or form.
        """
        venue, symbol = Instrument.of(key)
        self._venue = venue
        self._tracks = {
            name: Track(
                name, venue=venue, symbol=symbol, grace_ms=grace_ms, kept_ms=kept_ms, is_shortest=name == timeframes[0]
            )
            for name in timeframes
        }
        self._queries = [track.queries for track in self._tracks.values()]
        self._disputed = DisputedTrades(venue, symbol)
        self._settler = Settler(self._tracks, self._disputed, venue=venue, rules=rules, can_query=can_query)
        self._past = Past(venue, symbol, self._tracks, self._settler, rules=rules, can_query=can_query)
        self._can_query = can_query
        self._refresh_ms = refresh_ms
        self._refresh_due: int | None = None
        self._needs_history = can_query
        """Until it is queried, at the first event of the instrument that says the time."""
        self._history_by: int | None = None
        """Local time until which candles wait for their history; None when they do not."""
        self._waiting: dict[tuple[str, int, bool], Candle] = {}
        """The newest version of each by timeframe, open time, and whether it is closed."""
        self._due: int | None = None
        """Local time of the next deadline, as computed last."""
        self._is_due_known = False
        """Nothing has changed since that was computed. Trades and running candles change nothing, and nearly all that
        passes is one of these.
        """
        if state is not None:
            self._resume(restore(state, STATE_VERSION, ProofState, NAME))

    def _resume(self, state: ProofState) -> None:
        """Takes up a `snapshot`; timeframes that are no longer built are left out."""
        for name, track in state.tracks.items():
            if name in self._tracks:
                self._tracks[name].resume(track)
        for candle in state.waiting:
            if candle.timeframe in self._tracks:
                self._waiting[candle.timeframe, candle.open_time, True] = candle
        self._disputed.resume(state.disputed)

    # --- the machine's face ---

    def on_events(self, events: TradeResult, now: Now) -> Results:
        """Takes one item."""
        if type(events) is TradeBatch or (type(events) is Candle and self._passes(events)):
            return [events]
        self._is_due_known = False
        if type(events) is Candle:
            # after a restart trades come by REST first, when nothing else has said the time yet
            return [*self._query_history(now.feed or events.event_time, now), *self._take_or_hold(events, now)]
        if type(events) is list and isinstance(events[0], Kline):
            return [*self._query_history(now.feed, now), *self._take_klines(events, now)]
        return self._take_other(events, now)

    def _take_other(self, events: TradeResult, now: Now) -> Results:
        if type(events) is Seeded:
            self._tracks[events.timeframe].seeded.add(events.open_time)
            return []
        if type(events) is RefreshRequest:
            return [self._past.query_requested(events, now)]
        if type(events) is Coverage:
            return [*self._take_coverage(events), events]
        return [events]

    def on_answer(self, query: Query, answer: Any, now: Now) -> Results:
        """Takes klines or history that were queried."""
        self._is_due_known = False
        if isinstance(query, KlinesQuery):
            return [*self._take_queried(query, answer, now)]
        if isinstance(query, DisputedTradesQuery):
            return [*self._take_disputed(query, answer, now)]
        if not isinstance(query, HistoryQuery):
            return []
        if query.is_stored:
            return [*self._past.republish(query, answer, now)]
        if not isinstance(answer, QueryError) and not any(history.error for history in answer):
            self._hasten(now)
        if query.forced:
            return [*self._past.refresh(query, answer, now)]
        return [*self._past.take(query, answer, now), *self._release(now)]

    def on_timer(self, now: Now) -> Results:
        """Queries the klines that did not come, and ends the waiting for a history that does not come."""
        self._is_due_known = False
        out: Results = []
        if self._is_resumed_waiting:
            out += self._query_history(max(candle.event_time for candle in self._waiting.values()), now)
        if self._history_by is not None and now.local >= self._history_by:
            out += self._release(now)
        if self._refresh_due is not None and now.local >= self._refresh_due:
            self._refresh_due = now.local + self._refresh_ms
            out += self._past.query(now.feed, least_ms=REFRESHED_MS)
        if self._can_query:
            out += self._past.query_again(now)
            out += self._disputed.next_queries(now)
            out += [query for queries in self._queries if (query := queries.next_query(now)) is not None]
        return out

    def on_end(self, now: Now) -> Results:
        """The input ends: nothing waits any longer."""
        self._is_due_known = False
        return [*self._release(now)]

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        if not self._can_query:
            return None
        if self._is_resumed_waiting:
            return 0
        if not self._is_due_known:
            self._due, self._is_due_known = self._next_due(), True
        return None if self._due is None else max(0, self._due - now.local)

    def _next_due(self) -> int | None:
        """Local time of the next deadline."""
        dues = next_due(self._queries)
        dues += [*self._disputed.dues(), *self._past.dues()]
        dues += [due for due in (self._history_by, self._refresh_due) if due is not None]
        return min(dues, default=None)

    def snapshot(self) -> ProofState:
        """Everything that a restart needs, as a copy."""
        waiting = [candle for candle in self._waiting.values() if candle.is_closed]
        tracks = {name: track.state() for name, track in self._tracks.items()}
        return ProofState(STATE_VERSION, tracks, waiting, self._disputed.state())

    # --- candles ---

    def _passes(self, candle: Candle) -> bool:
        """Whether a candle concerns nothing here: a running one that need not wait. That there is one is noted."""
        if candle.is_closed or self._needs_history or self._history_by is not None:
            return False
        self._tracks[candle.timeframe].begin(candle)
        return True

    def _take_or_hold(self, candle: Candle, now: Now) -> list[Published]:
        if self._history_by is None:
            return self._take_candle(candle, now)
        self._tracks[candle.timeframe].begin(candle)
        self._waiting[candle.timeframe, candle.open_time, candle.is_closed] = candle
        return []

    def _take_candle(self, candle: Candle, now: Now) -> list[Published]:
        track = self._tracks[candle.timeframe]
        track.begin(candle)
        if not candle.is_closed:
            return [candle]
        return [*self._fill_skipped(track, candle.open_time, now), *self._settler.take_candle(track, candle, now)]

    def _release(self, now: Now) -> list[Published]:
        """The candles that waited for their history."""
        self._history_by = None
        waiting, self._waiting = self._waiting, {}
        out: list[Published] = []
        for candle in waiting.values():
            out += self._take_candle(candle, now)
        return out

    @property
    def _is_resumed_waiting(self) -> bool:
        """Whether candles of the recovered state wait for a history that is not queried yet. Nothing else may come."""
        return self._needs_history and bool(self._waiting)

    def _query_history(self, time: int, now: Now) -> list[HistoryQuery]:
        """Once, until the feed's `time`, as soon as that is known; candles wait from then on. It is known before the
        first candle leaves, so none overtakes those that a restart has found waiting.
        """
        if not self._needs_history or not time:
            return []
        self._needs_history = False
        self._history_by = now.local + HISTORY_MS
        if self._refresh_ms:
            self._refresh_due = now.local + self._refresh_ms
        return self._past.query(time)

    # --- klines ---

    def _take_klines(self, klines: list[Kline], now: Now) -> list[Published]:
        out: list[Published] = []
        for kline in klines:
            track = self._tracks.get(kline.timeframe)
            if kline.is_closed and track is not None:
                out += self._settler.take_kline(track, kline, now)
        return out

    def _take_queried(self, query: KlinesQuery, answer: list[Kline] | QueryError, now: Now) -> list[Published]:
        """Takes the klines of the REST side, whose word is final. What else the answer holds was not queried, as the
        stream has brought it since.
        """
        track = self._tracks[query.timeframe]
        track.queries.take_answer()
        error, given = (answer, []) if isinstance(answer, QueryError) else (None, answer)
        out: list[Published] = []
        for kline in given:
            if kline.is_closed and kline.open_time in track.queries:
                out += self._settler.take_kline(track, kline, now, is_final=True)
        given_up = track.queries.retry(query, error, now)
        if error is None:
            track.accept_absence(query)
            self._hasten(now)
        reason = str(error or "the venue does not give it")
        return [*out, *self._settler.leave_open(track, query, given), *track.give_up(given_up, reason)]

    def _hasten(self, now: Now) -> None:
        """The venue's history is to be had: what was not answered is queried at once."""
        for queries in self._queries:
            queries.hasten(now)

    def _take_disputed(self, query: DisputedTradesQuery, answer: list[Trade] | QueryError, now: Now) -> Results:
        """Takes the trades of a candle that was wrong."""
        out: Results = [*self._disputed.take(query, answer, now)]
        for item in tuple(out):
            if isinstance(item, StoreOnlyTrades):
                out += self._settler.take_trades(query, item.batch, now)
                out += self._past.take_trades(query, item.batch)
        return out

    # --- periods without a candle of ours ---

    def _fill_skipped(self, track: Track, until: int, now: Now) -> list[Published]:
        """The exchange's candles for the periods between the newest candle and the one that opens at `until`."""
        out: list[Published] = []
        if track.newest < 0:
            # no candle was built yet: klines of files that begin before the trades, or that the stream brought before
            # the first trade, are all there is of these periods
            for open_time in sorted(t for t in track.klines if t < until):
                out += track.publish_kline(track.klines[open_time])
            return out
        # the builder skips periods across a gap in the ids, in a pause, and where they are too many to be filled; an
        # empty period is no skipped one, and has a candle
        begin = max(track.newest + track.length, until - MOST_SKIPPED * track.length)
        for skipped in range(begin, until, track.length):
            if kline := track.klines.get(skipped):
                out += self._settler.serve_kline(track, kline, now)
            elif self._can_query:
                track.queries.add(skipped, now)  # published when it is answered, as `begun <= skipped < newest` then
        return out

    def _take_coverage(self, coverage: Coverage) -> list[Published]:
        """A file begins, or is over."""
        if coverage.is_over:
            return self._stand_in(coverage)
        self._settler.vouched.take(coverage)
        return []

    def _stand_in(self, coverage: Coverage) -> list[Published]:
        """The exchange's candles for the periods of files that had no trades."""
        out: list[Published] = []
        if coverage.goes_on and coverage.vouched != "all":
            return out  # the first trade behind it decides about its last candles
        for track in self._tracks.values():
            begin = max(coverage.begin, track.newest + 1)
            for open_time in sorted(t for t in track.klines if begin <= t < coverage.end):
                out += track.publish_kline(track.klines[open_time])
                track.newest = track.traded = open_time
            track.forget()
        return out
