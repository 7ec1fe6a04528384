"""The stored trades of a span, with what it lacks, and the bars of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from flows.model import MARKET_FILL
from flows.modules.late import late_module
from sinks.bars.maker import BarMaker, BarRow
from sinks.bars.missing import MissingIds
from sinks.bars.rule import BarRule
from sinks.trades.codec import END_MS, MINUTE_MS, minute_of
from sinks.trades.reader import FRAME_ROWS, TradeView, in_order

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

ROWS_AT_ONCE: Final = 10_000
"""Most bars that are made before they are handed on."""


class TradeSpan:
    """The trades in `[start, end)` with what is stored around it: the trade before it, the first ones behind it."""

    def __init__(
        self, view: TradeView, symbol: str, start: int, end: int, *, after: tuple[int, int] | None = None
    ) -> None:
        """`after`: only the trades behind the one of this time and last raw id, which is in the span."""
        self._view = view
        self._symbol = symbol
        self._start, self._end = start, end
        self._after = after
        self.trades = 0
        """Trades read so far."""
        self.last_market: tuple[int, float] | None = None
        """Id and price of the last trade on the market before the span; None where others may be missing behind it."""
        before = self._before()
        self.missing = MissingIds(before)
        self._is_begin = before is None and after is None
        self.first_stored: int | None = None
        """Time of the first trade, ms UTC, once it is read, where no trade before it is stored."""

    def _before(self) -> tuple[int, int] | None:
        if not self._start or self._after is not None:
            return None
        time = self._view.last_time(self._symbol, self._start)
        if time is None:
            return None
        # As far back as the reader itself looks: times may run back a little while the ids rise.
        found = self._view.trades(self._symbol, minute_of(time) - MINUTE_MS, self._start, every_fill=True)
        newest = found.item(-1, "id"), found.item(-1, "time")
        market = found.filter(found["fill"] == MARKET_FILL)
        if market.height:
            id_ = market.item(-1, "id")
            if newest[0] - id_ == (found["id"] > id_).sum():
                self.last_market = id_, market.item(-1, "price")
        return newest

    def frames(self, *, rows: int = FRAME_ROWS) -> Iterator[pl.DataFrame]:
        """The trades on the market in the order of time and id; a frame may be empty."""
        found = self._view.iterate(self._symbol, self._start, self._end, rows=rows, every_fill=True)
        return map(self._read, found)

    def behind(self) -> Iterator[pl.DataFrame]:
        """The first trades behind the span."""
        found = self._view.iterate(self._symbol, min(self._end, END_MS), END_MS, rows=1, every_fill=True)
        return map(self._read, islice(found, 1))

    def _read(self, frame: pl.DataFrame) -> pl.DataFrame:
        frame = in_order(frame)
        self.missing.add(frame["id"].to_numpy(), frame["time"].to_numpy())
        if self._is_begin and frame.height:
            self._is_begin, self.first_stored = False, frame.item(0, "time")
        if self._after is not None:
            time, last_id = self._after
            is_later = (pl.col("time") > time) | ((pl.col("time") == time) & (pl.col("last_id") > last_id))
            frame = frame.filter(is_later)
        self.trades += frame.height
        is_market = frame["fill"] == MARKET_FILL
        return frame if is_market.all() else frame.filter(is_market)


class SpanBars:
    """The bars of a rule: those of time that open in `[start, end)`, the others of the trades in it."""

    def __init__(
        self,
        view: TradeView,
        symbol: str,
        rule: BarRule,
        start: int,
        end: int,
        *,
        after: tuple[int, int] | None = None,
        rows: int = FRAME_ROWS,
        watch: Callable[[pl.DataFrame], None] = lambda _: None,
    ) -> None:
        """`after` as in `TradeSpan`; `rows` are the trades that are read at once; `watch` gets them before the bars
        that they close are yielded.
        """
        self._rule = rule
        self._watch = watch
        self._rows = rows
        if rule.periods:
            start, end = rule.periods.next_begin(start), rule.periods.next_begin(min(end, END_MS))
        self.span = TradeSpan(view, symbol, start, end, after=after)
        self._maker = BarMaker(rule, start_ms=start, end_ms=end, last=self.span.last_market)

    @property
    def begins_within(self) -> int | None:
        """Time of the first stored trade, ms UTC, where that is within the period of the first bar, which then may lack
        trades before it; known when that bar is.
        """
        time, periods = self.span.first_stored, self._rule.periods
        return time if periods and time is not None and periods.begin_of(time) < time else None

    def __iter__(self) -> Iterator[list[BarRow]]:
        """The bars in the order of time, some or none at a time: whenever a frame of trades is used up, so that who
        reads them can do something else in between.
        """
        missing = self.span.missing
        for frame in chain(self.span.frames(rows=self._rows), self.span.behind() if self._rule.periods else ()):
            self._watch(frame)
            made = self._maker.take(frame, missing)
            while len(rows := list(islice(made, ROWS_AT_ONCE))) == ROWS_AT_ONCE:
                yield rows
            yield rows
        yield list(self._maker.end(missing))
