"""Frames of Binance become events of the model.

The fast way decodes all frames of a poll in one call and needs every frame to be one of the types that its line
carries. When one is not (a reply, an unknown event, a malformed frame) that poll goes the careful way, frame by frame.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec import json

from flows.foreign import DECODER, quoted
from flows.model import BookSnapshot, Kline, MarketEvent, RawFrames, Rejected
from sources.binance import wire

PUBLIC_LINE = "public"
"""The line of book data; everything else comes by the line `market`."""

_BOOK_TICKER = b'@bookTicker"'
_STREAM_NAME_ENDS = 64
"""A stream's name stands within so many bytes from the begin of an envelope."""


class Parsed(NamedTuple):
    """What a poll contained."""

    events: list[tuple[str, list[MarketEvent]]]
    """Runs `(symbol, events)`: of one symbol, one type, in the order of arrival."""
    rejected: list[Rejected]
    ignored: int
    """Messages that are none of ours: replies to requests and event types that we do not know."""


class _Runs(defaultdict[str, list[Any]]):
    """Events by stream, in the order of arrival."""

    def __init__(self) -> None:
        super().__init__(list)


class BinanceParser:
    """Parses frames of one Binance venue. Holds no state between calls."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._market: Callable[[bytes], list[wire.MarketEnvelope]] = _lines_of(wire.MarketEnvelope)
        self._book: Callable[[bytes], list[wire.BookEnvelope]] = _lines_of(wire.BookEnvelope)
        self._book_ticker: Callable[[bytes], list[wire.BookTickerEnvelope]] = _lines_of(wire.BookTickerEnvelope)
        self._has_typed_book_ticker = venue != "binance"
        self._outline = json.Decoder(wire.Outline)
        self._typed = json.Decoder(wire.TypedMessage, strict=False)
        self._spot_book_ticker = json.Decoder(wire.SpotBookTickerMessage, strict=False)
        self._partial_depth = json.Decoder(wire.PartialDepthMessage, strict=False)
        self._tags = {member.__struct_config__.tag for member in wire.TypedMessage.__args__}

    def parse(self, frames: RawFrames) -> Parsed:
        """Never raises for what a frame contains: what cannot be read is among `rejected`, with the reason."""
        try:
            runs = self._parse_all(frames)
        except msgspec.MsgspecError:
            return self._parse_each(frames)
        events: list[tuple[str, list[Any]]] = []
        for run in runs.values():
            first = run[0]
            if type(first) is wire.KlineMessage:  # nested on the wire; every other message is its model type already
                events.append((first.s, [_kline(message) for message in run]))
            else:
                events.append((first.symbol, run))
        return Parsed(events, [], 0)

    # --- the fast way ---

    def _parse_all(self, frames: RawFrames) -> _Runs:
        runs = _Runs()
        if frames.line != PUBLIC_LINE:
            _collect(runs, self._market(b"\n".join(frames.payloads)))
        elif self._has_typed_book_ticker:
            _collect(runs, self._book(b"\n".join(frames.payloads)))
        else:
            tickers: list[bytes] = []
            books: list[bytes] = []
            for payload in frames.payloads:
                (tickers if payload.find(_BOOK_TICKER, 0, _STREAM_NAME_ENDS) > 0 else books).append(payload)
            _collect(runs, self._book(b"\n".join(books)))
            _collect(runs, self._book_ticker(b"\n".join(tickers)))
        return runs

    # --- the careful way ---

    def _parse_each(self, frames: RawFrames) -> Parsed:
        runs: defaultdict[tuple[str, type], list[Any]] = defaultdict(list)
        rejected, ignored = [], 0
        for payload in frames.payloads:
            try:
                events = list(self._events_of(payload))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                rejected.append(Rejected(self._venue, quoted(str(error), by=DECODER), payload, frames.received_ns))
                continue
            ignored += not events
            for event in events:
                runs[event.symbol, type(event)].append(event)
        return Parsed([(symbol, run) for (symbol, _), run in runs.items()], rejected, ignored)

    def _events_of(self, frame: bytes) -> Iterator[MarketEvent]:
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

    def _events_of_payload(self, payload: bytes, outline: wire.Outline, *, stream: str) -> Iterator[MarketEvent]:
        if outline.e in self._tags:
            yield _one_in_the_model(self._typed.decode(payload))
        elif outline.e or outline.is_reply:
            return
        elif outline.last_update_id is not msgspec.UNSET and stream:
            partial = self._partial_depth.decode(payload)
            symbol = stream.partition("@")[0].upper()
            yield BookSnapshot(symbol, partial.last_update_id, partial.bids, partial.asks)
        elif outline.u is not msgspec.UNSET or stream.endswith("@bookTicker"):
            yield self._spot_book_ticker.decode(payload)
        elif outline.last_update_id is msgspec.UNSET:
            raise msgspec.ValidationError("the message says neither its type nor what it answers")


def _lines_of(envelope: Any) -> Callable[[bytes], Any]:
    return json.Decoder(envelope, strict=False).decode_lines


def _collect(runs: _Runs, envelopes: Iterable[Any]) -> None:
    for envelope in envelopes:
        runs[envelope.stream].append(envelope.data)


def _one_in_the_model(message: Any) -> MarketEvent:
    event: MarketEvent = _kline(message) if type(message) is wire.KlineMessage else message
    return event


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
    )
