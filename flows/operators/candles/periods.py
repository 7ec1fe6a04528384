"""The periods of all timeframes of one instrument: what they hold, how they follow each other, how they close.

The laws:
* Trades go into one bucket of the shortest timeframe, the base. The longer ones are merged from its periods as they
  close, so a trade costs the same however many timeframes there are.
* Periods close in the order of time, and the longer ones right behind the shorter one that they end with.
* An empty period is flat at the price before it, if the ids prove that it is empty. Across a gap in the ids, and in a
  pause of trading, it has no candle.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby
from typing import TypeAlias

from flows.model import COMPLETE, DAY_MS, Candle, CandleStatus, Figures, Kline, Trade, timeframe_ms
from flows.operators.candles.bucket import Bucket, BucketState
from flows.operators.candles.pauses import Pauses

AMEND_MS = 600_000
"""Closed periods that ended so long before the newest trade are forgotten; what would amend them is an incident. Those
behind it are kept, however many: the next trade may show a gap that all of them lie in.
"""
MOST_FILLED_MS = DAY_MS
"""Empty periods are filled for at most so long at once."""
UNPROVEN = -2
"""The mark of a period of which a source may lack trades, at its begin or its end: nothing vouches for it."""
DOUBT = frozenset((UNPROVEN,))

FrameState: TypeAlias = tuple[BucketState | None, list[BucketState]]
"""What is held of the running period, and the closed ones."""
PeriodsState: TypeAlias = tuple[BucketState | None, dict[str, FrameState]]
"""The base, and the timeframes by name."""


class Timeframe:
    """The periods of one timeframe."""

    __slots__ = ("accumulated", "closed", "kline", "length", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.length = timeframe_ms(name)
        self.accumulated: Bucket | None = None
        """What is held of the running period besides the base; None while that is all."""
        self.closed: dict[int, Bucket] = {}
        """Recent closed periods by open time, oldest first."""
        self.kline: Kline | None = None
        """The exchange's newest kline."""

    def floor(self, time: int) -> int:
        """Begin of the period that holds `time`."""
        return time - time % self.length

    def keep(self, bucket: Bucket) -> None:
        """Remembers a closed period for amendments."""
        self.closed[bucket.open_time] = bucket

    def forget(self, time: int) -> None:
        """Drops closed periods that ended long before the newest trade, made at `time`; but for the last one."""
        limit = time - AMEND_MS
        while len(self.closed) > 1 and (oldest := next(iter(self.closed))) + self.length <= limit:
            del self.closed[oldest]


