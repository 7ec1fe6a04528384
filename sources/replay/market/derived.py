"""What a venue derives from the trades and books that are played, beside the channels of the timelines."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Protocol, TypeAlias

import msgspec

from sources.replay.market.market import MarketKind, Message, Wanted
from sources.replay.market.schedules import LAG_MS, TICK_MS, SymbolSchedule
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment

Follower: TypeAlias = Callable[[int, int, Wanted], Iterator[Message]]
"""The messages that follow one of a channel, from its due time and its index, as far as they are wanted."""


class Derived(Protocol):
    """The derived messages of a venue."""

    @property
    def tick_ms(self) -> int:
        """How often `on_tick` is called, ms."""

    def followers(self, segment: SymbolSegment) -> Mapping[ChannelTimeline, Follower]:
        """What follows the messages of each channel of a segment."""

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """What is sent by the clock."""


Derive: TypeAlias = Callable[[Mapping[str, SymbolMarket], frozenset[str]], Derived]
"""From the symbols of a market, and the streams that its tapes contain themselves, to what is derived."""

_PARTIAL_LEVELS = (5, 10, 20)
_PARTIAL_SPEEDS: dict[MarketKind, tuple[str, ...]] = {
    "spot": ("", "@100ms"),
    "usdm": ("", "@100ms", "@250ms", "@500ms"),
}
_ALL_TICKERS = {"!ticker@arr": False, "!miniTicker@arr": True}
"""Streams that carry all symbols in one message, and whether in the short form."""


class BinanceDerived:
    """Klines, tickers, partial books and quotes of Binance, and the single trades that aggregates cover."""

    def __init__(self, kind: MarketKind, markets: Mapping[str, SymbolMarket], recorded: frozenset[str]) -> None:
        self.tick_ms = TICK_MS[kind]
        self._kind: MarketKind = kind
        self._markets = markets
        self._recorded = recorded
        self._schedules = [SymbolSchedule(market, recorded) for market in markets.values()]

    def followers(self, segment: SymbolSegment) -> dict[ChannelTimeline, Follower]:
        """Of the book, and of aggregates from which the trades are derived."""
        found: dict[ChannelTimeline, Follower] = {}
        if segment.depth_channel is not None:
            found[segment.depth_channel] = partial(self._follow_book, segment)
        if segment.fills is not None:
            found[segment.aggregate_channel] = partial(_follow_fills, segment)
        return found

    def _follow_book(self, segment: SymbolSegment, due_ms: int, _index: int, wanted: Wanted) -> Iterator[Message]:
        """Messages derived from the book after a diff: partial depth, and `bookTicker` where the tape has none."""
        name, market = segment.symbol.lower(), self._markets[segment.symbol]
        for levels in _PARTIAL_LEVELS:
            for speed in _PARTIAL_SPEEDS[self._kind]:
                stream = f"{name}@depth{levels}{speed}"
                if stream not in self._recorded and wanted(stream) and (payload := _partial_depth(market, levels)):
                    yield Message(due_ms, stream, payload)
        if segment.quote_channel is None and wanted(f"{name}@bookTicker") and (book := market.book()):
            bid, ask = market.best()
            text = market.encoder.book_ticker(book.last_id, bid, ask, event_ms=due_ms)
            yield Message(due_ms, f"{name}@bookTicker", text)

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """Klines and tickers."""
        for schedule in self._schedules:
            yield from schedule.on_tick(now_ms, wanted)
        if now_ms % 1_000 != LAG_MS:
            return
        for stream, mini in _ALL_TICKERS.items():
            if wanted(stream):
                rows = [row for schedule in self._schedules if (row := schedule.ticker(now_ms, mini=mini))]
                yield Message(now_ms, stream, msgspec.json.encode(rows))


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
