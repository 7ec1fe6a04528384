"""Step `reconcile`: every closed candle is compared with the exchange's own, and numbered as it is published.

The exchange's kline comes by its stream; when it does not within a grace, it is asked for. What the comparison shows is
the candle's proof:

* equal: the same in every field;
* different, and ours is known to lack trades: the exchange's takes its place, with status `venue`;
* different, and ours is complete: both versions go to the ledger, and REST is asked for a third opinion. Whoever it
  confirms was right; the exchange's final word is served.

A candle holds the trades of the shorter ones inside it. So one that is refuted puts those in doubt, and the longer ones
around it; one that is confirmed takes the doubt away, but for those that have a proof of their own. And where a kline
contradicts trades that the kline of a longer period confirms, two witnesses stand against one: the trades win.

Periods that were skipped across a hole, and those before the first trade, are taken from the exchange's history.
"""

from typing import Any, Literal

from msgspec import structs

from flows.clock import Now
from flows.model import (
    COMPLETE,
    Candle,
    CandleStatus,
    Coverage,
    Incident,
    Instrument,
    Kline,
    Reconciliation,
    RefreshRequest,
    RefreshResult,
    StoreOnly,
    timeframe_ms,
)
from flows.operators.candles.compare import describe_difference, differing_fields, is_known_difference
from flows.operators.state_version import check_version
from flows.queries import History, HistoryQuery, KlinesQuery, Query, QueryError

KEPT_MS = 600_000
"""Candles and klines of periods that ended so long ago are forgotten, but for the last ones."""
HISTORY_MS = 120_000
"""Live candles wait for the history of their instrument at most so long, local time."""
REFRESHED_MS = 3_600_000
"""Timeframes of this length and longer are refreshed from time to time."""
MOST_SKIPPED = 10_000
"""Periods without a candle of ours that are asked for at once; older ones are the importer's business."""
MOST_TRIES = 5
"""Asks for the klines of a period, until it stays without a proof."""

STATE_VERSION = 2
_LACKING = frozenset(("partial", "unproven"))
"""Statuses of closed candles that may lack trades."""
_OUTVOTED = "theirs wrong: the trades and the exchange's kline of a longer period agree"