class Periods:
    """`timeframes` is sorted, each a multiple of the first."""

    def __init__(self, venue: str, symbol: str, timeframes: tuple[str, ...]) -> None:
        self.venue = venue
        self.symbol = symbol
        self.shortest, *self.longer = (Timeframe(name) for name in timeframes)
        self.frames = {frame.name: frame for frame in (self.shortest, *self.longer)}
        self.base: Bucket | None = None
        """The running period of the shortest timeframe; None before the first trade."""
        self.gap_before: int | None = None
        """First missing id of a gap behind which no trade has come yet."""
        self.doubts: tuple[tuple[int, int], ...] = ()
        """First and last time, ms UTC, of stretches in which the times of trades contradict each other."""
        self.pauses = Pauses()
        self.stored_until = 0
        """Time until which another process has stored closed candles, ms UTC."""
        self.is_dirty = False
        """Something has changed since the running candles were shown."""
        self.event_time = 0
        """Exchange time of the newest message that candles are made of."""

    @property
    def current(self) -> Bucket:
        """The base, once there is one."""
        assert self.base is not None  # noqa: S101 - the first trade has begun it
        return self.base

    def end_of(self, base: Bucket) -> int:
        """First millisecond behind a period of the shortest timeframe."""
        return base.open_time + self.shortest.length

    def running(self) -> Iterator[Bucket]:
        """Everything that is held of running periods."""
        yield from filter(None, (self.base, *(frame.accumulated for frame in self.frames.values())))

    def accumulated_of(self, frame: Timeframe, base: Bucket) -> Bucket:
        """What a frame's running period holds besides `base`; an empty bucket where there was nothing yet."""
        if frame.accumulated is None:
            frame.accumulated = new_bucket(frame.floor(base.open_time), base.open)
        return frame.accumulated

    def lacks(self, frame: Timeframe) -> bool:
        """Whether the running period of a frame is known to lack trades."""
        return bool(self.current.gaps or (frame.accumulated is not None and frame.accumulated.gaps))

    def start_over(self) -> None:
        """Drops the running periods: what comes next does not continue them."""
        self.base = self.gap_before = None
        for frame in self.frames.values():
            frame.accumulated = None

    def accumulate_base(self) -> None:
        """Merges the base into what each frame has accumulated, so that this can be replaced for one of them."""
        base = self.current
        for frame in self.frames.values():
            self.accumulated_of(frame, base).merge(base)
        self.base = new_bucket(base.open_time, base.close)

    # --- closing ---

    def advance_to(self, open_time: int) -> list[Candle]:
        """Closes every period before `open_time`. Those between are filled as empty ones, if the ids prove it and they
        are not too many; otherwise they are skipped, and the exchange's history has their candles.
        """
        out = self.close_base()
        if self.gap_before is None and open_time - self.current.open_time <= MOST_FILLED_MS:
            while self.current.open_time < open_time:
                out += self.close_base()
            return out
        price = self.current.close
        self.base = new_bucket(open_time, price, gap=self.gap_before)
        for frame in self.longer:
            if frame.accumulated and frame.accumulated.open_time != frame.floor(open_time):
                # a longer period ended in the skipped time: what it holds is published, as lacking trades
                if frame.accumulated.has_trades:
                    out += self._close(frame, frame.accumulated)
                frame.accumulated = new_bucket(frame.floor(open_time), price, gap=self.gap_before)
        return out

    def close_base(self) -> list[Candle]:
        """Closes the running period of the shortest timeframe, and those of the longer ones that end with it."""
        base = self.current
        end = self.end_of(base)
        shortest = base
        if self.shortest.accumulated is not None:  # its begin is the exchange's kline
            shortest = self.shortest.accumulated
            shortest.merge(base)
            self.shortest.accumulated = None
        out = self._close(self.shortest, shortest)
        for frame in self.longer:
            accumulated = self.accumulated_of(frame, base)
            accumulated.merge(base)
            if end % frame.length == 0:
                out += self._close(frame, accumulated)
                frame.accumulated = new_bucket(end, base.close)
        self.base = new_bucket(end, base.close)
        self.is_dirty = True
        return out

    def forget(self, time: int) -> None:
        """Drops closed periods that ended long before the newest trade, made at `time` or later."""
        for frame in self.frames.values():
            frame.forget(time)

    def _close(self, frame: Timeframe, bucket: Bucket) -> list[Candle]:
        if not bucket.has_trades and self.pauses.hold(bucket.open_time, frame.length):
            return []  # the exchange has no candle of a pause either; if it has, its history brings it
        if bucket.gaps and bucket.open_time + frame.length <= self.stored_until:
            return []  # its begin was another process's, which has stored the whole
        frame.keep(bucket)
        return [self.candle(frame, bucket)]

    # --- candles ---

    def forming(self, frame: Timeframe) -> Candle:
        """The running candle of a timeframe."""
        base, held = self.current, frame.accumulated
        if held is None:
            figures, gaps = (frame.floor(base.open_time), *base.figures[1:]), base.gaps
        else:
            figures, gaps = held.figures_with(base), held.gaps or base.gaps
        return self._candle(frame, figures, "partial" if gaps else "forming", is_closed=False)

    def candle(self, frame: Timeframe, bucket: Bucket) -> Candle:
        """A closed period as a candle."""
        status = _status(bucket)
        if self.doubts and status in COMPLETE and self._is_doubtful(bucket.open_time, frame.length):
            status = "unproven"
        return self._candle(frame, bucket.figures, status, is_closed=True)

    def _is_doubtful(self, open_time: int, length: int) -> bool:
        return any(begin < open_time + length and end >= open_time for begin, end in self.doubts)

    def _candle(self, frame: Timeframe, figures: Figures[int], status: CandleStatus, *, is_closed: bool) -> Candle:
        return Candle(
            *figures,
            venue=self.venue,
            symbol=self.symbol,
            timeframe=frame.name,
            is_closed=is_closed,
            status=status,
            event_time=self.event_time,
        )

    # --- recovery ---

    def state(self) -> PeriodsState:
        """The buckets, as a copy."""
        frames = {
            name: (_state_of(frame.accumulated), [bucket.state() for bucket in frame.closed.values()])
            for name, frame in self.frames.items()
        }
        return _state_of(self.base), frames

    def resume(self, base: BucketState | None, frames: dict[str, FrameState]) -> None:
        """Takes up a `state`; timeframes that are no longer built are left out."""
        self.base = Bucket.of_state(base) if base else None
        for name, (accumulated, closed) in frames.items():
            frame = self.frames.get(name)
            if frame is not None:
                frame.accumulated = Bucket.of_state(accumulated) if accumulated else None
                frame.closed = {bucket.open_time: bucket for bucket in map(Bucket.of_state, closed)}


def by_period(trades: list[Trade], frame: Timeframe) -> Iterator[tuple[int, list[Trade]]]:
    """Begin and trades of each period, in the order of the trades. Where their times rise, which is nearly always, a
    period is cut off by bisection: several times quicker than a look at each.
    """
    times = [trade.time for trade in trades]
    if times != sorted(times):
        for open_time, group in groupby(trades, lambda trade: frame.floor(trade.time)):
            yield open_time, list(group)
        return
    start = 0
    while start < len(times):
        open_time = frame.floor(times[start])
        end = bisect_left(times, open_time + frame.length, start)
        yield open_time, trades[start:end]
        start = end


def new_bucket(open_time: int, price: float, *, gap: int | None = None) -> Bucket:
    """A period without trades so far, flat at `price`; `gap` names what it lacks."""
    bucket = Bucket(open_time, price)
    if gap is not None:
        bucket.gaps = frozenset((gap,))
    return bucket


def _state_of(bucket: Bucket | None) -> BucketState | None:
    return None if bucket is None else bucket.state()


def _status(bucket: Bucket) -> CandleStatus:
    if bucket.gaps:
        return "unproven" if bucket.gaps == DOUBT else "partial"
    return "repaired" if bucket.is_repaired else "final"
