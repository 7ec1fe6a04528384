"""One symbol of a market as far as it has been played: its trades, klines, book and 24-hour figures.

Everything is computed on demand, from the segment that is being played, the history before it, and the number of
messages sent. Bound: of finished segments, the newest with `past_rows` trades are kept for REST, and history becomes
coarser with age (`history.py`).
"""

from collections import deque
from typing import Any, Protocol

import msgspec
import polars as pl

from flows.model import DAY_MS
from sources.replay.market.aggregate import AGGREGATE, TRADE, pieces_of, roll_up
from sources.replay.market.book import Book, Level, decode_update
from sources.replay.market.decimals import SPOT_DECIMALS, decimal_text
from sources.replay.market.encode import PayloadEncoder, Statistics
from sources.replay.market.history import History
from sources.replay.market.intervals import MINUTE_MS, earlier_open, next_open, open_of
from sources.replay.market.klines import Kline, klines_of
from sources.replay.market.lives import ALWAYS, Life
from sources.replay.market.played import Played
from sources.replay.market.timeline import SymbolSegment

MOST_PAST_ROWS = 400_000
AVERAGE_MS = 5 * MINUTE_MS
"""Of how long the average price is."""
_BEFORE_SNAPSHOT = 100
"""Diffs before a recorded snapshot that may be newer than it: an answer is recorded later than it was computed."""


class Past(Protocol):
    """Trades and aggregates of the time before a market begins, by id, the begin inclusive and the end not."""

    @property
    def first_id(self) -> int:
        """The oldest trade."""

    @property
    def aggregate_first_id(self) -> int:
        """The oldest aggregate."""

    @property
    def end_id(self) -> int:
        """The first trade that is not of the past."""

    @property
    def aggregate_end_id(self) -> int:
        """The same of aggregates."""

    def trades(self, begin: int, end: int) -> pl.DataFrame:
        """Trades (`TRADE`), as far as they are of the past."""

    def aggregates(self, begin: int, end: int) -> pl.DataFrame:
        """Aggregates (`AGGREGATE`), as far as they are of the past."""

    def aggregate_at(self, time_ms: int) -> int:
        """The id of the first aggregate at or after a time; `aggregate_end_id` when it is not of the past."""


