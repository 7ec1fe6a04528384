"""The past of a symbol: the pieces of klines from which longer ones, and 24-hour figures, are rolled up.

Old pieces are coarse, new ones fine. A history grows at its end by what was played; what exceeds its bound is rolled up
into the next coarser tier (`_TIERS`), so klines of that age exist only in intervals that it divides: 1 s for an
hour or two, 1 m for ten weeks, 1 h for years.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable

import numpy as np
import polars as pl

from sources.replay.market.aggregate import PIECE, roll_up
from sources.replay.market.intervals import INTERVALS_MS, period_of
from sources.replay.market.klines import Kline

HISTORY = PIECE | {"base_ms": pl.Int64}
"""A piece, and the length of the period to which it was rolled up."""
_PIECE, _HISTORY = pl.Schema(PIECE), pl.Schema(HISTORY)

SECONDS = 7_200
"""How many seconds are kept at least where nothing else is said."""
_TIERS = (("1m", 100_000, "1h"), ("1h", 20_000, "1d"))
"""Interval, how many of its periods are kept at least (at most a quarter more), and the tier for older ones. The tier
before them are seconds.
"""

_PENDING = 64
"""Most appended frames that are kept unmerged until the next query."""


_OLD_WHOLES = 64


class Shelf:
    """Frames that can be computed again, as many as are wanted most of the time: those used last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._frames: OrderedDict[int, pl.DataFrame] = OrderedDict()
        self._slots = 0

    def slot(self, make: Callable[[], pl.DataFrame]) -> Callable[[], pl.DataFrame]:
        """A function with the result of `make`, which it calls when it is not there any more."""
        number, self._slots = self._slots, self._slots + 1

        def frame() -> pl.DataFrame:
            found = self._frames.pop(number, None)
            self._frames[number] = made = make() if found is None else found
            if len(self._frames) > self._most:
                self._frames.popitem(last=False)
            return made

        return frame


