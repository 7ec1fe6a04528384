"""What changes candles that were shown: late trades, and holes in the ids, which mark every period that may lack some.

A candle that changes is published again under its key.
"""

from typing import Any

from flows.model import Gap, Incident, Trade
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.periods import Periods, Timeframe, by_period, new_bucket


class Amendments:
    """Late trades and open gaps of one instrument."""

    def __init__(self, periods: Periods) -> None:
        self._periods = periods
        self.open_gaps: dict[int, tuple[int, int]] = {}
        """By the first missing id: the last missing one, and how many are missing."""

    def take_late(self, trades: list[Trade], out: list[Any]) -> None:
        """Trades of periods that are over, or older than trades that the running one has."""
        periods = self._periods
        amended: dict[tuple[str, int], Bucket] = {}
        for open_time, group in by_period(sorted(trades, key=_time_and_id), periods.shortest):
            ordered = sorted(group, key=_id_of)
            if periods.base and open_time == periods.base.open_time and periods.shortest.part is None:
                periods.base.merge(_bucket_of(open_time, ordered))
                periods.is_dirty = True
                continue
            for frame in periods.frames.values():
                self._merge(frame, open_time, ordered, amended, out)
        for (name, _), bucket in amended.items():
            out.append(periods.candle(periods.frames[name], bucket, is_closed=True))

    def _merge(
        self,
        frame: Timeframe,
        time: int,
        trades: list[Trade],
        amended: dict[tuple[str, int], Bucket],
        out: list[Any],
    ) -> None:
        periods, open_time = self._periods, frame.floor(time)
        if periods.base and open_time == frame.floor(periods.base.open_time):
            _add_missing(periods.part_of(frame, periods.base), trades)
            periods.is_dirty = True
            return
        bucket = frame.closed.get(open_time)
        if bucket is None and frame.closed and open_time > min(frame.closed):
            bucket = new_bucket(open_time, trades[0].price)  # it was skipped across a hole
            bucket.gaps = frozenset(self.open_gaps)
            frame.keep(bucket)
        if bucket is None:
            cause = f"{len(trades)} trades for a {frame.name} candle that is no longer held"
            end = open_time + frame.length - 1
            ids = trades[0].first_id, trades[-1].last_id
            out.append(Incident("late", periods.venue, periods.symbol, open_time, end, cause, "not amended", *ids))
        else:
            _add_missing(bucket, trades)
            amended[frame.name, open_time] = bucket

    def mark(self, gap: Gap, out: list[Any]) -> None:
        """Marks every period that may lack trades; those already published are published again as partial."""
        periods = self._periods
        self.open_gaps[gap.first_id] = (gap.last_id, gap.last_id - gap.first_id + 1)
        periods.jump = gap.first_id
        mark = frozenset((gap.first_id,))
        for bucket in periods.running():
            bucket.gaps |= mark
        for frame in periods.frames.values():
            for bucket in frame.closed.values():
                if bucket.open_time + frame.length > gap.after_time and bucket.open_time <= gap.before_time:
                    bucket.gaps |= mark
                    out.append(periods.candle(frame, bucket, is_closed=True))

    def fill(self, trades: list[Trade], out: list[Any]) -> None:
        """Counts what came late; a gap that is filled no longer marks anything."""
        for first, (last, missing) in list(self.open_gaps.items()):
            left = missing - sum(1 for trade in trades if first <= trade.id <= last)
            if left:
                self.open_gaps[first] = (last, left)
                continue
            del self.open_gaps[first]
            self._lift(frozenset((first,)), out)

    def _lift(self, mark: frozenset[int], out: list[Any]) -> None:
        periods = self._periods
        for bucket in periods.running():
            if bucket.gaps & mark:
                bucket.gaps -= mark
                bucket.is_repaired = True
        for frame in periods.frames.values():
            for bucket in frame.closed.values():
                if bucket.gaps & mark:
                    bucket.gaps -= mark
                    bucket.is_repaired = True
                    out.append(periods.candle(frame, bucket, is_closed=True))


def _bucket_of(open_time: int, trades: list[Trade]) -> Bucket:
    bucket = Bucket(open_time, 0.0)
    bucket.add_trades(trades)
    return bucket


def _add_missing(bucket: Bucket, trades: list[Trade]) -> None:
    """Adds trades to a period, in whatever place; without those that came with the exchange's kline already."""
    missing = [trade for trade in trades if trade.first_id > bucket.covered]
    if missing:
        bucket.merge(_bucket_of(bucket.open_time, missing))


def _time_and_id(trade: Trade) -> tuple[int, int]:
    return trade.time, trade.id


def _id_of(trade: Trade) -> int:
    return trade.id
