"""Compares closed candles with the exchange's klines, and settles which version is served.

The laws:
* Equal in every field: the candle is complete, whatever was believed of it.
* Different, and ours is known to lack trades: the exchange's takes its place, with status `venue`. No trades of ours
  stand behind it, so the word of REST is asked for where only the stream has reported it; and before that, where it
  cannot hold the trades that ours has.
* Two reports of one period that differ are an incident, and REST decides.
* One answer of REST decides nothing against others: where neither the stream nor our trades say the same, it is asked
  again, and decides when it says the same at another time.
* What our trades and a report of the exchange say is not overturned by that either: then REST is asked for the trades
  too, and they decide. Those of a longer candle are not fetched: it stands until a shorter one in it is refuted.
* The exchange's version has the exchange's ids, which its stream reports, or none: those of our trades may be the
  wrong ones.
* Different only in what the venue is known to count otherwise: not comparable.
* Different, and ours claims to be complete: ours is served until the REST side has given the kline again, and then the
  version that this confirms. Both go to the ledger. A kline that a longer one outvotes is wrong, where the exchange
  says the same as ours of all other periods inside that (`doubt`).
* While REST does not give that kline, ours is `unproven`, with an incident, unless a longer one confirms it: then the
  stream's is outvoted.
* What a checksum of the exchange vouches for is not refuted by what nothing vouches for: ours is served, without a
  proof until the kline of a longer period gives one.
* The trades of ours that was wrong are fetched, whether another timeframe has put it in doubt before or not: so the
  order in which timeframes are settled decides nothing.
* The word of REST decides about later versions of ours too, for a while: so a run of amendments causes neither queries
  nor versions.
"""

from collections.abc import Iterable, Mapping

from msgspec import structs

from flows.bounds import VenueRules
from flows.clock import Now
from flows.model import BELIEVED, COMPLETE, IDS, Candle, Kline, TradeBatch
from flows.model.vouched import VouchedTimes
from flows.operators.candles.compare import differing_fields, is_known_difference, may_hold
from flows.operators.candles.disputed_trades import DisputedTrades
from flows.operators.candles.doubt import OUTVOTED, Doubt
from flows.operators.candles.made_of import is_made_of
from flows.operators.candles.track import Track, shortest_of
from flows.operators.candles.versions import Published, candle_of_kline, confirmed
from flows.queries import DisputedTradesQuery, KlinesQuery

THEIRS_WRONG = "theirs wrong: their history says what ours does"
OURS_WRONG = "ours wrong: the exchange's is served"
REPORTS_DIFFER = "the exchange's reports of it differ: what its history says again is served"
STANDS = "ours is served: a report of the exchange says the same, and its history alone does not outweigh both"
TRADES_SAY_OURS = "theirs wrong: the exchange's trades, asked for again, make ours"
NOT_HELD = "theirs does not hold the trades of ours: it is not served unless the exchange's history says the same"
VOUCHED = "ours is served: a checksum of the exchange vouches for its trades, and for no such kline"
UNDECIDED = "ours is unproven until the exchange's history says which of the two is right"
"""Outcomes of a mismatch."""
AGAIN_MS = 10_000
"""The word of REST about a candle is asked for again when it is amended so long after, local time. The trades of one
that is contradicted again are fetched so long after its last amendment.
"""