class History:
    """Pieces of one symbol in order of time, all of them before the segment that is being played."""

    def __init__(
        self,
        source: Callable[[], pl.DataFrame] | None = None,
        *,
        old: Callable[[], pl.DataFrame] | None = None,
        seconds: int = SECONDS,
    ) -> None:
        """`source` returns the rows (`HISTORY`); it is called when they are first needed. `old` returns those before
        them (`HISTORY`, or narrowed), whenever they are needed: they are not kept here. `seconds`: of how many the
        periods of a second are kept at least; older ones become minutes.
        """
        self._source = source
        self._old = old
        self._old_wholes: dict[int, Kline | None] = {}  # by the time from which on
        self._tiers = (("1s", seconds, "1m"), *_TIERS)
        self._pending: list[tuple[Callable[[], pl.DataFrame], str]] = []
        self._opens = np.empty(0, np.int64)
        self._wholes: dict[int, Kline] = {}  # by the row with which they begin
        self._rows = pl.DataFrame(schema=HISTORY)  # each number in the smallest type that takes its column

    def append(self, pieces: Callable[[], pl.DataFrame], interval: str) -> None:
        """Adds what was played since, later rolled up to `interval`; old pieces may become coarser by it."""
        self._pending.append((pieces, interval))
        if len(self._pending) > _PENDING:
            self._roll_up()

    def pieces(self, interval: str, *, start_ms: int, zone_ms: int = 0) -> pl.DataFrame:
        """The pieces from which klines of an interval can be rolled up, from a moment on."""
        wanted = _divides(interval, zone_ms) & (pl.col("open_time") >= start_ms)
        frames = [self._frame]
        if self._old is not None and not self._is_recent(interval, zone_ms, start_ms):
            frames.insert(0, self._old())
        return pl.concat([frame.filter(wanted).select(*PIECE).cast(_PIECE) for frame in frames])

    def first_open(self, interval: str, *, zone_ms: int = 0, before_ms: int = 0) -> int | None:
        """Begin of the oldest piece from which klines of an interval can be rolled up; None without any. One by
        `before_ms` is old enough.
        """
        if self._old is not None and not self._is_recent(interval, zone_ms, before_ms):
            oldest = _first(self._old(), interval, zone_ms)
            if oldest is not None:
                return oldest
        return _first(self._frame, interval, zone_ms)

    def _is_recent(self, interval: str, zone_ms: int, time_ms: int) -> bool:
        """Whether the rows that are kept begin by a time."""
        oldest = _first(self._frame, interval, zone_ms)
        return oldest is not None and oldest <= time_ms

    @property
    def last_open(self) -> int | None:
        """Begin of the newest piece; None without any."""
        frame = self._frame
        return None if frame.is_empty() else int(frame["open_time"][-1])

    def last_quantity(self) -> int:
        """Quantity of an average trade of the newest piece; 0 without any."""
        last = self._frame.tail(1).select(pl.col("volume") // pl.max_horizontal("trades", 1)).to_series()
        return int(last[0]) if last.len() else 0

    def since(self, time_ms: int) -> Kline | None:
        """Everything that began at a moment or later as one kline; None without anything."""
        recent = self._recent_since(time_ms)
        before = self._old_since(time_ms)
        return before.then(recent) if before and recent else before or recent

    def _old_since(self, time_ms: int) -> Kline | None:
        """What is not kept of that; it never changes."""
        if self._old is None or not self._is_old(time_ms):
            return None
        if time_ms not in self._old_wholes:
            rows = self._old().filter(pl.col("open_time") >= time_ms)
            if len(self._old_wholes) >= _OLD_WHOLES:
                self._old_wholes.clear()
            self._old_wholes[time_ms] = _whole(rows.cast(_HISTORY)) if rows.height else None
        return self._old_wholes[time_ms]

    def _is_old(self, time_ms: int) -> bool:
        """Whether a time is before the rows that are kept."""
        frame = self._frame
        return frame.is_empty() or time_ms < int(frame["open_time"][0])

    def _recent_since(self, time_ms: int) -> Kline | None:
        row = self._row(time_ms)
        if row == self._rows.height:
            return None
        whole = self._wholes.get(row)
        if whole is None:
            whole = self._wholes[row] = _whole(self._rows.slice(row).cast(_HISTORY))
        return whole

    def close_before(self, time_ms: int) -> int | None:
        """The last price of what began before a moment."""
        row = self._row(time_ms)
        if row:
            return int(self._rows["close"][row - 1])
        if self._old is None:
            return None
        before = self._old().filter(pl.col("open_time") < time_ms)["close"]
        return int(before[-1]) if before.len() else None

    def _row(self, time_ms: int) -> int:
        frame = self._frame
        if self._opens.size != frame.height:
            self._opens = frame["open_time"].to_numpy()
        return bisect_left(self._opens, time_ms)

    @property
    def _frame(self) -> pl.DataFrame:
        if self._pending:
            self._roll_up()
        if self._source is not None:
            before, self._source = self._source().select(*HISTORY), None
            self._set(pl.concat([before, self._rows.cast(_HISTORY)]))
        return self._rows

    def _roll_up(self) -> None:
        """Takes what was appended into the rows; whether those before it are made yet is all the same."""
        intervals = dict.fromkeys(interval for _, interval in self._pending)
        added = [
            based(roll_up(pl.concat([pieces() for pieces, own in self._pending if own == one]), one), one)
            for one in intervals
        ]
        self._pending.clear()
        self._set(pl.concat([self._rows.cast(_HISTORY), *added]))

    def _set(self, rows: pl.DataFrame) -> None:
        self._rows = narrowed(_thinned(rows.rechunk() if rows.n_chunks() > _PENDING else rows, self._tiers))
        self._opens = np.empty(0, np.int64)
        self._wholes.clear()


def based(pieces: pl.DataFrame, interval: str) -> pl.DataFrame:
    """Pieces as rows of a history (`HISTORY`)."""
    return pieces.select(*PIECE).with_columns(pl.lit(INTERVALS_MS[interval], pl.Int64).alias("base_ms"))


def shifted(history: pl.DataFrame, shift_ms: int) -> pl.DataFrame:
    """A history moved in time, each piece by the largest whole number of its periods that fits, so that every kline
    still begins where klines begin.
    """
    return history.with_columns(pl.col("open_time") + pl.lit(shift_ms) // pl.col("base_ms") * pl.col("base_ms"))


def _first(frame: pl.DataFrame, interval: str, zone_ms: int) -> int | None:
    """Begin of the first row from which klines of an interval can be rolled up."""
    oldest = frame.select(pl.col("open_time").filter(_divides(interval, zone_ms)).first()).item()
    return None if oldest is None else int(oldest)


def _divides(interval: str, zone_ms: int) -> pl.Expr:
    """Whether every period of an interval consists of whole pieces."""
    base = pl.col("base_ms")
    return (pl.lit(INTERVALS_MS[interval]) % base == 0) & (pl.lit(zone_ms) % base == 0)


def _whole(pieces: pl.DataFrame) -> Kline:
    """All pieces, at least one, as one."""
    sums = pl.col("volume", "quote", "trades", "taker_volume", "taker_quote").sum()
    first, last = pl.col("open_time", "open", "first_id").first(), pl.col("close", "last_id").last()
    row = pieces.select(first, pl.col("high").max(), pl.col("low").min(), last, sums)
    return Kline(*row.select(*PIECE).row(0))


def narrowed(rows: pl.DataFrame) -> pl.DataFrame:
    """The same numbers, each column in the smallest type that takes it: two thirds of the memory. `History` casts them
    back before it computes with them.
    """
    return pl.DataFrame([column.shrink_dtype() for column in rows])


def _thinned(frame: pl.DataFrame, tiers: Iterable[tuple[str, int, str]]) -> pl.DataFrame:
    for interval, kept, coarser in tiers:
        length = INTERVALS_MS[interval]
        if (frame["base_ms"] == length).sum() <= kept + kept // 4:
            continue
        fine = pl.col("base_ms") == length
        opens = frame.filter(fine)["open_time"]
        # Whole periods of the coarser tier only, or one of them would exist twice.
        cut = opens.to_frame().select(period_of(coarser, pl.col("open_time"))).to_series()[-kept]
        old = fine & (pl.col("open_time") < cut)
        rolled = based(roll_up(frame.filter(old), coarser), coarser)
        frame = pl.concat([frame.filter(~old), rolled]).sort("open_time", maintain_order=True)
    return frame
