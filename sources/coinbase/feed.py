"""Coinbase's market streams: addresses, names, requests and replies.

Two lines, both without a key: the Exchange feed brings trades one by one, the newest trade id of each second, and
tickers; the Advanced Trade feed brings books in numbered messages, and trades once more by a redundant connection.
https://docs.cdp.coinbase.com/exchange/websocket-feed/overview
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview
"""

from collections.abc import Sequence
from functools import partial
from itertools import count
from typing import Any, Final

import msgspec
from msgspec import structs

from flows.model import TRADE_KINDS
from sources.coinbase.names import (
    BOOKS_LINE,
    HEARTBEATS,
    MARKET_LINE,
    SUBSCRIBE_HEARTBEATS,
    stream_in,
    stream_name,
    symbols_of,
)
from sources.coinbase.replies import control_of
from sources.coinbase.second import AdvancedTrades
from sources.feed import ConnectionPlan, Control, DesiredStreams
from sources.spread import plans_of
from sources.venue import FeedSettings, address_of

_WS_URLS: Final = {
    ("live", MARKET_LINE): "wss://ws-feed.exchange.coinbase.com",
    ("live", BOOKS_LINE): "wss://advanced-trade-ws.coinbase.com",
    ("testnet", MARKET_LINE): "wss://ws-feed-public.sandbox.exchange.coinbase.com",
}
"""The Advanced feed has no testnet, and there are no books then."""
_CHANNELS: Final = {"trade": "matches", "heartbeat": "heartbeat", "ticker": "ticker"}
"""Channels of the Exchange feed by kind of stream."""
_STATUS: Final = {"name": "status"}
"""Of all products; a connection that has it already has it once."""
_NUMBER: Final = b'"sequence_num":'
"""Rises by one from frame to frame of a connection of the Advanced feed, replies included."""


class CoinbaseFeed:
    """The streams that the settings name. `aggTrade` and `trade` are the same here, as each trade is a single fill;
    what the venue does not have (`kline`, `bookTicker`) is left out.
    """

    request_interval_s = 0.25
    """The venue takes 8 requests a second of an address."""

    def __init__(self, settings: FeedSettings) -> None:
        """`ValueError` when no address is set and the origin has no default."""
        self.venue = settings.venue
        self._settings = settings
        self._urls = _urls_of(settings)
        self._ids = count(1)
        advanced = self._urls.get(BOOKS_LINE)
        self._second = None if advanced is None else AdvancedTrades(settings.venue, advanced, self._request)

    # --- connections ---

    def plans(
        self,
        desired: DesiredStreams,
        current: Sequence[ConnectionPlan] = (),
        *,
        not_trading: frozenset[str] = frozenset(),
    ) -> list[ConnectionPlan]:
        """A symbol's streams of a line stay on one connection; new symbols go to the one with the fewest streams."""
        return plans_of(
            tuple(self._urls), desired, current, settings=self._settings,
            kinds_on=self._kinds_on, plan=partial(self._plan, not_trading=not_trading),
        )  # fmt: skip

    def _kinds_on(self, line: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """The kinds of streams on this line; with trades comes what names the newest of them."""
        wanted = kinds or self._settings.streams
        if line == BOOKS_LINE:
            return ("depth",) if "depth" in wanted else ()
        trades = () if TRADE_KINDS.isdisjoint(wanted) else ("trade", "heartbeat")
        return (*trades, *(("ticker",) if "ticker" in wanted else ()))

    def _plan(self, line: str, kinds: dict[str, tuple[str, ...]], *, not_trading: frozenset[str]) -> ConnectionPlan:
        names = {stream_name(symbol, kind): (symbol, kind) for symbol in kinds for kind in kinds[symbol]}
        number = _NUMBER if line == BOOKS_LINE else b""
        heartbeat = HEARTBEATS if line == BOOKS_LINE else ""
        plan = ConnectionPlan(line, self._urls[line], kinds, names, not_trading & kinds.keys(), number, heartbeat)
        if line != MARKET_LINE or self._second is None:
            return plan
        return structs.replace(plan, second=self._second.beside(plan))

    # --- requests ---

    def subscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """One request on the Exchange feed, with the statuses of products.

        On the other one a second one, for heartbeats: a connection that is silent for a minute is closed there.
        """
        if books := symbols_of(streams, "depth"):
            levels = self._request({"type": "subscribe", "channel": "level2", "product_ids": books})
            return [levels, self._request(SUBSCRIBE_HEARTBEATS)]
        return [self._exchange_request("subscribe", streams, _STATUS)] if streams else []

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        """One request."""
        if books := symbols_of(streams, "depth"):
            return [self._request({"type": "unsubscribe", "channel": "level2", "product_ids": books})]
        return [self._exchange_request("unsubscribe", streams)] if streams else []

    def _exchange_request(self, type_: str, streams: tuple[str, ...], *more: dict[str, Any]) -> tuple[int, str]:
        channels: list[dict[str, Any]] = [
            {"name": channel, "product_ids": symbols}
            for kind, channel in _CHANNELS.items()
            if (symbols := symbols_of(streams, kind))
        ]
        return self._request({"type": type_, "channels": [*channels, *more]})

    def _request(self, body: dict[str, Any]) -> tuple[int, str]:
        return next(self._ids), msgspec.json.encode(body).decode()

    # --- frames ---

    def channel_of(self, frame: bytes) -> str:
        """The stream that a message's type and product name; `heartbeats` for the sign of life of the books' line."""
        return stream_in(frame)

    def control_of(self, frame: bytes) -> Control | None:
        """As `replies.py` says."""
        return control_of(frame)


def _urls_of(settings: FeedSettings) -> dict[str, str]:
    """The address of each line. A replay may serve both at one address: their requests differ."""
    market = address_of(settings, "ws_url", _WS_URLS.get((settings.origin, MARKET_LINE)))
    books = settings.book_ws_url or _WS_URLS.get((settings.origin, BOOKS_LINE)) or settings.ws_url
    return {MARKET_LINE: market.rstrip("/")} | ({BOOKS_LINE: books.rstrip("/")} if books else {})
