"""What the exchange knows of a running period, and we do not: its running kline fills what our trades lack."""

from flows.clock import Now
from flows.model import Trade
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.periods import Periods, Timeframe

MOST_RECENT = 50_000
"""Trades that are kept while a running period waits for the exchange's kline; with more it waits in vain."""
_AT_FIRST_SIGHT = -1


class Bootstrap:
    """For `seed_ms` of local time after the begin or a hole, running periods that lack trades wait for a kline. Without
    it they never do.
    """

    def __init__(self, periods: Periods, seed_ms: int) -> None:
        self._periods = periods
        self._seed_ms = seed_ms
        self._ends_at = 0
        self.trades: list[Trade] | None = None
        """Those that came since the begin of the waiting; None while nothing waits."""

    def begin(self, now: Now) -> None:
        """Running periods may lack trades."""
        if self._seed_ms:
            self.trades, self._ends_at = [], now.local + self._seed_ms

    def resume(self) -> None:
        """The same behind a restart, where the local time is not known yet."""
        periods = self._periods
        if self._seed_ms and periods.base is not None and any(map(periods.lacks, periods.frames.values())):
            self.trades, self._ends_at = [], _AT_FIRST_SIGHT

    def end(self) -> None:
        """Nothing is waited for any longer."""
        self.trades = None

    def due_in(self, now: Now) -> int | None:
        """Milliseconds of local time until the waiting is over; None while nothing waits."""
        return None if self.trades is None else self._ends_at - now.local

    def hides(self, frame: Timeframe) -> bool:
        """Whether the running candle of a frame is not to be shown yet."""
        return self.trades is not None and self._periods.lacks(frame)

    def seed(self, now: Now) -> None:
        """Fills what lacks trades, where the exchange's kline and our newest trades meet; ends the waiting when nothing
        does, or its time is over.
        """
        periods = self._periods
        if periods.base is None or self.trades is None:
            return
        if self._ends_at == _AT_FIRST_SIGHT:
            self._ends_at = now.local + self._seed_ms
        lacking = [frame for frame in periods.frames.values() if periods.lacks(frame)]
        for frame in lacking:
            self._seed(frame, self.trades)
        is_over = now.local >= self._ends_at or len(self.trades) > MOST_RECENT
        if is_over or not any(map(periods.lacks, lacking)):
            self.trades = None
            periods.is_dirty = True

    def _seed(self, frame: Timeframe, trades: list[Trade]) -> None:
        """The running period becomes the exchange's kline and the trades with a later id, if none is between them."""
        periods, kline = self._periods, frame.kline
        if kline is None or kline.open_time != frame.floor(periods.current.open_time) or not trades:
            return
        if not trades[0].first_id - 1 <= kline.last_id <= trades[-1].last_id:
            return  # too old, or ahead of the trades that we have
        newer = [trade for trade in trades if trade.last_id > kline.last_id]
        if newer and newer[0].first_id <= kline.last_id:
            return  # it holds a part of an aggregate
        periods.move_base_into_parts()
        seeded = Bucket.of_kline(kline)
        running = [trade for trade in newer if frame.floor(trade.time) == kline.open_time]
        if running:
            seeded.add_trades(running)
        frame.part = seeded
        periods.is_dirty = True
