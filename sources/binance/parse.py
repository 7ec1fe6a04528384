"""Parses frames of Binance into events of the model.

The fast path decodes all frames of a poll in one call; every frame must be of a type of its stream group. When one is
not (a reply, an unknown event, a malformed frame), that poll takes the slow path, frame by frame.

Only messages of subscribed streams pass: a message of any other stream, or one whose symbol or type is not that of its
stream, is rejected.

Spot's frames may be binary (`sbe/`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import json, structs

from flows.model import BookSnapshot, Kline, RawFrames, StreamNames
from sources.binance import wire
from sources.binance.envelope import BookEnvelope, BookTickerEnvelope, MarketEnvelope, Outline, TypedMessage
from sources.binance.parsed import Parsed, foreign, is_carried, is_retired, refused
from sources.binance.sbe.decode import is_sbe
from sources.binance.sbe.parse import SbeParser
from sources.binance.usdm_wire import ContractInfoMessage, ForceOrderMessage, MarkPriceMessage
from sources.frames import MOST_BYTES, UNREADABLE, decoded, lines_of, reason_of, too_long

PUBLIC_LINE = "public"
"""The stream group of book data; all other streams are in the group `market`."""
MOST_STREAMS = 10_000
"""Most streams whose `_Stream` is cached; others are computed each time."""

_BOOK_TICKER = b'@bookTicker"'
_STREAM_NAME_ENDS = 128
"""Bytes at the begin of an envelope that contain the stream's name."""
_STREAM = b'{"stream":"'


_Runs: TypeAlias = defaultdict[str, list[Any]]
"""Events by stream, in the order of arrival."""


class _Stream(NamedTuple):
    """The content of a stream, derived from its name."""

    symbol: str
    """Empty when it contains all symbols."""
    trades: type | None
    """Type of its messages on the wire when they are trades of one symbol."""
    kind: type | None
    """Type of its messages on the wire; None: unknown."""
    timeframe: str = ""
    """Interval of klines; empty for other streams."""

    def fault(self, message: Any) -> str:
        """Why a message does not belong to this stream; empty when it does."""
        kind = type(message)
        is_kline = kind is wire.KlineMessage
        symbol = message.s if is_kline else message.symbol
        if self.symbol and symbol != self.symbol:
            return f"a message of {symbol!r} on a stream of {self.symbol}"
        if self.kind is not None and not issubclass(kind, self.kind):
            return f"a message of the wrong type on a stream of {self.kind.__name__}"
        if is_kline and self.timeframe and message.k.i != self.timeframe:
            return f"a kline of {message.k.i!r} on a stream of {self.timeframe}"
        return ""


