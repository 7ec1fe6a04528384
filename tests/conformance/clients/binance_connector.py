"""The exchange's old connectors, `binance-connector` and `binance-futures-connector`: REST, and streams on threads."""

import queue
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from binance.error import ClientError

from tests.conformance.checks import is_true, payload_of
from tests.conformance.exchange import KEY, SECRET, SYMBOL, Exchange
from tests.conformance.suite import Suite

_MESSAGE_S: Final = 40.0


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Any]:
    if exchange.market == "spot":
        from binance.spot import Spot  # noqa: PLC0415 - each connector has its own package of this name

        yield Spot(api_key=KEY, api_secret=SECRET, base_url=exchange.http, timeout=20)
    else:
        from binance.um_futures import UMFutures  # noqa: PLC0415

        yield UMFutures(key=KEY, secret=SECRET, base_url=exchange.http, timeout=20)


SUITE = Suite(opens)

_MINUTE: Final = {"symbol": SYMBOL, "interval": "1m", "limit": 20}
_DATA: Final = {"symbol": SYMBOL, "period": "5m", "limit": 10}
_QUERIES: Final[dict[str, dict[str, tuple[str, dict[str, Any]]]]] = {
    "spot": {
        "ping": ("ping", {}),
        "time": ("time", {}),
        "exchange_info": ("exchangeInfo", {"symbol": SYMBOL}),
        "depth": ("depth", {"symbol": SYMBOL, "limit": 50}),
        "trades": ("trades", {"symbol": SYMBOL, "limit": 30}),
        "historical_trades": ("historicalTrades", {"symbol": SYMBOL, "limit": 30}),
        "agg_trades": ("aggTrades", {"symbol": SYMBOL, "limit": 30}),
        "klines": ("klines", _MINUTE),
        "ui_klines": ("uiKlines", _MINUTE),
        "avg_price": ("avgPrice", {"symbol": SYMBOL}),
        "ticker_24hr": ("ticker/24hr", {"symbol": SYMBOL}),
        "trading_day_ticker": ("ticker/tradingDay", {"symbol": SYMBOL}),
        "ticker_price": ("ticker/price", {"symbol": SYMBOL}),
        "book_ticker": ("ticker/bookTicker", {"symbol": SYMBOL}),
        "rolling_window_ticker": ("ticker", {"symbol": SYMBOL, "windowSize": "1h"}),
    },
    "usdm": {
        "ping": ("ping", {}),
        "time": ("time", {}),
        "exchange_info": ("exchangeInfo", {}),
        "depth": ("depth", {"symbol": SYMBOL, "limit": 50}),
        "trades": ("trades", {"symbol": SYMBOL, "limit": 30}),
        "historical_trades": ("historicalTrades", {"symbol": SYMBOL, "limit": 30}),
        "agg_trades": ("aggTrades", {"symbol": SYMBOL, "limit": 30}),
        "klines": ("klines", _MINUTE),
        "continuous_klines": (
            "continuousKlines",
            {"pair": SYMBOL, "contractType": "PERPETUAL", "interval": "1m", "limit": 20},
        ),
        "index_price_klines": ("indexPriceKlines", {"pair": SYMBOL, "interval": "1m", "limit": 20}),
        "mark_price_klines": ("markPriceKlines", _MINUTE),
        "mark_price": ("premiumIndex", {"symbol": SYMBOL}),
        "funding_rate": ("fundingRate", {"symbol": SYMBOL, "limit": 5}),
        "ticker_24hr_price_change": ("ticker/24hr", {"symbol": SYMBOL}),
        "ticker_price": ("ticker/price", {"symbol": SYMBOL}),
        "book_ticker": ("ticker/bookTicker", {"symbol": SYMBOL}),
        "open_interest": ("openInterest", {"symbol": SYMBOL}),
        "open_interest_hist": ("/futures/data/openInterestHist", _DATA),
        "top_long_short_position_ratio": ("/futures/data/topLongShortPositionRatio", _DATA),
        "top_long_short_account_ratio": ("/futures/data/topLongShortAccountRatio", _DATA),
        "long_short_account_ratio": ("/futures/data/globalLongShortAccountRatio", _DATA),
        "taker_long_short_ratio": ("/futures/data/takerlongshortRatio", _DATA),
    },
}

