"""The exchange's own SDKs, `binance-sdk-spot` and `binance-sdk-derivatives-trading-usds-futures`: REST, WebSocket API
and streams. Their answers are objects that hold only the fields that they know.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

from binance_common.configuration import (
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_common.errors import BadRequestError, TooManyRequestsError

from tests.conformance.checks import is_true, payload_of
from tests.conformance.exchange import KEY, SECRET, SYMBOL, Exchange
from tests.conformance.suite import Suite, covered

_CLASSES: Final = {
    "spot": ("binance_sdk_spot.spot", "Spot", "/ws-api/v3"),
    "usdm": (
        "binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures",
        "DerivativesTradingUsdsFutures",
        "/ws-fapi/v1",
    ),
}


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Any]:
    module, name, path = _CLASSES[exchange.market]
    made = getattr(importlib.import_module(module), name)
    keys = {"api_key": KEY, "api_secret": SECRET}
    yield made(
        config_rest_api=ConfigurationRestAPI(**keys, base_path=exchange.http, timeout=20_000, retries=0),
        config_ws_api=ConfigurationWebSocketAPI(**keys, stream_url=f"{exchange.ws}{path}", timeout=20_000),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=exchange.ws),
    )


SUITE = Suite(opens)


def plain(value: Any) -> Any:
    """An object of the SDKs as what JSON had."""
    if hasattr(value, "actual_instance"):
        return plain(value.actual_instance)
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key != "additional_properties"}
    return value


def _is_covered(got: Any, wanted: Any) -> None:
    covered(plain(got), wanted)


def _camel(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as REST names them."""
    return {
        "".join(part.capitalize() if number else part for number, part in enumerate(name.split("_"))): value
        for name, value in params.items()
    }


