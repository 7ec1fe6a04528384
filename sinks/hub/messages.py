"""Messages of the hub: the model in the form that clients read, JSON or MessagePack, encoded once for all of them.

Every message is `{"type", "data", "timestamp", "seq"}`. The envelope's `timestamp` is the feed's time at which the hub
made the message, as ISO-8601 in UTC with a `Z`, with milliseconds unless it is a whole second; so are the times of
states and incidents. The `timestamp` of market data is the exchange's own time of the update, `candle.timestamp` the
begin of the candle's period: integer milliseconds UTC since the epoch. Numbers are JSON numbers, unknown ones `null`.
MessagePack carries the same fields in the same form; for SBE see `sbe.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from flows.model import (
    BookTicker,
    BookView,
    Candle,
    FundingState,
    Liquidation,
    MarketData,
    MarkPrice,
    OpenInterest,
    Publishable,
    Stats24h,
    Ticker,
    TradeBatch,
)
from flows.websocket import BINARY, TEXT, encode_frame
from sinks.hub.payloads import (
    AccountBody,
    AlertBody,
    BalanceBody,
    BookTickerBody,
    CandleBody,
    ChartUpdateBody,
    FundingBody,
    IncidentBody,
    LiquidationBody,
    MarketDataBody,
    MarkPriceBody,
    OpenInterestBody,
    OrderBookBody,
    PositionBody,
    StatsBody,
    TickerBody,
    TradeBody,
    iso_utc,
    status_body,
)
from sinks.hub.rights import ACCOUNT_CHANNELS
from sinks.hub.sbe import BINARY as BINARY_FORMS


class Form(ABC):
    """The form that messages have for clients of another protocol. Equal forms share the work."""

    is_shared: ClassVar[bool] = True
    """Whether several clients have it, so that what was encoded is kept for the others."""

    @abstractmethod
    def encode(self, body: Any) -> bytes:
        """A message or reply, as the client's connection takes it."""


WireFormat: TypeAlias = Literal["json", "msgpack", "sbe"]
"""Formats of the hub's own protocol; `sbe` is JSON for all that has no binary form."""
Encoding: TypeAlias = WireFormat | Form

CHANNELS = (
    "MarketData",
    "ChartUpdate",
    "Trade",
    "Candle",
    "Ticker",
    "BookTicker",
    "OrderBook",
    "Stats",
    "MarkPrice",
    "Funding",
    "OpenInterest",
    "Liquidation",
    "Status",
    "Incident",
    "Alert",
    *ACCOUNT_CHANNELS,
)
"""Channels of a subscription."""

_BODIES: dict[str, Callable[[Any], Struct]] = {
    "MarketData": MarketDataBody.of,
    "ChartUpdate": ChartUpdateBody.of,
    "Trade": TradeBody.of,
    "Candle": CandleBody.of,
    "OrderBook": OrderBookBody.of,
    "Stats": StatsBody.of,
    "MarkPrice": MarkPriceBody.of,
    "Funding": FundingBody.of,
    "OpenInterest": OpenInterestBody.of,
    "Liquidation": LiquidationBody.of,
    "Status": status_body,
    "Incident": IncidentBody.of,
    "Alert": AlertBody.of,
    "Balance": BalanceBody.of,
    "Position": PositionBody.of,
    "Account": AccountBody.of,
}
_BODIES_OF_VENUE: dict[str, Callable[[Any, str], Struct]] = {"Ticker": TickerBody.of, "BookTicker": BookTickerBody.of}
"""Payloads of items that do not name their venue."""


class Topic(NamedTuple):
    """What subscriptions filter by; "" where a dimension does not apply. `of_account` is an account, and what of it
    that no other dimension names; such a topic needs the right `account`.
    """

    channel: str
    symbol: str = ""
    timeframe: str = ""
    venue: str = ""
    of_account: str = ""


class Sendable(Protocol):
    """Anything that can be sent to a client."""

    def frame(self, encoding: Encoding) -> bytes:
        """The finished WebSocket frame."""


class Envelope(Struct, frozen=True):
    """A message as it stands on the wire."""

    type: str
    data: Struct
    timestamp: str
    seq: int


class Message(Struct, eq=False, gc=False):
    """One numbered message of the hub. Its frames are made when the first client needs them, and shared."""

    topic: Topic
    item: Any
    seq: int
    stamp_ms: int
    """Feed's time, ms UTC."""
    mergeable: bool = False
    """Whether a later message of the same topic replaces this one."""
    _frames: dict[Encoding, bytes] = {}

    def envelope(self) -> Envelope:
        """The message before it is encoded."""
        channel = self.topic.channel
        of_venue = _BODIES_OF_VENUE.get(channel)
        body = of_venue(self.item, self.topic.venue) if of_venue else _BODIES[channel](self.item)
        return Envelope(channel, body, iso_utc(self.stamp_ms), self.seq)

    def frame(self, encoding: Encoding) -> bytes:
        """The finished WebSocket frame, the same object on every call but in a form of one client."""
        frame = self._frames.get(encoding)
        if frame is None:
            frame = self._encoded(encoding)
            if is_shared(encoding):
                self._frames[encoding] = frame
        return frame

    def _encoded(self, encoding: Encoding) -> bytes:
        if encoding != "sbe":
            return encode(self.envelope(), encoding)
        binary = BINARY_FORMS.get(self.topic.channel)
        return encode_frame(binary(self.item, self.seq, self.stamp_ms), BINARY) if binary else self.frame("json")


def is_shared(encoding: Encoding) -> bool:
    """Whether several clients may have this encoding."""
    return not isinstance(encoding, Form) or encoding.is_shared


def encode(body: Any, encoding: Encoding) -> bytes:
    """A body as a WebSocket frame: MessagePack as binary, JSON as text, also where messages are SBE. In a form of its
    own it is no frame yet.
    """
    if isinstance(encoding, Form):
        return encoding.encode(body)
    if encoding == "msgpack":
        return encode_frame(_MSGPACK.encode(body), BINARY)
    return encode_frame(_JSON.encode(body), TEXT)


_JSON = msgspec.json.Encoder(decimal_format="number")
_MSGPACK = msgspec.msgpack.Encoder(decimal_format="number")


def exchange_time(item: Publishable) -> int:
    """The exchange's time of an item, ms UTC; 0 where it has none."""
    match item:
        case MarketData() | Stats24h() | OpenInterest():
            return item.time
        case TradeBatch():
            return item.trades[-1].event_time if item.trades else 0
        case Candle() | Ticker() | BookTicker() | BookView() | MarkPrice() | FundingState() | Liquidation():
            return item.event_time
        case _:
            return 0
