"""unicorn-binance-websocket-api and unicorn-binance-local-depth-cache: streams on threads, and a local book."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from unicorn_binance_local_depth_cache import BinanceLocalDepthCacheManager
from unicorn_binance_rest_api import BinanceRestApiManager
from unicorn_binance_websocket_api import BinanceWebSocketApiManager

from tests.conformance.checks import is_book, is_true, payload_of
from tests.conformance.exchange import SYMBOL, Exchange, paused, until
from tests.conformance.suite import Suite

_MARKET: Final = SYMBOL.lower()
_NAMES: Final = {"spot": "binance.com", "usdm": "binance.com-futures"}


def _pointed(exchange: Exchange) -> Any:
    """The REST manager with other addresses; it has a query in its constructor."""

    class Pointed(BinanceRestApiManager):  # type: ignore[misc]
        def _init_session(self) -> Any:
            self.API_URL = f"{exchange.http}/api"
            self.FUTURES_URL = f"{exchange.http}/fapi"
            self.FUTURES_DATA_URL = f"{exchange.http}/futures/data"
            return super()._init_session()

        # it queries spot whatever the market, and there is none beside futures here
        def get_server_time(self) -> Any:
            return super().get_server_time() if exchange.market == "spot" else self.futures_time()

        def ping(self) -> Any:
            return super().ping() if exchange.market == "spot" else self.futures_ping()

    return Pointed


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Any]:
    rest = _pointed(exchange)(exchange=_NAMES[exchange.market], warn_on_update=False, disable_colorama=True)
    sockets = BinanceWebSocketApiManager(
        exchange=_NAMES[exchange.market],
        websocket_base_uri=f"{exchange.ws}/",
        warn_on_update=False,
        disable_colorama=True,
    )
    try:
        yield sockets, rest
    finally:
        with suppress(Exception):
            sockets.stop_manager()


SUITE = Suite(opens)


def _stream(name: str, market: str, *, channels: Any, markets: Any = _MARKET, messages: int = 2) -> None:
    @SUITE.case(name, market)
    def run(client: Any, exchange: Exchange) -> None:
        sockets, _ = client
        stream = sockets.create_stream(channels, markets, stream_buffer_name=name)
        assert stream, "no stream was made"
        try:
            seen = 0
            while seen < messages:
                text = until(lambda: sockets.pop_stream_data_from_stream_buffer(name), within_s=50)
                if "result" in json.loads(text):
                    continue
                payload = payload_of(text)
                if payload:
                    is_true(exchange, payload)
                    seen += 1
        finally:
            sockets.stop_stream(stream)


for _channel in ("trade", "aggTrade", "kline_1m", "ticker", "miniTicker", "bookTicker", "depth@100ms", "depth10@100ms"):
    _stream(_channel, "spot", channels=[_channel], messages=1 if "icker" in _channel else 2)
for _channel in ("aggTrade", "kline_1m", "ticker", "miniTicker", "markPrice@1s", "bookTicker", "depth@100ms"):
    _stream(_channel, "usdm", channels=[_channel], messages=1 if "icker" in _channel else 2)
_stream("!miniTicker@arr", "spot", channels=["arr"], markets=["!miniTicker"], messages=1)
_stream("!ticker@arr", "usdm", channels=["arr"], markets=["!ticker"], messages=1)
_stream("!markPrice@arr@1s", "usdm", channels=["arr@1s"], markets=["!markPrice"], messages=1)


@SUITE.case("subscribe and unsubscribe", "spot", "usdm")
def subscriptions(client: Any, exchange: Exchange) -> None:
    sockets, _ = client
    stream = sockets.create_stream(["aggTrade"], [SYMBOL.lower()], stream_buffer_name="more")
    try:
        until(lambda: sockets.pop_stream_data_from_stream_buffer("more"), within_s=50)
        sockets.subscribe_to_stream(stream, channels=["kline_1m"])

        def both() -> bool:
            text = sockets.pop_stream_data_from_stream_buffer("more")
            return bool(text) and "@kline_1m" in text

        until(both, within_s=50)
        sockets.unsubscribe_from_stream(stream, channels=["aggTrade"])
        clients = exchange.get("/control/state")["clients"]
        streams = f"{SYMBOL.lower()}@kline_1m"
        until(
            lambda: any(it.get("streams") == [streams] for it in exchange.get("/control/state")["clients"]),
            within_s=30,
        )
        assert clients
    finally:
        sockets.stop_stream(stream)


@SUITE.case("local depth cache", "spot")
@SUITE.case(
    "local depth cache",
    "usdm",
    fails="it takes the used weight from spot's REST, and there is none beside futures here",
)
def depth_cache(client: Any, exchange: Exchange) -> None:
    _, rest = client
    depth = BinanceLocalDepthCacheManager(
        exchange=_NAMES[exchange.market],
        ubra_manager=rest,
        init_interval=0.5,
        warn_on_update=False,
        disable_colorama=True,
    )
    try:
        depth.ubwa.websocket_base_uri = f"{exchange.ws}/"
        depth.create_depthcache(markets=SYMBOL)
        until(lambda: depth.is_depth_cache_synchronized(market=SYMBOL), within_s=50)
        with paused(exchange):
            reasons: list[str | None] = []

            def look() -> bool:
                bids, asks = depth.get_bids(market=SYMBOL), depth.get_asks(market=SYMBOL)
                reasons.append(is_book(exchange, bids, asks))
                return reasons[-1] is None

            try:
                until(look, within_s=8)
            except TimeoutError as error:
                raise AssertionError(reasons[-1]) from error
    finally:
        depth.stop_manager()
