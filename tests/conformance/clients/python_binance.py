"""python-binance: REST by `AsyncClient`, streams by `BinanceSocketManager`, books by the depth cache managers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from binance import AsyncClient, BinanceSocketManager, DepthCacheManager, FuturesDepthCacheManager
from binance.enums import FuturesType
from binance.exceptions import BinanceAPIException

from tests.conformance.checks import is_book, is_true, near, payload_of
from tests.conformance.exchange import KEY, OTHER, SECRET, SYMBOL, Exchange, paused
from tests.conformance.suite import Suite, same


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Any]:
    client = AsyncClient(KEY, SECRET)
    client.API_URL = f"{exchange.http}/api"
    client.MARGIN_API_URL = f"{exchange.http}/sapi"
    client.FUTURES_URL = f"{exchange.http}/fapi"
    client.FUTURES_DATA_URL = f"{exchange.http}/futures/data"
    client.ws_api._url = f"{exchange.ws}/ws-api/v3"
    client.ws_future._url = f"{exchange.ws}/ws-fapi/v1"
    try:
        yield client
    finally:
        await client.close_connection()


SUITE = Suite(opens)
_UNKNOWN = "subscribes !miniTicker@arr@1000ms, a name that is not in the exchange's documentation"
_RETIRED = "subscribes !ticker@arr, which spot has retired"

_MINUTE = {"symbol": SYMBOL, "interval": "1m", "limit": 20}
_SPOT: dict[str, tuple[str, dict[str, Any]]] = {
    "get_server_time": ("time", {}),
    "get_exchange_info": ("exchangeInfo", {}),
    "get_order_book": ("depth", {"symbol": SYMBOL, "limit": 50}),
    "get_recent_trades": ("trades", {"symbol": SYMBOL, "limit": 30}),
    "get_historical_trades": ("historicalTrades", {"symbol": SYMBOL, "limit": 30}),
    "get_aggregate_trades": ("aggTrades", {"symbol": SYMBOL, "limit": 30}),
    "get_klines": ("klines", _MINUTE),
    "get_ui_klines": ("uiKlines", _MINUTE),
    "get_avg_price": ("avgPrice", {"symbol": SYMBOL}),
    "get_ticker": ("ticker/24hr", {"symbol": SYMBOL}),
    "get_symbol_ticker": ("ticker/price", {"symbol": SYMBOL}),
    "get_orderbook_ticker": ("ticker/bookTicker", {"symbol": SYMBOL}),
    "get_symbol_ticker_window": ("ticker", {"symbol": SYMBOL, "windowSize": "4h"}),
    "get_all_tickers": ("ticker/price", {}),
    "get_orderbook_tickers": ("ticker/bookTicker", {}),
}
_DATA = {"symbol": SYMBOL, "period": "5m", "limit": 10}
_USDM: dict[str, tuple[str, dict[str, Any]]] = {
    "futures_time": ("time", {}),
    "futures_exchange_info": ("exchangeInfo", {}),
    "futures_order_book": ("depth", {"symbol": SYMBOL, "limit": 50}),
    "futures_rpi_depth": ("rpiDepth", {"symbol": SYMBOL, "limit": 1000}),
    "futures_recent_trades": ("trades", {"symbol": SYMBOL, "limit": 30}),
    "futures_historical_trades": ("historicalTrades", {"symbol": SYMBOL, "limit": 30}),
    "futures_aggregate_trades": ("aggTrades", {"symbol": SYMBOL, "limit": 30}),
    "futures_klines": ("klines", _MINUTE),
    "futures_continuous_klines": (
        "continuousKlines",
        {"pair": SYMBOL, "contractType": "PERPETUAL", "interval": "1m", "limit": 20},
    ),
    "futures_mark_price_klines": ("markPriceKlines", _MINUTE),
    "futures_index_price_klines": ("indexPriceKlines", {"pair": SYMBOL, "interval": "1m", "limit": 20}),
    "futures_premium_index_klines": ("premiumIndexKlines", _MINUTE),
    "futures_mark_price": ("premiumIndex", {"symbol": SYMBOL}),
    "futures_funding_rate": ("fundingRate", {"symbol": SYMBOL, "limit": 5}),
    "futures_ticker": ("ticker/24hr", {"symbol": SYMBOL}),
    "futures_symbol_ticker": ("/fapi/v2/ticker/price", {"symbol": SYMBOL}),
    "futures_orderbook_ticker": ("ticker/bookTicker", {"symbol": SYMBOL}),
    "futures_open_interest": ("openInterest", {"symbol": SYMBOL}),
    "futures_open_interest_hist": ("/futures/data/openInterestHist", _DATA),
    "futures_top_longshort_account_ratio": ("/futures/data/topLongShortAccountRatio", _DATA),
    "futures_top_longshort_position_ratio": ("/futures/data/topLongShortPositionRatio", _DATA),
    "futures_global_longshort_ratio": ("/futures/data/globalLongShortAccountRatio", _DATA),
    "futures_taker_longshort_ratio": ("/futures/data/takerlongshortRatio", _DATA),
    "futures_v1_get_funding_info": ("fundingInfo", {}),
}


def _add_queries(market: str, queries: dict[str, tuple[str, dict[str, Any]]]) -> None:
    for name, (path, params) in queries.items():

        def call(client: Any, name: str = name, params: dict[str, Any] = params) -> Any:
            return getattr(client, name)(**params)

        SUITE.same(name, market, call, path, **params)


_add_queries("spot", _SPOT)
_add_queries("usdm", _USDM)


@SUITE.case("ping", "spot", still=True)
async def ping(client: Any, exchange: Exchange) -> None:
    assert await client.ping() == {}


@SUITE.case("futures_ping", "usdm", still=True)
async def futures_ping(client: Any, exchange: Exchange) -> None:
    assert await client.futures_ping() == {}


@SUITE.case("get_symbol_info", "spot", still=True)
async def symbol_info(client: Any, exchange: Exchange) -> None:
    same(await client.get_symbol_info(OTHER), exchange.get("exchangeInfo", symbol=OTHER)["symbols"][0])


@SUITE.case("get_historical_klines over pages", "spot", still=True)
async def historical_klines(client: Any, exchange: Exchange) -> None:
    newest = exchange.get("klines", symbol=SYMBOL, interval="1m", limit=1)[0][0]
    begin = newest - 2_500 * 60_000
    rows = await client.get_historical_klines(SYMBOL, "1m", begin)
    assert [row[0] for row in rows] == list(range(begin, newest + 1, 60_000))
    same(rows[1_000:2_000], exchange.get("klines", symbol=SYMBOL, interval="1m", limit=1000, startTime=rows[1_000][0]))


@SUITE.case("futures_historical_klines over pages", "usdm", still=True)
async def futures_historical_klines(client: Any, exchange: Exchange) -> None:
    newest = exchange.get("klines", symbol=SYMBOL, interval="5m", limit=1)[0][0]
    begin = newest - 1_200 * 300_000
    rows = await client.futures_historical_klines(SYMBOL, "5m", begin)
    assert [row[0] for row in rows] == list(range(begin, newest + 1, 300_000))
    same(rows[:500], exchange.get("klines", symbol=SYMBOL, interval="5m", limit=500, startTime=begin))


@SUITE.case("aggregate_trade_iter", "spot", still=True)
async def aggregate_trade_iter(client: Any, exchange: Exchange) -> None:
    newest = exchange.get("aggTrades", symbol=SYMBOL, limit=1)[0]["a"]
    first = newest - 1_200
    rows = [row async for row in client.aggregate_trade_iter(SYMBOL, last_id=first)]
    assert [row["a"] for row in rows] == list(range(first + 1, newest + 1))


@SUITE.case("an unknown symbol", "spot", "usdm", still=True)
async def unknown_symbol(client: Any, exchange: Exchange) -> None:
    query = client.get_klines if exchange.market == "spot" else client.futures_klines
    try:
        await query(symbol="NOTHERE", interval="1m")
    except BinanceAPIException as error:
        assert (error.status_code, error.code) == (400, -1121), error
    else:
        raise AssertionError("no exception")


@SUITE.case("a missing parameter", "spot", "usdm", still=True)
async def missing_parameter(client: Any, exchange: Exchange) -> None:
    query = client.get_order_book if exchange.market == "spot" else client.futures_order_book
    try:
        await query()
    except BinanceAPIException as error:
        assert (error.status_code, error.code) == (400, -1102), error
    else:
        raise AssertionError("no exception")


def manager(client: Any, exchange: Exchange) -> Any:
    made = BinanceSocketManager(client)
    made.STREAM_URL = f"{exchange.ws}/"
    made.FSTREAM_URL = f"{exchange.ws}/"
    return made


def _stream(name: str, market: str, makes: Any, *, fails: str = "", messages: int = 3) -> None:
    @SUITE.case(name, market, fails=fails)
    async def run(client: Any, exchange: Exchange) -> None:
        async with makes(manager(client, exchange)) as socket:
            seen = 0
            while seen < messages:
                payload = payload_of(await socket.recv())
                if payload:
                    is_true(exchange, payload)
                    seen += 1


_stream("trade_socket", "spot", lambda it: it.trade_socket(SYMBOL))
_stream("aggtrade_socket", "spot", lambda it: it.aggtrade_socket(SYMBOL))
_stream("kline_socket", "spot", lambda it: it.kline_socket(SYMBOL, "1m"), messages=2)
_stream("symbol_ticker_socket", "spot", lambda it: it.symbol_ticker_socket(SYMBOL), messages=1)
_stream("symbol_miniticker_socket", "spot", lambda it: it.symbol_miniticker_socket(SYMBOL), messages=1)
_stream(
    "miniticker_socket",
    "spot",
    lambda it: it.miniticker_socket(),
    messages=1,
    fails="subscribes !miniTicker@arr@1000ms, which the exchange's documentation does not have",
)
_stream(
    "ticker_socket",
    "spot",
    lambda it: it.ticker_socket(),
    messages=1,
    fails="subscribes !ticker@arr, which spot has retired",
)
_stream("symbol_book_ticker_socket", "spot", lambda it: it.symbol_book_ticker_socket(SYMBOL))
_stream("depth_socket", "spot", lambda it: it.depth_socket(SYMBOL))
_stream("depth_socket at 100 ms", "spot", lambda it: it.depth_socket(SYMBOL, interval=100))
_stream("depth_socket of 10 levels", "spot", lambda it: it.depth_socket(SYMBOL, depth="10"))
_stream("kline_futures_socket", "usdm", lambda it: it.kline_futures_socket(SYMBOL, "1m"), messages=2)
_stream("aggtrade_futures_socket", "usdm", lambda it: it.aggtrade_futures_socket(SYMBOL))
_stream("symbol_mark_price_socket", "usdm", lambda it: it.symbol_mark_price_socket(SYMBOL), messages=1)
_stream("all_mark_price_socket", "usdm", lambda it: it.all_mark_price_socket(), messages=1)
_stream("symbol_ticker_futures_socket", "usdm", lambda it: it.symbol_ticker_futures_socket(SYMBOL))
_stream(
    "individual_symbol_ticker_futures_socket",
    "usdm",
    lambda it: it.individual_symbol_ticker_futures_socket(SYMBOL),
    messages=1,
)
_stream("futures_ticker_socket", "usdm", lambda it: it.futures_ticker_socket(), messages=1)
_stream("all_ticker_futures_socket", "usdm", lambda it: it.all_ticker_futures_socket("!bookTicker"), messages=1)
_stream("futures_depth_socket", "usdm", lambda it: it.futures_depth_socket(SYMBOL))
_stream("futures_rpi_depth_socket", "usdm", lambda it: it.futures_rpi_depth_socket(SYMBOL))


# --- signed


@SUITE.case("get_account", "spot", signed=True)
async def account(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.01")
    got = await client.get_account()
    same({row["asset"]: [row["free"], row["locked"]] for row in got["balances"]}, exchange.balances())


@SUITE.case("get_asset_balance", "spot", signed=True)
async def asset_balance(client: Any, exchange: Exchange) -> None:
    row = await client.get_asset_balance("BTC")
    same([row["free"], row["locked"]], exchange.balances()["BTC"])


@SUITE.case("get_my_trades", "spot", signed=True)
async def my_trades(client: Any, exchange: Exchange) -> None:
    before = await client.get_my_trades(symbol=SYMBOL)
    exchange.account(do="fill", symbol=SYMBOL, side="SELL", quantity="0.02", price="60000")
    after = await client.get_my_trades(symbol=SYMBOL)
    same(after[:-1], before)
    row = after[-1]
    same([Decimal(row["qty"]), Decimal(row["price"]), row["isBuyer"]], [Decimal("0.02"), Decimal(60_000), False])


@SUITE.case("get_open_orders", "spot", signed=True)
async def open_orders(client: Any, exchange: Exchange) -> None:
    same(await client.get_open_orders(symbol=SYMBOL), [])


@SUITE.case("get_trade_fee", "spot", signed=True)
async def trade_fee(client: Any, exchange: Exchange) -> None:
    rows = await client.get_trade_fee(symbol=SYMBOL)
    assert [row["symbol"] for row in rows] == [SYMBOL]
    assert Decimal(rows[0]["takerCommission"]) == Decimal("0.001")


@SUITE.case("get_all_coins_info", "spot", signed=True)
async def coins(client: Any, exchange: Exchange) -> None:
    assert {"BTC", "USDT"} <= {row["coin"] for row in await client.get_all_coins_info()}


@SUITE.case("get_system_status", "spot", signed=True)
async def system_status(client: Any, exchange: Exchange) -> None:
    assert (await client.get_system_status())["status"] == 0


@SUITE.case("get_account_api_permissions", "spot", signed=True)
async def permissions(client: Any, exchange: Exchange) -> None:
    assert (await client.get_account_api_permissions())["enableReading"]


@SUITE.case("a wrong secret", "spot", "usdm", signed=True)
async def wrong_secret(client: Any, exchange: Exchange) -> None:
    query = client.get_account if exchange.market == "spot" else client.futures_account
    client.API_SECRET = SECRET[::-1]
    try:
        await query()
    except BinanceAPIException as error:
        assert (error.status_code, error.code) == (400, -1022), error
    else:
        raise AssertionError("no exception")
    finally:
        client.API_SECRET = SECRET


@SUITE.case("futures_account_balance", "usdm", signed=True)
async def futures_account_balance(client: Any, exchange: Exchange) -> None:
    exchange.account(do="deposit", asset="USDT", amount="12.5")
    before = {row["asset"]: Decimal(row["balance"]) for row in await client.futures_account_balance()}
    exchange.account(do="deposit", asset="USDT", amount="100")
    after = {row["asset"]: Decimal(row["balance"]) for row in await client.futures_account_balance()}
    assert after["USDT"] == before["USDT"] + 100


@SUITE.case("futures_position_information", "usdm", signed=True)
async def futures_position(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.5", price="60000")
    rows = await client.futures_position_information(symbol=SYMBOL)
    same([Decimal(row["positionAmt"]) for row in rows], [Decimal("0.5")])
    assert Decimal(rows[0]["entryPrice"]) == Decimal(60_000)


@SUITE.case("futures_account", "usdm", signed=True)
async def futures_account(client: Any, exchange: Exchange) -> None:
    got = await client.futures_account()
    positions = {row["symbol"]: Decimal(row["positionAmt"]) for row in got["positions"]}
    rows = await client.futures_position_information(symbol=SYMBOL)
    assert positions[SYMBOL] == Decimal(rows[0]["positionAmt"])


@SUITE.case("futures_account_trades", "usdm", signed=True)
async def futures_account_trades(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="SELL", quantity="0.1", price="61000")
    row = (await client.futures_account_trades(symbol=SYMBOL))[-1]
    same([Decimal(row["qty"]), Decimal(row["price"]), row["side"]], [Decimal("0.1"), Decimal(61_000), "SELL"])


@SUITE.case("futures_get_open_orders", "usdm", signed=True)
async def futures_open_orders(client: Any, exchange: Exchange) -> None:
    same(await client.futures_get_open_orders(symbol=SYMBOL), [])


@SUITE.case("futures_commission_rate", "usdm", signed=True)
async def futures_commission_rate(client: Any, exchange: Exchange) -> None:
    row = await client.futures_commission_rate(symbol=SYMBOL)
    assert Decimal(row["takerCommissionRate"]) == Decimal("0.0005")


@SUITE.case("futures_leverage_bracket", "usdm", signed=True)
async def futures_leverage_bracket(client: Any, exchange: Exchange) -> None:
    rows = await client.futures_leverage_bracket(symbol=SYMBOL)
    row = rows[0] if isinstance(rows, list) else rows
    assert row["symbol"] == SYMBOL
    floors = [Decimal(str(it["notionalFloor"])) for it in row["brackets"]]
    assert floors == sorted(floors)


@SUITE.case("futures_get_position_mode", "usdm", signed=True)
async def futures_position_mode(client: Any, exchange: Exchange) -> None:
    assert (await client.futures_get_position_mode())["dualSidePosition"] is False


@SUITE.case("futures_get_multi_assets_mode", "usdm", signed=True)
async def futures_multi_assets_mode(client: Any, exchange: Exchange) -> None:
    assert (await client.futures_get_multi_assets_mode())["multiAssetsMargin"] is False


@SUITE.case("futures_symbol_config", "usdm", signed=True)
async def futures_symbol_config(client: Any, exchange: Exchange) -> None:
    rows = await client.futures_symbol_config(symbol=SYMBOL)
    assert [row["symbol"] for row in rows] == [SYMBOL]


@SUITE.case("futures listen key", "usdm", signed=True)
async def futures_listen_key(client: Any, exchange: Exchange) -> None:
    key = await client.futures_stream_get_listen_key()
    await client.futures_stream_keepalive(listenKey=key)
    assert await client.futures_stream_get_listen_key() == key
    await client.futures_stream_close(listenKey=key)


@SUITE.case("futures_user_socket", "usdm", signed=True)
async def futures_user_socket(client: Any, exchange: Exchange) -> None:
    async with manager(client, exchange).futures_user_socket() as socket:
        exchange.account(do="deposit", asset="USDT", amount="7")
        while (event := await socket.recv())["e"] != "ACCOUNT_UPDATE":
            pass
        balance = next(row for row in event["a"]["B"] if row["a"] == "USDT")
        assert Decimal(balance["bc"]) == Decimal(7)


# --- requests over the WebSocket API

for _name, _path, _params in (
    ("ws_get_order_book", "depth", {"symbol": SYMBOL, "limit": 20}),
    ("ws_get_recent_trades", "trades", {"symbol": SYMBOL, "limit": 20}),
    ("ws_get_historical_trades", "historicalTrades", {"symbol": SYMBOL, "limit": 20}),
    ("ws_get_aggregate_trades", "aggTrades", {"symbol": SYMBOL, "limit": 20}),
    ("ws_get_klines", "klines", _MINUTE),
    ("ws_get_uiKlines", "uiKlines", _MINUTE),
    ("ws_get_avg_price", "avgPrice", {"symbol": SYMBOL}),
    ("ws_get_ticker", "ticker/24hr", {"symbol": SYMBOL}),
    ("ws_get_trading_day_ticker", "ticker/tradingDay", {"symbol": SYMBOL}),
    ("ws_get_symbol_ticker_window", "ticker", {"symbol": SYMBOL, "windowSize": "1h"}),
    ("ws_get_symbol_ticker", "ticker/price", {"symbol": SYMBOL}),
    ("ws_get_orderbook_ticker", "ticker/bookTicker", {"symbol": SYMBOL}),
    ("ws_get_time", "time", {}),
    ("ws_get_exchange_info", "exchangeInfo", {"symbol": SYMBOL}),
):
    _add_queries("spot", {_name: (_path, _params)})
for _name, _path, _params in (
    ("ws_futures_get_order_book", "depth", {"symbol": SYMBOL, "limit": 20}),
    ("ws_futures_get_all_tickers", "ticker/price", {}),
    ("ws_futures_get_order_book_ticker", "ticker/bookTicker", {"symbol": SYMBOL}),
):
    _add_queries("usdm", {_name: (_path, _params)})


@SUITE.case("multiplex_socket", "spot")
async def multiplex(client: Any, exchange: Exchange) -> None:
    await _all_of(
        exchange,
        lambda streams: manager(client, exchange).multiplex_socket(streams),
        [
            f"{SYMBOL.lower()}@{kind}"
            for kind in ("trade", "aggTrade", "kline_1m", "depth@100ms", "ticker_1h", "avgPrice")
        ],
    )


@SUITE.case("futures_multiplex_socket", "usdm")
async def futures_multiplex(client: Any, exchange: Exchange) -> None:
    await _all_of(
        exchange,
        lambda streams: manager(client, exchange).futures_multiplex_socket(streams, FuturesType.USD_M),
        [f"{SYMBOL.lower()}@{kind}" for kind in ("aggTrade", "kline_1m", "markPrice@1s", "miniTicker")],
    )


async def _all_of(exchange: Exchange, opened: Any, streams: list[str]) -> None:
    missing = set(streams)
    async with opened(streams) as socket:
        while missing:
            message = await socket.recv()
            is_true(exchange, payload_of(message))
            missing.discard(message["stream"])


@SUITE.case("DepthCacheManager", "spot")
async def depth_cache(client: Any, exchange: Exchange) -> None:
    await _synchronised(exchange, DepthCacheManager(client, SYMBOL, bm=manager(client, exchange), ws_interval=100))


@SUITE.case("FuturesDepthCacheManager", "usdm")
async def futures_depth_cache(client: Any, exchange: Exchange) -> None:
    managing = manager(client, exchange)
    async with FuturesDepthCacheManager(client, SYMBOL, bm=managing) as cache:
        for _ in range(5):
            book = await cache.recv()
            bids, asks = book.get_bids(), book.get_asks()
            assert bids[0][0] < asks[0][0]
            near(bids[0][0], exchange.get("depth", symbol=SYMBOL, limit=5)["bids"][0][0])


async def _synchronised(exchange: Exchange, opened: Any) -> None:
    """The book follows the differences, and at rest it is REST's."""
    async with opened as cache:
        book = None
        for _ in range(10):
            book = await cache.recv()
        with paused(exchange):
            difference: str | None = "no book"
            while difference is not None:
                difference = is_book(exchange, book.get_bids(), book.get_asks()) if book else difference
                if difference is None:
                    return
                try:
                    async with asyncio.timeout(5):
                        book = await cache.recv()
                except TimeoutError as error:
                    raise AssertionError(difference) from error
