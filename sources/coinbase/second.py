"""Trades by the Advanced Trade feed: what the second of two redundant connections carries.

Its channel `market_trades` has the trades of the Exchange feed, with their ids, from other servers: those of 250 ms
together, in any order within a second. Ids show what is missing, so the numbers of its messages do not count here.
That both feeds have the same ids follows from recordings of different days, and is no word of the venue: where they
differ, trades are refused as contradictions, and REST, which is the Exchange's, decides.
https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
"""

from collections.abc import Callable
from typing import Any

from flows.model import TRADE_KINDS
from sources.coinbase.names import HEARTBEATS, SUBSCRIBE_HEARTBEATS, stream_in, symbols_of
from sources.coinbase.replies import control_of
from sources.feed import ConnectionPlan, Control, SecondLine

Request = tuple[int, str]


class AdvancedTrades:
    """Requests and frames of a connection to the Advanced feed that carries trades."""

    request_interval_s = 0.25
    """The venue takes 8 requests a second of an address."""

    def __init__(self, venue: str, url: str, request: Callable[[dict[str, Any]], Request]) -> None:
        """`request` numbers requests."""
        self.venue = venue
        self._url = url
        self._request = request

    def beside(self, plan: ConnectionPlan) -> SecondLine:
        """The second connection of a plan: its streams of trades."""
        names = {name: (symbol, kind) for name, (symbol, kind) in plan.names.items() if kind in TRADE_KINDS}
        kinds: dict[str, tuple[str, ...]] = {symbol: (kind,) for symbol, kind in names.values()}
        not_trading = plan.not_trading & kinds.keys()
        own = ConnectionPlan(plan.line, self._url, kinds, names, not_trading, heartbeat=HEARTBEATS)
        return SecondLine(self, own)

    def subscribe_requests(self, streams: tuple[str, ...]) -> list[Request]:
        """One request, and one for heartbeats: a connection that is silent for a minute is closed."""
        return [self._of("subscribe", streams), self._request(SUBSCRIBE_HEARTBEATS)] if streams else []

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[Request]:
        """One request."""
        return [self._of("unsubscribe", streams)] if streams else []

    def _of(self, type_: str, streams: tuple[str, ...]) -> Request:
        return self._request({"type": type_, "channel": "market_trades", "product_ids": symbols_of(streams, "trade")})

    def channel_of(self, frame: bytes) -> str:
        """The stream of the first trade of a message; `heartbeats` for the sign of life."""
        return stream_in(frame)

    def control_of(self, frame: bytes) -> Control | None:
        """As of the other feed."""
        return control_of(frame)
