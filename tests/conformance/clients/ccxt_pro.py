"""ccxt.pro: `binance` for spot, `binanceusdm` for futures; REST, streams, and requests over the WebSocket API."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import ccxt.pro
from ccxt.base.errors import (
    AuthenticationError,
    BadRequest,
    BadSymbol,
    ChecksumError,
    DDoSProtection,
    ExchangeNotAvailable,
    OnMaintenance,
)

from tests.conformance.checks import is_book, near
from tests.conformance.exchange import KEY, OTHER, SECRET, SYMBOL, Exchange, paused
from tests.conformance.suite import Suite, same

_PAIRS: Final = {"spot": ("BTC/USDT", "ETH/USDT"), "usdm": ("BTC/USDT:USDT", "ETH/USDT:USDT")}
_MINUTE_MS: Final = 60_000


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Any]:
    options = {"apiKey": KEY, "secret": SECRET, "enableRateLimit": False, "timeout": 20_000}
    if exchange.market == "spot":
        client = ccxt.pro.binance({**options, "options": {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False}})
    else:
        client = ccxt.pro.binanceusdm(options)
    client.urls["api"] = _elsewhere(client.urls["api"], exchange)
    client.options["fetchCurrencies"] = False
    client.has["fetchCurrencies"] = False
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()


def _elsewhere(urls: Any, exchange: Exchange) -> Any:
    """The same paths at the address of the replay exchange."""
    if isinstance(urls, dict):
        return {name: _elsewhere(url, exchange) for name, url in urls.items()}
    if not isinstance(urls, str):
        return urls
    base = exchange.ws if urls.startswith("ws") else exchange.http
    return re.sub(r"^\w+://[^/]+", base, urls)


SUITE = Suite(opens)
BOTH: Final = ("spot", "usdm")


def pair(exchange: Exchange) -> str:
    return _PAIRS[exchange.market][0]


def number(value: Any) -> float:
    return float(value)


def numbers(rows: Any) -> list[list[float]]:
    return [[number(value) for value in row] for row in rows]


async def raises(call: Callable[[], Any], kind: type[Exception]) -> None:
    try:
        await call()
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


@SUITE.case("load_markets", *BOTH, still=True)
async def load_markets(client: Any, exchange: Exchange) -> None:
    market = client.markets[pair(exchange)]
    row = next(it for it in exchange.get("exchangeInfo")["symbols"] if it["symbol"] == SYMBOL)
    rules = {it["filterType"]: it for it in row["filters"]}
    assert market["id"] == SYMBOL
    assert number(market["precision"]["price"]) == number(rules["PRICE_FILTER"]["tickSize"])
    assert number(market["precision"]["amount"]) == number(rules["LOT_SIZE"]["stepSize"])
    assert number(market["limits"]["amount"]["min"]) == number(rules["LOT_SIZE"]["minQty"])
    assert market["active"]
    assert market["contract"] == (exchange.market == "usdm")


@SUITE.case("fetch_time", *BOTH, still=True)
async def fetch_time(client: Any, exchange: Exchange) -> None:
    assert await client.fetch_time() == exchange.get("time")["serverTime"]


@SUITE.case("fetch_ticker", *BOTH, still=True)
async def fetch_ticker(client: Any, exchange: Exchange) -> None:
    is_ticker(await client.fetch_ticker(pair(exchange)), exchange.get("ticker/24hr", symbol=SYMBOL))


def is_ticker(ticker: Any, row: Any) -> None:
    same(ticker["info"], row)
    same(
        [number(ticker[name]) for name in ("last", "open", "high", "low", "baseVolume", "quoteVolume", "percentage")],
        [
            number(row[name])
            for name in (
                "lastPrice",
                "openPrice",
                "highPrice",
                "lowPrice",
                "volume",
                "quoteVolume",
                "priceChangePercent",
            )
        ],
    )
    assert ticker["timestamp"] == row["closeTime"]


@SUITE.case("fetch_tickers", *BOTH, still=True)
async def fetch_tickers(client: Any, exchange: Exchange) -> None:
    tickers = await client.fetch_tickers()
    assert len(tickers) == len(exchange.get("ticker/24hr"))
    is_ticker(tickers[pair(exchange)], exchange.get("ticker/24hr", symbol=SYMBOL))


@SUITE.case("fetch_tickers of some", *BOTH, still=True)
async def fetch_some_tickers(client: Any, exchange: Exchange) -> None:
    wanted = list(_PAIRS[exchange.market])
    tickers = await client.fetch_tickers(wanted)
    assert sorted(tickers) == sorted(wanted)
    is_ticker(tickers[wanted[1]], exchange.get("ticker/24hr", symbol=OTHER))


@SUITE.case("fetch_last_prices", *BOTH, still=True)
async def fetch_last_prices(client: Any, exchange: Exchange) -> None:
    prices = await client.fetch_last_prices()
    assert number(prices[pair(exchange)]["price"]) == number(exchange.get("ticker/price", symbol=SYMBOL)["price"])


@SUITE.case("fetch_bids_asks", *BOTH, still=True)
async def fetch_bids_asks(client: Any, exchange: Exchange) -> None:
    quote = (await client.fetch_bids_asks())[pair(exchange)]
    row = exchange.get("ticker/bookTicker", symbol=SYMBOL)
    same(
        [number(quote[name]) for name in ("bid", "bidVolume", "ask", "askVolume")],
        [number(row[name]) for name in ("bidPrice", "bidQty", "askPrice", "askQty")],
    )


@SUITE.case("fetch_order_book", *BOTH, still=True)
async def fetch_order_book(client: Any, exchange: Exchange) -> None:
    is_rest_book(await client.fetch_order_book(pair(exchange), 100), exchange.get("depth", symbol=SYMBOL, limit=100))


def is_rest_book(book: Any, row: Any) -> None:
    assert book["nonce"] == row["lastUpdateId"]
    same([numbers(book["bids"]), numbers(book["asks"])], [numbers(row["bids"]), numbers(row["asks"])])


@SUITE.case("fetch_trades", *BOTH, still=True)
async def fetch_trades(client: Any, exchange: Exchange) -> None:
    are_aggregates(
        await client.fetch_trades(pair(exchange), limit=50), exchange.get("aggTrades", symbol=SYMBOL, limit=50)
    )


def are_aggregates(trades: Any, rows: Any) -> None:
    same(
        [[it["id"], it["timestamp"], it["side"], number(it["price"]), number(it["amount"])] for it in trades],
        [[str(it["a"]), it["T"], "sell" if it["m"] else "buy", number(it["p"]), number(it["q"])] for it in rows],
    )


@SUITE.case("fetch_trades since a time", *BOTH, still=True)
async def fetch_trades_since(client: Any, exchange: Exchange) -> None:
    since = exchange.get("time")["serverTime"] - 30_000
    rows = exchange.get("aggTrades", symbol=SYMBOL, startTime=since, endTime=since + 20_000, limit=100)
    params = {"until": since + 20_000}
    are_aggregates(await client.fetch_trades(pair(exchange), since, 100, params), rows)


@SUITE.case("fetch_trades, single ones", *BOTH, still=True)
async def fetch_single_trades(client: Any, exchange: Exchange) -> None:
    method = "publicGetTrades" if exchange.market == "spot" else "fapiPublicGetTrades"
    trades = await client.fetch_trades(pair(exchange), limit=50, params={"fetchTradesMethod": method})
    rows = exchange.get("trades", symbol=SYMBOL, limit=50)
    same([it["id"] for it in trades], [str(it["id"]) for it in rows])
    same([number(it["cost"]) for it in trades], [number(it["quoteQty"]) for it in rows])


@SUITE.case("fetch_ohlcv", *BOTH, still=True)
async def fetch_ohlcv(client: Any, exchange: Exchange) -> None:
    rows = exchange.get("klines", symbol=SYMBOL, interval="1m", limit=50)
    are_candles(await client.fetch_ohlcv(pair(exchange), "1m", limit=50), rows)


def are_candles(candles: Any, rows: Any) -> None:
    assert rows
    same(numbers(candles), numbers(row[:6] for row in rows))


@SUITE.case("fetch_ohlcv since a time", *BOTH, still=True)
async def fetch_ohlcv_since(client: Any, exchange: Exchange) -> None:
    since = exchange.get("klines", symbol=SYMBOL, interval="1h", limit=200)[0][0]
    rows = exchange.get("klines", symbol=SYMBOL, interval="1h", startTime=since, limit=100)
    are_candles(await client.fetch_ohlcv(pair(exchange), "1h", since, 100), rows)


@SUITE.case("fetch_ohlcv over pages", *BOTH, still=True)
async def fetch_ohlcv_pages(client: Any, exchange: Exchange) -> None:
    newest = exchange.get("klines", symbol=SYMBOL, interval="1m", limit=1)[0][0]
    since = newest - 2_000 * _MINUTE_MS
    params = {"paginate": True, "paginationCalls": 5, "until": newest}
    candles = await client.fetch_ohlcv(pair(exchange), "1m", since, 1_000, params)
    assert [row[0] for row in candles] == list(range(since, since + len(candles) * _MINUTE_MS, _MINUTE_MS))
    are_candles(candles[:500], exchange.get("klines", symbol=SYMBOL, interval="1m", startTime=since, limit=500))


@SUITE.case("fetch_trading_limits of the market", *BOTH, still=True)
async def amounts(client: Any, exchange: Exchange) -> None:
    assert client.amount_to_precision(pair(exchange), 0.123456789) == (
        "0.12345" if exchange.market == "spot" else "0.123"
    )


@SUITE.case("an unknown symbol of the client", *BOTH, still=True)
async def unknown_pair(client: Any, exchange: Exchange) -> None:
    await raises(lambda: client.fetch_ticker("NOT/HERE"), BadSymbol)


@SUITE.case("an unknown symbol of the exchange", *BOTH, still=True)
async def unknown_symbol(client: Any, exchange: Exchange) -> None:
    call = client.public_get_depth if exchange.market == "spot" else client.fapipublic_get_depth
    await raises(lambda: call({"symbol": "NOTHERE"}), BadSymbol)


@SUITE.case("a missing parameter", *BOTH, still=True)
async def missing_parameter(client: Any, exchange: Exchange) -> None:
    call = client.public_get_klines if exchange.market == "spot" else client.fapipublic_get_klines
    await raises(lambda: call({"symbol": SYMBOL}), BadRequest)


@SUITE.case("too many requests", *BOTH)
async def too_many(client: Any, exchange: Exchange) -> None:
    exchange.fault(fault="refuse", status=429, path=f"{exchange.api}/time", count=1)
    await raises(client.fetch_time, DDoSProtection)
    near(await client.fetch_time(), exchange.get("time")["serverTime"])


@SUITE.case("the exchange is not available", *BOTH)
async def not_available(client: Any, exchange: Exchange) -> None:
    exchange.fault(fault="refuse", status=503, path=f"{exchange.api}/time", count=1)
    try:
        await client.fetch_time()
    except (ExchangeNotAvailable, OnMaintenance):
        return
    raise AssertionError("no exception")


# --- requests over the WebSocket API


@SUITE.case("fetch_order_book_ws", "usdm", still=True)
async def fetch_order_book_ws(client: Any, exchange: Exchange) -> None:
    book = await client.fetch_order_book_ws(pair(exchange), 50)
    is_rest_book(book, exchange.get("depth", symbol=SYMBOL, limit=50))


@SUITE.case("fetch_ticker_ws", "usdm", still=True)
async def fetch_ticker_ws(client: Any, exchange: Exchange) -> None:
    ticker = await client.fetch_ticker_ws(pair(exchange), {"method": "ticker.book"})
    row = exchange.get("ticker/bookTicker", symbol=SYMBOL)
    same([number(ticker["bid"]), number(ticker["ask"])], [number(row["bidPrice"]), number(row["askPrice"])])


@SUITE.case("fetch_ohlcv_ws", "spot", still=True)
async def fetch_ohlcv_ws(client: Any, exchange: Exchange) -> None:
    rows = exchange.get("klines", symbol=SYMBOL, interval="1m", limit=20)
    are_candles(await client.fetch_ohlcv_ws(pair(exchange), "1m", limit=20), rows)


@SUITE.case("fetch_trades_ws", "spot", still=True)
async def fetch_trades_ws(client: Any, exchange: Exchange) -> None:
    trades = await client.fetch_trades_ws(pair(exchange), limit=20)
    rows = exchange.get("historicalTrades", symbol=SYMBOL, limit=20)
    same([it["id"] for it in trades], [str(it["id"]) for it in rows])


# --- streams


@SUITE.case("watch_trades", *BOTH)
async def watch_trades(client: Any, exchange: Exchange) -> None:
    trades = await client.watch_trades(pair(exchange))
    assert trades
    are_true_trades(trades, exchange)
    await client.un_watch_trades(pair(exchange))


def are_true_trades(trades: Any, exchange: Exchange) -> None:
    for it in trades:
        raw = it["info"]
        if raw["e"] == "aggTrade":
            are_aggregates([it], [exchange.aggregate(int(raw["a"]))])
        else:
            row = exchange.trade(int(raw["t"]))
            same([number(it["price"]), it["timestamp"]], [number(row["price"]), row["time"]])


@SUITE.case("watch_trades, aggregates", *BOTH)
async def watch_aggregates(client: Any, exchange: Exchange) -> None:
    trades = await client.watch_trades(_PAIRS[exchange.market][1], params={"name": "aggTrade"})
    raw = trades[-1]["info"]
    row = exchange.get("aggTrades", symbol=OTHER, fromId=raw["a"], limit=1)[0]
    are_aggregates(trades[-1:], [row])


@SUITE.case("watch_trades_for_symbols", *BOTH)
async def watch_trades_for_symbols(client: Any, exchange: Exchange) -> None:
    missing = set(_PAIRS[exchange.market])
    while missing:
        trades = await client.watch_trades_for_symbols(list(_PAIRS[exchange.market]))
        missing -= {it["symbol"] for it in trades}
        are_true_trades([it for it in trades if it["symbol"] == pair(exchange)][-3:], exchange)


@SUITE.case("watch_ticker", *BOTH)
async def watch_ticker(client: Any, exchange: Exchange) -> None:
    is_live_ticker(await client.watch_ticker(pair(exchange)), exchange)
    await client.un_watch_ticker(pair(exchange))


def is_live_ticker(ticker: Any, exchange: Exchange) -> None:
    row = exchange.get("ticker/24hr", symbol=SYMBOL)
    assert ticker["symbol"] == pair(exchange)
    near(ticker["last"], row["lastPrice"])
    near(ticker["open"], row["openPrice"])
    if "L" in ticker["info"]:
        assert number(ticker["last"]) == number(exchange.trade(int(ticker["info"]["L"]))["price"])


@SUITE.case("watch_tickers", *BOTH)
async def watch_tickers(client: Any, exchange: Exchange) -> None:
    wanted = set(_PAIRS[exchange.market])
    seen: dict[str, Any] = {}
    while wanted - seen.keys():
        seen |= await client.watch_tickers(sorted(wanted))
    is_live_ticker(seen[pair(exchange)], exchange)


@SUITE.case("watch_tickers, mini", *BOTH)
async def watch_mini_tickers(client: Any, exchange: Exchange) -> None:
    tickers = await client.watch_tickers([pair(exchange)], {"name": "miniTicker"})
    is_live_ticker(tickers[pair(exchange)], exchange)


@SUITE.case("watch_bids_asks", *BOTH)
async def watch_bids_asks(client: Any, exchange: Exchange) -> None:
    for _ in range(3):
        quote = (await client.watch_bids_asks([pair(exchange)]))[pair(exchange)]
        assert 0 < quote["bid"] < quote["ask"]
        near(quote["bid"], exchange.get("ticker/bookTicker", symbol=SYMBOL)["bidPrice"])


@SUITE.case("watch_ohlcv", *BOTH)
async def watch_ohlcv(client: Any, exchange: Exchange) -> None:
    is_live_candle(await client.watch_ohlcv(pair(exchange), "1m"), exchange)
    await client.un_watch_ohlcv(pair(exchange), "1m")


def is_live_candle(candles: Any, exchange: Exchange, interval: str = "1m") -> None:
    last = candles[-1]
    row = exchange.kline(last[0], interval)
    assert number(last[1]) == number(row[1])
    assert number(row[3]) <= number(last[3]) <= number(last[4]) <= number(last[2]) <= number(row[2])
    assert number(last[5]) <= number(row[5])


@SUITE.case("watch_ohlcv_for_symbols", *BOTH)
async def watch_ohlcv_for_symbols(client: Any, exchange: Exchange) -> None:
    wanted = [[symbol, "5m"] for symbol in _PAIRS[exchange.market]]
    seen: dict[str, Any] = {}
    while pair(exchange) not in seen:
        seen |= await client.watch_ohlcv_for_symbols(wanted)
    is_live_candle(seen[pair(exchange)]["5m"], exchange, "5m")


@SUITE.case("watch_order_book", *BOTH)
async def watch_order_book(client: Any, exchange: Exchange) -> None:
    await is_synchronised(exchange, lambda: client.watch_order_book(pair(exchange)))
    await client.un_watch_order_book(pair(exchange))


@SUITE.case("watch_order_book of some levels", *BOTH)
async def watch_order_book_levels(client: Any, exchange: Exchange) -> None:
    for _ in range(3):
        book = await client.watch_order_book(pair(exchange), 10)
    bids = [row[0] for row in book["bids"]]
    asks = [row[0] for row in book["asks"]]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < asks[0]
    near(bids[0], exchange.get("depth", symbol=SYMBOL, limit=5)["bids"][0][0])


@SUITE.case("watch_order_book_for_symbols", *BOTH)
async def watch_order_book_for_symbols(client: Any, exchange: Exchange) -> None:
    seen: set[str] = set()
    while seen != set(_PAIRS[exchange.market]):
        book = await client.watch_order_book_for_symbols(list(_PAIRS[exchange.market]))
        assert book["bids"][0][0] < book["asks"][0][0]
        seen.add(book["symbol"])


async def is_synchronised(exchange: Exchange, watch: Callable[[], Any]) -> None:
    """The local book follows the differences, and at rest it is REST's. The client ends a book that does not join its
    snapshot, and says that the call is to be made again.
    """
    book = None
    for _ in range(10):
        try:
            book = await watch()
        except ChecksumError:
            book = await watch()
    with paused(exchange):
        while (difference := is_book(exchange, book["bids"], book["asks"]) if book else "no book") is not None:
            try:
                async with asyncio.timeout(5):
                    book = await watch()
            except TimeoutError as error:
                raise AssertionError(difference) from error


# --- contracts


@SUITE.case("fetch_funding_rate", "usdm", still=True)
async def fetch_funding_rate(client: Any, exchange: Exchange) -> None:
    is_rate(await client.fetch_funding_rate(pair(exchange)), exchange.get("premiumIndex", symbol=SYMBOL))


def is_rate(rate: Any, row: Any) -> None:
    same(
        [number(rate["markPrice"]), number(rate["indexPrice"]), number(rate["fundingRate"]), rate["fundingTimestamp"]],
        [number(row["markPrice"]), number(row["indexPrice"]), number(row["lastFundingRate"]), row["nextFundingTime"]],
    )


@SUITE.case("fetch_funding_rates", "usdm", still=True)
async def fetch_funding_rates(client: Any, exchange: Exchange) -> None:
    rates = await client.fetch_funding_rates()
    is_rate(rates[pair(exchange)], exchange.get("premiumIndex", symbol=SYMBOL))


@SUITE.case("fetch_funding_rate_history", "usdm", still=True)
async def fetch_funding_rate_history(client: Any, exchange: Exchange) -> None:
    rates = await client.fetch_funding_rate_history(pair(exchange), limit=10)
    rows = exchange.get("fundingRate", symbol=SYMBOL, limit=10)
    assert rows
    same(
        [[it["timestamp"], number(it["fundingRate"])] for it in rates],
        [[it["fundingTime"], number(it["fundingRate"])] for it in rows],
    )


@SUITE.case("fetch_funding_intervals", "usdm", still=True)
async def fetch_funding_intervals(client: Any, exchange: Exchange) -> None:
    intervals = await client.fetch_funding_intervals()
    rows = exchange.get("fundingInfo")
    assert all(
        f"{row['fundingIntervalHours']}h" == intervals[client.safe_symbol(row["symbol"])]["interval"] for row in rows
    )


@SUITE.case("fetch_mark_price", "usdm", still=True)
async def fetch_mark_price(client: Any, exchange: Exchange) -> None:
    ticker = await client.fetch_mark_price(pair(exchange))
    assert number(ticker["markPrice"]) == number(exchange.get("premiumIndex", symbol=SYMBOL)["markPrice"])


@SUITE.case("fetch_mark_prices", "usdm", still=True)
async def fetch_mark_prices(client: Any, exchange: Exchange) -> None:
    ticker = (await client.fetch_mark_prices())[pair(exchange)]
    assert number(ticker["markPrice"]) == number(exchange.get("premiumIndex", symbol=SYMBOL)["markPrice"])


@SUITE.case("fetch_open_interest", "usdm", still=True)
async def fetch_open_interest(client: Any, exchange: Exchange) -> None:
    interest = await client.fetch_open_interest(pair(exchange))
    row = exchange.get("openInterest", symbol=SYMBOL)
    assert number(interest["openInterestAmount"]) == number(row["openInterest"])


@SUITE.case("fetch_open_interest_history", "usdm", still=True)
async def fetch_open_interest_history(client: Any, exchange: Exchange) -> None:
    rows = exchange.get("/futures/data/openInterestHist", symbol=SYMBOL, period="5m", limit=10)
    history = await client.fetch_open_interest_history(pair(exchange), "5m", limit=10)
    assert rows
    same(
        [[it["timestamp"], number(it["openInterestAmount"])] for it in history],
        [[it["timestamp"], number(it["sumOpenInterest"])] for it in rows],
    )


@SUITE.case("fetch_long_short_ratio_history", "usdm", still=True)
async def fetch_long_short_ratio_history(client: Any, exchange: Exchange) -> None:
    rows = exchange.get("/futures/data/globalLongShortAccountRatio", symbol=SYMBOL, period="5m", limit=10)
    history = await client.fetch_long_short_ratio_history(pair(exchange), "5m", limit=10)
    assert rows
    same([number(it["longShortRatio"]) for it in history], [number(it["longShortRatio"]) for it in rows])


def _klines(name: str, path: str, param: str) -> None:
    @SUITE.case(name, "usdm", still=True)
    async def run(client: Any, exchange: Exchange) -> None:
        rows = exchange.get(path, **{param: SYMBOL}, interval="1m", limit=20)
        candles = await getattr(client, name)(pair(exchange), "1m", limit=20)
        assert rows
        same(numbers(row[:5] for row in candles), numbers(row[:5] for row in rows))


_klines("fetch_mark_ohlcv", "markPriceKlines", "symbol")
_klines("fetch_index_ohlcv", "indexPriceKlines", "pair")
_klines("fetch_premium_index_ohlcv", "premiumIndexKlines", "symbol")


@SUITE.case("watch_mark_price", "usdm")
async def watch_mark_price(client: Any, exchange: Exchange) -> None:
    ticker = await client.watch_mark_price(pair(exchange))
    row = exchange.get("premiumIndex", symbol=SYMBOL)
    near(ticker["markPrice"], row["markPrice"])
    near(ticker["indexPrice"], row["indexPrice"])


@SUITE.case("watch_mark_prices", "usdm")
async def watch_mark_prices(client: Any, exchange: Exchange) -> None:
    tickers = await client.watch_mark_prices(list(_PAIRS["usdm"]))
    near(tickers[pair(exchange)]["markPrice"], exchange.get("premiumIndex", symbol=SYMBOL)["markPrice"])


# --- signed


@SUITE.case("fetch_balance", *BOTH, signed=True)
async def fetch_balance(client: Any, exchange: Exchange) -> None:
    before = (await client.fetch_balance())["USDT"]["total"]
    exchange.account(do="deposit", asset="USDT", amount="125.5")
    balance = await client.fetch_balance()
    assert round(balance["USDT"]["total"] - before, 6) == 125.5
    if exchange.market == "spot":
        wanted = {asset: float(free) for asset, (free, _) in exchange.balances().items()}
        same({asset: balance[asset]["free"] for asset in wanted}, wanted)


@SUITE.case("fetch_my_trades", *BOTH, signed=True)
async def fetch_my_trades(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.02", price="60000")
    trade = (await client.fetch_my_trades(pair(exchange)))[-1]
    same([trade["side"], trade["amount"], trade["price"]], ["buy", 0.02, 60_000.0])
    assert trade["fee"]["cost"] > 0


@SUITE.case("fetch_open_orders", *BOTH, signed=True)
async def fetch_open_orders(client: Any, exchange: Exchange) -> None:
    same(await client.fetch_open_orders(pair(exchange)), [])


@SUITE.case("fetch_trading_fees", "spot", signed=True)
async def fetch_trading_fees(client: Any, exchange: Exchange) -> None:
    assert (await client.fetch_trading_fees())[pair(exchange)]["taker"] == 0.001


@SUITE.case("fetch_trading_fee", *BOTH, signed=True)
async def fetch_trading_fee(client: Any, exchange: Exchange) -> None:
    assert (await client.fetch_trading_fee(pair(exchange)))["taker"] == (0.001 if exchange.market == "spot" else 0.0005)


@SUITE.case("fetch_currencies", "spot", signed=True)
async def fetch_currencies(client: Any, exchange: Exchange) -> None:
    client.options["fetchCurrencies"] = True
    assert {"BTC", "USDT"} <= (await client.fetch_currencies()).keys()


@SUITE.case("fetch_status", "spot", signed=True)
async def fetch_status(client: Any, exchange: Exchange) -> None:
    assert (await client.fetch_status())["status"] == "ok"


@SUITE.case("a wrong secret", *BOTH, signed=True)
async def wrong_secret(client: Any, exchange: Exchange) -> None:
    client.secret = SECRET[::-1]
    try:
        await raises(client.fetch_balance, AuthenticationError)
    finally:
        client.secret = SECRET


@SUITE.case("fetch_positions", "usdm", signed=True)
async def fetch_positions(client: Any, exchange: Exchange) -> None:
    exchange.account(do="fill", symbol=OTHER, side="SELL", quantity="2", price="3000")
    positions = {it["symbol"]: it for it in await client.fetch_positions()}
    position = positions[_PAIRS["usdm"][1]]
    same([position["side"], position["contracts"], position["entryPrice"]], ["short", 2.0, 3_000.0])


@SUITE.case("fetch_position_mode", "usdm", signed=True)
async def fetch_position_mode(client: Any, exchange: Exchange) -> None:
    assert (await client.fetch_position_mode(pair(exchange)))["hedged"] is False


@SUITE.case("fetch_leverages", "usdm", signed=True)
async def fetch_leverages(client: Any, exchange: Exchange) -> None:
    exchange.account(do="leverage", symbol=SYMBOL, leverage=7)
    assert (await client.fetch_leverages())[pair(exchange)]["longLeverage"] == 7


@SUITE.case("fetch_margin_modes", "usdm", signed=True)
async def fetch_margin_modes(client: Any, exchange: Exchange) -> None:
    assert (await client.fetch_margin_modes())[pair(exchange)]["marginMode"] == "cross"


@SUITE.case("fetch_leverage_tiers", "usdm", signed=True)
async def fetch_leverage_tiers(client: Any, exchange: Exchange) -> None:
    tiers = (await client.fetch_leverage_tiers())[pair(exchange)]
    assert [it["minNotional"] for it in tiers] == sorted(it["minNotional"] for it in tiers)


@SUITE.case("watch_balance", "usdm", signed=True)
async def watch_balance(client: Any, exchange: Exchange) -> None:
    watching = asyncio.create_task(client.watch_balance())
    wallets = set()
    try:
        while not watching.done():
            exchange.account(do="deposit", asset="USDT", amount="1")
            wallets.add(number(exchange.get("/control/accounts")["accounts"][0]["wallets"]["USDT"]))
            await asyncio.sleep(0.5)
        assert watching.result()["USDT"]["total"] in wallets
    finally:
        watching.cancel()


@SUITE.case("watch_positions", "usdm", signed=True)
async def watch_positions(client: Any, exchange: Exchange) -> None:
    watching = asyncio.create_task(client.watch_positions([pair(exchange)]))
    try:
        while not watching.done():
            exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.01")
            await asyncio.sleep(0.5)
        assert watching.result()[-1]["symbol"] == pair(exchange)
    finally:
        watching.cancel()


@SUITE.case("watch_my_trades", "usdm", signed=True)
async def watch_my_trades(client: Any, exchange: Exchange) -> None:
    watching = asyncio.create_task(client.watch_my_trades(pair(exchange)))
    try:
        while not watching.done():
            exchange.account(do="fill", symbol=SYMBOL, side="BUY", quantity="0.01", price="60000")
            await asyncio.sleep(0.5)
        trade = watching.result()[-1]
        same([trade["side"], trade["amount"], trade["price"]], ["buy", 0.01, 60_000.0])
    finally:
        watching.cancel()


@SUITE.case("fetch_balance_ws", "usdm", signed=True)
async def fetch_balance_ws(client: Any, exchange: Exchange) -> None:
    balance = await client.fetch_balance_ws()
    near(balance["USDT"]["total"], (await client.fetch_balance())["USDT"]["total"])  # gains move with the price