_ONE: Final = {"symbol": SYMBOL}
_MINUTE: Final = {"symbol": SYMBOL, "interval": "1m", "limit": 20}
_PAIR: Final = {"pair": SYMBOL, "interval": "1m", "limit": 20}
_DATA: Final = {"symbol": SYMBOL, "period": "5m", "limit": 10}
_REST: Final[dict[str, dict[str, tuple[str, dict[str, Any]]]]] = {
    "spot": {
        "ping": ("ping", {}),
        "time": ("time", {}),
        "exchange_info": ("exchangeInfo", _ONE),
        "depth": ("depth", {**_ONE, "limit": 50}),
        "get_trades": ("trades", {**_ONE, "limit": 30}),
        "historical_trades": ("historicalTrades", {**_ONE, "limit": 30}),
        "agg_trades": ("aggTrades", {**_ONE, "limit": 30}),
        "klines": ("klines", _MINUTE),
        "ui_klines": ("uiKlines", _MINUTE),
        "avg_price": ("avgPrice", _ONE),
        "ticker24hr": ("ticker/24hr", _ONE),
        "ticker": ("ticker", {**_ONE, "window_size": "1h"}),
        "ticker_trading_day": ("ticker/tradingDay", _ONE),
        "ticker_price": ("ticker/price", _ONE),
        "ticker_book_ticker": ("ticker/bookTicker", _ONE),
    },
    "usdm": {
        "test_connectivity": ("ping", {}),
        "check_server_time": ("time", {}),
        "exchange_information": ("exchangeInfo", {}),
        "order_book": ("depth", {**_ONE, "limit": 50}),
        "recent_trades_list": ("trades", {**_ONE, "limit": 30}),
        "old_trades_lookup": ("historicalTrades", {**_ONE, "limit": 30}),
        "compressed_aggregate_trades_list": ("aggTrades", {**_ONE, "limit": 30}),
        "kline_candlestick_data": ("klines", _MINUTE),
        "continuous_contract_kline_candlestick_data": ("continuousKlines", {**_PAIR, "contract_type": "PERPETUAL"}),
        "index_price_kline_candlestick_data": ("indexPriceKlines", _PAIR),
        "mark_price_kline_candlestick_data": ("markPriceKlines", _MINUTE),
        "premium_index_kline_data": ("premiumIndexKlines", _MINUTE),
        "mark_price": ("premiumIndex", _ONE),
        "get_funding_rate_history": ("fundingRate", {**_ONE, "limit": 5}),
        "get_funding_rate_info": ("fundingInfo", {}),
        "ticker24hr_price_change_statistics": ("ticker/24hr", _ONE),
        "symbol_price_ticker": ("ticker/price", _ONE),
        "symbol_price_ticker_v2": ("/fapi/v2/ticker/price", _ONE),
        "symbol_order_book_ticker": ("ticker/bookTicker", _ONE),
        "open_interest": ("openInterest", _ONE),
        "open_interest_statistics": ("/futures/data/openInterestHist", _DATA),
        "top_trader_long_short_ratio_accounts": ("/futures/data/topLongShortAccountRatio", _DATA),
        "top_trader_long_short_ratio_positions": ("/futures/data/topLongShortPositionRatio", _DATA),
        "long_short_ratio": ("/futures/data/globalLongShortAccountRatio", _DATA),
        "taker_buy_sell_volume": ("/futures/data/takerlongshortRatio", _DATA),
        "basis": (
            "/futures/data/basis",
            {"pair": SYMBOL, "contract_type": "PERPETUAL", "period": "5m", "limit": 10},
        ),
    },
}
_CALLS: Final[dict[str, dict[str, tuple[str, dict[str, Any]]]]] = {
    "spot": {
        "time": ("time", {}),
        "exchange_info": ("exchangeInfo", _ONE),
        "depth": ("depth", {**_ONE, "limit": 50}),
        "trades_recent": ("trades", {**_ONE, "limit": 30}),
        "trades_historical": ("historicalTrades", {**_ONE, "limit": 30}),
        "trades_aggregate": ("aggTrades", {**_ONE, "limit": 30}),
        "klines": ("klines", _MINUTE),
        "ui_klines": ("uiKlines", _MINUTE),
        "avg_price": ("avgPrice", _ONE),
        "ticker24hr": ("ticker/24hr", _ONE),
        "ticker": ("ticker", {**_ONE, "window_size": "1h"}),
        "ticker_trading_day": ("ticker/tradingDay", _ONE),
        "ticker_price": ("ticker/price", _ONE),
        "ticker_book": ("ticker/bookTicker", _ONE),
    },
    "usdm": {
        "order_book": ("depth", {**_ONE, "limit": 50}),
        "symbol_price_ticker": ("ticker/price", _ONE),
        "symbol_order_book_ticker": ("ticker/bookTicker", _ONE),
    },
}


_LISTS: Final = "its model of a kline is an object, and the exchange sends lists"


def _add_queries() -> None:
    for market, queries in _REST.items():
        for name, (path, params) in queries.items():

            def query(client: Any, name: str = name, params: dict[str, Any] = params) -> Any:
                return getattr(client.rest_api, name)(**params).data()

            SUITE.same(f"rest_api.{name}", market, query, path, compare=_is_covered, **_camel(params))
    for market, queries in _CALLS.items():
        for name, (path, params) in queries.items():

            async def call(client: Any, name: str = name, params: dict[str, Any] = params) -> Any:
                connection = await client.websocket_api.create_connection()
                try:
                    async with asyncio.timeout(30):
                        answer = await getattr(connection, name)(**params)
                    return plain(answer.data())["result"]
                finally:
                    await connection.close_connection(close_session=True)

            fails = _LISTS if path in {"klines", "uiKlines"} else ""
            SUITE.same(f"websocket_api.{name}", market, call, path, fails=fails, compare=_is_covered, **_camel(params))


_add_queries()


@SUITE.case("rest_api refuses an unknown symbol", "spot", "usdm", still=True)
def unknown_symbol(client: Any, exchange: Exchange) -> None:
    query = client.rest_api.klines if exchange.market == "spot" else client.rest_api.kline_candlestick_data
    try:
        query(symbol="NOTHERE", interval="1m")
    except BadRequestError as error:
        assert error.status_code == -1121, error.status_code
    else:
        raise AssertionError("no exception")


