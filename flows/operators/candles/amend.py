"""What changes candles that were published: late trades, and gaps in the ids.

The laws:
* A closed candle that changes is published again under its key. Late trades that come in a run amend it at the pace of
  the running ones, by local time: the first at once, then what has come meanwhile. Nothing waits for longer than until
  the next period closes, or the input ends.
* A gap marks every period between the trades on both sides of it, running or closed. Once all its trades have come
  late, the mark is taken away, and the periods are `repaired`.
* A trade is added once: not to a period that holds it already by way of the exchange's kline.
"""

from collections.abc import Iterable
from typing import TypeAlias

from flows.clock import Now
from flows.model import Candle, Gap, Incident, Trade
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.periods import Periods, Timeframe, by_period, new_bucket
from flows.texts import counted

OpenGaps: TypeAlias = dict[int, tuple[int, int]]
"""By the first missing id: the last missing one, and how many are still missing."""
Key: TypeAlias = tuple[str, int]
"""Timeframe and open time of a closed period."""


class Amendments:
    """Late trades and open gaps of one instrument."""

    def __init__(self, periods: Periods, pace_ms: int) -> None:
        """Amendments of the same period follow each other by `pace_ms` of local time at least."""
        self._periods = periods
        self._pace_ms = pace_ms
        self.open_gaps: OpenGaps = {}
        self.waiting: dict[Key, Bucket] = {}
        """Amended periods that are not published yet; only for reading."""
        self._published: dict[Key, int] = {}
        """Local times of the last amendments."""

    # --- the pace ---

    def flush(self) -> list[Candle]:
        """Publishes what waits, before a period closes or the input ends."""
        waiting = self.waiting
        self.waiting, self._published = {}, {}
        return [self._candle(key, bucket) for key, bucket in waiting.items()]

    def publish_due(self, now: Now) -> list[Candle]:
        """Publishes what has waited for long enough."""
        due = [key for key in self.waiting if self._wait(key, now) <= 0]
        return [self._publish(key, self.waiting[key], now) for key in due]

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `publish_due` has something to do; None when nothing waits."""
        return max(0, min(self._wait(key, now) for key in self.waiting)) if self.waiting else None

    def state(self) -> tuple[OpenGaps, list[Key]]:
        """A copy, for a snapshot."""
        return dict(self.open_gaps), list(self.waiting)

    def resume(self, open_gaps: OpenGaps, waiting: Iterable[Key]) -> None:
        """Takes up a `state()`, once the periods have taken up theirs."""
        self.open_gaps = open_gaps
        frames = self._periods.frames
        self.waiting = {key: frames[key[0]].closed[key[1]] for key in waiting if key[0] in frames}

    def _wait(self, key: Key, now: Now) -> int:
        published = self._published.get(key)
        return 0 if published is None else published + self._pace_ms - now.local

    def _publish(self, key: Key, bucket: Bucket, now: Now) -> Candle:
        self._published[key] = now.local
        return self._candle(key, bucket)

    def _candle(self, key: Key, bucket: Bucket) -> Candle:
        """The amended candle, with everything that is known of it."""
        self.waiting.pop(key, None)
        periods = self._periods
        return periods.candle(periods.frames[key[0]], bucket)

    # --- late trades ---

    def take_late(self, trades: list[Trade], now: Now) -> list[Candle | Incident]:
        """Trades of periods that are closed, or older than trades that the running one has."""
        periods = self._periods
        out: list[Candle | Incident] = []
        for open_time, group in by_period(sorted(trades, key=_time_and_id), periods.shortest):
            ordered = sorted(group, key=_id_of)
            if periods.base and open_time == periods.base.open_time and periods.shortest.accumulated is None:
                # the base is all that is held of the running period, and the longer ones get it as it closes
                periods.base.merge(_bucket_of(open_time, ordered))
                periods.is_dirty = True
                continue
            for frame in periods.frames.values():
                out += self._merge(frame, open_time, ordered)
        return [*out, *self.publish_due(now)]

    def _merge(self, frame: Timeframe, time: int, trades: list[Trade]) -> list[Incident]:
        """Merges trades of the shortest period that begins at `time` into a frame's period. That waits to be published
        if it is closed; an incident where it is no longer held.
        """
        periods, open_time = self._periods, frame.floor(time)
        if periods.base and open_time == frame.floor(periods.base.open_time):
            _add_missing(periods.accumulated_of(frame, periods.base), trades)
            periods.is_dirty = True
            return []
        bucket = frame.closed.get(open_time)
        if bucket is None and frame.closed and open_time > min(frame.closed):
            # younger than the oldest one that is held: it was skipped across a gap, and its candle is made now
            bucket = new_bucket(open_time, trades[0].price)
            bucket.gaps = frozenset(self.open_gaps)
            frame.keep(bucket)
        if bucket is None:
            return [self._too_late(frame, open_time, trades)]
        _add_missing(bucket, trades)
        self.waiting[frame.name, open_time] = bucket
        return []

    def _too_late(self, frame: Timeframe, open_time: int, trades: list[Trade]) -> Incident:
        periods = self._periods
        cause = f"{counted(len(trades), 'trade')} for a {frame.name} candle that is no longer held"
        end = open_time + frame.length - 1
        ids = trades[0].first_id, trades[-1].last_id
        return Incident("late", periods.venue, periods.symbol, open_time, end, cause, "not amended", *ids)

    # --- gaps ---

    def mark(self, gap: Gap) -> list[Candle]:
        """Marks every period that may lack trades; those already published are published again as partial."""
        periods = self._periods
        self.open_gaps[gap.first_id] = (gap.last_id, gap.last_id - gap.first_id + 1)
        periods.gap_before = gap.first_id
        mark = frozenset((gap.first_id,))
        for bucket in periods.running():
            bucket.gaps |= mark
        out: list[Candle] = []
        for frame in periods.frames.values():
            for bucket in frame.closed.values():
                if bucket.open_time + frame.length > gap.after_time and bucket.open_time <= gap.before_time:
                    bucket.gaps |= mark
                    out.append(self._candle((frame.name, bucket.open_time), bucket))
        return out

    def fill(self, trades: list[Trade]) -> list[Candle]:
        """Counts late trades; a gap that is filled marks nothing any longer."""
        out: list[Candle] = []
        for first, (last, missing) in list(self.open_gaps.items()):
            left = missing - sum(1 for trade in trades if first <= trade.id <= last)
            if left:
                self.open_gaps[first] = (last, left)
                continue
            del self.open_gaps[first]
            out += self._lift(frozenset((first,)))
        return out

    def _lift(self, mark: frozenset[int]) -> list[Candle]:
        periods = self._periods
        for bucket in periods.running():
            if bucket.gaps & mark:
                bucket.gaps -= mark
                bucket.is_repaired = True
        out: list[Candle] = []
        for frame in periods.frames.values():
            for bucket in frame.closed.values():
                if bucket.gaps & mark:
                    bucket.gaps -= mark
                    bucket.is_repaired = True
                    out.append(self._candle((frame.name, bucket.open_time), bucket))
        return out


def _bucket_of(open_time: int, trades: list[Trade]) -> Bucket:
    bucket = Bucket(open_time, 0.0)
    bucket.add_trades(trades)
    return bucket


def _add_missing(bucket: Bucket, trades: list[Trade]) -> None:
    """Adds trades to a period, in whatever place; without those that the exchange's kline brought already."""
    missing = [trade for trade in trades if trade.first_id > bucket.covered]
    if missing:
        bucket.merge(_bucket_of(bucket.open_time, missing))


def _time_and_id(trade: Trade) -> tuple[int, int]:
    return trade.time, trade.id


def _id_of(trade: Trade) -> int:
    return trade.id
