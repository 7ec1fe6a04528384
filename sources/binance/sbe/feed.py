"""Spot's streams with trades and books in SBE, at an address of their own that wants an API key.

What SBE does not have (klines, tickers) stays JSON, on connections of its own (`market`). Requests, replies and notices
are JSON on the binary connections too. The key is only in the handshake: nothing is signed.
Source: https://developers.binance.com/docs/binance-spot-api-docs/sbe-market-data-streams
"""

from typing import ClassVar

from msgspec import structs

from sources.binance.feed import MARKET_LINE, PUBLIC_LINE, BinanceFeed
from sources.binance.sbe.decode import SbeDecoder
from sources.feed import ConnectionPlan, Headers
from sources.venue import FeedSettings

TRADES_LINE = "trades"
"""The group of single trades, apart from books, whose bursts must not delay them."""
KEY_HEADER = "X-MBX-APIKEY"

_LIVE = "wss://stream-sbe.binance.com:9443"
_LINES = {"trade": TRADES_LINE, "depth": PUBLIC_LINE, "bookTicker": PUBLIC_LINE}
"""The binary kinds, as in the settings, and their groups."""
_NAMES = {"bookTicker": "bestBidAsk"}
"""How the exchange calls a kind where that is another word."""


class SbeFeed(BinanceFeed):
    """The streams of spot that the settings name."""

    lines: ClassVar[tuple[str, ...]] = (MARKET_LINE, TRADES_LINE, PUBLIC_LINE)

    def __init__(self, settings: FeedSettings) -> None:
        """`ValueError` when no address is set and the origin has no default, or there is no key."""
        super().__init__(settings)
        url = settings.sbe_ws_url or (_LIVE if settings.origin == "live" else None)
        if url is None or settings.api_key is None:
            raise ValueError(
                "feed.encoding is sbe: set feed.api_key, and feed.sbe_ws_url to the address that serves it"
            )
        self._binary_url = url.rstrip("/")
        self._headers = Headers({KEY_HEADER: settings.api_key.reveal()})
        self._decoder = SbeDecoder()

    def _plan(self, line: str, kinds: dict[str, tuple[str, ...]], *, not_trading: frozenset[str]) -> ConnectionPlan:
        plan = super()._plan(line, kinds, not_trading=not_trading)
        return plan if line == MARKET_LINE else structs.replace(plan, headers=self._headers)

    def _url(self, line: str) -> str:
        return super()._url(line) if line == MARKET_LINE else f"{self._binary_url}/stream"

    def _line_of(self, kind: str) -> str:
        return _LINES.get(kind, MARKET_LINE)

    def _name(self, symbol: str, kind: str) -> str:
        return f"{symbol.lower()}@{_NAMES.get(kind, kind)}" if kind in _LINES else super()._name(symbol, kind)

    def channel_of(self, frame: bytes) -> str:
        """The stream of a binary message, or of a text."""
        return self._decoder.stream_of(frame) or super().channel_of(frame)