@SUITE.case("rest_api is refused for too many requests", "spot", "usdm")
def too_many(client: Any, exchange: Exchange) -> None:
    path = "/api/v3/ping" if exchange.market == "spot" else "/fapi/v1/ping"
    query = client.rest_api.ping if exchange.market == "spot" else client.rest_api.test_connectivity
    exchange.fault(fault="refuse", status=429, path=path, count=1)
    try:
        query()
    except TooManyRequestsError:
        query()
    else:
        raise AssertionError("no exception")


_STREAMS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "spot": {
        "agg_trade": {},
        "trade": {},
        "kline": {"interval": "1m"},
        "kline_offset": {"interval": "1m"},
        "mini_ticker": {},
        "ticker": {},
        "all_mini_ticker": {"symbol": None},
        "rolling_window_ticker": {"window_size": "1h"},
        "all_market_rolling_window_ticker": {"symbol": None, "window_size": "1h"},
        "avg_price": {},
        "book_ticker": {},
        "diff_book_depth": {"update_speed": "100ms"},
        "partial_book_depth": {"levels": "10", "update_speed": "100ms"},
    },
    "usdm": {
        "aggregate_trade_streams": {},
        "kline_candlestick_streams": {"interval": "1m"},
        "continuous_contract_kline_candlestick_streams": {
            "symbol": None,
            "pair": SYMBOL.lower(),
            "contract_type": "perpetual",
            "interval": "1m",
        },
        "individual_symbol_mini_ticker_stream": {},
        "individual_symbol_ticker_streams": {},
        "all_market_mini_tickers_stream": {"symbol": None},
        "all_market_tickers_streams": {"symbol": None},
        "mark_price_stream": {"update_speed": "1s"},
        "mark_price_stream_for_all_market": {"symbol": None, "update_speed": "1s"},
        "individual_symbol_book_ticker_streams": {},
        "all_book_tickers_stream": {"symbol": None},
        "diff_book_depth_streams": {"update_speed": "100ms"},
        "partial_book_depth_streams": {"levels": "10", "update_speed": "100ms"},
    },
}


def _stream(market: str, name: str, params: dict[str, Any]) -> None:
    wanted = {key: value for key, value in ({"symbol": SYMBOL.lower()} | params).items() if value is not None}

    @SUITE.case(f"streams.{name}", market)
    async def run(client: Any, exchange: Exchange) -> None:
        connection = await client.websocket_streams.create_connection()
        try:
            messages: asyncio.Queue[Any] = asyncio.Queue()
            stream = await getattr(connection, name)(**wanted)
            stream.on("message", messages.put_nowait)
            seen = 0
            while seen < 2:
                payload = payload_of(plain(await messages.get()))
                if payload:
                    is_true(exchange, payload)
                    seen += 1
            await stream.unsubscribe()
        finally:
            await connection.close_connection(close_session=True)


for _market, _named in _STREAMS.items():
    for _name, _params in _named.items():
        _stream(_market, _name, _params)


# --- signed