for _market, _named in _QUERIES.items():
    for _name, (_path, _params) in _named.items():

        def _query(client: Any, name: str = _name, params: dict[str, Any] = _params) -> Any:
            return getattr(client, name)(**params)

        SUITE.same(_name, _market, _query, _path, **_params)


@SUITE.case("an unknown symbol", "spot", "usdm", still=True)
def unknown_symbol(client: Any, exchange: Exchange) -> None:
    try:
        client.depth("NOTHERE")
    except ClientError as error:
        assert (error.status_code, error.error_code) == (400, -1121), error
    else:
        raise AssertionError("no exception")


_STREAMS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "spot": {
        "agg_trade": {"symbol": SYMBOL},
        "trade": {"symbol": SYMBOL},
        "kline": {"symbol": SYMBOL, "interval": "1m"},
        "mini_ticker": {"symbol": SYMBOL},
        "ticker": {"symbol": SYMBOL},
        "rolling_window_ticker": {"symbol": SYMBOL, "windowSize": "1h"},
        "book_ticker": {"symbol": SYMBOL},
        "diff_book_depth": {"symbol": SYMBOL, "speed": 100},
        "partial_book_depth": {"symbol": SYMBOL, "level": 10, "speed": 100},
    },
    "usdm": {
        "agg_trade": {"symbol": SYMBOL},
        "mark_price": {"symbol": SYMBOL, "speed": 1},
        "kline": {"symbol": SYMBOL, "interval": "1m"},
        "continuous_kline": {"pair": SYMBOL, "contractType": "perpetual", "interval": "1m"},
        "mini_ticker": {"symbol": SYMBOL},
        "ticker": {"symbol": SYMBOL},
        "book_ticker": {"symbol": SYMBOL},
        "partial_book_depth": {"symbol": SYMBOL, "level": 10, "speed": 100},
        "diff_book_depth": {"symbol": SYMBOL, "speed": 100},
    },
}
_BOOKS: Final = ("book_ticker", "partial_book_depth", "diff_book_depth")


def _stream(market: str, name: str, params: dict[str, Any]) -> None:
    @SUITE.case(f"websocket {name}", market)
    def run(client: Any, exchange: Exchange) -> None:
        messages: queue.Queue[Any] = queue.Queue()
        socket = _socket(exchange, name, lambda _, message: messages.put(message))
        try:
            getattr(socket, name)(**params)
            seen = 0
            while seen < 2:
                try:
                    message = payload_of(messages.get(timeout=_MESSAGE_S))
                except queue.Empty as error:
                    raise TimeoutError(f"nothing within {_MESSAGE_S:.0f} s") from error
                if "result" not in message:
                    is_true(exchange, message)
                    seen += 1
        finally:
            with suppress(Exception):
                socket.stop()


def _socket(exchange: Exchange, name: str, on_message: Any) -> Any:
    if exchange.market == "spot":
        from binance.websocket.spot.websocket_stream import (  # noqa: PLC0415 - each connector has its own package
            SpotWebsocketStreamClient,
        )

        return SpotWebsocketStreamClient(stream_url=exchange.ws, on_message=on_message)
    from binance.websocket.um_futures.websocket_client import UMFuturesWebsocketClient  # noqa: PLC0415

    route = "public" if name in _BOOKS else "market"  # it is older than the routes; they are part of the address
    return UMFuturesWebsocketClient(stream_url=f"{exchange.ws}/{route}", on_message=on_message)


for _market, _streams in _STREAMS.items():
    for _name, _params in _streams.items():
        _stream(_market, _name, _params)