class _Track:
    """What is known of one timeframe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.length = timeframe_ms(name)
        self.begun: int | None = None
        """Open time of the first candle that was built; what is before it, is history."""
        self.newest = -1
        """Open time of the newest closed candle that was built."""
        self.published: dict[int, Candle] = {}
        self.klines: dict[int, Kline] = {}
        self.wanted: dict[int, int] = {}
        """Open times whose kline is to be asked for, and the local time for it."""
        self.tries: dict[int, int] = {}
        self.traded = -1
        """Open time of the newest of them in which something was traded: behind it a hole may show."""
        self.disputed: dict[int, Kline] = {}
        """What the stream said of candles that differ, until REST has spoken."""
        self.is_queried = False
        self.refuted: dict[int, tuple[Candle, str]] = {}
        """Complete candles whose place the exchange's own has taken, and in what they differ: the kline of a longer
        period may yet confirm them. Not in the recovered state: the exchange's own is served until then.
        """

    def forget(self, kept_ms: int) -> None:
        """Lets go of what nobody will ask about: the oldest that came first. What is asked for stays, and all behind
        it.
        """
        limit = self.traded - kept_ms
        for known in (self.published, self.klines):
            while known and (oldest := next(iter(known))) + self.length <= limit and oldest not in self.wanted:
                del known[oldest]
                self.refuted.pop(oldest, None)

    def state(self) -> tuple[Any, ...]:
        """A copy; open questions are asked again."""
        return self.begun, self.newest, dict(self.published), dict(self.klines), dict.fromkeys(self.wanted, 0)

    def resume(self, state: tuple[Any, ...]) -> None:
        """Takes over a `state()`."""
        self.begun, self.newest, self.published, self.klines, self.wanted = state
        self.traded = self.newest


class Reconciler:
    """Machine of one instrument, behind the one that builds candles. Takes `Candle` and klines; gives `Candle` with its
    revision, `StoreOnly`, `Incident` and queries; passes everything else on.

    Without `can_query` a proof comes by the stream or not at all. Live candles wait until the history before them is
    there, prices and trades do not.
    """

    def __init__(
        self,
        key: str,
        *,
        timeframes: tuple[str, ...],
        can_query: bool = False,
        grace_ms: int = 10_000,
        refresh_ms: int = 0,
        kept_ms: int = KEPT_MS,
        state: Any = None,
    ) -> None:
        """Candles are remembered for `kept_ms` of the feed's time after the newest in which something was traded."""
        self._venue, self._symbol = Instrument.of(key)
        self._tracks = {name: _Track(name) for name in timeframes}
        self._shortest = next(iter(self._tracks.values()))
        self._can_query = can_query
        self._kept_ms = kept_ms
        self._grace_ms = grace_ms
        self._refresh_ms = refresh_ms
        self._refresh_due: int | None = None
        self._history_by: int | None = None
        """Local time until which live candles wait for their history."""
        self._begun = not can_query
        self._waiting: dict[tuple[str, int, bool], Candle] = {}
        if state is not None:
            check_version(state, STATE_VERSION, "the proofs of candles")
            for name, track in state[1].items():
                if name in self._tracks:
                    self._tracks[name].resume(track)
            for candle in state[2]:
                if candle.timeframe in self._tracks:
                    self._waiting[candle.timeframe, candle.open_time, True] = candle

    # --- the machine's face ---

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes one item."""
        if type(events) is Candle:
            out = self._query_history(now)
            if self._history_by is not None:
                self._note_begin(events)
                self._waiting[events.timeframe, events.open_time, events.is_closed] = events
                return out
            return out + self._take_candle(events, now)
        if type(events) is list and isinstance(events[0], Kline):
            out = self._query_history(now)
            for kline in events:
                if kline.is_closed and kline.timeframe in self._tracks:
                    out += self._take_kline(self._tracks[kline.timeframe], kline, now)
            return out
        if type(events) is RefreshRequest:
            return self._query_again(events, now)
        if type(events) is Coverage and events.is_over:
            return [*self._stand_in(events), events]
        return [events]

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Any]:
        """Takes klines that were asked for."""
        if isinstance(query, HistoryQuery) and query.is_stored:
            return self._republished(query, answer, now)
        if isinstance(query, HistoryQuery):
            return (
                self._refreshed(query, answer, now)
                if query.forced
                else self._take_history(answer, now) + self._let_go(now)
            )
        if isinstance(query, KlinesQuery):
            return self._take_queried(query, answer, now)
        return []

    def on_timer(self, now: Now) -> list[Any]:
        """Asks for the klines that did not come, and no longer waits for a history that does not come."""
        out: list[Any] = []
        if self._history_by is not None and now.local >= self._history_by:
            out += self._let_go(now)
        if self._refresh_due is not None and now.local >= self._refresh_due:
            self._refresh_due = now.local + self._refresh_ms
            longer = tuple(track.name for track in self._tracks.values() if track.length >= REFRESHED_MS)
            out += [HistoryQuery(self._symbol, longer, now.feed)] if longer else []
        for track in self._tracks.values():
            out += self._queries_of(track, now)
        return out

    def on_end(self, now: Now) -> list[Any]:
        """The input ends: what waits, goes."""
        return self._let_go(now)

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        if not self._can_query:
            return None
        dues = [min(track.wanted.values()) for track in self._tracks.values() if track.wanted and not track.is_queried]
        dues += [due for due in (self._history_by, self._refresh_due) if due is not None]
        return max(0, min(dues) - now.local) if dues else None

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a restart needs, as a copy."""
        waiting = [candle for candle in self._waiting.values() if candle.is_closed]
        return STATE_VERSION, {name: track.state() for name, track in self._tracks.items()}, waiting

    # --- candles ---

    def _take_candle(self, candle: Candle, now: Now) -> list[Any]:
        self._note_begin(candle)
        if not candle.is_closed:
            return [candle]
        track = self._tracks[candle.timeframe]
        return self._fill_skipped(track, candle.open_time, now) + self._take_closed(track, candle, now)

    def _fill_skipped(self, track: _Track, until: int, now: Now) -> list[Any]:
        """The exchange's candles for the periods since the newest one that was built."""
        out: list[Any] = []
        if track.newest < 0:
            for open_time in sorted(t for t in track.klines if t < until):
                out += self._publish(track, candle_of_kline(self._venue, track.klines[open_time]))
        else:
            begin = max(track.newest + track.length, until - MOST_SKIPPED * track.length)
            for skipped in range(begin, until, track.length):
                if kline := track.klines.get(skipped):
                    out += self._publish(track, candle_of_kline(self._venue, kline))
                elif self._can_query:
                    track.wanted[skipped] = now.local
        return out

    def _stand_in(self, whole: Coverage) -> list[Any]:
        """The exchange's candles for the periods of files of which no trades came."""
        out: list[Any] = []
        if whole.goes_on and whole.vouched != "all":
            return out  # its last candles are still open
        for track in self._tracks.values():
            for open_time in sorted(t for t in track.klines if max(whole.begin, track.newest + 1) <= t < whole.end):
                out += self._publish(track, candle_of_kline(self._venue, track.klines[open_time]))
                track.newest = track.traded = open_time
            track.forget(self._kept_ms)
        return out

    def _take_closed(self, track: _Track, candle: Candle, now: Now) -> list[Any]:
        track.newest = max(track.newest, candle.open_time)
        if candle.trades:
            track.traded = max(track.traded, candle.open_time)
        track.forget(self._kept_ms)
        track.tries.pop(candle.open_time, None)
        track.refuted.pop(candle.open_time, None)
        kline = track.klines.get(candle.open_time)
        if candle.status in COMPLETE and self._is_refuted_inside(track, candle):
            candle = structs.replace(candle, status="unproven")
        if kline is None:
            out = self._publish(track, candle)
            if out and self._can_query:
                track.wanted[candle.open_time] = now.local + self._grace_ms
            return out
        return self._compare(track, candle, kline, now)

    def _note_begin(self, candle: Candle) -> None:
        track = self._tracks[candle.timeframe]
        if track.begun is None:
            track.begun = candle.open_time

    def _publish(self, track: _Track, candle: Candle, proof: Reconciliation = "") -> list[Any]:
        """The candle under its number; nothing when it says nothing new, or less than what is out."""
        last = track.published.get(candle.open_time)
        if last is None:
            revision = 0
        elif candle.status in _LACKING and last.status == "venue":
            return []
        else:
            unchanged = structs.replace(candle, revision=last.revision, proof=last.proof, event_time=last.event_time)
            if unchanged == last:
                return [] if proof == last.proof else [self._proven(track, last, proof)]
            revision = last.revision + 1
        numbered = structs.replace(candle, revision=revision, proof=proof)
        track.published[candle.open_time] = numbered
        out: list[Any] = [numbered]
        if numbered.status == "partial" and track is self._shortest:
            cause = f"the {track.name} candle is known to lack trades"
            out.append(self._incident("partial", numbered, cause, "until the exchange's own is there"))
        return out

    def _proven(self, track: _Track, candle: Candle, proof: Reconciliation) -> StoreOnly:
        proven = track.published[candle.open_time] = structs.replace(candle, proof=proof)
        return StoreOnly(proven)

    # --- against the exchange's ---

    def _take_kline(self, track: _Track, kline: Kline, now: Now, *, is_final: bool = False) -> list[Any]:
        """Takes a closed kline. `is_final`: by REST, whose word is the last."""
        open_time = kline.open_time
        track.wanted.pop(open_time, None)
        if track.traded - self._kept_ms >= open_time + track.length and open_time not in track.published:
            return []
        track.klines[open_time] = kline
        candle = track.published.get(open_time)
        if candle is not None:
            return self._compare(track, candle, kline, now, is_final=is_final)
        if track.begun is not None and track.begun <= open_time < track.newest:
            return self._publish(track, candle_of_kline(self._venue, kline))  # skipped across a hole
        return []

    def _compare(  # noqa: PLR0911 - a table of cases
        self, track: _Track, candle: Candle, kline: Kline, now: Now, *, is_final: bool = False
    ) -> list[Any]:
        if candle.status == "venue":
            return []
        fields = differing_fields(candle, kline)
        disputed = track.disputed.pop(candle.open_time, None) if is_final else None
        if disputed is not None:
            return self._settle(track, candle, disputed, kline)
        if not fields:
            track.refuted.pop(candle.open_time, None)
            confirmed = self._publish(track, _confirmed(candle), "equal")
            return [*confirmed, *self._judge_inside(track, candle, "final"), *self._reinstate_inside(track, candle)]
        if candle.status == "partial":
            return self._publish(track, candle_of_kline(self._venue, kline, candle))
        if is_known_difference(self._venue, fields) and candle.status != "unproven":
            return self._publish(track, candle, "not comparable")
        if is_final or not self._can_query:
            return self._settle(track, candle, kline, kline)
        return self._dispute(track, candle, kline, now)

    def _dispute(self, track: _Track, candle: Candle, kline: Kline, now: Now) -> list[Any]:
        """Two versions of a complete candle differ: ours is out until REST has decided."""
        out = self._publish(track, candle)
        track.disputed[candle.open_time] = kline
        track.wanted[candle.open_time] = now.local
        return out

    def _settle(self, track: _Track, candle: Candle, told: Kline, final: Kline) -> list[Any]:
        """Two versions of a complete candle differ, and `final` is what the exchange's history says."""
        fields = differing_fields(candle, told)
        words = describe_difference(candle, told, fields)
        if not differing_fields(candle, final):
            candle = _confirmed(candle)
            incident = self._incident("mismatch", candle, words, "theirs wrong: their history says what ours does")
            return [*self._publish(track, candle, "theirs wrong"), incident]
        if candle.status in COMPLETE and self._is_confirmed_around(track, candle):
            return [*self._publish(track, candle, "theirs wrong"), self._incident("mismatch", candle, words, _OUTVOTED)]
        incident = self._incident("mismatch", candle, words, "ours wrong: the exchange's is served")
        served = self._publish(track, candle_of_kline(self._venue, final, candle), "ours wrong")
        if candle.status in COMPLETE:
            track.refuted[candle.open_time] = candle, words
        doubted = [*self._judge_inside(track, candle, "unproven"), *self._doubt_around(track, candle)]
        return [*served, incident, *doubted]

    def _is_confirmed_around(self, track: _Track, inner: Candle) -> bool:
        """Whether the exchange says of a longer period the same as our trades."""
        return any(outer.proof == "equal" for _, outer in self._published_around(track, inner))

    def _doubt_around(self, track: _Track, inner: Candle) -> list[Any]:
        """The longer candles that hold the trades of a refuted one, unless they have a proof of their own."""
        out: list[Any] = []
        for longer, outer in self._published_around(track, inner):
            if outer.status in COMPLETE and not outer.proof:
                out += self._publish(longer, structs.replace(outer, status="unproven"))
        return out

    def _published_around(self, track: _Track, inner: Candle) -> list[tuple[_Track, Candle]]:
        return [
            (longer, outer)
            for longer in self._tracks.values()
            if longer.length > track.length
            and (outer := longer.published.get(inner.open_time - inner.open_time % longer.length)) is not None
        ]

    def _is_refuted_inside(self, track: _Track, outer: Candle) -> bool:
        """Whether the exchange contradicts a shorter candle with the same trades."""
        end = outer.open_time + track.length
        return any(
            outer.open_time <= open_time < end
            for shorter in self._tracks.values()
            if shorter.length < track.length
            for open_time in shorter.refuted
        )

    def _reinstate_inside(self, track: _Track, outer: Candle) -> list[Any]:
        """The shorter candles that a kline has refuted, now that one of a longer period confirms their trades."""
        out: list[Any] = []
        for shorter in self._tracks.values():
            if shorter.length >= track.length or not shorter.refuted:
                continue
            for open_time in [t for t in shorter.refuted if outer.open_time <= t < outer.open_time + track.length]:
                ours, words = shorter.refuted.pop(open_time)
                out += self._publish(shorter, ours, "theirs wrong")
                out.append(self._incident("mismatch", ours, words, _OUTVOTED))
        return out

    def _judge_inside(self, track: _Track, outer: Candle, verdict: Literal["final", "unproven"]) -> list[Any]:
        """The shorter candles inside one that was confirmed (`final`) or refuted (`unproven`), as that leaves them.
        What has a proof of its own, or is known to lack trades, stays as it is.
        """
        before: tuple[CandleStatus, ...] = ("unproven",) if verdict == "final" else COMPLETE
        out: list[Any] = []
        for shorter in self._tracks.values():
            if shorter.length >= track.length or not shorter.published:
                continue
            for open_time in range(outer.open_time, outer.open_time + track.length, shorter.length):
                inner = shorter.published.get(open_time)
                if inner is not None and not inner.proof and inner.status in before:
                    out += self._publish(shorter, structs.replace(inner, status=verdict))
        return out

    # --- asking ---

    def _queries_of(self, track: _Track, now: Now) -> list[Query]:
        if track.is_queried or not self._can_query:
            return []
        due = [open_time for open_time, at in track.wanted.items() if at <= now.local]
        if not due:
            return []
        track.is_queried = True
        return [KlinesQuery(self._symbol, track.name, min(due), max(due), checks=True)]

    def _take_queried(self, query: KlinesQuery, answer: Any, now: Now) -> list[Any]:
        track = self._tracks[query.timeframe]
        track.is_queried = False
        out: list[Any] = []
        for kline in [] if isinstance(answer, QueryError) else answer:
            if kline.is_closed and kline.open_time in track.wanted:
                out += self._take_kline(track, kline, now, is_final=True)
        for open_time in [t for t in track.wanted if query.start <= t <= query.end]:
            tries = track.tries[open_time] = track.tries.get(open_time, 0) + 1
            if tries < MOST_TRIES:
                track.wanted[open_time] = now.local + self._grace_ms * 2**tries
            else:
                del track.wanted[open_time], track.tries[open_time]
        return out

    # --- history ---

    def _query_history(self, now: Now) -> list[Query]:
        """Once, at the first sign of the instrument."""
        if self._begun or not now.feed:
            return []
        self._begun = True
        self._history_by = now.local + HISTORY_MS
        if self._refresh_ms:
            self._refresh_due = now.local + self._refresh_ms
        return [HistoryQuery(self._symbol, tuple(self._tracks), now.feed)]

    def _query_again(self, wanted: RefreshRequest, now: Now) -> list[Any]:
        timeframes = wanted.timeframes or tuple(self._tracks)
        unknown = [name for name in timeframes if name not in self._tracks]
        if unknown or not (self._can_query and (now.feed or wanted.is_stored)):
            reason = f"{', '.join(unknown)} is not built here" if unknown else "the venue cannot be asked yet"
            return [RefreshResult(wanted.request, reason, failed=True)]
        span = wanted.start, wanted.end
        return [HistoryQuery(self._symbol, timeframes, now.feed, wanted.request, *span, is_stored=wanted.is_stored)]

    def _republished(self, query: HistoryQuery, answer: Any, now: Now) -> list[Any]:
        """Tells what is stored: somebody else has changed it. The next amendment goes on from there."""
        histories = [] if isinstance(answer, QueryError) else answer
        out: list[Any] = []
        for history in histories:
            published = self._tracks[history.timeframe].published
            for open_time, stored in sorted(history.stored.items()):
                ours = published.get(open_time)
                if not stored.is_closed or (ours is not None and ours.revision > stored.revision):
                    continue
                news = structs.replace(stored, event_time=now.feed)
                if ours is not None:
                    published[open_time] = news
                out.append(news)
        errors = [str(answer)] if isinstance(answer, QueryError) else [h.error for h in histories if h.error]
        report = "; ".join([f"{len(out)} stored candles told again", *errors])
        return [*out, RefreshResult(query.forced, report, failed=bool(errors))]

    def _refreshed(self, query: HistoryQuery, answer: Any, now: Now) -> list[Any]:
        """Compares what was fetched with everything that we have, and says what that changed."""
        histories = [] if isinstance(answer, QueryError) else answer
        own: list[Any] = []
        for history in histories:
            track = self._tracks[history.timeframe]
            for kline in history.klines:
                if kline.is_closed and track.begun is not None and kline.open_time >= track.begun:
                    own += self._take_kline(track, kline, now, is_final=True)
        told = {(c.timeframe, c.open_time) for c in map(_candle_of, own) if c is not None}
        past = self._take_history(answer, now)
        out = [item for item in past if (c := _candle_of(item)) is None or (c.timeframe, c.open_time) not in told]
        out += own
        errors = [str(answer)] if isinstance(answer, QueryError) else [h.error for h in histories if h.error]
        fetched = sum(len(history.klines) for history in histories)
        changed = [candle for candle in map(_candle_of, out) if candle is not None]
        confirmed = sum(candle.proof in ("equal", "not comparable") for candle in changed)
        written = len(changed) - confirmed
        report = (
            f"{fetched} candles fetched: {written} written, {confirmed} confirmed, the others were known to be right"
        )
        return [*out, RefreshResult(query.forced, "; ".join([report, *errors]), failed=bool(errors))]

    def _take_history(self, answer: Any, now: Now) -> list[Any]:
        if isinstance(answer, QueryError):
            return [self._trouble(now, str(answer))]
        out: list[Any] = []
        for history in answer:
            if history.error:
                out.append(self._trouble(now, f"{history.timeframe}: {history.error}"))
            track = self._tracks[history.timeframe]
            for kline in history.klines:
                if kline.is_closed and (track.begun is None or kline.open_time < track.begun):
                    out += self._take_past(history, kline)
                elif kline.is_closed:
                    out += self._take_own(track, history, kline)
        return out

    def _take_own(self, track: _Track, history: History, kline: Kline) -> list[Any]:
        """A kline of a period that was ours to build: the store may have lost what was built."""
        ours = track.published.get(kline.open_time)
        if ours is not None:
            stored = history.stored.get(kline.open_time)
            is_there = stored is not None and stored.is_closed and stored.revision >= ours.revision
            return [] if is_there else [StoreOnly(ours)]
        is_forgotten = kline.open_time + track.length <= track.traded - self._kept_ms
        return self._take_past(history, kline) if is_forgotten else []

    def _take_past(self, history: History, kline: Kline) -> list[Any]:
        """A kline of a period that is not ours to build."""
        stored = history.stored.get(kline.open_time)
        if stored is None or not stored.is_closed:
            return [StoreOnly(candle_of_kline(self._venue, kline))]
        fields = differing_fields(stored, kline)
        if not fields:
            return [] if stored.proof or stored.status == "venue" else [_proven(_confirmed(stored), "equal")]
        if stored.status not in _LACKING and is_known_difference(self._venue, fields):
            return [] if stored.proof else [_proven(stored, "not comparable")]
        candle = structs.replace(candle_of_kline(self._venue, kline, stored), revision=stored.revision + 1)
        if stored.status in _LACKING:
            return [StoreOnly(candle)]
        words = describe_difference(stored, kline, fields)
        if stored.status == "venue":
            return [StoreOnly(candle), self._incident("mismatch", stored, words, "the exchange has changed its own")]
        incident = self._incident("mismatch", stored, words, "ours wrong: the exchange's is served")
        return [_proven(candle, "ours wrong"), incident]

    def _let_go(self, now: Now) -> list[Any]:
        """The candles that waited for their history."""
        self._history_by = None
        waiting, self._waiting = self._waiting, {}
        out: list[Any] = []
        for candle in waiting.values():
            out += self._take_candle(candle, now)
        return out

    # --- telling ---

    def _trouble(self, now: Now, cause: str) -> Incident:
        return Incident(
            "history", self._venue, self._symbol, now.feed, now.feed, cause, "tried again at the next start"
        )

    def _incident(self, kind: Any, candle: Candle, cause: str, outcome: str) -> Incident:
        end = candle.open_time + timeframe_ms(candle.timeframe) - 1
        ids = candle.first_id, candle.last_id
        return Incident(kind, self._venue, self._symbol, candle.open_time, end, cause, outcome, *ids)