@SUITE.case("rest_api.get_account", "spot", signed=True)
def account(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.01")
    got = plain(client.rest_api.get_account().data())
    wanted = exchange.balances()
    covered({row["asset"]: [row["free"], row["locked"]] for row in got["balances"]}, wanted)


@SUITE.case("rest_api.my_trades", "spot", signed=True)
def my_trades(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="SELL", quantity="0.02", price="60000")
    row = plain(client.rest_api.my_trades(symbol=SYMBOL).data())[-1]
    assert (Decimal(row["qty"]), Decimal(row["price"]), row["isBuyer"]) == (Decimal("0.02"), Decimal(60_000), False)


@SUITE.case("rest_api.get_open_orders", "spot", signed=True)
def open_orders(client: Any, exchange: Exchange) -> None:
    assert plain(client.rest_api.get_open_orders(symbol=SYMBOL).data()) == []


def _futures(*names: str) -> None:
    for name in names:

        @SUITE.case(f"rest_api.{name}", "usdm", signed=True)
        def run(client: Any, exchange: Exchange, name: str = name) -> None:
            exchange.account(do="deposit", asset="USDT", amount="1")
            rows = plain(getattr(client.rest_api, name)().data())
            assets = rows["assets"] if isinstance(rows, dict) else rows
            assert "USDT" in {row["asset"] for row in assets}


_futures("futures_account_balance_v2", "futures_account_balance_v3", "account_information_v2", "account_information_v3")


def _positions(name: str) -> None:
    @SUITE.case(f"rest_api.{name}", "usdm", signed=True)
    def run(client: Any, exchange: Exchange) -> None:
        def amount() -> Decimal:
            rows = plain(getattr(client.rest_api, name)(symbol=SYMBOL).data())
            return sum((Decimal(row["positionAmt"]) for row in rows), Decimal(0))

        before = amount()
        exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.5")
        assert amount() == before + Decimal("0.5")


_positions("position_information_v2")
_positions("position_information_v3")


@SUITE.case("rest_api.account_trade_list", "usdm", signed=True)
def account_trades(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="SELL", quantity="0.1", price="61000")
    row = plain(client.rest_api.account_trade_list(symbol=SYMBOL).data())[-1]
    assert (Decimal(row["qty"]), Decimal(row["price"]), row["side"]) == (Decimal("0.1"), Decimal(61_000), "SELL")


@SUITE.case("rest_api.user_commission_rate", "usdm", signed=True)
def commission(client: Any, exchange: Exchange) -> None:
    row = plain(client.rest_api.user_commission_rate(symbol=SYMBOL).data())
    assert Decimal(row["takerCommissionRate"]) == Decimal("0.0005")


@SUITE.case("rest_api.notional_and_leverage_brackets", "usdm", signed=True)
def brackets(client: Any, exchange: Exchange) -> None:
    rows = plain(client.rest_api.notional_and_leverage_brackets(symbol=SYMBOL).data())
    assert (rows[0] if isinstance(rows, list) else rows)["symbol"] == SYMBOL


@SUITE.case("rest_api.get_current_position_mode", "usdm", signed=True)
def position_mode(client: Any, exchange: Exchange) -> None:
    assert plain(client.rest_api.get_current_position_mode().data()) == {"dualSidePosition": False}


@SUITE.case("rest_api.get_current_multi_assets_mode", "usdm", signed=True)
def assets_mode(client: Any, exchange: Exchange) -> None:
    assert plain(client.rest_api.get_current_multi_assets_mode().data()) == {"multiAssetsMargin": False}


@SUITE.case("rest_api listen key", "usdm", signed=True)
def listen_key(client: Any, exchange: Exchange) -> None:
    key = plain(client.rest_api.start_user_data_stream().data())["listenKey"]
    assert plain(client.rest_api.keepalive_user_data_stream().data())["listenKey"] == key
    client.rest_api.close_user_data_stream()


@SUITE.case("streams.user_data", "usdm", signed=True)
async def user_data(client: Any, exchange: Exchange) -> None:
    key = plain((await asyncio.to_thread(client.rest_api.start_user_data_stream)).data())["listenKey"]
    connection = await client.websocket_streams.create_connection()
    try:
        events: asyncio.Queue[Any] = asyncio.Queue()
        stream = await connection.user_data(key)
        stream.on("message", events.put_nowait)
        while events.empty():
            exchange.account(do="deposit", asset="USDT", amount="7")
            await asyncio.sleep(0.5)
        event = plain(events.get_nowait())  # its type is the class of the object
        assert [Decimal(row["bc"]) for row in event["a"]["B"] if row["a"] == "USDT"] == [Decimal(7)]
    finally:
        await connection.close_connection(close_session=True)
