"""What a venue derives from the trades and books that are played, beside the channels of the timelines."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from sources.replay.market.market import MarketKind, Message, Wanted
from sources.replay.market.streams.books import BookStreams
from sources.replay.market.streams.schedules import LAG_MS, TICK_MS, WINDOWS_MS, SymbolSchedule
from sources.replay.market.streams.usdm import AllContracts
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

    def on_end(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """What is left to send when the market ends."""


Derive: TypeAlias = Callable[[Mapping[str, SymbolMarket], frozenset[str]], Derived]
"""From the symbols of a market, and the streams that its tapes contain themselves, to what is derived."""


class _AllTickers(NamedTuple):
    """A stream that carries in one message all symbols that have changed."""

    stream: str
    window: str | None = None
    """None: 24 hours."""
    mini: bool = False
    """Whether in the short form."""


_ALL_TICKERS: dict[MarketKind, tuple[_AllTickers, ...]] = {
    "spot": (
        _AllTickers("!miniTicker@arr", mini=True),
        *(_AllTickers(f"!ticker_{window}@arr", window) for window in WINDOWS_MS["spot"]),
    ),
    "usdm": (_AllTickers("!ticker@arr"), _AllTickers("!miniTicker@arr", mini=True)),
}
"""Spot retired `!ticker@arr` on 2026-03-26."""


class BinanceDerived:
    """Klines, tickers, partial books and quotes of Binance, and the single trades that aggregates cover."""

    def __init__(self, kind: MarketKind, markets: Mapping[str, SymbolMarket], recorded: frozenset[str]) -> None:
        self.tick_ms = TICK_MS[kind]
        self._kind: MarketKind = kind
        self._books = {symbol: BookStreams(market, recorded) for symbol, market in markets.items()}
        self._schedules = [SymbolSchedule(market, recorded) for market in markets.values()]
        self._contracts = AllContracts(
            [
                (market, schedule.contract)
                for market, schedule in zip(markets.values(), self._schedules, strict=True)
                if schedule.contract is not None
            ]
        )

    def followers(self, segment: SymbolSegment) -> dict[ChannelTimeline, Follower]:
        """Of the book, and of aggregates from which the trades are derived."""
        found: dict[ChannelTimeline, Follower] = {}
        books = self._books[segment.symbol]
        books.begin(segment)
        if segment.depth_channel is not None:
            found[segment.depth_channel] = books.on_diff
        if segment.fills is not None:
            found[segment.aggregate_channel] = partial(_follow_fills, segment)
        return found

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """Klines, tickers, and books at the slower speeds."""
        for books in self._books.values():
            yield from books.on_tick(now_ms, wanted)
        for schedule in self._schedules:
            yield from schedule.on_tick(now_ms, wanted)
        if now_ms % 1_000 != LAG_MS:
            return
        if self._kind == "usdm":
            yield from self._contracts.on_second(now_ms, wanted)
        for stream, window, mini in _ALL_TICKERS[self._kind]:
            if wanted(stream):
                changed = (schedule.changed(stream, now_ms, window, mini=mini) for schedule in self._schedules)
                rows = [row for row in changed if row is not None]
                if rows:
                    yield Message(now_ms, stream, msgspec.json.encode(rows))

    def on_end(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The differences of the book that still wait for the end of their time."""
        for books in self._books.values():
            yield from books.on_end(now_ms, wanted)


def _follow_fills(segment: SymbolSegment, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
    """The single trades of an aggregate, where they are derived from it."""
    channel = segment.trade_channel
    for stream in channel.streams:
        if wanted(stream):
            for place in segment.fills_of(index):
                yield Message(due_ms, stream, channel.payloads[place])
