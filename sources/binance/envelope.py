"""What carries Binance's messages: the unions of the types of a stream group, the envelope, the outline of anything."""

from typing import Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from sources.binance.usdm_wire import ContractInfoMessage, ForceOrderMessage, MarkPriceMessage
from sources.binance.wire import (
    AggTradeMessage,
    DepthMessage,
    KlineMessage,
    MiniTickerMessage,
    SpotBookTickerMessage,
    TickerMessage,
    TradeMessage,
    UsdmBookTickerMessage,
)

DerivativeMessage: TypeAlias = MarkPriceMessage | ForceOrderMessage | ContractInfoMessage
"""Messages of USD-M that spot does not have; all of them in the stream group `market`."""
MarketMessage: TypeAlias = (
    AggTradeMessage | TradeMessage | KlineMessage | TickerMessage | MiniTickerMessage | DerivativeMessage
)
"""Messages of the stream group `market`."""
BookMessage: TypeAlias = DepthMessage | UsdmBookTickerMessage | TradeMessage
"""Messages of the stream group `public` (with USD-M trades), except the spot book ticker, which has no type field."""
TypedMessage: TypeAlias = MarketMessage | BookMessage
"""Every message with a type field."""


Data = TypeVar("Data")


class Envelope(Struct, Generic[Data], gc=False):
    """{"stream":"btcusdt@aggTrade","data":{…}}: messages do not repeat all of the stream's name."""

    stream: str
    data: Data


MarketEnvelope: TypeAlias = Envelope[MarketMessage]
"""In the stream group `market`."""
BookEnvelope: TypeAlias = Envelope[BookMessage]
"""In the stream group `public`."""
BookTickerEnvelope: TypeAlias = Envelope[SpotBookTickerMessage]
"""In the same group, for the spot book ticker."""


class Outline(Struct, gc=False):
    """The fields that identify any message: enveloped or raw, an event or the reply to a request."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    code: int | msgspec.UnsetType = msgspec.UNSET
    u: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    last_update_id: msgspec.Raw | msgspec.UnsetType = msgspec.field(default=msgspec.UNSET, name="lastUpdateId")

    @property
    def is_reply(self) -> bool:
        """Whether it is a reply: `{"result":…,"id":…}`, or an error, flat or wrapped."""
        return any(part is not msgspec.UNSET for part in (self.result, self.error, self.code))
