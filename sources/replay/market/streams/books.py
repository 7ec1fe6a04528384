"""What is sent of the book of one symbol of Binance: the differences at each speed, and partial books.

A tape has the differences at one speed. Those of slower streams are merged from them: each stream has spans of update
ids of its own, one after the other without a gap. Where the tape has a gap, so has every stream.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from sources.replay.market.book import DepthUpdate, Level, decode_update
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.market import MarketKind, Message, Wanted
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.market.timeline import ChannelTimeline, Payloads, SymbolSegment

_SPEEDS: Final[dict[MarketKind, dict[str, int]]] = {
    "spot": {"depth": 1_000, "depth@100ms": 100},
    "usdm": {"depth": 250, "depth@100ms": 100, "depth@500ms": 500, "rpiDepth@500ms": 500},
}
"""The streams of differences, and how often they are sent, ms. No order of a market here is one of retail price
improvement: a book with them is the same.
"""
_LEVELS = (5, 10, 20)


def streams_at_once(kind: MarketKind, symbol: str, channel: str) -> tuple[str, ...]:
    """The streams that a tape's differences are sent under as they are, when it has them as `channel`: `depth@100ms`.
    All others are slower.
    """
    _, at, speed = channel.partition("@")
    own_ms = int(speed.removesuffix("ms")) if at else _SPEEDS[kind]["depth"]
    names = [name for name, every_ms in _SPEEDS[kind].items() if every_ms <= own_ms]
    return tuple(f"{symbol.lower()}@{name}" for name in dict.fromkeys((channel, *names)))


class _Piece(NamedTuple):
    """Differences of a channel that one message covers."""

    payloads: Payloads
    begin: int
    end: int

    def updates(self) -> Iterator[DepthUpdate]:
        return (decode_update(self.payloads[index]) for index in range(self.begin, self.end))


class BookStreams:
    """The book streams of one symbol, but for those that send the tape's own differences."""

    def __init__(self, market: SymbolMarket, recorded: frozenset[str]) -> None:
        """`recorded` are streams that the tape itself has."""
        name, kind = market.encoder.symbol.lower(), market.encoder.kind
        self._market = market
        self._quotes = f"{name}@bookTicker"
        self._speeds = [
            _Speed(
                market,
                every_ms,
                f"{name}@{channel}",
                [(n, stream) for n, stream in _partials(name, channel) if stream not in recorded],
            )
            for channel, every_ms in _SPEEDS[kind].items()
        ]
        self._fast: list[_Speed] = []
        self._slow: list[_Speed] = []
        self._channel: ChannelTimeline | None = None
        self._derives_quotes = False

    def begin(self, segment: SymbolSegment) -> None:
        """Starts a segment; what is left of the one before is sent with its first differences."""
        channel = segment.depth_channel
        for speed in self._slow:
            speed.leave(self._channel)
        self._channel = channel
        streams = channel.streams if channel else ()
        self._fast = [speed for speed in self._speeds if speed.stream in streams]
        self._slow = [speed for speed in self._speeds if speed.stream not in streams]
        self._derives_quotes = segment.quote_channel is None

    def on_diff(self, due_ms: int, index: int, wanted: Wanted) -> Iterator[Message]:
        """What follows a difference of the tape."""
        channel = self._channel
        if channel is None:
            return
        for speed in self._slow:
            if speed.is_over(due_ms):
                yield from speed.close(due_ms, channel, index + 1, wanted)
            else:
                speed.open(due_ms)
        for speed in self._fast:
            yield from speed.follow(due_ms, channel.payloads, index, wanted)
        if self._derives_quotes and wanted(self._quotes) and (book := self._market.book()):
            bid, ask = self._market.best()
            yield Message(
                due_ms, self._quotes, self._market.encoder.book_ticker(book.last_id, bid, ask, event_ms=due_ms)
            )

    def on_tick(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The streams whose time is over."""
        for speed in self._slow:
            if self._channel is not None and speed.is_over(now_ms):
                yield from speed.close(now_ms, self._channel, self._channel.played, wanted)

    def on_end(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """All streams: the market ends."""
        for speed in self._slow:
            if self._channel is not None and speed.waits:
                yield from speed.close(now_ms, self._channel, self._channel.played, wanted)


def _partials(name: str, channel: str) -> Iterator[tuple[int, str]]:
    """The streams of partial books at the speed of a stream of differences, each with its levels."""
    _, is_depth, speed = channel.partition("depth")  # none of them is of `rpiDepth`
    if is_depth:
        for levels in _LEVELS:
            yield levels, f"{name}@depth{levels}{speed}"


class _Speed:
    """The streams of one speed: differences, and partial books of the same spans."""

    def __init__(self, market: SymbolMarket, every_ms: int, stream: str, partials: Sequence[tuple[int, str]]) -> None:
        self.stream = stream
        self._market = market
        self._every_ms = every_ms
        self._partials = partials
        self._begin = 0
        self._rest: list[_Piece] = []
        self._slot: int | None = None

    @property
    def waits(self) -> bool:
        """Whether differences wait."""
        return self._slot is not None

    def open(self, due_ms: int) -> None:
        """A difference was played."""
        if self._slot is None:
            self._slot = due_ms // self._every_ms

    def is_over(self, now_ms: int) -> bool:
        """Whether differences wait and their time is over."""
        return self._slot is not None and now_ms // self._every_ms > self._slot

    def leave(self, channel: ChannelTimeline | None) -> None:
        """Another channel begins; what waits of this one is kept."""
        if channel is not None and channel.played > self._begin:
            self._rest.append(_Piece(channel.payloads, self._begin, channel.played))
        self._begin = 0

    def close(self, now_ms: int, channel: ChannelTimeline, end: int, wanted: Wanted) -> Iterator[Message]:
        """Sends what waits, up to before the difference `end` of a channel."""
        pieces = [*self._rest, _Piece(channel.payloads, self._begin, end)]
        self._begin, self._rest, self._slot = end, [], None
        partials = [(levels, stream) for levels, stream in self._partials if wanted(stream)]
        if not partials and not wanted(self.stream):
            return
        merged = list(_merged(update for piece in pieces for update in piece.updates()))
        if wanted(self.stream):
            for update in merged:
                yield Message(now_ms, self.stream, _diff(self._market.encoder, update, now_ms))
        if merged:
            yield from self._partial(now_ms, merged[-1], partials)

    def follow(self, due_ms: int, payloads: Payloads, index: int, wanted: Wanted) -> Iterator[Message]:
        """The partial books after a difference of the tape."""
        partials = [(levels, stream) for levels, stream in self._partials if wanted(stream)]
        if partials:
            yield from self._partial(due_ms, decode_update(payloads[index]), partials)

    def _partial(self, now_ms: int, span: DepthUpdate, partials: list[tuple[int, str]]) -> Iterator[Message]:
        """The best levels: on spot without symbol and time, on USD-M in the form of a difference."""
        book, encoder = self._market.book(), self._market.encoder
        if book is None:
            return
        for levels, stream in partials:
            if encoder.kind == "spot":
                payload = msgspec.json.encode(book.snapshot(levels, "spot"))
            else:
                top = msgspec.structs.replace(
                    span, last_id=book.last_id, bids=book.bids(levels), asks=book.asks(levels)
                )
                payload = _diff(encoder, top, now_ms)
            yield Message(now_ms, stream, payload)


def _merged(updates: Iterator[DepthUpdate]) -> Iterator[DepthUpdate]:
    """The differences as few: one, or where their ids do not follow one another one on each side of the gap."""
    span: DepthUpdate | None = None
    sides: tuple[dict[str, str], dict[str, str]] = {}, {}
    for update in updates:
        if span is not None and not _follows(span, update):
            yield _whole(span, sides)
            span, sides = None, ({}, {})
        for side, levels in zip(sides, (update.bids, update.asks), strict=True):
            side.update(levels)
        span = msgspec.structs.replace(update, first_id=span.first_id, previous_id=span.previous_id) if span else update
    if span is not None:
        yield _whole(span, sides)


def _follows(span: DepthUpdate, update: DepthUpdate) -> bool:
    return span.last_id in (update.first_id - 1, update.previous_id)


def _whole(span: DepthUpdate, sides: tuple[dict[str, str], dict[str, str]]) -> DepthUpdate:
    bids: list[Level] = list(sides[0].items())
    asks: list[Level] = list(sides[1].items())
    return msgspec.structs.replace(span, bids=bids, asks=asks)


def _diff(encoder: PayloadEncoder, span: DepthUpdate, now_ms: int) -> bytes:
    return encoder.depth_update(
        span.first_id,
        span.last_id,
        span.previous_id,
        bids=span.bids,
        asks=span.asks,
        event_ms=now_ms,
        transaction_ms=span.transaction_time or now_ms,
    )
