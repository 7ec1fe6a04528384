"""The last 24 hours of an instrument, minute by minute, and their totals."""

from collections.abc import Iterable
from math import fsum
from typing import Final, NamedTuple

from flows.model import DAY_MS, Candle, Kline
from flows.operators.candles.bucket import Sum


class Span(NamedTuple):
    """Prices and volumes of a minute, or of many. Without a trade all prices are the last one before, or 0.0. What the
    venue does not report of one of them is not known of all: a volume is NaN then, and the count -1.
    """

    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int

    @classmethod
    def of(cls, source: Candle | Kline) -> "Span":
        """Of a candle, ours or the exchange's."""
        return cls(
            source.open, source.high, source.low, source.close, source.volume, source.quote_volume, source.trades
        )  # fmt: skip


BLOCK: Final = 60
"""Minutes whose total is kept."""
NOTHING = Span(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


def joined(spans: Iterable[Span]) -> Span:
    """The total of spans in the order of time. Those without a trade count where none has any: by the last price."""
    spans = list(spans)
    traded = [span for span in spans if span.trades]
    if not traded:
        price = next((span.close for span in reversed(spans) if span.close), 0.0)
        return Span(price, price, price, price, 0.0, 0.0, 0)
    return Span(
        traded[0].open,
        max([span.high for span in traded]),
        min([span.low for span in traded]),
        traded[-1].close,
        fsum([span.volume for span in traded]),
        fsum([span.quote_volume for span in traded]),
        -1 if any(span.trades < 0 for span in traded) else sum([span.trades for span in traded]),
    )


class _Total(NamedTuple):
    """The total of many minutes, and the exact sums of their volumes."""

    span: Span
    volume: Sum
    quote_volume: Sum

    @classmethod
    def of(cls, spans: list[Span]) -> "_Total":
        traded = [span for span in spans if span.trades]
        return cls._folded(joined(spans), [span.volume for span in traded], [span.quote_volume for span in traded])

    @classmethod
    def of_all(cls, totals: list["_Total"]) -> "_Total":
        """Of totals in the order of time."""
        return cls._folded(
            joined(total.span for total in totals),
            [part for total in totals for part in total.volume],
            [part for total in totals for part in total.quote_volume],
        )

    @classmethod
    def _folded(cls, span: Span, *volumes: list[float]) -> "_Total":
        volume, quote_volume = map(Sum, volumes)
        volume.fold()
        quote_volume.fold()
        rounded = span._replace(volume=fsum(volume), quote_volume=fsum(quote_volume))
        return cls(rounded, volume, quote_volume)

    def with_minute(self, minute: Span) -> Span:
        """The total with one more; of its volumes each is rounded once."""
        both = joined((self.span, minute))
        if not minute.trades:
            return both
        volume, quote_volume = fsum([*self.volume, minute.volume]), fsum([*self.quote_volume, minute.quote_volume])
        return both._replace(volume=volume, quote_volume=quote_volume)


class RollingDay:
    """The running minute and those of the 24 hours before it. The total of the closed ones is computed once a minute,
    and when one is amended, from those of blocks of minutes; the running one is added to that.
    """

    def __init__(self, minute_ms: int) -> None:
        self._minute_ms = minute_ms
        self._minutes: dict[int, Span] = {}
        self._closed: _Total | None = None
        self._block_ms = BLOCK * minute_ms
        self._blocks: dict[int, _Total] = {}
        """By open time, the totals of blocks of which no minute has changed since."""
        self.running: int | None = None
        """Open time of the running minute; None before the first."""

    @property
    def begin(self) -> int:
        """Open time of the oldest minute that belongs to it."""
        assert self.running is not None  # noqa: S101 - there is a first minute
        return self.running - DAY_MS

    def advance(self, time: int) -> bool:
        """Moves on to the minute that holds `time`, and drops what is a day older. False when it is there already."""
        open_time = time - time % self._minute_ms
        if self.running is not None and open_time <= self.running:
            return False
        self.running, self._closed = open_time, None
        for old in [known for known in self._minutes if known < self.begin]:
            del self._minutes[old]
        for old in [known for known in self._blocks if known < self.begin]:
            del self._blocks[old]
        return True

    def put(self, open_time: int, span: Span) -> None:
        """A minute, or a newer version of it. One that is over a day old is ignored, a later one becomes the running
        one.
        """
        self.advance(open_time)
        if open_time < self.begin:
            return
        if open_time != self.running and self._minutes.get(open_time) != span:
            self._closed = None
        if self._minutes.get(open_time) != span:
            self._blocks.pop(self._block_of(open_time), None)
        self._minutes[open_time] = span

    def get(self, open_time: int) -> Span | None:
        """What is known of a minute."""
        return self._minutes.get(open_time)

    def missing(self, until: int) -> list[int]:
        """Open times before `until` of minutes that are not there."""
        return [time for time in range(self.begin, until, self._minute_ms) if time not in self._minutes]

    def total(self) -> Span:
        """The total of all minutes."""
        assert self.running is not None  # noqa: S101 - there is a first minute
        if self._closed is None:
            self._closed = self._total(self.begin, self.running)
        running = self._minutes.get(self.running)
        return self._closed.with_minute(running) if running else self._closed.span

    def total_of(self, begin: int, end: int | None = None) -> Span:
        """The total of the minutes that open in `[begin, end)`; without an `end` to the last one."""
        if not self._minutes:
            return NOTHING
        return self._total(begin, max(self._minutes) + self._minute_ms if end is None else end).span

    def _total(self, begin: int, end: int) -> _Total:
        """Of whole blocks from their totals, of those that begin before or end after from their minutes."""
        begin = max(begin, self.begin)
        blocks = range(self._block_of(begin), end, self._block_ms)
        return _Total.of_all([self._total_in(block, begin, end) for block in blocks])

    def _total_in(self, block: int, begin: int, end: int) -> _Total:
        """Of the minutes of a block that open in `[begin, end)`."""
        if not begin <= block <= end - self._block_ms:
            return _Total.of(self._spans(max(begin, block), min(end, block + self._block_ms)))
        total = self._blocks.get(block)
        if total is None:
            total = self._blocks[block] = _Total.of(self._spans(block, block + self._block_ms))
        return total

    def _block_of(self, open_time: int) -> int:
        return open_time - open_time % self._block_ms

    def _spans(self, begin: int, end: int) -> list[Span]:
        minutes = map(self._minutes.get, range(begin, end, self._minute_ms))
        return [span for span in minutes if span is not None]
