"""Sources that have all trades of a stretch of time, as files of an archive do: what the next one begins, and what the
end of one closes.

The laws:
* When a source is over, so is every period before its end, if it is sure of that. If it is not, the first id of what
  follows decides.
* Where the times of a source contradict each other, no period is final.
* What is not known to be continued is closed as unproven: nothing shows that the newest trade was the last one.
"""

from flows.model import COMPLETE, DAY_MS, Candle, Coverage, Trade, WholeFrom
from flows.operators.candles.amend import Amendments
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.periods import DOUBT, UNPROVEN, Periods, Timeframe, new_bucket

BEGIN = -1
"""The gap before the first trade that was ever seen: whatever was traded in that period until then."""
MOST_DOUBTS = 2_000
"""Most stretches of doubtful times that are remembered."""
_NEVER = 1 << 62


def _is_whole(candle: Candle) -> bool:
    """Whether a stored candle has all its trades, and names them."""
    has_ids = candle.first_id >= 0 or not candle.trades
    return candle.status in COMPLETE or (candle.status == "venue" and has_ids)


class WholeSources:
    """The begin and the ends of an instrument's periods, as far as its sources decide them."""

    def __init__(self, periods: Periods, amendments: Amendments) -> None:
        self._periods = periods
        self._amendments = amendments
        self._known_from = _NEVER
        """Begin of a source that has all trades from there on."""
        self._before: tuple[Candle, ...] = ()
        """Stored candles before that."""
        self._vouched = "all"
        """How sure it is that the next first trade is the first that was made since `_known_from`."""
        self._reached: int | None = None
        """End of the newest source."""
        self._open_until: int | None = None
        """End of a source whose newest trade may not be its last one; what follows decides."""

    def take(self, coverage: Coverage) -> list[Candle]:
        """Takes the begin or the end of a source. Nothing is missing from its begin on."""
        change = self._end if coverage.is_over else self._begin
        out = [*self._amendments.flush(), *change(coverage)]
        self._periods.is_dirty = False
        return out

    def begins_whole(self, event: WholeFrom) -> None:
        """All trades from a time on come, and the candles before it are stored."""
        self._known_from = event.time
        self._before = event.before
        self._periods.stored_until = event.stored_until

    def begin(self, trade: Trade) -> None:
        """The first trade ever: what came before it in its periods is not known, unless the source has all trades from
        their begin on.
        """
        periods = self._periods
        begin = periods.shortest.floor(trade.time)
        doubt = UNPROVEN if trade.id > 0 and self._vouched != "all" else None
        periods.base = new_bucket(begin, trade.price, gap=doubt if begin >= self._known_from else BEGIN)
        for frame in periods.longer:
            open_time = frame.floor(trade.time)
            gap = BEGIN if open_time < min(begin, self._known_from) else doubt
            frame.accumulated = self._stored(frame, open_time) or new_bucket(open_time, trade.price, gap=gap)
        self._before = ()

    def _stored(self, frame: Timeframe, open_time: int) -> Bucket | None:
        """The begin of a longer period, until the first trade may come, of stored candles; None unless they are all of
        it.
        """
        at = {(one.open_time, one.timeframe): one for one in self._before if _is_whole(one)}
        found, time = new_bucket(open_time, 0.0), open_time
        lengths = sorted(self._periods.frames.values(), key=lambda one: -one.length)
        while time < self._known_from:
            candle = next((one for longer in lengths if (one := at.get((time, longer.name)))), None)
            if candle is None or candle.close_time >= open_time + frame.length:
                return None
            found.merge(Bucket.of_candle(candle))
            time = candle.close_time + 1
        return found if open_time < time == self._known_from else None

    def _begin(self, coverage: Coverage) -> list[Candle]:
        is_continued = self._open_until is None or self._open_until == coverage.begin
        out = [] if is_continued else self._close_unproven()
        self._open_until = None
        self._known_from = coverage.begin
        self._vouched = coverage.vouched
        self._periods.doubts = (*self._periods.doubts, *coverage.doubts)[-MOST_DOUBTS:]
        if self._periods.base is not None and self._reached != coverage.begin:
            self._start_over()  # what was traded between the two sources is not known
        return out

    def _end(self, coverage: Coverage) -> list[Candle]:
        periods = self._periods
        self._reached = coverage.end
        out: list[Candle] = []
        if coverage.vouched == "all":
            while periods.base is not None and periods.end_of(periods.base) <= coverage.end:
                out += periods.close_base()
            return out
        self._open_until = coverage.end
        return out if coverage.goes_on else self._close_unproven()

    def _close_unproven(self) -> list[Candle]:
        periods = self._periods
        base, end = periods.base, self._open_until
        self._open_until = None
        if base is None or end is None:
            return []
        end = min(end, base.open_time - base.open_time % DAY_MS + DAY_MS)  # nothing shows that another day has begun
        for frame in periods.longer:
            periods.accumulated_of(frame, base)
        for bucket in periods.running():
            bucket.gaps |= DOUBT
        out: list[Candle] = []
        while periods.end_of(periods.current) <= end:
            out += periods.close_base()
            for bucket in periods.running():
                bucket.gaps |= DOUBT
        self._start_over()
        return out

    def _start_over(self) -> None:
        self._periods.start_over()
        self._amendments.open_gaps = {}
