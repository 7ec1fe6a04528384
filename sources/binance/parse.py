"""Parses frames of Binance into events of the model.

The fast path decodes all frames of a poll in one call; every frame must be of a type of its stream group. When one is
not (a reply, an unknown event, a malformed frame), that poll takes the slow path, frame by frame.

Only messages of subscribed streams pass: a message of any other stream, or one whose symbol or type is not that of its
stream, is rejected. Trades of streams that are known pass as they come, of all symbols together.

Spot's frames may be binary (`sbe/`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
from msgspec import json, structs

from flows.model import BookSnapshot, Kline, RawFrames, Trade
from sources.binance import wire
from sources.binance.envelope import BookEnvelope, BookTickerEnvelope, MarketEnvelope, Outline, TypedMessage
from sources.binance.parsed import Parsed, foreign, is_carried, is_retired, refused
from sources.binance.sbe.decode import is_sbe
from sources.binance.sbe.parse import SbeParser
from sources.binance.streams import ConnectionStreams
from sources.binance.usdm_wire import ContractInfoMessage, ForceOrderMessage, MarkPriceMessage
from sources.frames import MOST_BYTES, UNREADABLE, OfConnections, decoded, lines_of, reason_of, too_long

PUBLIC_LINE = "public"
"""The stream group of book data; all other streams are in the group `market`."""

SEVERAL = 4
"""Messages of a poll for each stream of trades, from which on they are sorted by stream at once."""

_BOOK_TICKER = b'@bookTicker"'
_STREAM_NAME_ENDS = 128
"""Bytes at the begin of an envelope that contain the stream's name."""
_STREAM = b'{"stream":"'


_Runs: TypeAlias = defaultdict[str, list[Any]]
"""Events by stream, in the order of arrival."""


class BinanceParser:
    """Parses frames of one Binance venue. Its only state is a cache of what the streams of connections are."""

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
        self._connections = OfConnections(ConnectionStreams)

    def parse(self, frames: RawFrames) -> Parsed:
        """Parses a poll. Never raises for the content of a frame: invalid messages go to `rejected` with a reason."""
        if self._sbe is not None and frames.payloads and is_sbe(frames.payloads[0]):
            return self._parse_binary(self._sbe, frames)
        streams, trades = self._connections.of(frames.streams), list[Trade]()
        try:
            runs = self._parse_all(frames, streams, trades)
        except UNREADABLE:
            if self._sbe is not None and any(map(is_sbe, frames.payloads)):
                return self._parse_binary(self._sbe, frames)
            return self._parse_each(frames)
        parsed = Parsed([], [], 0, (), trades or ())
        events, traded, of_trades = parsed.events, streams.traded, streams.of_trades
        ignored = 0
        for name, run in runs.items():
            symbol, last = traded.get(name), run[-1]
            kind = type(last)
            if symbol is not None and kind is of_trades and last.symbol == symbol:
                events.append((symbol, run))  # of several trades only the last one is checked here
            else:
                ignored += self._add_run(name, run, frames, streams, parsed)
        return parsed._replace(ignored=ignored) if ignored else parsed

    # --- fast path ---

    def _parse_all(self, frames: RawFrames, streams: ConnectionStreams, trades: list[Trade]) -> _Runs:
        """Adds the trades of streams that are known to `trades`, and gives everything else."""
        runs: _Runs = defaultdict(list)
        if frames.line != PUBLIC_LINE:
            read, payloads = streams.read(frames.payloads)
            trades += read
            if payloads:
                _collect(decoded(self._market, payloads), streams, trades, runs)
        elif self._has_typed_book_ticker:
            _collect(decoded(self._book, frames.payloads), streams, trades, runs)
        else:
            tickers: list[bytes] = []
            books: list[bytes] = []
            for payload in frames.payloads:
                (tickers if payload.find(_BOOK_TICKER, 0, _STREAM_NAME_ENDS) > 0 else books).append(payload)
            _collect(decoded(self._book, books), streams, trades, runs)
            _collect(decoded(self._book_ticker, tickers), streams, trades, runs)
        return runs

    def _add_run(self, name: str, run: list[Any], frames: RawFrames, streams: ConnectionStreams, parsed: Parsed) -> int:
        """Adds the messages that belong to their stream; returns how many are ignored."""
        if not is_carried(name, frames.streams):
            if is_retired(name, frames.streams):
                return len(run)
            parsed.rejected.append(foreign(self._venue, name, len(run), frames))
            return 0
        stream, sound, ignored = streams.of(name), [], 0
        for message in run:
            if type(message) is ContractInfoMessage and not streams.follow(message.symbol):
                ignored += 1
            elif reason := stream.fault(message):
                parsed.rejected.append(refused(self._venue, reason, json.encode(message), frames, name))
            else:
                sound.append(_one_in_the_model(message))
        if stream.symbol and sound:
            parsed.events.append((stream.symbol, sound))
        else:
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
        return Parsed(
            binary.events + other.events, binary.rejected + other.rejected, binary.ignored + other.ignored,
            trades=binary.trades,
        )  # fmt: skip

    # --- slow path ---

    def _parse_each(self, frames: RawFrames) -> Parsed:
        runs: defaultdict[tuple[str, type, str], list[Any]] = defaultdict(list)
        streams, rejected, ignored = self._connections.of(frames.streams), [], 0
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
                elif type(message) is ContractInfoMessage and not streams.follow(message.symbol):
                    ignored += 1
                elif reason := streams.of(name).fault(message) if name else "":
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


_DERIVATIVES = frozenset((MarkPriceMessage, ForceOrderMessage, ContractInfoMessage))


def _name_of(frame: bytes) -> str:
    """The stream's name at the begin of a frame that is not parsed; empty when there is none."""
    if not frame.startswith(_STREAM):
        return ""
    end = frame.find(b'"', len(_STREAM), _STREAM_NAME_ENDS)
    return frame[len(_STREAM) : end].decode("utf-8", "replace") if end > 0 else ""


def _collect(envelopes: list[Any], streams: ConnectionStreams, trades: list[Trade], runs: _Runs) -> None:
    """Adds the trades of streams that are known to `trades`, everything else to `runs`. Where a poll has several of
    each stream, they are sorted at once: then that is the quicker way.
    """
    traded, of_trades = streams.traded, streams.of_trades
    if len(envelopes) > SEVERAL * len(traded):
        for envelope in envelopes:
            runs[envelope.stream].append(envelope.data)
        return
    for envelope in envelopes:  # the hot path
        name, message = envelope.stream, envelope.data
        kind = type(message)
        if kind is of_trades and traded.get(name) == message.symbol:
            trades.append(message)
        else:
            runs[name].append(message)


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
