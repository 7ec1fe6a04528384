"""Step `stats_24h`: statistics of an instrument over the last 24 hours, at any moment, from the first minute on.

The window is the running minute and the 1,440 before it, and its minutes are our own candles: so they are complete by
id, amended when those are, and cost nothing by trade. Those before the first candle, and whatever else is missing, are
the exchange's klines, by a query. Minutes that it serves no more are not known: the statistics stay incomplete until
the window has left them behind. Without a trade the window moves on by time.

The exchange's own ticker means nearly the same, and is compared with it whenever both end with the same trade:
* One that counts from the begin of a minute must be equal.
* One that counts to the millisecond has a part of our first minute: each sum must lie between that with and that
  without this minute, and so must the extremes; the first price must be one that this minute saw, or the next one's.
* It may count fewer trades, unless the venue's rules exclude that (`ticker_counts_trades`).
"""

from collections.abc import Iterable
from math import isnan
from typing import NamedTuple, TypeAlias

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import Now
from flows.model import (
    Candle,
    Incident,
    Instrument,
    Kline,
    Stats24h,
    StatsInput,
    StatsResult,
    Ticker,
    timeframe_ms,
)
from flows.model.printed import change_of, printed
from flows.operators.delay import doubled_ms
from flows.operators.stats.window import NOTHING, RollingDay, Span, joined
from flows.queries import KlinesQuery, Query, QueryError

EVERY_MS = 1_000
"""Least time between two versions."""
RETRY_MIN_MS = 1_000
"""First delay before klines are queried again; doubles with each failure, up to `RETRY_MAX_MS`."""
RETRY_MAX_MS = 64_000
MINUTE_MS = 60_000
OURS_STAY = "ours are served: what the minutes' candles add up to, each of which has a proof of its own, or none"
"""Outcome of a mismatch. The ticker changes nothing: it tells neither which minute differs nor which side is right."""
TOLERANCE = 1e-9
"""Relative difference of two volumes that are the same number, printed and summed."""

Results: TypeAlias = list[StatsResult | Query]


class _Figure(NamedTuple):
    """One field of the exchange's statistics, and the range of its possible values."""

    name: str
    theirs: float
    least: float
    most: float

    @property
    def is_possible(self) -> bool:
        if any(map(isnan, self[1:])):
            return True  # of a venue that does not report it
        slack = TOLERANCE * max(abs(self.least), abs(self.most))
        return self.least - slack <= self.theirs <= self.most + slack


