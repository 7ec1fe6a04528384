"""The exchange's history: periods before the first candle of ours, and what is fetched or published again on request.

The laws:
* What is stored and equal to the exchange's kline is left as it is, but for a missing proof. What lacks trades, or is
  not stored at all, becomes the exchange's version; so does what differs, with an incident, and its trades are queried.
* What is stored with a proof is not overturned by one answer: that is an incident, and it is asked again. When the same
  is said at another time, the trades are queried, and they decide. Those of longer timeframes are not: these stay.
* A period of ours that is remembered is written again where the store has an older version, or none; or one that lacks
  trades, which a process has published that ended before it kept that. One that is forgotten is treated like one before
  the first candle. One that is not built yet is left to its trades.
* A request always ends with a `RefreshResult`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct, structs

from flows.bounds import VenueRules
from flows.clock import Now
from flows.model import (
    COMPLETE,
    Candle,
    Incident,
    Kline,
    Reconciliation,
    RefreshRequest,
    RefreshResult,
    StoreOnly,
    TradeBatch,
)
from flows.operators.candles.compare import describe_difference, differing_fields, is_known_difference
from flows.operators.candles.made_of import is_made_of
from flows.operators.candles.settle import AGAIN_MS, OURS_WRONG, STANDS, TRADES_SAY_OURS, Settler
from flows.operators.candles.track import Track, shortest_of
from flows.operators.candles.versions import (
    LACKING,
    Published,
    candle_in,
    candle_incident,
    candle_of_kline,
    confirmed,
    proven,
)
from flows.queries import DisputedTradesQuery, History, HistoryQuery, QueryError
from flows.texts import counted

HistoryAnswer: TypeAlias = list[History] | QueryError
WITNESSED: tuple[Reconciliation, ...] = ("equal", "theirs wrong")
"""Proofs of candles that more than our trades speak for."""
MOST_AGAIN = 5
"""Answers that all differ, until a period is left to the next history."""
MOST_AT_ONCE = 1_000
"""Periods that one query spans."""


class _Contested(Struct):
    """What the history says of a stored candle with a proof."""

    stored: Candle
    kline: Kline
    due: int | None
    """Local time at which it is asked again; None when it was."""
    answers: int = 1
    is_repeated: bool = False
    """It was said twice, and the trades are queried."""
    is_judged: bool = False
    """They do not make it."""


class Past:
    """The history of one instrument."""

    def __init__(
        self,
        venue: str,
        symbol: str,
        tracks: Mapping[str, Track],
        settler: Settler,
        *,
        rules: VenueRules,
        can_query: bool,
    ) -> None:
        self._rules = rules
        self._venue = venue
        self._symbol = symbol
        self._tracks = tracks
        self._settler = settler
        self._can_query = can_query
        self._contested: dict[tuple[str, int], _Contested] = {}
        """By timeframe and open time. Not in the recovered state: the next history says it again."""

    # --- queries ---

    def query(self, until: int, *, least_ms: int = 0) -> list[HistoryQuery]:
        """What the store lacks until a time, ms UTC, of the timeframes of this length and longer."""
        names = tuple(track.name for track in self._tracks.values() if track.length >= least_ms)
        return [HistoryQuery(self._symbol, names, until)] if names else []

    def query_again(self, now: Now) -> list[HistoryQuery]:
        """What contradicts stored candles with a proof, once it is due."""
        out: list[HistoryQuery] = []
        for name, track in self._tracks.items():
            due = sorted(
                open_time
                for (timeframe, open_time), one in self._contested.items()
                if timeframe == name and one.due is not None and one.due <= now.local
            )
            near = [open_time for open_time in due if open_time < due[0] + MOST_AT_ONCE * track.length]
            for open_time in near:
                self._contested[name, open_time].due = None
            if near:
                span = near[0], near[-1] + track.length
                out.append(HistoryQuery(self._symbol, (name,), now.feed, "", *span))
        return out

    def dues(self) -> list[int]:
        """Local times of the next of these queries."""
        return [one.due for one in self._contested.values() if one.due is not None]

    def query_requested(self, request: RefreshRequest, now: Now) -> HistoryQuery | RefreshResult:
        """The query of a request, or why it fails at once."""
        timeframes = request.timeframes or tuple(self._tracks)
        unknown = [name for name in timeframes if name not in self._tracks]
        if unknown or not (self._can_query and (now.feed or request.is_stored)):
            reason = f"{', '.join(unknown)} is not built here" if unknown else "the venue cannot be asked yet"
            return RefreshResult(request.request, reason, failed=True)
        span = request.start, request.end
        return HistoryQuery(self._symbol, timeframes, now.feed, request.request, *span, is_stored=request.is_stored)

    # --- answers ---

    def take(self, query: HistoryQuery, answer: HistoryAnswer, now: Now) -> list[Published]:
        """Corrects what is stored of the past by what was fetched."""
        if isinstance(answer, QueryError):
            return [self._failure(query, str(answer))]
        out: list[Published] = []
        for history in answer:
            if history.error:
                out.append(self._failure(query, f"{history.timeframe}: {history.error}"))
            track = self._tracks[history.timeframe]
            for kline in history.klines:
                if kline.is_closed and (track.begun is None or kline.open_time < track.begun):
                    out += self._take_past(history, kline, now)
                elif kline.is_closed:
                    out += self._take_own(track, history, kline, now)
        return out

    def refresh(self, query: HistoryQuery, answer: HistoryAnswer, now: Now) -> list[Published | RefreshResult]:
        """Compares what was fetched with everything that is known, stored or remembered, and reports the changes."""
        histories = _histories(answer)
        own: list[Published] = []
        for history in histories:
            track = self._tracks[history.timeframe]
            for kline in history.klines:
                if kline.is_closed and track.begun is not None and kline.open_time >= track.begun:
                    own += self._settler.take_kline(track, kline, now, is_final=True)
        settled = {(c.timeframe, c.open_time) for c in map(candle_in, own) if c is not None}
        past = self.take(query, answer, now)
        out = [item for item in past if (c := candle_in(item)) is None or (c.timeframe, c.open_time) not in settled]
        out += own
        return [*out, _refresh_result(query, answer, histories, out)]

    def republish(self, query: HistoryQuery, answer: HistoryAnswer, now: Now) -> list[Published | RefreshResult]:
        """Publishes what is stored, as another process has changed it. The next amendment continues its revisions."""
        histories = _histories(answer)
        out: list[Published] = []
        for history in histories:
            published = self._tracks[history.timeframe].published
            for open_time, stored in sorted(history.stored.items()):
                ours = published.get(open_time)
                if not stored.is_closed or (ours is not None and ours.revision > stored.revision):
                    continue
                version = structs.replace(stored, event_time=now.feed)
                if ours is not None:
                    published[open_time] = version
                out.append(version)
        errors = _errors(answer, histories)
        report = "; ".join([f"{len(out)} stored candles told again", *errors])
        return [*out, RefreshResult(query.forced, report, failed=bool(errors))]

    # --- single periods ---

    def _take_own(self, track: Track, history: History, kline: Kline, now: Now) -> list[Published]:
        """A period that was ours to build: the store may have lost what was built, or have what was published of it
        after the state that was recovered.
        """
        ours, stored = track.published.get(kline.open_time), history.stored.get(kline.open_time)
        if ours is None and track.is_past(kline.open_time):
            return self._take_past(history, kline, now)
        if stored is None or not stored.is_closed:
            return [StoreOnly(ours)] if ours is not None else []
        if ours is not None and ours.revision > stored.revision:
            return [StoreOnly(ours)]
        if stored.status not in LACKING or (ours is not None and not self._agrees(ours, kline)):
            return []
        return track.go_on_from(stored)

    def _agrees(self, candle: Candle, kline: Kline) -> bool:
        fields = differing_fields(candle, kline)
        return not fields or is_known_difference(self._rules, fields)

    def _take_past(self, history: History, kline: Kline, now: Now) -> list[Published]:
        """A period that is not ours to build."""
        stored = history.stored.get(kline.open_time)
        if stored is None or not stored.is_closed:
            return [StoreOnly(candle_of_kline(self._venue, kline))]
        fields = differing_fields(stored, kline)
        if not fields:
            self._contested.pop((history.timeframe, kline.open_time), None)
            return [] if stored.proof or stored.status == "venue" else [proven(confirmed(stored), "equal")]
        if stored.status not in LACKING and is_known_difference(self._rules, fields):
            return [] if stored.proof else [proven(stored, "not comparable")]
        if self._can_query and stored.status in COMPLETE and stored.proof in WITNESSED:
            return self._contest(stored, kline, fields, now)
        return self._overturn(history, stored, kline, fields, now)

    def _overturn(
        self, history: History, stored: Candle, kline: Kline, fields: Sequence[str], now: Now
    ) -> list[Published]:
        """The exchange's version in the place of a stored one for which nothing else speaks."""
        candle = self._in_place_of(stored, kline)
        if stored.status in LACKING:
            return [StoreOnly(candle)]
        difference = describe_difference(stored, kline, fields)
        if stored.status == "venue":
            incident = candle_incident("mismatch", stored, difference, "the exchange has changed its own")
            return [StoreOnly(candle), incident]
        incident = candle_incident("mismatch", stored, difference, OURS_WRONG)
        self._settler.dispute_trades(self._tracks[history.timeframe], stored, kline, now.local)
        return [proven(candle, "ours wrong"), incident]

    def _contest(self, stored: Candle, kline: Kline, fields: Sequence[str], now: Now) -> list[Published]:
        """An answer contradicts a stored candle with a proof."""
        place = stored.timeframe, stored.open_time
        known = self._contested.get(place)
        if known is not None and not differing_fields(known.kline, kline):
            if known.due is None and not known.is_judged:
                known.stored, known.is_repeated = stored, True
                self._settler.dispute_trades(self._tracks[stored.timeframe], stored, kline, now.local)
            return []
        answers = 1 if known is None else known.answers + 1
        due = now.local + AGAIN_MS if answers < MOST_AGAIN else None
        self._contested[place] = _Contested(stored, kline, due, answers)
        return [candle_incident("mismatch", stored, describe_difference(stored, kline, fields), STANDS)]

    def take_trades(self, query: DisputedTradesQuery, batch: TradeBatch) -> list[Published]:
        """Trades that were asked for decide between a stored candle and what the history has said twice of it."""
        place = shortest_of(self._tracks).name, query.begin
        known = self._contested.get(place)
        if known is None or not known.is_repeated or known.is_judged:
            return []
        stored, kline = known.stored, known.kline
        difference = describe_difference(stored, kline, differing_fields(stored, kline))
        if not is_made_of(kline, batch.trades):
            known.is_judged = True
            is_ours = is_made_of(stored, batch.trades)
            return [candle_incident("mismatch", stored, difference, TRADES_SAY_OURS)] if is_ours else []
        del self._contested[place]
        incident = candle_incident("mismatch", stored, difference, OURS_WRONG)
        return [proven(self._in_place_of(stored, kline), "ours wrong"), incident]

    def _in_place_of(self, stored: Candle, kline: Kline) -> Candle:
        return structs.replace(candle_of_kline(self._venue, kline), revision=stored.revision + 1)

    def _failure(self, query: HistoryQuery, cause: str) -> Incident:
        outcome = "tried again at the next start"
        return Incident("history", self._venue, self._symbol, query.now, query.now, cause, outcome)


def _histories(answer: HistoryAnswer) -> list[History]:
    return [] if isinstance(answer, QueryError) else answer


def _errors(answer: HistoryAnswer, histories: Sequence[History]) -> list[str]:
    return [str(answer)] if isinstance(answer, QueryError) else [h.error for h in histories if h.error]


def _refresh_result(
    query: HistoryQuery, answer: HistoryAnswer, histories: Sequence[History], out: Sequence[Published]
) -> RefreshResult:
    """How many candles were fetched, and what that has changed."""
    errors = _errors(answer, histories)
    fetched = sum(len(history.klines) for history in histories)
    changed = [candle for candle in map(candle_in, out) if candle is not None]
    confirmations = sum(candle.proof in ("equal", "not comparable") for candle in changed)
    written = len(changed) - confirmations
    report = (
        f"{counted(fetched, 'candle')} fetched: {written} written, {confirmations} confirmed, "
        "the others were known to be right"
    )
    return RefreshResult(query.forced, "; ".join([report, *errors]), failed=bool(errors))
