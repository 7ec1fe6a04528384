"""A market that plays timelines. Tapes and synthetic markets differ only in where their timelines come from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from sources.replay.market.exchange_info import exchange_info_row
from sources.replay.market.market import PAUSE, IsDue, MarketKind, Message, Wanted, always_due
from sources.replay.market.schedules import LAG_MS, TICK_MS, SymbolSchedule
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment, Timeline

_PARTIAL_LEVELS = (5, 10, 20)
_PARTIAL_SPEEDS: dict[MarketKind, tuple[str, ...]] = {
    "spot": ("", "@100ms"),
    "usdm": ("", "@100ms", "@250ms", "@500ms"),
}
_ALL_TICKERS = {"!ticker@arr": False, "!miniTicker@arr": True}
"""Streams that carry all symbols in one message, and whether in the short form."""


class Playback:
    """Plays timelines one after the other and tracks what has been played. Implements `Market`.

    `recorded` are the streams that the timelines contain themselves; these are not derived.
    """

    def __init__(
        self,
        kind: MarketKind,
        markets: Mapping[str, SymbolMarket],
        timelines: Iterable[Timeline],
        *,
        begin_ms: int,
        recorded: frozenset[str] = frozenset(),
    ) -> None:
        self.kind: MarketKind = kind
        self._markets = markets
        self._timelines = iter(timelines)
        self._now_ms = begin_ms
        self._tick_ms = begin_ms - begin_ms % TICK_MS[kind] + LAG_MS
        if self._tick_ms <= begin_ms:
            self._tick_ms += TICK_MS[kind]
        self._recorded = recorded
        self._schedules = [SymbolSchedule(market, recorded) for market in markets.values()]

    @property
    def now_ms(self) -> int:
        """Exchange time of what was played last; the market's begin before that."""
        return self._now_ms

    def play(self, wanted: Wanted, is_due: IsDue = always_due) -> Iterator[Message]:
        """The messages in the order of their `due_ms`, with pauses before what is not due yet. A second call goes on
        with the next timeline.
        """
        for timeline in self._timelines:
            for segment in timeline.segments:
                self._markets[segment.symbol].begin(segment)
            yield from self._play_timeline(timeline, wanted, is_due)
            while self._tick_ms <= timeline.end_ms:
                yield from self._on_tick(wanted)

    def _play_timeline(self, timeline: Timeline, wanted: Wanted, is_due: IsDue) -> Iterator[Message]:
        # The hot loop: it runs for every message of a tape, wanted or not.
        followers: dict[ChannelTimeline, Callable[[int, int, Wanted], Iterator[Message]]] = {}
        siblings: dict[ChannelTimeline, tuple[str, ...]] = {}  # streams that carry the same trades
        for segment in timeline.segments:
            siblings[segment.trade_channel] = segment.aggregate_channel.streams
            siblings[segment.aggregate_channel] = segment.trade_channel.streams
            if segment.depth_channel is not None:
                followers[segment.depth_channel] = partial(self._follow_book, segment)
            if segment.fills is not None:
                followers[segment.aggregate_channel] = partial(_follow_fills, segment)
        tick_ms = self._tick_ms
        for due_ms, channel, index in timeline:
            while due_ms >= tick_ms:
                yield from self._on_tick(wanted)
                tick_ms = self._tick_ms
            streams = [stream for stream in channel.streams if wanted(stream)]
            moves_rest = streams or channel in followers or any(map(wanted, siblings.get(channel, ())))
            if moves_rest and not is_due(due_ms):
                yield Message(due_ms, PAUSE, b"")
            self._now_ms = due_ms
            channel.played = index + 1
            for stream in streams:
                yield Message(due_ms, stream, channel.payloads[index])
            if channel in followers:
                yield from followers[channel](due_ms, index, wanted)

    def _follow_book(self, segment: SymbolSegment, due_ms: int, _index: int, wanted: Wanted) -> Iterator[Message]:
        """Messages derived from the book after a diff: partial depth, and `bookTicker` where the tape has none."""
        name, market = segment.symbol.lower(), self._markets[segment.symbol]
        for levels in _PARTIAL_LEVELS:
            for speed in _PARTIAL_SPEEDS[self.kind]:
                stream = f"{name}@depth{levels}{speed}"
                if stream not in self._recorded and wanted(stream) and (payload := _partial_depth(market, levels)):
                    yield Message(due_ms, stream, payload)
        if segment.quote_channel is None and wanted(f"{name}@bookTicker") and (book := market.book()):
            bid, ask = market.best()
            text = market.encoder.book_ticker(book.last_id, bid, ask, event_ms=due_ms)
            yield Message(due_ms, f"{name}@bookTicker", text)

    def _on_tick(self, wanted: Wanted) -> Iterator[Message]:
        now_ms = self._now_ms = self._tick_ms
        self._tick_ms += TICK_MS[self.kind]
        for schedule in self._schedules:
            yield from schedule.on_tick(now_ms, wanted)
        if now_ms % 1_000 != LAG_MS:
            return
        for stream, mini in _ALL_TICKERS.items():
            if wanted(stream):
                rows = [row for schedule in self._schedules if (row := schedule.ticker(now_ms, mini=mini))]
                yield Message(now_ms, stream, msgspec.json.encode(rows))

    # --- REST

    def exchange_info(self) -> list[dict[str, Any]]:
        """The `symbols` rows of exchangeInfo."""
        return [exchange_info_row(market.encoder) for market in self._markets.values()]

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        """The REST snapshot of the book as played so far; None while the market has no book of that symbol."""
        book = self._markets[symbol].book()
        return None if book is None else book.snapshot(limit, self.kind)

    def agg_trades(
        self, symbol: str, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        """REST rows, ascending; without id and times the newest `limit`."""
        market = self._markets[symbol]
        return market.aggregate_rows(from_id=from_id, start_ms=start_ms, end_ms=end_ms, limit=limit)

    def trades(self, symbol: str, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        """REST rows of raw trades, ascending; without id the newest `limit`."""
        return self._markets[symbol].trade_rows(from_id=from_id, limit=limit)

    def klines(
        self, symbol: str, interval: str, *, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[list[Any]]:
        """REST rows of twelve, ascending, the running one last; empty periods flat."""
        market = self._markets[symbol]
        rows = market.klines(interval, now_ms=self._now_ms, start_ms=start_ms, end_ms=end_ms, limit=limit)
        return [market.encoder.kline_row(interval, kline) for kline in rows]

    def ticker(self, symbol: str) -> dict[str, Any]:
        """The REST 24-hour statistics, all zero before anything has been traded."""
        market = self._markets[symbol]
        statistics = market.statistics(self._now_ms) or market.no_statistics(self._now_ms)
        return statistics.full(market.encoder)

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        """The REST best bid and ask."""
        bid, ask = self._markets[symbol].best()
        row = {"symbol": symbol, "bidPrice": bid[0], "bidQty": bid[1], "askPrice": ask[0], "askQty": ask[1]}
        return row if self.kind == "spot" else row | {"time": self._now_ms}


def _follow_fills(segment: SymbolSegment, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
    """The single trades of an aggregate, where they are derived from it."""
    channel = segment.trade_channel
    for stream in channel.streams:
        if wanted(stream):
            for place in segment.fills_of(index):
                yield Message(due_ms, stream, channel.payloads[place])


def _partial_depth(market: SymbolMarket, levels: int) -> bytes | None:
    """The best levels of a book: on spot without symbol and time, on USD-M in the form of a diff."""
    book, encoder = market.book(), market.encoder
    if book is None:
        return None
    if encoder.kind == "spot":
        return msgspec.json.encode(book.snapshot(levels, "spot"))
    last = book.last_id
    bids, asks = book.bids(levels), book.asks(levels)
    return encoder.depth_update(last, last, last, bids=bids, asks=asks, event_ms=book.event_time)
