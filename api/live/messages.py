"""Messages that a client of the hub receives, in the shapes of `sinks/hub/payloads/` and `sinks/hub/replies.py`."""

from datetime import datetime
from math import nan
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from flows.model import MAY_BE_UNSTATED, Candle
from sinks.hub.payloads import (
    AccountBody,
    AlertBody,
    BalanceBody,
    BookTickerBody,
    CandleBody,
    ChannelBody,
    ChartUpdateBody,
    FundingBody,
    HeartbeatBody,
    IncidentBody,
    InstrumentBody,
    LiquidationBody,
    MarketDataBody,
    MarkPriceBody,
    OpenInterestBody,
    OrderBookBody,
    PositionBody,
    StatsBody,
    StatusBody,
    TickerBody,
    TradeBody,
)
from sinks.hub.replies import SubscribedData


class _AnyStatus(Struct, frozen=True):
    """Any body of the channel `Status`: of a venue connection, an instrument or the flow, as its fields show."""

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
        """The body as its own type."""
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
    "MarkPrice": MarkPriceBody,
    "Funding": FundingBody,
    "OpenInterest": OpenInterestBody,
    "Liquidation": LiquidationBody,
    "Status": _AnyStatus,
    "Incident": IncidentBody,
    "Alert": AlertBody,
    "Balance": BalanceBody,
    "Position": PositionBody,
    "Account": AccountBody,
    "Subscribed": SubscribedData,
}
"""Type of `data` by message type; `data` of any other type is decoded as plain JSON."""

Body: TypeAlias = Any


class IncomingMessage(Struct, frozen=True):
    """The envelope of a message; `data` is not decoded yet."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: str = ""
    seq: int = 0
    dropped: int = 0
    """Of `Lagged`: number of messages that were dropped before this one."""
    flow: str = ""
    """On a bus: the flow that published it."""


class SnapshotPart(Struct, frozen=True):
    """`data` of a `Snapshot`; the last part is `complete`."""

    messages: list[IncomingMessage]
    complete: bool


class HubMessage(Struct, frozen=True):
    """A decoded message about the market or the feed."""

    venue: str
    channel: str
    body: Body
    stamp_ms: int
    """Feed's time at which the hub created it, ms UTC."""
    seq: int
    hub: str = ""
    """URL of the hub, or of the bus."""
    flow: str = ""
    """On a bus: the flow that published it."""

    @property
    def symbol(self) -> str:
        """The instrument's symbol; "" where the message concerns no instrument."""
        found = self.body.get("symbol", "") if isinstance(self.body, dict) else getattr(self.body, "symbol", "")
        return found if isinstance(found, str) else ""  # of a channel that is not known here it may be anything

    @property
    def time_ms(self) -> int:
        """The exchange's time of the event, ms UTC, so a republished message keeps its age. The hub's time where there
        is none, or where it was later than the hub's.
        """
        own = getattr(self.body, "timestamp", None)
        return min(own, self.stamp_ms) if own else self.stamp_ms


def decode(frame: str | bytes) -> IncomingMessage:
    """Decodes a text frame of the hub; `msgspec.DecodeError` when it is invalid."""
    return _MESSAGE.decode(frame)


def decode_snapshot(data: msgspec.Raw) -> SnapshotPart:
    """Decodes the data of a `Snapshot`."""
    return _SNAPSHOT.decode(data)


def decode_body(kind: str, data: msgspec.Raw) -> Body:
    """Decodes the data of a message of any other type; unknown fields are ignored. A figure that the venue does not
    state is null in the message, and NaN as in the model.
    """
    try:
        body = _DECODERS.get(kind, _ANY).decode(data)
    except msgspec.ValidationError:
        body = msgspec.convert(_with_unstated(_ANY.decode(data)), BODIES[kind])
    return body.body() if isinstance(body, _AnyStatus) else body


def _with_unstated(data: Any) -> Any:
    """The data with NaN for those nulls that stand for it."""
    if not isinstance(data, dict):
        return data
    return {
        name: nan if value is None and name in _UNSTATED else _with_unstated(value) if name == "candle" else value
        for name, value in data.items()
    }


_UNSTATED = frozenset((*MAY_BE_UNSTATED, "weighted_average"))
_MESSAGE = msgspec.json.Decoder(IncomingMessage)
_SNAPSHOT = msgspec.json.Decoder(SnapshotPart)
_DECODERS = {kind: msgspec.json.Decoder(body) for kind, body in BODIES.items()}
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def ms_of(iso: str) -> int:
    """ISO-8601 with a time zone as ms UTC since the epoch; `ValueError` for anything else."""
    time = datetime.fromisoformat(iso)
    if time.tzinfo is None:
        raise ValueError(f"{iso!r} does not say that it is UTC")  # Python reads a time without a zone as local time
    return round(time.timestamp() * 1_000)


def candle_of(body: CandleBody, *, venue: str) -> Candle:
    """The candle of a `Candle` message."""
    return Candle(
        venue=venue,
        symbol=body.symbol,
        timeframe=body.timeframe,
        event_time=body.timestamp,
        **msgspec.structs.asdict(body.candle),
    )