class BinanceParser:
    """Parses frames of one Binance venue. Its only state is a cache of parsed stream names."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._market: Callable[[bytes], list[MarketEnvelope]] = lines_of(MarketEnvelope)
        self._book: Callable[[bytes], list[BookEnvelope]] = lines_of(BookEnvelope)
        self._book_ticker: Callable[[bytes], list[BookTickerEnvelope]] = lines_of(BookTickerEnvelope)
        is_spot = venue == "binance"
        self._has_typed_book_ticker = not is_spot
        self._sbe = SbeParser(venue) if is_spot else None
        self._outline = json.Decoder(Outline)
        self._typed = json.Decoder(TypedMessage, strict=False)
        self._spot_book_ticker = json.Decoder(wire.SpotBookTickerMessage, strict=False)
        self._partial_depth = json.Decoder(wire.PartialDepthMessage, strict=False)
        self._tags = {member.__struct_config__.tag for member in TypedMessage.__args__}
        self._carried: dict[str, _Stream] = {}
        """Cache by stream name, cleared when the subscriptions of the connection change."""
        self._carried_of: StreamNames | None = None
        self._followed: set[str] = set()
        """Cache: the symbols of the streams of a connection."""
        self._followed_of: StreamNames | None = None

    def parse(self, frames: RawFrames) -> Parsed:
        """Parses a poll. Never raises for the content of a frame: invalid messages go to `rejected` with a reason."""
        if self._sbe is not None and frames.payloads and is_sbe(frames.payloads[0]):
            return self._parse_binary(self._sbe, frames)
        try:
            runs = self._parse_all(frames)
        except UNREADABLE:
            if self._sbe is not None and any(map(is_sbe, frames.payloads)):
                return self._parse_binary(self._sbe, frames)
            return self._parse_each(frames)
        if frames.streams is not self._carried_of:
            self._carried_of, self._carried = frames.streams, {}
        parsed = Parsed([], [], 0)
        events, carried = parsed.events, self._carried
        ignored = 0
        for name, run in runs.items():
            stream = carried.get(name)
            if stream is not None:
                symbol, trades, _, _ = stream
                last = run[-1]
                if type(last) is trades and last.symbol == symbol:  # type: ignore[attr-defined]
                    events.append((symbol, run))  # of trades only the last one is checked here
                    continue
            ignored += self._add_run(name, run, frames, parsed)
        return parsed._replace(ignored=ignored) if ignored else parsed

    # --- fast path ---

    def _parse_all(self, frames: RawFrames) -> _Runs:
        runs: _Runs = defaultdict(list)
        if frames.line != PUBLIC_LINE:
            _collect(runs, self._market, frames.payloads)
        elif self._has_typed_book_ticker:
            _collect(runs, self._book, frames.payloads)
        else:
            tickers: list[bytes] = []
            books: list[bytes] = []
            for payload in frames.payloads:
                (tickers if payload.find(_BOOK_TICKER, 0, _STREAM_NAME_ENDS) > 0 else books).append(payload)
            _collect(runs, self._book, books)
            _collect(runs, self._book_ticker, tickers)
        return runs

    def _add_run(self, name: str, run: list[Any], frames: RawFrames, parsed: Parsed) -> int:
        """Adds the messages that belong to their stream; returns how many are ignored."""
        if not is_carried(name, frames.streams):
            if is_retired(name, frames.streams):
                return len(run)
            parsed.rejected.append(foreign(self._venue, name, len(run), frames))
            return 0
        stream, sound, ignored = self._stream(name), [], 0
        for message in run:
            if type(message) is ContractInfoMessage and not self._is_followed(message.symbol, frames.streams):
                ignored += 1
            elif reason := stream.fault(message):
                parsed.rejected.append(refused(self._venue, reason, json.encode(message), frames, name))
            else:
                sound.append(_one_in_the_model(message))
        parsed.events.extend((symbol, list(events)) for symbol, events in groupby(sound, attrgetter("symbol")))
        return ignored

    # --- binary frames ---

    def _parse_binary(self, sbe: SbeParser, frames: RawFrames) -> Parsed:
        """A poll with SBE messages. Texts may stand between them: notices of the exchange."""
        texts: list[bytes] = []
        binary = sbe.parse(frames, texts)
        if not texts:
            return binary
        other = self._parse_each(structs.replace(frames, payloads=texts))
        return Parsed(binary.events + other.events, binary.rejected + other.rejected, binary.ignored + other.ignored)

    # --- streams ---

    def _stream(self, name: str) -> _Stream:
        stream = self._carried.get(name)
        if stream is None:
            stream = _stream_of(name)
            if len(self._carried) < MOST_STREAMS:
                self._carried[name] = stream
        return stream

    def _is_followed(self, symbol: str, streams: StreamNames | None) -> bool:
        """Whether the connection has a stream of this symbol alone."""
        if streams is None:
            return True
        if streams is not self._followed_of:
            self._followed_of = streams
            self._followed = {name.partition("@")[0].upper() for name in streams.subscribed}
        return symbol in self._followed

    # --- slow path ---

    def _parse_each(self, frames: RawFrames) -> Parsed:
        runs: defaultdict[tuple[str, type, str], list[Any]] = defaultdict(list)
        rejected, ignored = [], 0
        for payload in frames.payloads:
            try:
                found = list(self._events_of(payload)) if len(payload) <= MOST_BYTES else too_long(payload)
            except Exception as error:  # noqa: BLE001 - whatever the decoder raises, only this frame is rejected
                rejected.append(refused(self._venue, reason_of(error), payload, frames, _name_of(payload)))
                continue
            ignored += not found
            for name, message in found:
                if not is_carried(name, frames.streams):
                    is_late = is_retired(name, frames.streams)
                    ignored += is_late
                    rejected += [] if is_late else [foreign(self._venue, name, 1, frames)]
                elif type(message) is ContractInfoMessage and not self._is_followed(message.symbol, frames.streams):
                    ignored += 1
                elif reason := self._stream(name).fault(message) if name else "":
                    rejected.append(refused(self._venue, reason, payload, frames, name))
                else:
                    event = _one_in_the_model(message)
                    runs[event.symbol, type(event), name].append(event)
        return Parsed([(symbol, run) for (symbol, _, _), run in runs.items()], rejected, ignored)

    def _events_of(self, frame: bytes) -> Iterator[tuple[str, Any]]:
        """Stream and wire message of each event in a frame."""
        outline = self._outline.decode(frame)
        if not outline.stream:
            yield from self._events_of_payload(frame, outline, stream="")
            return
        payload = bytes(outline.data)
        if payload.startswith(b"["):  # the streams of all symbols: `!ticker@arr` and its like
            for item in json.decode(payload, type=list[msgspec.Raw]):
                yield from self._events_of_payload(bytes(item), self._outline.decode(item), stream=outline.stream)
            return
        yield from self._events_of_payload(payload, self._outline.decode(payload), stream=outline.stream)

    def _events_of_payload(self, payload: bytes, outline: Outline, *, stream: str) -> Iterator[tuple[str, Any]]:
        if outline.e in self._tags:
            yield stream, self._typed.decode(payload)
        elif outline.e or outline.is_reply:
            return
        elif outline.last_update_id is not msgspec.UNSET and stream:
            partial = self._partial_depth.decode(payload)
            symbol = stream.partition("@")[0].upper()
            yield stream, BookSnapshot(symbol, partial.last_update_id, partial.bids, partial.asks)
        elif outline.u is not msgspec.UNSET or stream.endswith("@bookTicker"):
            yield stream, self._spot_book_ticker.decode(payload)
        elif outline.last_update_id is msgspec.UNSET:
            raise msgspec.ValidationError("the message says neither its type nor what it answers")


_TRADES = frozenset((wire.AggTradeMessage, wire.TradeMessage))
_KINDS: dict[str, type] = {
    "aggTrade": wire.AggTradeMessage,
    "trade": wire.TradeMessage,
    "ticker": wire.TickerMessage,
    "miniTicker": wire.MiniTickerMessage,
    "bookTicker": wire.SpotBookTickerMessage,
    "markPrice": MarkPriceMessage,
    "forceOrder": ForceOrderMessage,
}
"""Wire types by the name of the stream's kind."""
_CONTRACTS = "!contractInfo"
"""The stream of all contracts, followed or not."""
_DERIVATIVES = frozenset((MarkPriceMessage, ForceOrderMessage, ContractInfoMessage))


