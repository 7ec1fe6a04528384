"""The periods of all timeframes of one instrument: what they hold, how they follow each other, how they close.

Trades go into one bucket of the shortest timeframe, the base; the longer ones are merged from its periods as they
close, so a trade costs the same however many timeframes there are.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from flows.model import DAY_MS, Candle, CandleStatus, Kline, Trade, timeframe_ms
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.pauses import Pauses

AMEND_MS = 600_000
"""Closed periods that ended so long before the newest trade are forgotten; what would amend them is an incident. Those
behind it are kept, for all of them lie in the hole that the next trade may show.
"""
MOST_FILLED_MS = DAY_MS
"""Empty periods are filled for at most so long at once."""
UNPROVEN = -2
"""The mark of a period of which a source may have lost trades, at its begin or its end, for nothing vouches for it."""
DOUBT = frozenset((UNPROVEN,))


class Timeframe:
    """The periods of one timeframe: what is known of the running one besides the newest trades, the recent closed
    ones, and the exchange's last word on the running one.
    """

    __slots__ = ("closed", "kline", "length", "name", "part")

    def __init__(self, name: str) -> None:
        self.name = name
        self.length = timeframe_ms(name)
        self.part: Bucket | None = None
        self.closed: dict[int, Bucket] = {}
        self.kline: Kline | None = None

    def floor(self, time: int) -> int:
        """Begin of the period that holds `time`."""
        return time - time % self.length

    def keep(self, bucket: Bucket) -> None:
        """Remembers a closed period for amendments."""
        self.closed[bucket.open_time] = bucket

    def forget(self, time: int) -> None:
        """Lets go of closed periods that ended long before the newest trade, made at `time`; but for the last one."""
        limit = time - AMEND_MS
        while len(self.closed) > 1 and (oldest := next(iter(self.closed))) + self.length <= limit:
            del self.closed[oldest]


class Periods:
    """`timeframes` is sorted, each a multiple of the first. Candles that close go to the list that the caller gives."""

    def __init__(self, venue: str, symbol: str, timeframes: tuple[str, ...]) -> None:
        self.venue = venue
        self.symbol = symbol
        self.shortest, *self.longer = (Timeframe(name) for name in timeframes)
        self.frames = {frame.name: frame for frame in (self.shortest, *self.longer)}
        self.base: Bucket | None = None
        """The running period of the shortest timeframe; None before the first trade."""
        self.jump: int | None = None
        """First missing id of a hole behind which no trade has come yet."""
        self.pauses = Pauses()
        self.is_dirty = False
        """Something has changed since the running candles were shown."""
        self.event_time = 0

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
        yield from filter(None, (self.base, *(frame.part for frame in self.frames.values())))

    def part_of(self, frame: Timeframe, base: Bucket) -> Bucket:
        """What a frame's running period holds besides `base`; made when there was nothing yet."""
        if frame.part is None:
            frame.part = new_bucket(frame.floor(base.open_time), base.open)
        return frame.part

    def lacks(self, frame: Timeframe) -> bool:
        """Whether the running period of a frame is known to lack trades."""
        return bool(self.current.gaps or (frame.part is not None and frame.part.gaps))

    def let_go(self) -> None:
        """The running periods are not gone on with; whatever comes next begins anew."""
        self.base = self.jump = None
        for frame in self.frames.values():
            frame.part = None

    def move_base_into_parts(self) -> None:
        """So that one frame's part can be replaced without touching the others."""
        base = self.current
        for frame in self.frames.values():
            self.part_of(frame, base).merge(base)
        self.base = new_bucket(base.open_time, base.close)

    # --- closing ---

    def advance_to(self, open_time: int, out: list[Any]) -> None:
        """Closes every period before `open_time`. Across a hole in the ids the periods between are unknown, not
        empty; and when they are too many, the exchange's history has to tell them.
        """
        self.close_base(out)
        if self.jump is None and open_time - self.current.open_time <= MOST_FILLED_MS:
            while self.current.open_time < open_time:
                self.close_base(out)
            return
        price = self.current.close
        self.base = new_bucket(open_time, price, gap=self.jump)
        for frame in self.longer:
            if frame.part and frame.part.open_time != frame.floor(open_time):
                if frame.part.trades:
                    self._close(frame, frame.part, out)
                frame.part = new_bucket(frame.floor(open_time), price, gap=self.jump)

    def close_base(self, out: list[Any]) -> None:
        """Closes the running period of the shortest timeframe, and those of the longer ones that end with it."""
        base = self.current
        end = self.end_of(base)
        if self.shortest.part is not None:
            self.shortest.part.merge(base)
            self._close(self.shortest, self.shortest.part, out)
            self.shortest.part = None
        else:
            self._close(self.shortest, base, out)
        for frame in self.longer:
            part = self.part_of(frame, base)
            part.merge(base)
            if end % frame.length == 0:
                self._close(frame, part, out)
                frame.part = new_bucket(end, base.close)
        self.base = new_bucket(end, base.close)
        self.is_dirty = True

    def _close(self, frame: Timeframe, bucket: Bucket, out: list[Any]) -> None:
        if not bucket.trades and self.pauses.hold(bucket.open_time, frame.length):
            return  # the exchange has no candle either, or its history will say so
        frame.keep(bucket)
        out.append(self.candle(frame, bucket, is_closed=True))

    # --- candles ---

    def forming(self, frame: Timeframe) -> Candle:
        """The running candle of a timeframe."""
        base = self.current
        running = base
        if frame.part is not None:
            running = frame.part.copy()
            running.merge(base)
        elif frame is not self.shortest:
            running = new_bucket(frame.floor(base.open_time), base.open)
            running.merge(base)
        return self.candle(frame, running, is_closed=False)

    def candle(self, frame: Timeframe, bucket: Bucket, *, is_closed: bool) -> Candle:
        """What a period is to the world."""
        return Candle(
            venue=self.venue,
            symbol=self.symbol,
            timeframe=frame.name,
            open_time=bucket.open_time,
            open=bucket.open,
            high=bucket.high,
            low=bucket.low,
            close=bucket.close,
            volume=bucket.volume.printed,
            quote_volume=bucket.quote_volume.printed,
            trades=bucket.trades,
            taker_buy_volume=bucket.taker_volume.printed,
            taker_buy_quote_volume=bucket.taker_quote_volume.printed,
            first_id=bucket.first_id,
            last_id=bucket.last_id,
            is_closed=is_closed,
            status=_status(bucket, is_closed=is_closed),
            event_time=self.event_time,
        )

    # --- recovery ---

    def state(self) -> tuple[Any, dict[str, tuple[Any, list[Any]]]]:
        """The buckets, as a copy."""
        frames = {
            name: (frame.part and frame.part.state(), [bucket.state() for bucket in frame.closed.values()])
            for name, frame in self.frames.items()
        }
        return self.base and self.base.state(), frames

    def resume(self, base: Any, frames: dict[str, tuple[Any, list[Any]]]) -> None:
        """Takes up what `state` gave; timeframes that are gone are left out."""
        self.base = Bucket.of_state(base) if base else None
        for name, (part, closed) in frames.items():
            frame = self.frames.get(name)
            if frame is not None:
                frame.part = Bucket.of_state(part) if part else None
                frame.closed = {bucket.open_time: bucket for bucket in map(Bucket.of_state, closed)}


def by_period(trades: list[Trade], frame: Timeframe) -> Iterator[tuple[int, list[Trade]]]:
    """Begin and trades of each period, in the order in which the trades come to it. Nearly always their times rise:
    then a period is cut off by bisection, which is several times quicker than looking at each.
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


def _status(bucket: Bucket, *, is_closed: bool) -> CandleStatus:
    if bucket.gaps:
        return "unproven" if is_closed and bucket.gaps == DOUBT else "partial"
    if not is_closed:
        return "forming"
    return "repaired" if bucket.is_repaired else "final"
