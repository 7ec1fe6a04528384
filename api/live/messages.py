"""What a client of the hub hears, in the shapes of `sinks/hub/payloads.py` and `sinks/hub/replies.py`."""

from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from flows.model import Candle
from sinks.hub.payloads import (
    BookTickerBody,
    CandleBody,
    ChannelBody,
    ChartUpdateBody,
    HeartbeatBody,
    IncidentBody,
    InstrumentBody,
    MarketDataBody,
    OrderBookBody,
    StatsBody,
    StatusBody,
    TickerBody,
    TradeBody,
)
from sinks.hub.replies import SubscribedData


class _AnyStatus(Struct, frozen=True):
    """Whatever the channel `Status` says: of a line, an instrument, or the flow; which one, its fields tell."""

    venue: str = ""
    origin: str = ""
    line: str = ""
    symbol: str = ""
    state: str = ""
    symbols: tuple[str, ...] = ()
    reason: str = ""
    since: str | None = None
    channels: list[ChannelBody] = []
    time: str | None = None
    clock: str = ""

    def body(self) -> StatusBody | InstrumentBody | HeartbeatBody:
        """The shape that it has."""
        if self.symbol:
            return InstrumentBody(
                self.venue, self.origin, self.symbol, self.state, self.since, self.reason, self.channels
            )
        if not self.line and self.state == "alive":
            return HeartbeatBody(self.venue, self.origin, self.state, self.time, self.clock)
        return StatusBody(self.venue, self.origin, self.line, self.state, self.symbols, self.reason)


BODIES: Final[dict[str, Any]] = {
    "MarketData": MarketDataBody,
    "ChartUpdate": ChartUpdateBody,
    "Trade": TradeBody,
    "Candle": CandleBody,
    "Ticker": TickerBody,
    "OrderBook": OrderBookBody,
    "BookTicker": BookTickerBody,
    "Stats": StatsBody,
    "Status": _AnyStatus,
    "Incident": IncidentBody,
    "Subscribed": SubscribedData,
}
"""The shape of `data` by the message's type; that of any other is whatever JSON it is."""

Body: TypeAlias = Any


class IncomingMessage(Struct, frozen=True):
    """A message as it came."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: str = ""
    seq: int = 0
    dropped: int = 0
    """Of `Lagged`: how many messages were lost before this one."""


class SnapshotPart(Struct, frozen=True):
    """`data` of a snapshot."""

    messages: list[IncomingMessage]
    complete: bool


class HubMessage(Struct, frozen=True):
    """A message about the market or the feed."""

    venue: str
    channel: str
    body: Body
    stamp_ms: int
    """Feed's time at which the hub made it, ms UTC."""
    seq: int

    @property
    def symbol(self) -> str:
        """What it is about; "" where that is no instrument."""
        return getattr(self.body, "symbol", "") or (self.body.get("symbol", "") if isinstance(self.body, dict) else "")

    @property
    def time_ms(self) -> int:
        """The exchange's time of it, ms UTC: what is published again is as old as before. Where it has none, or one
        that lay ahead when the hub sent it, the hub's.
        """
        own = getattr(self.body, "timestamp", None)
        return min(ms_of(own), self.stamp_ms) if own else self.stamp_ms


def decode(frame: str | bytes) -> IncomingMessage:
    """A text frame of the hub; `msgspec.DecodeError` when it is none."""
    return _MESSAGE.decode(frame)


def decode_snapshot(data: msgspec.Raw) -> SnapshotPart:
    """The data of a `Snapshot`."""
    return _SNAPSHOT.decode(data)


def decode_body(kind: str, data: msgspec.Raw) -> Body:
    """The data of a message of any other type; fields that are not known here are ignored."""
    body = _DECODERS.get(kind, _ANY).decode(data)
    return body.body() if isinstance(body, _AnyStatus) else body


_MESSAGE = msgspec.json.Decoder(IncomingMessage)
_SNAPSHOT = msgspec.json.Decoder(SnapshotPart)
_DECODERS = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def ms_of(iso: str) -> int:
    """ISO-8601 in UTC as milliseconds since the epoch; `ValueError` when it is not that."""
    time = datetime.fromisoformat(iso)
    if time.tzinfo is None:
        raise ValueError(f"{iso!r} does not say that it is UTC")  # it would be taken for this machine's own time
    return round(time.timestamp() * 1_000)


def candle_of(body: CandleBody, *, venue: str) -> Candle:
    """The candle that a message tells of."""
    fields = msgspec.structs.asdict(body.candle)
    open_time = ms_of(fields.pop("open_time"))
    return Candle(
        venue=venue,
        symbol=body.symbol,
        timeframe=body.timeframe,
        open_time=open_time,
        event_time=ms_of(body.timestamp),
        **fields,
    )
