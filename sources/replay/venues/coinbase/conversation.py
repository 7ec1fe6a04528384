"""Requests of Coinbase's two feeds. The first one of a connection says which it is: the Exchange feed has `channels`,
the Advanced feed one `channel`. Every request is answered with all subscriptions of the connection.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from sources.replay.exchange.dialect import ExchangeView
from sources.replay.protocol.conversation import FrameEncoding, Refused, decode_object
from sources.replay.protocol.frames import Encoding
from sources.replay.venues.coinbase import advanced_messages, exchange_messages
from sources.replay.venues.coinbase.advanced_messages import AdvancedEncoding
from sources.replay.venues.coinbase.derived import HEARTBEATS, STATUS, CoinbaseDerived

Feed: TypeAlias = Literal["exchange", "advanced"]

_EXCHANGE_CHANNELS = {
    "matches": "matches",
    "heartbeat": "heartbeat",
    "ticker": "ticker",
    "level2_batch": "level2_50",
    "status": "status",
}
"""Channels of the Exchange feed, and the names under which they are acknowledged."""
_WITH_A_KEY = frozenset(("level2", "level3", "full"))
_NEEDS_A_KEY = "level2, level3, and full channels now require authentication."
_ADVANCED_CHANNELS = ("level2", "market_trades", "heartbeats")
_WITHOUT_PRODUCTS = {STATUS, HEARTBEATS}
_FAILED = "Failed to subscribe"

_PLAIN = Encoding(combined=False, microseconds=False)
_Wanted: TypeAlias = dict[str, list[str]]
"""Products by channel, as a request names them."""


class CoinbaseConversation:
    """A client of Coinbase. `feed` fixes its feed; None: its first request does."""

    counts_requests = True

    def __init__(self, view: ExchangeView, derived: CoinbaseDerived, feed: Feed | None) -> None:
        self._view = view
        self._derived = derived
        self._feed = feed
        self._numbered = AdvancedEncoding()
        self._channels: dict[str, dict[str, None]] = {}

    @property
    def encoding(self) -> FrameEncoding:
        """Of the Advanced feed the connection's own: its messages are numbered."""
        return self._numbered if self._feed == "advanced" else _PLAIN

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it."""
        return frozenset(_stream(channel, name) for channel, names in self._channels.items() for name in names)

    def greet(self) -> tuple[bytes, ...]:
        """Nothing: Coinbase waits for the client."""
        return ()

    def report(self) -> dict[str, Any]:
        """Its part of the exchange's state."""
        return {"feed": self._feed, "streams": sorted(self.delivered)}

    # --- requests

    def answer(self, text: str | bytes) -> tuple[bytes, ...]:
        """Executes a request."""
        return self._answer(text, None)

    def requested(self, text: str | bytes) -> list[str]:
        """The streams that a request would subscribe."""
        request = decode_object(text)
        if request.get("type") != "subscribe":
            return []
        return [_stream(channel, name) for channel, names in _wanted_of(request).items() for name in names]

    def request_id(self, text: str | bytes) -> None:
        """None: requests have no id."""

    def refuse(self, text: str | bytes, order: Refused) -> tuple[bytes, ...]:
        """Refuses a request, or leaves the refused streams out of it."""
        return self._answer(text, order)

    def _answer(self, text: str | bytes, order: Refused | None) -> tuple[bytes, ...]:
        request = decode_object(text)
        if not request:
            return self._frames([exchange_messages.error("Malformed JSON")])
        if self._feed is None and request.get("type") == "subscribe":
            self._feed = "advanced" if "channel" in request else "exchange"
        wanted = _wanted_of(request)
        error = self._error_of(request, wanted, order)
        if error is not None:
            return self._frames([exchange_messages.error(*error)])
        if request["type"] == "unsubscribe":
            return self._frames([*self._unsubscribe(wanted)])
        return self._frames(self._subscribe(wanted, order))

    def _error_of(
        self, request: dict[str, Any], wanted: _Wanted, order: Refused | None
    ) -> tuple[str] | tuple[str, str] | None:
        """The text, or the texts, of the error of a request that is refused as a whole."""
        if request.get("type") not in ("subscribe", "unsubscribe"):
            return ("Type has to be either subscribe or unsubscribe",)
        reason = self._reason_against(wanted)
        if reason is None and order is not None and order.form != "silent":
            name = min(order.streams).partition("@")[0]
            reason = order.text or f"{name} is not a valid product"
        return None if reason is None else (_FAILED, reason)

    def _reason_against(self, wanted: _Wanted) -> str | None:
        channels = _EXCHANGE_CHANNELS if self._feed == "exchange" else dict.fromkeys(_ADVANCED_CHANNELS)
        if not wanted:
            return "no channels were specified"
        if self._feed == "exchange" and wanted.keys() & _WITH_A_KEY:
            return _NEEDS_A_KEY
        unknown = next((channel for channel in wanted if channel not in channels), None)
        if unknown is not None:
            return f"{unknown} is not a valid channel"
        now_ms = self._view.market.now_ms
        products = [name for channel, names in wanted.items() if channel not in _WITHOUT_PRODUCTS for name in names]
        missing = next((name for name in products if self._derived.product(name, now_ms) is None), None)
        return None if missing is None else f"{missing} is not a valid product"

    def _unsubscribe(self, wanted: _Wanted) -> Sequence[bytes]:
        for channel, names in wanted.items():
            kept = self._channels.get(channel, {})
            for name in names or list(kept):
                kept.pop(name, None)
            if not kept:
                self._channels.pop(channel, None)
        return [self._subscriptions()]

    def _subscribe(self, wanted: _Wanted, order: Refused | None) -> Sequence[bytes]:
        beginnings: list[bytes] = []
        hidden: _Wanted = {}
        for channel, names in wanted.items():
            for name in names:
                stream = _stream(channel, name)
                if order is not None and stream in order.streams:
                    hidden.setdefault(channel, []).append(name)
                    continue
                self._channels.setdefault(channel, {})[name] = None
                beginning = self._beginning(channel, name)
                beginnings += () if beginning is None else (beginning,)
        reply = self._subscriptions(hidden)
        # The Advanced feed acknowledges after the snapshots, the Exchange feed before them.
        return [*beginnings, reply] if self._feed == "advanced" else [reply, *beginnings]

    def _beginning(self, channel: str, name: str) -> bytes | None:
        """What a subscription begins with, where there is something."""
        if channel == STATUS:
            return self._derived.status(self._view.market.now_ms)
        now_ms = self._view.market.now_ms
        product = self._derived.product(name, now_ms)
        if product is None:
            return None
        match channel:
            case "matches":
                begin = product.last_match()
            case "level2_batch":
                begin = product.snapshot(now_ms)
            case "level2":
                begin = product.advanced_snapshot(now_ms)
            case "market_trades":
                begin = product.newest_trades(now_ms)
            case _:
                begin = None
        return begin

    def _subscriptions(self, hidden: _Wanted | None = None) -> bytes:
        """All subscriptions, and those that only seem to be there."""
        shown = {channel: list(names) for channel, names in self._channels.items()}
        for channel, names in (hidden or {}).items():
            shown.setdefault(channel, []).extend(names)
        if self._feed == "advanced":
            named = {channel: [channel] if channel == HEARTBEATS else names for channel, names in shown.items()}
            return advanced_messages.subscriptions(named, self._view.now_ms)
        rows = {_EXCHANGE_CHANNELS[channel]: list(filter(None, names)) for channel, names in shown.items()}
        return exchange_messages.subscriptions(rows)

    def _frames(self, replies: Sequence[bytes]) -> tuple[bytes, ...]:
        """Replies with their numbers, where the feed has them."""
        if self._feed != "advanced":
            return tuple(replies)
        return tuple(self._numbered.numbered(reply) for reply in replies)


def _stream(channel: str, name: str) -> str:
    return channel if channel in _WITHOUT_PRODUCTS else f"{name}@{channel}"


def _texts(value: Any) -> list[str]:
    return list(dict.fromkeys(one for one in value if isinstance(one, str))) if isinstance(value, list) else []


def _wanted_of(request: dict[str, Any]) -> _Wanted:
    """The products by channel: those of a channel that names its own, else those of the request."""
    products = _texts(request.get("product_ids"))
    channels = [request["channel"]] if "channel" in request else request.get("channels")
    wanted: _Wanted = {}
    for channel in channels if isinstance(channels, list) else []:
        match channel:
            case str(name):
                own = products
            case {"name": str(name)}:
                own = _texts(channel.get("product_ids")) or products
            case _:
                continue
        wanted[name] = [""] if name in _WITHOUT_PRODUCTS else own
    return wanted
