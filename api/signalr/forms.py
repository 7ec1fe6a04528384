"""The gateway's messages as SignalR clients get them: calls of their methods, and items of a stream."""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Struct

from api.signalr.protocol import Codec
from sinks.hub.messages import Encoding, Envelope, Form
from sinks.hub.replies import Lagged, Reset, SnapshotData

TARGETS: Final = {
    "MarketData": "PriceUpdate",
    "OrderBook": "OrderBookUpdate",
    "Trade": "TradeUpdate",
    "Candle": "CandleUpdate",
    "Balance": "BalanceUpdate",
    "Position": "PositionUpdate",
    "Status": "ConnectionState",
}
"""The method that a channel's messages call; other channels call one of their own name."""


class Record(Struct, frozen=True):
    """A finished message to one client."""

    data: bytes

    def frame(self, _: Encoding) -> bytes:
        """The message."""
        return self.data


class PushForm(Form):
    """Each message calls a method with its `data`, those of a snapshot one by one; `Reset` and `Lagged` one of their
    name. One for all clients with the same codec.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    def encode(self, body: Any) -> bytes:
        """The calls."""
        if isinstance(body, Reset):
            return self._codec.push("Reset")
        if isinstance(body, Lagged):
            return self._codec.push("Lagged", body.dropped)
        return b"".join(self._codec.push(TARGETS.get(one.type, one.type), one.data) for one in _messages_of(body))


class StreamForm(Form):
    """Each message is an item of a stream; what is lost is not announced, as each item replaces those before."""

    is_shared = False

    def __init__(self, codec: Codec, id_: str) -> None:
        self._codec = codec
        self._id = id_

    def encode(self, body: Any) -> bytes:
        """The items."""
        return b"".join(self._codec.item(self._id, one.data) for one in _messages_of(body))


def _messages_of(body: Any) -> Iterable[Envelope]:
    if not isinstance(body, Envelope):
        return ()
    return body.data.messages if isinstance(body.data, SnapshotData) else (body,)
