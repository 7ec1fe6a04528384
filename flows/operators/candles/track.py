"""What is known of one timeframe of one instrument: the candles as they were published, and the exchange's klines.

The laws:
* A closed candle is published under a revision: 0 at first, one more for each version with another content. A version
  with the same content is not published again; where only its proof is new, the store alone gets it.
* The exchange's version is not replaced by one of ours that may lack trades.
* A result of comparing a candle is reported once, however often the candle is amended; again only where something
  of another kind differs.
* What ended long before the newest trade is forgotten, but for what is to be queried.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TypeAlias, TypeVar

from msgspec import structs

from flows.clock import Now
from flows.model import COMPLETE, Candle, Incident, Kline, Reconciliation, timeframe_ms
from flows.operators.candles.compare import describe_difference, differing_fields, identified, kinds_of_difference
from flows.operators.candles.kline_queries import KlineQueries
from flows.operators.candles.versions import LACKING, Published, candle_incident, candle_of_kline, is_unchanged, proven
from flows.queries import KlinesQuery

K = TypeVar("K", Candle, Kline)

TrackState: TypeAlias = tuple[
    int | None,
    int,
    dict[int, Candle],
    dict[int, Kline],
    dict[int, int],
    set[int],
    dict[int, tuple[Candle, Kline] | None],
    dict[int, Kline],
]
"""What is recovered: `begun`, `newest`, `published`, `klines`, the open times that are to be queried, `seeded`,
`refuted` and `disputed`.
"""


MOST_RUNS = 1_000
"""Runs of periods that are remembered as confirmed; of the oldest ones nothing is known then."""


class Agreed:
    """Periods of one timeframe in which the exchange's kline is equal to ours, as runs of adjacent ones: they are known
    for longer than the candles.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._begins: list[int] = []
        self._ends: list[int] = []

    def __contains__(self, open_time: int) -> bool:
        return self.hold_all(open_time, open_time + self._length)

    def add(self, open_time: int) -> None:
        """Notes a period."""
        begin, end = open_time, open_time + self._length
        if self.hold_all(begin, end):
            return
        # the runs that touch it become one with it
        first, last = bisect_left(self._ends, begin), bisect_right(self._begins, end)
        if first < last:
            begin, end = min(begin, self._begins[first]), max(end, self._ends[last - 1])
        self._begins[first:last], self._ends[first:last] = [begin], [end]
        if len(self._begins) > MOST_RUNS:
            del self._begins[0], self._ends[0]

    def discard(self, open_time: int) -> None:
        """Takes a period out again."""
        end = open_time + self._length
        if not self._ends or open_time >= self._ends[-1] or not self.hold_all(open_time, end):
            return
        place = bisect_right(self._begins, open_time) - 1
        run = self._begins[place], self._ends[place]
        left = [(a, b) for a, b in ((run[0], open_time), (end, run[1])) if a < b]
        self._begins[place : place + 1] = [a for a, _ in left]
        self._ends[place : place + 1] = [b for _, b in left]

    def hold_all(self, begin: int, end: int) -> bool:
        """Whether all periods in `[begin, end)` are known."""
        place = bisect_right(self._begins, begin) - 1
        return begin >= end or (place >= 0 and end <= self._ends[place])


