"""Running periods that lack trades are completed by the exchange's running kline.

The laws:
* After the begin, a gap, or a restart, running periods that lack trades wait for a kline for `seed_ms` of local time,
  and are not shown meanwhile. Without one they stay `partial`.
* A kline and our trades meet where its last id lies among the ids of the trades that came since, or right before them,
  and no aggregate lies across it. Then the period is the kline, and the trades with a later id. That is said: such a
  candle proves nothing about the trades that it has not got.
* A closed period of the shortest timeframe that the exchange's kline contradicts puts the running longer ones that hold
  its trades in doubt: they begin anew in the same way.
"""

from flows.bounds import VenueRules
from flows.clock import Now
from flows.model import Kline, Seeded, Trade
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.compare import differing_fields, is_known_difference
from flows.operators.candles.periods import DOUBT, Periods, Timeframe

MOST_RECENT = 50_000
"""Trades that are kept while a running period waits for a kline; one more ends the waiting."""
_FROM_NEXT_CALL = -1


class Bootstrap:
    """The waiting of one instrument. With `seed_ms` 0 nothing ever waits."""

    def __init__(self, periods: Periods, seed_ms: int, rules: VenueRules) -> None:
        self._periods = periods
        self._seed_ms = seed_ms
        self._rules = rules
        self.unchecked: Kline | None = None
        """The exchange's closed kline of the shortest timeframe whose period has not been closed yet."""
        self._ends_at = 0
        self.trades: list[Trade] | None = None
        """Those that came since the begin of the waiting; None while nothing waits."""

    def begin(self, now: Now) -> None:
        """Running periods may lack trades."""
        if self._seed_ms:
            self.trades, self._ends_at = [], now.local + self._seed_ms

    def on_closed_kline(self, kline: Kline) -> None:
        """Takes the exchange's closed kline of the shortest timeframe, for `check_closed`."""
        if self._seed_ms:
            self.unchecked = kline

    def check_closed(self, now: Now) -> None:
        """Compares that kline with our period as soon as it is closed. Where they differ, the longer periods wait."""
        periods, kline = self._periods, self.unchecked
        bucket = None if kline is None else periods.shortest.closed.get(kline.open_time)
        if kline is None or bucket is None:
            return
        self.unchecked = None
        fields = differing_fields(periods.candle(periods.shortest, bucket), kline)
        if bucket.gaps or not fields or is_known_difference(self._rules, fields):
            return
        for frame in periods.longer:
            held = frame.accumulated
            if held is not None and held.open_time == frame.floor(kline.open_time):
                held.gaps |= DOUBT
        self.begin(now)

    def resume(self) -> None:
        """The same after a restart, before the local time is known."""
        periods = self._periods
        if self._seed_ms and periods.base is not None and any(map(periods.lacks, periods.frames.values())):
            self.trades, self._ends_at = [], _FROM_NEXT_CALL

    def end(self) -> None:
        """Nothing waits any longer."""
        self.trades = None

    def due_in(self, now: Now) -> int | None:
        """Milliseconds of local time until the waiting ends; None while nothing waits."""
        return None if self.trades is None else self._ends_at - now.local

    def hides(self, frame: Timeframe) -> bool:
        """Whether the running candle of a frame is not to be shown yet."""
        return self.trades is not None and self._periods.lacks(frame)

    def seed(self, now: Now) -> list[Seeded]:
        """Completes what lacks trades, where a kline and our trades meet. The waiting ends when nothing lacks trades,
        or its time is over.
        """
        periods = self._periods
        if periods.base is None or self.trades is None:
            return []
        if self._ends_at == _FROM_NEXT_CALL:
            self._ends_at = now.local + self._seed_ms
        lacking = [frame for frame in periods.frames.values() if periods.lacks(frame)]
        trades = self.trades
        out = [seeded for frame in lacking if (seeded := self._seed(frame, trades)) is not None]
        is_over = now.local >= self._ends_at or len(self.trades) > MOST_RECENT
        if is_over or not any(map(periods.lacks, lacking)):
            self.trades = None
            periods.is_dirty = True
        return out

    def _seed(self, frame: Timeframe, trades: list[Trade]) -> Seeded | None:
        periods, kline = self._periods, frame.kline
        if kline is None or kline.open_time != frame.floor(periods.current.open_time) or not trades:
            return None
        if not trades[0].first_id - 1 <= kline.last_id <= trades[-1].last_id:
            return None  # trades in between are unknown; or they are still to come, and it is tried again with them
        newer = [trade for trade in trades if trade.last_id > kline.last_id]
        if newer and newer[0].first_id <= kline.last_id:
            return None  # it has some fills of this aggregate: no sum of the two is right, a later kline may do
        periods.accumulate_base()  # the base counts in every frame, and only this frame's period is replaced
        seeded = Bucket.of_kline(kline)
        running = [trade for trade in newer if frame.floor(trade.time) == kline.open_time]
        if running:
            seeded.add_trades(running)
        frame.accumulated = seeded  # without the gaps that marked it: the kline has all trades until its last id
        periods.is_dirty = True
        return Seeded(frame.name, kline.open_time)