class DayStats:
    """Machine of one instrument. Takes its candles of one timeframe, and tickers, one at a time; gives `Stats24h` when
    something has changed, `Incident` at most once a minute, and `KlinesQuery`. Nothing is recovered.

    `timeframe` is that of the minutes; other candles are ignored.
    """

    def __init__(self, key: str, *, timeframe: str = "1m", rules: VenueRules = ANY_VENUE) -> None:
        self._venue, self._symbol = Instrument.of(key)
        self._rules = rules
        self._timeframe = timeframe
        self._length = timeframe_ms(timeframe)
        self._window = RollingDay(self._length)
        self._first = 0
        self._partial: set[int] = set()
        self._lacks = True
        self._is_queried = False
        self._query_at: int | None = None
        self._failures = 0
        self._last_id = -1
        self._time = 0
        self._compared = 0
        self._sent: Stats24h | None = None
        self._sent_at = 0
        self._dirty = False

    # --- the machine's face ---

    def on_events(self, event: StatsInput, now: Now) -> Results:
        """Takes a candle or a ticker."""
        out: Results = []
        if isinstance(event, Candle) and event.timeframe == self._timeframe:
            self._take_candle(event, now)
        elif isinstance(event, Ticker):
            out += self._compare(event)
        return [*out, *self._due(now)]

    def on_timer(self, now: Now) -> Results:
        """Moves the window on, gives what has changed, queries what is missing."""
        if self._window.running is not None and self._window.advance(now.feed):
            self._time = max(self._time, self._window.running)
            self._find_missing(now)
        return self._due(now)

    def on_answer(self, query: Query, answer: list[Kline] | QueryError, now: Now) -> Results:
        """The klines of a span, or why there are none."""
        assert isinstance(query, KlinesQuery)  # noqa: S101 - it makes no other query
        if isinstance(answer, QueryError):
            self._is_queried = answer.lasting  # then nothing more is queried
        else:
            self._is_queried = False
            self._fill(query, [kline for kline in answer if kline.is_closed])
        self._failures += 1
        self._find_missing(now)
        return self._due(now)

    def on_end(self, now: Now) -> Results:
        """The input ends: the statistics as they are."""
        return [*self._latest(now)] if self._dirty else []

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None before the first candle."""
        if self._window.running is None:
            return None
        waits = [self._window.running + self._length - now.feed]
        if self._dirty:
            waits.append(self._sent_at + EVERY_MS - now.local)
        if self._query_at is not None:
            waits.append(self._query_at - now.local)
        return max(0, min(waits))

    def snapshot(self) -> None:
        """Nothing: the minutes are queried."""

    # --- minutes ---

    def _take_candle(self, candle: Candle, now: Now) -> None:
        open_time = candle.open_time
        if candle.status == "partial":
            known = self._window.get(open_time)
            if known and known.trades > candle.trades:
                return  # what is known is the exchange's
            self._partial.add(open_time)
        else:
            self._partial.discard(open_time)
        if self._window.running is None:
            self._first = open_time  # minutes from here on are ours, those before it are queried
        has_moved = self._window.advance(max(open_time, now.feed))
        self._window.put(open_time, Span.of(candle))
        self._last_id = max(self._last_id, candle.last_id)
        self._time = max(self._time, candle.event_time)
        self._dirty = True
        if has_moved:
            self._find_missing(now)

    def _find_missing(self, now: Now) -> None:
        """Schedules a query where minutes are missing; the one before the running one may still be closing."""
        running = self._window.running
        assert running is not None  # noqa: S101 - the window has begun
        self._partial = {time for time in self._partial if time >= self._window.begin}
        missing = self._window.missing(max(self._first, running - self._length))
        self._lacks = bool(self._partial or missing)
        self._dirty = True
        if not self._served((*self._partial, *missing)):
            self._failures = 0
        elif not self._is_queried and self._query_at is None:
            self._query_at = now.local + doubled_ms(RETRY_MIN_MS, self._failures, longest_ms=RETRY_MAX_MS)

    def _fill(self, query: KlinesQuery, klines: list[Kline]) -> None:
        """Takes the klines of an answer. A queried minute that is not in it had no trades, as before a listing; unless
        it is newer than everything in the answer.
        """
        for kline in klines:
            if self._window.get(kline.open_time) is None or kline.open_time in self._partial:
                self._window.put(kline.open_time, Span.of(kline))
                self._partial.discard(kline.open_time)
        newest = klines[-1].open_time if klines else query.end + self._length
        for open_time in self._window.missing(newest):
            if open_time >= max(query.start, self._oldest_served):
                self._window.put(open_time, NOTHING)
        self._partial -= set(range(query.start, newest, self._length))

    @property
    def _oldest_served(self) -> int:
        """Open time of the oldest minute that the exchange still has a kline of."""
        running, kept = self._window.running, self._rules.klines_kept
        assert running is not None  # noqa: S101 - the window has begun
        return running - (kept - 1) * self._length if kept else self._window.begin

    def _served(self, minutes: Iterable[int]) -> list[int]:
        return [time for time in minutes if time >= self._oldest_served]

    def _query(self) -> list[KlinesQuery]:
        running = self._window.running
        assert running is not None  # noqa: S101 - the window has begun
        self._query_at = None
        closed = [time for time in self._partial if time < running]
        wanted = self._served((*closed, *self._window.missing(running)))
        if not wanted:
            return []
        self._is_queried = True
        return [KlinesQuery(self._symbol, self._timeframe, min(wanted), max(wanted))]

    # --- results ---

    def _due(self, now: Now) -> Results:
        """The query and the statistics whose time has come."""
        out: Results = []
        if self._query_at is not None and now.local >= self._query_at:
            out += self._query()
        if self._dirty and now.local - self._sent_at >= EVERY_MS:
            out += self._latest(now)
        return out

    def _latest(self, now: Now) -> list[Stats24h]:
        """The statistics, if they differ from those sent before."""
        self._dirty = False
        stats = self._stats()
        if stats == self._sent:
            return []
        self._sent, self._sent_at = stats, now.local
        return [stats]

    def _stats(self) -> Stats24h:
        total = self._window.total()
        change, percent = change_of(total.open, total.close)
        return Stats24h(
            venue=self._venue,
            symbol=self._symbol,
            time=self._time,
            open_time=self._window.begin,
            open=total.open,
            high=total.high,
            low=total.low,
            last=total.close,
            volume=printed(total.volume),
            quote_volume=printed(total.quote_volume),
            change=change,
            change_percent=percent,
            weighted_average=printed(total.quote_volume / total.volume) if total.volume else total.close,
            trades=total.trades,
            complete=not self._lacks,
        )

    # --- the exchange's own ---

    def _compare(self, ticker: Ticker) -> list[Incident]:
        """An incident where a figure cannot be; nothing unless both end with the same trade, and once a minute."""
        minute = ticker.close_time // self._length
        if not self._rules.has_comparable_ticker:
            return []
        if self._lacks or ticker.last_id != self._last_id or minute == self._compared:
            return []
        if ticker.open_time < self._window.begin:
            return []  # the window has moved on since
        self._compared = minute
        mismatches = [figure for figure in self._figures(ticker) if not figure.is_possible]
        if not mismatches:
            return []
        cause = "24 hours: " + "; ".join(
            f"{name} {theirs} at the exchange, here {least}" + (f" to {most}" if most != least else "")
            for name, theirs, least, most in mismatches
        )
        span = ticker.open_time, ticker.close_time
        return [Incident("mismatch", self._venue, self._symbol, *span, cause, OURS_STAY)]

    def _figures(self, ticker: Ticker) -> list[_Figure]:
        """The range of each of its fields. The least is without our first minute, where only a part of that counts."""
        first = ticker.open_time - ticker.open_time % self._length
        least = self._window.total_of(first if first == ticker.open_time else first + self._length)
        edge = self._window.total_of(first, first + self._length)
        most = joined((edge, least)) if first != ticker.open_time else least
        opens = (edge.low, edge.high, least.open) if most is not least and edge.trades else (least.open,)
        fewest = least.trades if self._rules.ticker_counts_trades else 0
        return [
            _Figure("open", ticker.open, min(opens), max(opens)),
            _Figure("high", ticker.high, least.high, most.high),
            _Figure("low", ticker.low, most.low, least.low),
            _Figure("last", ticker.last_price, least.close, least.close),
            _Figure("volume", ticker.volume, least.volume, most.volume),
            _Figure("quote volume", ticker.quote_volume, least.quote_volume, most.quote_volume),
            *([_Figure("trades", ticker.trades, fewest, most.trades)] if min(ticker.trades, most.trades) >= 0 else []),
        ]


def minutes_of(timeframes: tuple[str, ...]) -> str:
    """The shortest timeframe of a minute or more, or the longest of all that are shorter; they are sorted."""
    return next((name for name in timeframes if timeframe_ms(name) >= MINUTE_MS), timeframes[-1])


class OncePerMinute:
    """Passes on the first complete statistics of each minute and instrument, for the store."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[str, str], int] = {}

    def __call__(self, items: list[Stats24h]) -> list[Stats24h]:
        """Those that begin a minute which is newer than all before."""
        return [stats for stats in items if self._is_first(stats)]

    def _is_first(self, stats: Stats24h) -> bool:
        key, minute = (stats.venue, stats.symbol), stats.time // MINUTE_MS
        is_first = stats.complete and minute > self._minutes.get(key, -1)
        if is_first:
            self._minutes[key] = minute
        return is_first