class Track:
    """One timeframe of one instrument."""

    def __init__(self, name: str, *, venue: str, symbol: str, grace_ms: int, kept_ms: int, is_shortest: bool) -> None:
        """Periods are remembered for `kept_ms` of the feed's time after the newest in which something was traded; the
        shortest timeframe reports candles that lack trades.
        """
        self.name = name
        self.length = timeframe_ms(name)
        self._venue = venue
        self._symbol = symbol
        self._kept_ms = kept_ms
        self.is_shortest = is_shortest
        self.begun: int | None = None
        """Open time of the first candle that was built; what is before it, is history."""
        self.newest = -1
        """Open time of the newest closed candle that was built."""
        self.traded = -1
        """Open time of the newest of them in which something was traded: a gap may show behind it later."""
        self.published: dict[int, Candle] = {}
        self.klines: dict[int, Kline] = {}
        self.queries = KlineQueries(symbol, name, grace_ms=grace_ms)
        self.disputed: dict[int, Kline] = {}
        """What the stream reported of candles that differ, until REST has decided."""
        self.decided: dict[int, int] = {}
        """Local times at which REST gave the `klines`, by open time. Not in the recovered state."""
        self.contested: dict[int, tuple[Kline, int]] = {}
        """Answers of REST that stand alone against other reports, or against ours, and their local times. Not in the
        recovered state: it is queried again.
        """
        self.agreed = Agreed(self.length)
        self._reported: dict[int, dict[str, frozenset[str]]] = {}
        """By open time and outcome the kinds of difference that incidents have named. Not in the recovered state."""
        self.seeded: set[int] = set()
        """Open times of candles that hold the exchange's running kline in the place of some of their trades."""
        self.refuted: dict[int, tuple[Candle, Kline] | None] = {}
        """Candles that are not known to lack trades and whose place the exchange's own has taken, and what differs: the
        kline of a longer period may yet confirm them. None of a candle whose trades REST has given with other values:
        nothing confirms that one.
        """
        self.upheld: dict[int, tuple[Candle, Kline]] = {}
        """Candles of trades with a checksum that are served although a kline without one differs."""

    # --- candles of ours ---

    def begin(self, candle: Candle) -> None:
        """Notes the first candle, forming or closed."""
        if self.begun is None:
            self.begun = candle.open_time

    def close(self, candle: Candle) -> None:
        """Notes a candle that is closed, or amended: what was known of an earlier version no longer holds."""
        self.newest = max(self.newest, candle.open_time)
        if candle.trades:
            self.traded = max(self.traded, candle.open_time)
        self.forget()
        self.queries.restart(candle.open_time)
        self.upheld.pop(candle.open_time, None)
        if self.refuted.get(candle.open_time) is not None:
            del self.refuted[candle.open_time]

    def refute(self, candle: Candle, kline: Kline) -> None:
        """Notes that the exchange's version takes the place of a candle."""
        if candle.open_time not in self.refuted:
            self.refuted[candle.open_time] = candle, kline

    @property
    def contradicted(self) -> dict[int, tuple[Candle, Kline]]:
        """Candles of ours that a report of the stream contradicts and that are `unproven`, and that report: REST has
        not decided yet.
        """
        versions = {t: (self.published.get(t), kline) for t, kline in self.disputed.items()}
        return {t: (ours, kline) for t, (ours, kline) in versions.items() if ours and ours.status == "unproven"}

    def decide(self, open_time: int) -> None:
        """A dispute is decided without REST."""
        if self.disputed.pop(open_time, None) is not None:
            self.queries.remove(open_time)

    def accept_absence(self, query: KlinesQuery) -> None:
        """REST has answered a query: where it has, again and again, no kline of a period in which nothing was traded,
        some venues have none of such a period.
        """
        for open_time in [t for t in self.queries.due if query.start <= t <= query.end]:
            candle = self.published.get(open_time)
            is_empty = candle is not None and candle.status in COMPLETE and not candle.trades
            if is_empty and open_time not in self.disputed and self.queries.is_often_tried(open_time):
                self.queries.remove(open_time)

    # --- memory ---

    def know(self, kline: Kline, now: Now, *, is_final: bool) -> Kline:
        """Notes the exchange's closed kline, with the ids of its other report where it has none."""
        open_time, known = kline.open_time, self.klines.get(kline.open_time)
        if is_final:
            self.decided[open_time] = now.local
        elif known is None or differing_fields(known, kline):
            self.decided.pop(open_time, None)
        self.klines[open_time] = kline = identified(kline, known)
        return kline

    def is_past(self, open_time: int) -> bool:
        """Whether a period ended too long ago to be remembered."""
        return open_time + self.length <= self.traded - self._kept_ms

    def forget(self) -> None:
        """Drops what is past, in the order in which it came."""
        self._forget(self.published)
        self._forget(self.klines)
        if self.seeded:
            self.seeded = {t for t in self.seeded if t in self.published or not self.is_past(t)}

    def _forget(self, known: dict[int, K]) -> None:
        for _ in range(len(known)):
            oldest = next(iter(known))
            if not self.is_past(oldest):
                return
            version = known.pop(oldest)
            if oldest in self.queries:
                known[oldest] = version  # looked at again when what has come since is past
            else:
                self._drop(oldest)

    def _drop(self, open_time: int) -> None:
        self.refuted.pop(open_time, None)
        self.upheld.pop(open_time, None)
        self.decided.pop(open_time, None)
        self.contested.pop(open_time, None)
        self.disputed.pop(open_time, None)
        self._reported.pop(open_time, None)

    # --- publishing ---

    def publish(self, candle: Candle, proof: Reconciliation = "") -> list[Published]:
        """The candle under its revision; nothing when there is nothing new in it, or less than in the one before."""
        if proof == "equal":
            self.agreed.add(candle.open_time)
        else:
            self.agreed.discard(candle.open_time)
        last = self.published.get(candle.open_time)
        if last is None:
            revision = 0
        elif candle.status in LACKING and last.status == "venue":
            return []  # some trades do not outweigh the exchange's version, which has all
        else:
            # which message made a version is no content of it
            unchanged = structs.replace(candle, revision=last.revision, proof=last.proof, event_time=last.event_time)
            if is_unchanged(unchanged, last):
                return [] if proof == last.proof else [self._prove(last, proof)]
            revision = last.revision + 1
        numbered = structs.replace(candle, revision=revision, proof=proof)
        self.published[candle.open_time] = numbered
        is_known = last is not None and last.status == "partial"
        if numbered.status == "partial" and not is_known and self.is_shortest:  # the longer ones lack the same trades
            cause = f"the {self.name} candle is known to lack trades"
            return [numbered, candle_incident("partial", numbered, cause, "until the exchange's own is there")]
        return [numbered]

    def go_on_from(self, stored: Candle) -> list[Published]:
        """Takes a stored version that lacks trades, and that an earlier process has published after the state that this
        one has recovered: ours takes its place, now if it is built, under the revision that follows.
        """
        ours = self.published.get(stored.open_time)
        self.published[stored.open_time] = stored
        return [] if ours is None or ours.status in LACKING else self.publish(ours, ours.proof)

    def publish_kline(self, kline: Kline, proof: Reconciliation = "") -> list[Published]:
        """The exchange's version, in the place of ours where that exists."""
        return self.publish(candle_of_kline(self._venue, kline), proof)

    def mismatch(self, candle: Candle, kline: Kline, outcome: str) -> list[Incident]:
        """The incident that names both versions; none where this outcome is reported of such a difference already."""
        fields = differing_fields(candle, kline)
        kinds = kinds_of_difference(fields)
        reported = self._reported.setdefault(candle.open_time, {})
        if kinds <= reported.get(outcome, frozenset()):
            return []
        reported[outcome] = kinds | reported.get(outcome, frozenset())
        return [candle_incident("mismatch", candle, describe_difference(candle, kline, fields), outcome)]

    def give_up(self, open_times: Sequence[int], reason: str) -> list[Incident]:
        """Incidents that name the periods whose kline is queried no longer; one for those in a row."""
        out: list[Incident] = []
        for _, in_a_row in groupby(enumerate(open_times), lambda item: item[1] - item[0] * self.length):
            run = [open_time for _, open_time in in_a_row]
            found = [self.published.get(open_time) for open_time in run]
            statuses = sorted({"missing" if candle is None else candle.status for candle in found})
            first, last = found[0], found[-1]
            ids = -1 if first is None else first.first_id, -1 if last is None else last.last_id
            cause = f"the exchange's kline of {self.name} was not to be had, of periods: {len(run)}; {reason}"
            outcome = f"not asked for any longer: without a proof, {' and '.join(statuses)}"
            times = run[0], run[-1] + self.length - 1
            out.append(Incident("history", self._venue, self._symbol, *times, cause, outcome, *ids))
        return out

    def is_reported(self, candle: Candle, outcome: str) -> bool:
        """Whether an incident with this outcome has named the candle, in whatever version."""
        return outcome in self._reported.get(candle.open_time, ())

    def _prove(self, candle: Candle, proof: Reconciliation) -> Published:
        stored = proven(candle, proof)
        self.published[candle.open_time] = stored.candle
        return stored

    # --- recovery ---

    def state(self) -> TrackState:
        """A copy; open queries are made again."""
        return (
            self.begun,
            self.newest,
            dict(self.published),
            dict(self.klines),
            self.queries.state(),
            set(self.seeded),
            dict(self.refuted),
            dict(self.disputed),
        )

    def resume(self, state: TrackState) -> None:
        """Takes up a `state()`."""
        self.begun, self.newest, self.published, self.klines, due, self.seeded, self.refuted, self.disputed = state
        self.traded = self.newest
        self.queries.resume(due)
        for candle in self.published.values():
            if candle.proof == "equal":
                self.agreed.add(candle.open_time)


def shortest_of(tracks: Mapping[str, Track]) -> Track:
    """The track of the shortest timeframe."""
    return next(track for track in tracks.values() if track.is_shortest)
