"""The candles that a day lacks: those between stored ones, and those that stored trades require."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from msgspec import Struct, field

from flows.model import COMPLETE, Kline, timeframe_ms
from flows.operators.candles.bucket import Bucket
from flows.texts import counted
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.findings import Finding, SymbolCounts
from flows.verification.checks.held import Required
from flows.verification.checks.ledger import Ledger

_ADDED = (
    "none are stored before, though trades are: the timeframe was added to feed.timeframes later, or they are lost;"
    " --repair makes them of the stored trades"
)
_NEVER = 1 << 62


class DayCandles(Struct, frozen=True):
    """The stored candles of a day, and the first and last stored candles."""

    by_timeframe: Mapping[str, Sequence[StoredCandle]]
    """By verified timeframe, the shortest first; in the order of time."""
    spans: Mapping[str, tuple[int, int]]
    """Open times of the first and the last stored candle of each timeframe, ms UTC."""
    theirs: Mapping[str, Mapping[int, Kline]] = field(default_factory=dict)
    """The exchange's closed candles by timeframe and open time, as far as they were asked for."""
    required: Mapping[str, Required] = field(default_factory=dict)
    """Of the timeframes of the settings, what must be stored beside that between the first and the last one."""
    is_made_elsewhere: Callable[[str, int, int], bool] = lambda _, __, ___: False
    """Whether the flow has made candles of a timeframe and time for another symbol."""


class Part(Protocol):
    """The day that is verified."""

    symbol: str
    begin: int
    end: int
    until: int

    def recount(self, timeframe: str, open_time: int, bucket: Bucket) -> None:
        """Notes the candle of a period without one, if every trade of it is known."""


class MissingCandles:
    """Finds the candles that a day lacks."""

    def __init__(self, day: Part, candles: DayCandles, ledger: Ledger, counts: SymbolCounts, last_trade: int) -> None:
        """`last_trade` is the time of the last stored trade, ms UTC."""
        self._day = day
        self._candles = candles
        self._ledger = ledger
        self._counts = counts
        over = (one.candle for stored in candles.by_timeframe.values() for one in stored if not one.fault)
        self._made_until = max([last_trade, *(one.close_time for one in over if one.status in COMPLETE)]) + 1
        """The end of what the flow has made candles of, or could have, ms UTC."""

    def findings(
        self,
        timeframe: str,
        buckets: Mapping[int, Bucket],
        there: AbstractSet[int],
        closes: Sequence[tuple[int, float]],
    ) -> Iterator[Finding]:
        """The missing candles of a timeframe. `buckets` are the periods with trades, `there` the open times of the
        stored candles, `closes` the prices of the last trades, each with the open time of its period.
        """
        first, last = self._candles.spans.get(timeframe, (_NEVER, _NEVER))
        length = timeframe_ms(timeframe)
        for run in _runs([t for t in self._open_times(timeframe, length, first, last) if t not in there], length):
            traded = [open_time for open_time in run if open_time in buckets]
            if not traded and (run[0] < first or self._ledger.explains(run[0], run[-1] + length)):
                self._counts.named_missing += run[0] > first
                continue
            if run[0] > last and self._ledger.explains(run[0], run[-1] + length, ("store_outage", "history")):
                self._counts.named_missing += 1
                continue
            for open_time in run:
                bucket = buckets.get(open_time) or _flat(open_time, closes)
                if bucket is not None:
                    self._day.recount(timeframe, open_time, bucket)
            yield self._finding(timeframe, run, len(traded), (first, last))

    def _open_times(self, timeframe: str, length: int, first: int, last: int) -> range:
        """The periods that must have a candle."""
        required = self._candles.required.get(timeframe)
        begin, end = first + length, last
        if required is not None:
            begin = min(begin, required.begin)
            made_until = self._made_until - length + 1
            end = made_until if last == _NEVER else max(last, made_until)
        begin, end = max(self._day.begin, begin), min(self._day.end, end, self._day.until - length + 1)
        return range(-(-begin // length) * length, end, length)

    def _finding(self, timeframe: str, run: Sequence[int], traded: int, span: tuple[int, int]) -> Finding:
        first, last = span
        required = self._candles.required.get(timeframe)
        may_be_new = run[0] < first and required is not None and required.may_be_new
        if may_be_new and not self._candles.is_made_elsewhere(timeframe, run[0], run[-1] + 1):
            return Finding("added", self._day.symbol, timeframe, run[0], f"candles of {timeframe}", _ADDED)
        claimed = "candles on both sides" if first < run[0] < last else "candles of all periods between stored trades"
        true = f"{counted(len(run), 'candle is', 'candles are')} missing; in {traded} of them trades are stored"
        return Finding("missing", self._day.symbol, timeframe, run[0], claimed, true)


def _flat(open_time: int, closes: Sequence[tuple[int, float]]) -> Bucket | None:
    """A period without trades; None where no trade is before it."""
    close = next((price for time, price in reversed(closes) if time < open_time), None)
    return None if close is None else Bucket(open_time, close)


def _runs(open_times: Sequence[int], length: int) -> Iterator[list[int]]:
    """Runs of adjacent candles."""
    run: list[int] = []
    for open_time in open_times:
        if run and open_time != run[-1] + length:
            yield run
            run = []
        run.append(open_time)
    if run:
        yield run