class SymbolMarket:
    """The state of one symbol."""

    def __init__(
        self,
        encoder: PayloadEncoder,
        history: History | None = None,
        *,
        past_rows: int = MOST_PAST_ROWS,
        life: Life = ALWAYS,
        past: Past | None = None,
    ) -> None:
        """`past_rows`: how many of the trades of finished segments are kept, at most `MOST_PAST_ROWS`. `past` are the
        trades before those that are played, which are served until the first of these are given up.
        """
        self._most_past_rows = min(past_rows, MOST_PAST_ROWS)
        self.encoder = encoder
        self.life = life
        """When it trades."""
        self._before = past
        self._history = history or History()
        self._segment: SymbolSegment | None = None
        self._past: deque[Played] = deque()
        self._past_rows = 0
        self._past_count = 0
        self._past_quantity: int | None = None
        self._book: Book | None = None
        self._book_cursor = 0
        self._is_book_wanted = False

    def begin(self, segment: SymbolSegment) -> None:
        """Starts a segment; the one before becomes history."""
        if self._segment is not None:
            if self._is_book_wanted:
                self.book()  # to its end, as the next segment may go on with it
            elif segment.begins_at_update is not None:
                self._book = None  # it can be made again, and objects for each level are much
            self._keep(self._segment)
        self._segment = segment
        self._book_cursor = 0
        self._is_book_wanted = False

    @property
    def trade_count(self) -> int:
        """How many trades have been played; it changes with every trade."""
        return self._past_count + (self._segment.rows if self._segment else 0)

    # --- klines

    def is_settled(self, interval: str, open_ms: int, *, zone_ms: int = 0) -> bool:
        """Whether all trades of a period have been played; the exchange sends some shortly after the period's end."""
        segment = self._segment
        end_ms = next_open(interval, open_ms, zone_ms=zone_ms)
        return segment is None or segment.rows >= segment.totals.rows_before(end_ms)

    def kline(self, interval: str, open_ms: int, *, zone_ms: int = 0) -> Kline | None:
        """The kline of the period that begins at `open_ms`; None before the first trade. `zone_ms` as in `open_of`."""
        segment = self._segment
        end_ms = next_open(interval, open_ms, zone_ms=zone_ms)
        rows = min(segment.rows, segment.totals.rows_before(end_ms)) if segment else 0
        recent = segment.totals.at(interval, rows - 1, zone_ms=zone_ms) if segment and rows else None
        if segment and recent and open_ms > segment.totals.times[0]:
            return recent if recent.open_time == open_ms else self._flat(open_ms, end_ms, recent.close)
        before = self._history_kline(interval, open_ms, zone_ms)
        if recent and before:
            return before.then(recent)
        if recent:
            return recent._replace(open_time=open_ms)
        close = None if before else self._history.close_before(open_ms)
        return before if close is None else self._flat(open_ms, end_ms, close)

    def _flat(self, open_ms: int, end_ms: int, close: int) -> Kline | None:
        """The kline of a period without trades; there is none where it could not trade in any of it."""
        return Kline.flat(open_ms, close) if self.life.trades_within(open_ms, end_ms) else None

    def klines(
        self, interval: str, *, now_ms: int, start_ms: int | None, end_ms: int | None, limit: int, zone_ms: int = 0
    ) -> list[Kline]:
        """Klines as REST serves them: ascending, the running one last, empty periods flat; from `start_ms` on, else
        the newest `limit` up to `end_ms`.
        """
        last = open_of(interval, now_ms if end_ms is None else min(now_ms, end_ms), zone_ms=zone_ms)
        wanted = earlier_open(interval, last, max(limit - 1, 0), zone_ms=zone_ms) if start_ms is None else start_ms
        known = self._first_open(interval, zone_ms, wanted)
        if known is None or limit < 1:
            return []
        if start_ms is None:
            first = max(known, wanted)
        else:
            first = open_of(interval, max(start_ms, known), zone_ms=zone_ms)
            first = first if first >= start_ms else next_open(interval, first, zone_ms=zone_ms)
        return self._filled(interval, first, last, limit, zone_ms)

    def _filled(self, interval: str, first: int, last: int, limit: int, zone_ms: int) -> list[Kline]:
        pieces = [self._history.pieces(interval, start_ms=first, zone_ms=zone_ms)]
        if self._segment:
            totals = self._segment.totals
            begin = totals.rows_before(first)
            pieces.append(totals.pieces.slice(begin, max(self._segment.rows - begin, 0)))
        rolled = roll_up(pl.concat(pieces), interval, zone_ms=zone_ms)
        traded = {kline.open_time: kline for kline in klines_of(rolled)}
        close = self._close_before(first)
        klines: list[Kline] = []
        open_ms = first
        while open_ms <= last and len(klines) < limit:
            end_ms = next_open(interval, open_ms, zone_ms=zone_ms)
            kline = traded.get(open_ms) or (None if close is None else self._flat(open_ms, end_ms, close))
            if kline is not None:
                klines.append(kline)
                close = kline.close
            open_ms = end_ms
        return klines

    def _first_open(self, interval: str, zone_ms: int, before_ms: int) -> int | None:
        known = self._history.first_open(interval, zone_ms=zone_ms, before_ms=before_ms)
        if known is None and self._segment and self._segment.rows:
            known = self._segment.totals.times[0]
        return None if known is None else open_of(interval, known, zone_ms=zone_ms)

    def _close_before(self, time_ms: int) -> int | None:
        rows = min(self._segment.rows, self._segment.totals.rows_before(time_ms)) if self._segment else 0
        return self._segment.totals.close(rows - 1) if self._segment and rows else self._history.close_before(time_ms)

    def _history_kline(self, interval: str, open_ms: int, zone_ms: int) -> Kline | None:
        end_ms, newest = next_open(interval, open_ms, zone_ms=zone_ms), self._history.last_open
        if newest is None or newest < open_ms:
            return None
        if newest < end_ms:
            whole = self._history.since(open_ms)
            return whole and whole._replace(open_time=open_ms)
        pieces = self._history.pieces(interval, start_ms=open_ms, zone_ms=zone_ms)
        rolled = roll_up(pieces.filter(pl.col("open_time") < end_ms), interval, zone_ms=zone_ms)
        return next(iter(klines_of(rolled)), None)

    # --- 24 hours

    def statistics(self, now_ms: int, *, open_ms: int | None = None) -> Statistics | None:
        """The window that begins at `open_ms` (default: 24 hours ago) and ends now; None before the first trade."""
        if open_ms is None:
            open_ms = now_ms - DAY_MS
            if self.encoder.kind == "usdm":
                open_ms -= open_ms % MINUTE_MS
        window = self._window(open_ms)
        last = self._close_before(now_ms + 1)
        if window is None and last is None:
            return None
        window = window or Kline.flat(open_ms, last or 0)
        bid, ask = self.best()
        before = self._close_before(open_ms)
        return Statistics(
            window=window,
            open_ms=open_ms,
            close_ms=now_ms,
            previous_close=window.open if before is None else before,
            last_quantity=self._last_quantity(),
            bid=bid,
            ask=ask,
        )

    def no_statistics(self, now_ms: int, *, open_ms: int | None = None) -> Statistics:
        """The exchange's statistics of a symbol without trades."""
        nothing = self.encoder.no_level()
        open_ms = now_ms - DAY_MS if open_ms is None else open_ms
        return Statistics(Kline.flat(open_ms, 0), open_ms, now_ms, 0, 0, nothing, nothing)

    def average(self, now_ms: int) -> tuple[str, int]:
        """The average price of five minutes, weighted by volume, and the time of the last trade; the last price where
        nothing was traded in them.
        """
        window = self._window(now_ms - AVERAGE_MS)
        last = self._close_before(now_ms + 1) or 0
        times = self._segment.totals.times if self._segment and self._segment.rows else ()
        last_ms = times[self._segment.rows - 1] if self._segment and times else (self._history.last_open or 0)
        if window is None or not window.volume:
            return self.encoder.decimals.price_text(last), last_ms
        numbers = self.encoder.decimals
        exact = window.quote * 10 ** (SPOT_DECIMALS - numbers.price) // window.volume
        return decimal_text(exact, SPOT_DECIMALS, SPOT_DECIMALS), last_ms

    def _window(self, open_ms: int) -> Kline | None:
        segment = self._segment
        begin = segment.totals.rows_before(open_ms) if segment else 0
        recent = segment.totals.between(begin, segment.rows) if segment else None
        before = None if begin else self._history.since(open_ms)
        return before.then(recent) if before and recent else recent or before

    def _last_quantity(self) -> int:
        """Quantity of the last trade; of one in the history it is the average of its piece."""
        segment = self._segment
        if segment is not None and segment.rows:
            return int(segment.totals.pieces["volume"][segment.rows - 1])
        if self._past_quantity is None:
            self._past_quantity = self._history.last_quantity()
        return self._past_quantity

    # --- the book

    def book(self) -> Book | None:
        """The book as played so far; None while there is none. Diffs since the last call are applied now."""
        segment = self._segment
        if segment is None or segment.depth_channel is None:
            return None
        self._is_book_wanted = True
        channel = segment.depth_channel
        played = channel.played  # once: tests look at a book from another thread
        for index in range(self._book_cursor, played + 1):
            if index == 0 and self._book and self._book.last_id == segment.begins_at_update:
                pass
            elif index in segment.snapshots:
                self._book = Book(segment.snapshots[index])
                for earlier in range(max(0, index - _BEFORE_SNAPSHOT), index):
                    self._book.apply(decode_update(channel.payloads[earlier]))
            if self._book and index < played:
                self._book.apply(decode_update(channel.payloads[index]))
        self._book_cursor = played
        return self._book

    def best(self) -> tuple[Level, Level]:
        """Best bid and ask; an empty side is zero."""
        channel = self._segment.quote_channel if self._segment else None
        if channel is not None and channel.played:
            quote = msgspec.json.decode(channel.payloads[channel.played - 1])
            return (quote["b"], quote["B"]), (quote["a"], quote["A"])
        book, nothing = self.book(), self.encoder.no_level()
        if book is None:
            return nothing, nothing
        return book.best_bid() or nothing, book.best_ask() or nothing

    def quote(self, now_ms: int) -> bytes | None:
        """The present `bookTicker`; None while there is none."""
        channel = self._segment.quote_channel if self._segment else None
        if channel is not None and channel.played:
            return channel.payloads[channel.played - 1]
        book = self.book()
        return None if book is None else self.encoder.book_ticker(book.last_id, *self.best(), event_ms=now_ms)

    # --- trades

    def aggregate_rows(
        self, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """REST rows, as `Market.agg_trades`."""
        parts = [played.aggregates() for played in self._past]
        if self._segment:
            parts.append(self._segment.aggregates.head(self._segment.aggregate_channel.played))
        rows = pl.concat(parts or [pl.DataFrame(schema=AGGREGATE)])
        if from_id is not None:
            rows = rows.filter(pl.col("id") >= from_id)
        if start_ms is not None:
            rows = rows.filter(pl.col("time") >= start_ms)
        if end_ms is not None:
            rows = rows.filter(pl.col("time") <= end_ms)
        oldest = from_id is not None or start_ms is not None
        rows = rows.head(limit) if oldest else rows.tail(limit)
        before = self._before
        if before is not None:
            first = before.aggregate_first_id
            begin = max(from_id or first, first if start_ms is None else before.aggregate_at(start_ms), first)
            end = before.aggregate_end_id if end_ms is None else before.aggregate_at(end_ms + 1)
            if oldest:
                rows = pl.concat([before.aggregates(begin, min(end, begin + limit)), rows]).head(limit)
            else:
                rows = pl.concat([before.aggregates(end - limit + rows.height, end), rows])
        return self.encoder.aggregate_rows(rows)

    def played_trades(self) -> pl.DataFrame:
        """The trades played so far that are kept, as in `aggregate.py`, ascending."""
        parts = [played.trades() for played in self._past]
        if self._segment:
            parts.append(self._segment.trades.head(self._segment.trades_played))
        return pl.concat(parts or [pl.DataFrame(schema=TRADE)])

    def trade_rows(self, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """REST rows, as `Market.trades`."""
        rows = self.played_trades()
        rows = rows.tail(limit) if from_id is None else rows.filter(pl.col("id") >= from_id).head(limit)
        before = self._before
        if before is not None and from_id is None:
            rows = pl.concat([before.trades(before.end_id - limit + rows.height, before.end_id), rows])
        elif before is not None and from_id is not None:
            begin = max(from_id, before.first_id)
            rows = pl.concat([before.trades(begin, begin + limit), rows]).head(limit)
        return self.encoder.trade_rows(rows)

    def _keep(self, segment: SymbolSegment) -> None:
        counted = segment.totals.played(segment.rows)
        self._past_count += segment.rows
        if counted.height:
            self._past_quantity = int(counted["quantity"][-1])
        kept = segment.keep(segment.trades, segment.aggregates)
        rows = kept.trades if counted.height == kept.rows else counted.clone
        self._history.append(lambda: pieces_of(rows()), "1s" if self.encoder.kind == "spot" else "1m")
        self._past.append(kept)
        self._past_rows += kept.rows
        while self._past_rows - self._past[0].rows >= self._most_past_rows:
            self._past_rows -= self._past.popleft().rows
            self._before = None  # what is served has no gap
