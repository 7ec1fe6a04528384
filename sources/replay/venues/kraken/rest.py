"""Kraken's REST interface: market data of `/0/public`, and accounts (`accounts/rest.py`).

Every body is `{"error": […], "result": …}` with status 200.

Source: docs.kraken.com, REST; recordings of 2025-11-10 and 2026-07-07.
"""

import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import polars as pl
from aiohttp import web

from sources.replay.exchange.dialect import ExchangeView, Reply
from sources.replay.exchange.limits import RateMeter, Refusal
from sources.replay.market.decimals import Decimals, decimal_text
from sources.replay.market.intervals import INTERVALS_MS, open_of
from sources.replay.market.lives import State
from sources.replay.market.playback import Playback
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.venues.kraken.accounts.keys import KrakenKeyError
from sources.replay.venues.kraken.accounts.rest import PREFIX, KrakenPrivate
from sources.replay.venues.kraken.messages import INTERVALS, average_price, is_market_order, taker_side
from sources.replay.venues.kraken.pairs import Pair, asset_pair_row, pair_of
from sources.replay.venues.rows import TradeRow, rows_of
from sources.replay.venues.times import rfc3339

_PREFIX = "/0/public/"
_CANDLES = 720
"""Most rows of `OHLC`, the running one among them."""
_TRADES = 1_000
_LEVELS = 500
_LEAST_DECIMALS = 5
"""Prices of `Depth`, `Trades` and `Ticker` have at least so many decimals."""
_DEPTH_LOTS = 3
"""Decimals of quantities in `Depth` and `Ticker`."""
_SECONDS_BELOW = 10**11
"""A `since` below is in seconds, else in nanoseconds."""
_MOST_DIGITS = 20
_PER_PAIR = frozenset(("OHLC", "Trades"))
"""What is limited for each pair by itself."""
_WINDOW_S = 10.0
_HEADERS = {"Server": "nginx", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"}
_REFUSALS = {418: "EGeneral:Temporary lockout", 429: "EAPI:Rate limit exceeded", 503: "EService:Unavailable"}

Query: TypeAlias = Mapping[str, str]


_KNOWN = frozenset((State.TRADING, State.HALTED))
"""The states of pairs that REST has."""


class KrakenError(Exception):
    """A request that is refused, with the text of `error`."""


class KrakenRest:
    """Answers the market data requests of Kraken."""

    def __init__(self, view: ExchangeView, market: Playback, *, private: KrakenPrivate, requests_per_s: float) -> None:
        self._view = view
        self._private = private
        self._markets = {pair_of(name): one for name, one in market.markets.items()}
        self._names = {
            name.upper(): pair for pair in self._markets for name in (pair.id, pair.altname, pair.wsname, pair.symbol)
        }
        self._most = max(int(requests_per_s * _WINDOW_S), 1)
        self._meters: dict[tuple[str, str], RateMeter] = {}
        self._endpoints: dict[str, Callable[[Query], Any]] = {
            "Time": self._time,
            "SystemStatus": self._status,
            "AssetPairs": self._asset_pairs,
            "Ticker": self._ticker,
            "Depth": self._depth,
            "OHLC": self._candles,
            "Trades": self._trades,
        }

    def reply(self, request: web.Request, now_s: float) -> Reply:
        """The answer to a request."""
        if request.path.startswith(PREFIX):
            return self._private_reply(request, now_s)
        name = request.path.removeprefix(_PREFIX)
        endpoint = self._endpoints.get(name) if request.path.startswith(_PREFIX) else None
        if endpoint is None:
            return _error("EGeneral:Unknown method")
        if not self._admits(name, request.query, now_s):
            return _error(_REFUSALS[429])
        try:
            return _body(endpoint(request.query))
        except KrakenError as error:
            return _error(str(error))

    def _private_reply(self, request: web.Request, now_s: float) -> Reply:
        if not self._admits("", {}, now_s):
            return _error("EAPI:Rate limit exceeded")
        try:
            return _body(self._private.result(request))
        except KrakenKeyError as error:
            return _error(str(error))

    def refused(self, refusal: Refusal, now_s: float) -> Reply:
        """The answer that a fault orders: with its status, and its text or the usual one."""
        del now_s
        text = refusal.text or _REFUSALS.get(refusal.status, "EGeneral:Internal error")
        return _error(text, refusal.status)

    def headers(self, now_s: float) -> Mapping[str, str]:
        """The headers of every answer."""
        del now_s
        return _HEADERS

    def _admits(self, name: str, query: Query, now_s: float) -> bool:
        """Whether a request is within its limit: one for all, and one for each pair where the answers are long."""
        pair = self._names.get(query.get("pair", "").upper())
        key = (name, pair.id) if name in _PER_PAIR and pair else ("", "")
        meter = self._meters.setdefault(key, RateMeter(most=self._most, window_s=_WINDOW_S))
        return meter.admits(now_s)

    # --- what it answers

    def _time(self, _: Query) -> dict[str, Any]:
        seconds = self._view.now_ms // 1_000
        return {"unixtime": seconds, "rfc1123": time.strftime("%a, %d %b %y %H:%M:%S +0000", time.gmtime(seconds))}

    def _status(self, _: Query) -> dict[str, Any]:
        return {"status": "online", "timestamp": rfc3339(self._view.now_ms)[:19] + "Z"}

    def _asset_pairs(self, query: Query) -> dict[str, Any]:
        pairs = self._several(query)
        return {pair.id: asset_pair_row(pair, self._decimals(pair), self._state(pair)) for pair in pairs}

    def _ticker(self, query: Query) -> dict[str, Any]:
        return {pair.id: self._day(pair) for pair in self._several(query)}

    def _day(self, pair: Pair) -> dict[str, Any]:
        market, numbers, now_ms = self._markets[pair], self._decimals(pair), self._view.market.now_ms
        day = market.statistics(now_ms) or market.no_statistics(now_ms)
        midnight = open_of("1d", now_ms)
        today = market.kline("1d", midnight)
        price, window = _PriceText(numbers), day.window
        parts = [part or window for part in (today, window)]
        return {
            "a": [_padded(day.ask[0]), _whole(day.ask[1]), _cut(day.ask[1])],
            "b": [_padded(day.bid[0]), _whole(day.bid[1]), _cut(day.bid[1])],
            "c": [price(window.close), numbers.quantity_text(day.last_quantity)],
            "v": [numbers.quantity_text(part.volume) for part in parts],
            "p": [_padded(average_price(numbers, part)) for part in parts],
            "t": [part.trades for part in parts],
            "l": [price(part.low) for part in parts],
            "h": [price(part.high) for part in parts],
            "o": price(parts[0].open),
        }

    def _depth(self, query: Query) -> dict[str, Any]:
        pair = self._one(query)
        count = min(_integer(query, "count", 100), _LEVELS)
        book = self._view.depth(pair.symbol, count) or {"asks": [], "bids": []}
        seconds = self._view.now_ms // 1_000
        return {
            pair.id: {
                side: [[_padded(price), _cut(quantity), seconds] for price, quantity in book[side]]
                for side in ("asks", "bids")
            }
        }

    def _candles(self, query: Query) -> dict[str, Any]:
        pair, interval = self._one(query), INTERVALS.get(_integer(query, "interval", 1))
        if interval is None:
            raise KrakenError("EGeneral:Invalid arguments")
        since_ms = _since_ns(query, 0) // 1_000_000
        market, numbers, now_ms = self._markets[pair], self._decimals(pair), self._view.market.now_ms
        klines = market.klines(interval, now_ms=now_ms, start_ms=None, end_ms=None, limit=_CANDLES)
        rows = [
            [
                kline.open_time // 1_000,
                *(numbers.price_text(price) for price in (kline.open, kline.high, kline.low, kline.close)),
                average_price(numbers, kline),
                numbers.quantity_text(kline.volume),
                kline.trades,
            ]
            for kline in klines
            if kline.open_time > since_ms
        ]
        committed = open_of(interval, now_ms) - INTERVALS_MS[interval]
        return {pair.id: rows, "last": committed // 1_000}

    def _trades(self, query: Query) -> dict[str, Any]:
        pair = self._one(query)
        count = min(_integer(query, "count", _TRADES), _TRADES)
        market = self._markets[pair]
        frame = market.played_trades()
        if "since" in query:
            since_ns = _since_ns(query, 0)
            rows = rows_of(frame.filter(pl.col("time") * 1_000_000 >= since_ns).head(count))
        else:
            rows = rows_of(frame.tail(count))
        last = str(rows[-1].time_ms * 1_000_000) if rows else query.get("since", "0")
        return {pair.id: [_trade_row(market, row) for row in rows], "last": last}

    # --- its parameters

    def _decimals(self, pair: Pair) -> Decimals:
        return self._markets[pair].encoder.decimals

    def _state(self, pair: Pair) -> State:
        return self._markets[pair].life.state(self._view.market.now_ms)

    def _is_known(self, pair: Pair) -> bool:
        return self._state(pair) in _KNOWN

    def _named(self, name: str) -> Pair:
        pair = self._names.get(name.upper())
        if pair is None or not self._is_known(pair):
            raise KrakenError("EQuery:Unknown asset pair")
        return pair

    def _one(self, query: Query) -> Pair:
        name = query.get("pair", "")
        if not name:
            raise KrakenError("EGeneral:Invalid arguments")
        return self._named(name)

    def _several(self, query: Query) -> list[Pair]:
        names = query.get("pair", "")
        return (
            [self._named(name) for name in names.split(",")] if names else list(filter(self._is_known, self._markets))
        )


def _body(result: Any) -> Reply:
    return Reply(HTTPStatus.OK, {"error": [], "result": result})


def _error(text: str, status: int = HTTPStatus.OK) -> Reply:
    return Reply(status, {"error": [text]})


def _integer(query: Query, name: str, default: int) -> int:
    """An optional whole number above 0."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS or not int(text):
        raise KrakenError("EGeneral:Invalid arguments")
    return int(text)


def _since_ns(query: Query, default: int) -> int:
    """`since` in nanoseconds: sent so, or in seconds that may have a fraction."""
    text = query.get("since")
    if text is None:
        return default
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isascii() or not (whole + fraction).isdigit() or len(text) > _MOST_DIGITS or not whole:
        raise KrakenError("EGeneral:Invalid arguments")
    if fraction or int(whole) < _SECONDS_BELOW:
        return int(whole) * 10**9 + int(fraction[:9].ljust(9, "0"))
    return int(whole)


def _trade_row(market: SymbolMarket, row: TradeRow) -> list[Any]:
    numbers = market.encoder.decimals
    return [
        _PriceText(numbers)(row.price),
        numbers.quantity_text(row.lots),
        row.time_ms / 1_000,
        taker_side(row)[0],
        "m" if is_market_order(row) else "l",
        "",
        row.id,
    ]


class _PriceText:
    """Prints prices with at least five decimals."""

    def __init__(self, numbers: Decimals) -> None:
        self._decimals = numbers.price
        self._printed = max(numbers.price, _LEAST_DECIMALS)

    def __call__(self, ticks: int) -> str:
        return decimal_text(ticks, self._decimals, self._printed)


def _padded(price: str) -> str:
    whole, _, fraction = price.partition(".")
    return f"{whole}.{fraction.ljust(_LEAST_DECIMALS, '0')}"


def _cut(quantity: str) -> str:
    whole, _, fraction = quantity.partition(".")
    return f"{whole}.{fraction[:_DEPTH_LOTS].ljust(_DEPTH_LOTS, '0')}"


def _whole(quantity: str) -> str:
    return quantity.partition(".")[0]