def _stream_of(name: str) -> _Stream:
    """Parses the name of a stream: `btcusdt@aggTrade`, `btcusdt@kline_1m`, `btcusdt@depth@100ms`, `!ticker@arr`."""
    lower, _, kind = name.partition("@")
    symbol = "" if lower.startswith("!") else lower.upper()
    if kind.startswith("kline_"):
        return _Stream(symbol, None, wire.KlineMessage, kind.removeprefix("kline_").partition("@")[0])
    if kind == "depth" or kind.startswith("depth@"):
        return _Stream(symbol, None, wire.DepthMessage)
    if name == _CONTRACTS:
        return _Stream("", None, ContractInfoMessage)
    found = _KINDS.get(kind.partition("@")[0])
    return _Stream(symbol, found if symbol and found in _TRADES else None, found)


def _name_of(frame: bytes) -> str:
    """The stream's name at the begin of a frame that is not parsed; empty when there is none."""
    if not frame.startswith(_STREAM):
        return ""
    end = frame.find(b'"', len(_STREAM), _STREAM_NAME_ENDS)
    return frame[len(_STREAM) : end].decode("utf-8", "replace") if end > 0 else ""


def _collect(runs: _Runs, decode_lines: Callable[[bytes], list[Any]], payloads: list[bytes]) -> None:
    """Decodes frames together; raises as `decoded`."""
    for envelope in decoded(decode_lines, payloads):
        runs[envelope.stream].append(envelope.data)


def _one_in_the_model(message: Any) -> Any:
    kind = type(message)
    if kind is wire.KlineMessage:
        return _kline(message)
    return message.event if kind in _DERIVATIVES else message


def _kline(message: wire.KlineMessage) -> Kline:
    k = message.k
    return Kline(
        symbol=message.s,
        timeframe=k.i,
        event_time=message.E,
        open_time=k.t,
        open=k.o,
        high=k.h,
        low=k.l,
        close=k.c,
        volume=k.v,
        quote_volume=k.q,
        trades=k.n,
        taker_buy_volume=k.V,
        taker_buy_quote_volume=k.Q,
        first_id=k.f,
        last_id=k.L,
        is_closed=k.x,
        close_time=k.T,
    )