def _candle_of(item: Any) -> Candle | None:
    """The candle that is told or recorded, if one is."""
    if type(item) is StoreOnly:
        return item.candle
    return item if type(item) is Candle else None


def _confirmed(candle: Candle) -> Candle:
    """A candle that the exchange says the same of: it lacks nothing, whatever was believed of it."""
    return structs.replace(candle, status="final") if candle.status in _LACKING else candle


def _proven(candle: Candle, proof: Reconciliation) -> StoreOnly:
    return StoreOnly(structs.replace(candle, proof=proof))


def candle_of_kline(venue: str, kline: Kline, ours: Candle | None = None) -> Candle:
    """The exchange's version as a candle; ids that it does not tell are ours, if we have some."""
    ids = (kline.first_id, kline.last_id) if kline.first_id >= 0 or ours is None else (ours.first_id, ours.last_id)
    return Candle(
        venue=venue,
        symbol=kline.symbol,
        timeframe=kline.timeframe,
        open_time=kline.open_time,
        open=kline.open,
        high=kline.high,
        low=kline.low,
        close=kline.close,
        volume=kline.volume,
        quote_volume=kline.quote_volume,
        trades=kline.trades,
        taker_buy_volume=kline.taker_buy_volume,
        taker_buy_quote_volume=kline.taker_buy_quote_volume,
        first_id=ids[0],
        last_id=ids[1],
        is_closed=True,
        status="venue",
        event_time=kline.event_time,
    )