class Settler:
    """Brings candles and klines of one instrument together, in whatever order they come."""

    def __init__(
        self, tracks: Mapping[str, Track], disputed: DisputedTrades, *, venue: str, rules: VenueRules, can_query: bool
    ) -> None:
        """Candles whose trades may be stored with wrong values are added to `disputed`."""
        self._venue = venue
        self._rules = rules
        self._disputed = disputed
        self._tracks = tracks
        self._doubt = Doubt(tracks)
        self._can_query = can_query
        self.vouched = VouchedTimes()
        """For which files a checksum vouches. A live feed has none."""

    def take_candle(self, track: Track, candle: Candle, now: Now) -> list[Published]:
        """Publishes a closed candle, with its proof where the kline is there already."""
        track.close(candle)
        if candle.status in COMPLETE and self._doubt.is_refuted_inside(track, candle):
            candle = structs.replace(candle, status="unproven")
        kline = track.klines.get(candle.open_time)
        if kline is not None:
            return self._compare(track, candle, kline, now)
        out = track.publish(candle)
        if out and self._can_query:
            track.queries.add(candle.open_time, now, after_grace=True)
        return out

    def take_kline(self, track: Track, kline: Kline, now: Now, *, is_final: bool = False) -> list[Published]:
        """Takes a closed kline; one of the REST side `is_final`."""
        open_time = kline.open_time
        candle = track.published.get(open_time)
        if track.is_past(open_time) and candle is None:
            track.queries.remove(open_time)
            return []
        known = track.klines.get(open_time)
        out = self._say_difference(track, candle, kline, is_final=is_final)
        if is_final and self._can_query:
            if self._is_alone(track, candle, kline, now):
                track.contested[open_time] = kline, now.local
                track.queries.add(open_time, now, after_grace=True)
                return out
            track.queries.remove(open_time)
            if candle is not None and self._is_borne_out(track, candle, kline):
                return [*out, *self._ask_for_trades(track, candle, kline, now)]
            track.contested.pop(open_time, None)
        elif is_final or candle is None or candle.status != "venue":  # the stream's word does not confirm its own
            track.queries.remove(open_time)
        is_new = known is not None and differing_fields(known, kline)
        kline = track.know(kline, now, is_final=is_final)
        if is_new and not is_final and self._can_query:
            track.queries.add(open_time, now)
        if candle is not None:
            return [*out, *self._compare(track, candle, kline, now, is_final=is_final)]
        if track.begun is not None and track.begun <= open_time < track.newest:
            return [*out, *self.serve_kline(track, kline, now)]  # skipped across a gap: no candle of it will come
        return out  # its candle is still to come

    # --- reports that differ ---

    def _say_difference(self, track: Track, candle: Candle | None, kline: Kline, *, is_final: bool) -> list[Published]:
        """The incident that names this report and an earlier one."""
        lone = track.contested.get(kline.open_time)
        reports = [track.klines.get(kline.open_time), None if lone is None else lone[0]]
        disputed = track.disputed.get(kline.open_time)
        if is_final and disputed is not None and candle is not None and not differing_fields(candle, kline):
            reports = reports[1:]  # the result of the dispute names it
        out: list[Published] = []
        for earlier in reports:
            if earlier is not None and differing_fields(earlier, kline):
                out += track.mismatch(candle_of_kline(self._venue, earlier), kline, REPORTS_DIFFER)
        return out

    def _is_alone(self, track: Track, candle: Candle | None, kline: Kline, now: Now) -> bool:
        """Whether something contradicts an answer of REST, and nothing says the same: neither our trades, nor the
        stream, nor REST at another time.
        """
        open_time = kline.open_time
        known, refuted = track.klines.get(open_time), track.refuted.get(open_time)
        others = [known, None if refuted is None else refuted[0]]
        lone, asked = track.contested.get(open_time, (None, 0))
        if asked < now.local:
            others.append(lone)
        if any(other is not None and not differing_fields(other, kline) for other in others):
            return False
        if candle is not None and candle.status in BELIEVED:
            fields = differing_fields(candle, kline)
            return bool(fields) and (known is not None or not is_known_difference(self._rules, fields))
        if known is not None and candle is not None and candle.status == "partial":
            return may_hold(known, candle, self._rules) or not may_hold(kline, candle, self._rules)
        return known is not None

    def _is_borne_out(self, track: Track, candle: Candle, kline: Kline) -> bool:
        """Whether REST contradicts a candle that another report of the exchange confirms."""
        if candle.proof != "equal" or self._doubt.is_refuted_inside(track, candle):
            return False
        fields = differing_fields(candle, kline)
        return bool(fields) and not is_known_difference(self._rules, fields)

    def _ask_for_trades(self, track: Track, candle: Candle, kline: Kline, now: Now) -> list[Published]:
        """REST has said twice what our trades and another report deny."""
        track.contested[kline.open_time] = kline, now.local
        self.dispute_trades(track, candle, kline, now.local)
        return [*track.mismatch(candle, kline, STANDS)]

    def serve_kline(self, track: Track, kline: Kline, now: Now) -> list[Published]:
        """Publishes the exchange's version of a period without all its trades. REST is asked what it says, after the
        stream had the time to report it, unless it has said that already.
        """
        open_time = kline.open_time
        if self._can_query and open_time not in track.decided and open_time not in track.queries:
            track.queries.add(open_time, now, after_grace=True)
        return track.publish_kline(kline)

    def _compare(  # noqa: PLR0911 - a table of cases
        self, track: Track, candle: Candle, kline: Kline, now: Now, *, is_final: bool = False
    ) -> list[Published]:
        if candle.status == "venue":
            return self._compare_reports(track, candle, kline, now, is_final=is_final)
        fields = differing_fields(candle, kline)
        if candle.status == "partial" and fields:
            return self._complete(track, candle, kline, now)
        disputed = track.disputed.pop(candle.open_time, None) if is_final else None
        if disputed is not None and (fields or differing_fields(candle, disputed)):
            return self._settle(track, candle, disputed, kline, now)
        if not fields:
            track.disputed.pop(candle.open_time, None)  # the candle was amended, or the kline corrected
            track.refuted.pop(candle.open_time, None)
            track.contested.pop(candle.open_time, None)
            return [*track.publish(confirmed(candle), "equal"), *self._doubt.confirm(track, candle)]
        if is_known_difference(self._rules, fields) and candle.status != "unproven":
            return track.publish(candle, "not comparable")
        if is_final or not self._can_query or self._has_decided(track, candle, now):
            return self._settle(track, candle, kline, kline, now)
        return self._dispute(track, candle, kline, now)

    def _compare_reports(
        self, track: Track, served: Candle, kline: Kline, now: Now, *, is_final: bool
    ) -> list[Published]:
        """Another report of a period of which the exchange's version is served."""
        known = track.refuted.get(served.open_time)
        if is_final and known is not None and not differing_fields(known[0], kline):
            ours = confirmed(known[0])
            del track.refuted[served.open_time]
            return [*track.publish(ours, "equal"), *self._doubt.confirm(track, ours)]
        if set(IDS).issuperset(differing_fields(served, kline)):
            return track.publish_kline(kline, served.proof) if kline.first_id >= 0 else []  # its ids may be new
        if is_final:
            return [*track.publish_kline(kline, served.proof), *track.mismatch(served, kline, REPORTS_DIFFER)]
        if self._can_query:
            track.queries.add(kline.open_time, now)
        return []

    def _complete(self, track: Track, candle: Candle, kline: Kline, now: Now) -> list[Published]:
        """A candle that is known to lack trades, and the exchange's version that has another content."""
        track.disputed.pop(candle.open_time, None)
        if candle.open_time in track.decided or may_hold(kline, candle, self._rules):
            return self.serve_kline(track, kline, now)
        if self._can_query:
            track.queries.add(candle.open_time, now)
        return [*track.publish(candle), *track.mismatch(candle, kline, NOT_HELD)]

    def _dispute(self, track: Track, candle: Candle, kline: Kline, now: Now) -> list[Published]:
        """Serves ours until REST has decided."""
        out = track.publish(candle)
        track.disputed[candle.open_time] = kline
        track.queries.add(candle.open_time, now)
        return out

    def leave_open(self, track: Track, query: KlinesQuery, given: Iterable[Kline]) -> list[Published]:
        """REST was asked, and has `given` these klines: all disputes stay open but those which these decide."""
        out: list[Published] = []
        decided = {kline.open_time for kline in given if kline.is_closed} - track.contested.keys()
        for open_time, kline in [*track.disputed.items()]:
            candle = track.published.get(open_time)
            if open_time in decided or not query.start <= open_time <= query.end:
                continue
            if candle is None or candle.status not in COMPLETE:
                continue
            if self._doubt.is_confirmed_around(track, candle):
                track.decide(open_time)
                out += [*track.publish(candle, "theirs wrong"), *track.mismatch(candle, kline, OUTVOTED)]
                continue
            out += track.publish(structs.replace(candle, status="unproven"))
            out += [*track.mismatch(candle, kline, UNDECIDED), *self._doubt.doubt_around(track, candle)]
        return out

    def _has_decided(self, track: Track, candle: Candle, now: Now) -> bool:
        """Whether REST has given the kline a short while ago."""
        decided = track.decided.get(candle.open_time)
        return decided is not None and now.local - decided < AGAIN_MS

    def _settle(self, track: Track, candle: Candle, reported: Kline, final: Kline, now: Now) -> list[Published]:
        """A complete candle and the kline that was reported first differ; `final` is the exchange's history."""
        if not differing_fields(candle, reported):
            reported = final  # the candle was amended meanwhile
        if not differing_fields(candle, final):
            candle = confirmed(candle)
            out = [*track.publish(candle, "theirs wrong"), *track.mismatch(candle, reported, THEIRS_WRONG)]
            return [*out, *self._doubt.confirm(track, candle)]
        if candle.status in COMPLETE and self._doubt.is_confirmed_around(track, candle):
            return [*track.publish(candle, "theirs wrong"), *track.mismatch(candle, reported, OUTVOTED)]
        if candle.status in COMPLETE and self.vouched.vouch_against(candle, final):
            track.upheld[candle.open_time] = candle, reported
            return [*track.publish(candle), *track.mismatch(candle, reported, VOUCHED)]
        is_repeated = track.is_reported(candle, OURS_WRONG)
        if candle.status in BELIEVED:
            track.refute(candle, reported)
            self.dispute_trades(track, candle, final, now.local + AGAIN_MS if is_repeated else now.local)
        return self._give_way(track, candle, reported, final)

    def _give_way(self, track: Track, candle: Candle, reported: Kline, final: Kline) -> list[Published]:
        incidents = track.mismatch(candle, reported, OURS_WRONG)
        served = track.publish_kline(final, "ours wrong")
        return [*served, *incidents, *self._doubt.refute(track, candle)]

    def take_trades(self, query: DisputedTradesQuery, batch: TradeBatch, now: Now) -> list[Published]:
        """REST has given trades that were disputed."""
        self._doubt.replace_trades(batch, query.begin)
        track = shortest_of(self._tracks)
        candle, contested = track.published.get(query.begin), track.contested.get(query.begin)
        if candle is None or contested is None or candle.proof != "equal":
            return []
        return self._decide_by_trades(track, candle, contested[0], batch, now)

    def _decide_by_trades(
        self, track: Track, candle: Candle, kline: Kline, batch: TradeBatch, now: Now
    ) -> list[Published]:
        """REST contradicts a candle that another report confirms, and has given its trades."""
        if is_made_of(kline, batch.trades):
            del track.contested[kline.open_time]
            track.refuted[kline.open_time] = None
            return self._give_way(track, candle, kline, track.know(kline, now, is_final=True))
        if is_made_of(candle, batch.trades):
            del track.contested[kline.open_time]
            return [*track.mismatch(candle, kline, TRADES_SAY_OURS)]
        return []

    def dispute_trades(self, track: Track, candle: Candle, kline: Kline, due: int) -> None:
        """Queries the trades of a candle that the exchange contradicts, at a local time; those of longer ones are the
        same.
        """
        query = _disputed_trades(candle, kline)
        if self._can_query and track.is_shortest and query is not None:
            self._disputed.add(query, due)


def _disputed_trades(candle: Candle, kline: Kline) -> DisputedTradesQuery | None:
    """The query for all trades that either version names; None when neither names one. A trade with a wrong time may
    be in the candle of one period and in the kline of another.
    """
    named = [version for version in (candle, kline) if version.first_id >= 0]
    if not named:
        return None
    first, last = min(version.first_id for version in named), max(version.last_id for version in named)
    return DisputedTradesQuery(candle.symbol, first, last, candle.open_time, candle.close_time)
