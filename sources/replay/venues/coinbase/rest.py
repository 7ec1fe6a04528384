"""REST of the Coinbase Exchange, with market data, and of Advanced Trade, with accounts (`accounts/rest.py`).

Source: docs.cdp.coinbase.com, Exchange REST.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeAlias

import polars as pl
from aiohttp import web

from sources.replay.exchange.dialect import ExchangeView, Reply
from sources.replay.exchange.limits import RateMeter, Refusal
from sources.replay.market.decimals import decimal_text
from sources.replay.market.klines import Kline
from sources.replay.market.lives import State
from sources.replay.market.playback import Playback
from sources.replay.market.symbol_market import SymbolMarket
from sources.replay.venues.coinbase.accounts.rest import PREFIX, CoinbasePrivate
from sources.replay.venues.coinbase.exchange_messages import levels_text, maker_side
from sources.replay.venues.coinbase.products import product_of, product_row
from sources.replay.venues.rows import TradeRow, rows_of
from sources.replay.venues.times import rfc3339

_TRADES = 1_000
_CANDLES = 300
_GRANULARITIES = {60: "1m", 300: "5m", 900: "15m", 3_600: "1h", 21_600: "6h", 86_400: "1d"}
_LEVELS = 100_000
_PRINTED = 8
"""Decimals of trades."""
_MOST_DIGITS = 18
_PATH = re.compile(r"/products/([^/]+)(?:/(trades|candles|book|ticker))?/?")
_HEADERS = {"Server": "cloudflare", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "*"}
_TEXTS = {429: "Public rate limit exceeded", 503: "Service Unavailable"}

Query: TypeAlias = Mapping[str, str]


class CoinbaseError(Exception):
    """A request that is refused, with its status."""

    def __init__(self, message: str, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(message)
        self.status = status


class CoinbaseRest:
    """Answers the market data requests of the Exchange."""

    def __init__(self, view: ExchangeView, market: Playback, *, private: CoinbasePrivate, requests_per_s: int) -> None:
        self._view = view
        self._private = private
        self._markets = market.markets
        self._meter = RateMeter(most=requests_per_s, window_s=1.0)
        self._endpoints: dict[str | None, Callable[[str, Query], Reply]] = {
            None: lambda name, _: Reply(HTTPStatus.OK, self._row(name)),
            "trades": self._trades,
            "candles": self._candles,
            "book": self._book,
            "ticker": self._ticker,
        }

    def reply(self, request: web.Request, now_s: float) -> Reply:
        """The answer to a request."""
        if not self._meter.admits(now_s):
            return _error(_TEXTS[429], HTTPStatus.TOO_MANY_REQUESTS)
        if request.path.startswith(PREFIX):
            return self._private.reply(request)
        try:
            return self._true_reply(request.path, request.query)
        except CoinbaseError as error:
            return _error(str(error), error.status)

    def _true_reply(self, path: str, query: Query) -> Reply:
        if path == "/time":
            now_ms = self._view.now_ms
            return Reply(HTTPStatus.OK, {"iso": rfc3339(now_ms, 3), "epoch": now_ms / 1_000})
        if path == "/products":
            return Reply(HTTPStatus.OK, [self._row(name) for name in self._names])
        match = _PATH.fullmatch(path)
        if match is None or match[1] not in self._names:
            raise CoinbaseError("NotFound", HTTPStatus.NOT_FOUND)
        return self._endpoints[match[2]](match[1], query)

    def refused(self, refusal: Refusal, now_s: float) -> Reply:
        """The answer that a fault orders."""
        del now_s
        waits = {"Retry-After": str(refusal.retry_after_s)} if refusal.status == HTTPStatus.TOO_MANY_REQUESTS else {}
        text = refusal.text or _TEXTS.get(refusal.status) or HTTPStatus(refusal.status).phrase
        return _error(text, refusal.status, waits)

    def headers(self, now_s: float) -> Mapping[str, str]:
        """The headers of every answer."""
        del now_s
        return _HEADERS

    # --- what it answers

    def _row(self, name: str) -> dict[str, Any]:
        return product_row(product_of(name), self._markets[name].encoder.decimals, self._state(name))

    def _state(self, name: str) -> State:
        return self._markets[name].life.state(self._view.market.now_ms)

    @property
    def _names(self) -> list[str]:
        """The products that the exchange knows now."""
        return [name for name in self._markets if self._state(name) is not State.UNLISTED]

    def _trades(self, name: str, query: Query) -> Reply:
        """Newest first: with `after` those older than it, with `before` those newer."""
        market = self._markets[name]
        limit = min(_integer(query, "limit") or _TRADES, _TRADES)
        before, after = _integer(query, "before"), _integer(query, "after")
        frame = market.played_trades()
        if after is not None:
            frame = frame.filter(pl.col("id") < after)
        if before is not None:
            frame = frame.filter(pl.col("id") > before)
        rows = rows_of(frame.tail(limit))[::-1]
        cursors = {"CB-BEFORE": str(rows[0].id), "CB-AFTER": str(rows[-1].id)} if rows else {}
        return Reply(HTTPStatus.OK, [_trade(market, row) for row in rows], cursors)

    def _candles(self, name: str, query: Query) -> Reply:
        """Newest first, periods without a trade left out; `start` and `end` count only together."""
        seconds = _integer(query, "granularity") if "granularity" in query else 60
        interval = _GRANULARITIES.get(seconds or 0)
        if interval is None or seconds is None:
            raise CoinbaseError("Unsupported granularity")
        start_ms, end_ms = _time_ms(query, "start"), _time_ms(query, "end")
        if start_ms is None or end_ms is None:
            start_ms = end_ms = None
        elif end_ms < start_ms:
            raise CoinbaseError("end must be after start")
        elif (end_ms - start_ms) // (seconds * 1_000) > _CANDLES:
            raise CoinbaseError(
                "granularity too small for the requested time range. Count of aggregations requested exceeds 300"
            )
        market, now_ms = self._markets[name], self._view.market.now_ms
        klines = market.klines(interval, now_ms=now_ms, start_ms=start_ms, end_ms=end_ms, limit=_CANDLES)
        return Reply(HTTPStatus.OK, [_candle(market, kline) for kline in reversed(klines) if kline.trades])

    def _book(self, name: str, query: Query) -> Reply:
        level = _integer(query, "level") if "level" in query else 1
        if level not in (1, 2, 3):
            raise CoinbaseError("Invalid level")
        book = self._view.depth(name, 1 if level == 1 else _LEVELS) or {"bids": [], "asks": [], "lastUpdateId": 0}
        body = {
            "bids": levels_text(book["bids"]),
            "asks": levels_text(book["asks"]),
            "sequence": book["lastUpdateId"],
            "auction_mode": False,
            "auction": None,
            "time": rfc3339(self._view.market.now_ms, 9),
        }
        return Reply(HTTPStatus.OK, body)

    def _ticker(self, name: str, _: Query) -> Reply:
        market, now_ms = self._markets[name], self._view.market.now_ms
        rows = rows_of(market.played_trades().tail(1))
        day = market.statistics(now_ms)
        if not rows or day is None:
            raise CoinbaseError("NotFound", HTTPStatus.NOT_FOUND)
        trade = _trade(market, rows[0])
        body = {
            "ask": day.ask[0],
            "bid": day.bid[0],
            "volume": market.encoder.decimals.quantity_text(day.window.volume),
            "trade_id": trade["trade_id"],
            "price": trade["price"],
            "size": trade["size"],
            "time": trade["time"],
            "rfq_volume": "0",
        }
        return Reply(HTTPStatus.OK, body)


def _error(message: str, status: int, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {"message": message}, headers or {})


def _trade(market: SymbolMarket, row: TradeRow) -> dict[str, Any]:
    numbers = market.encoder.decimals
    return {
        "trade_id": row.id,
        "side": maker_side(row),
        "size": numbers.quantity_text(row.lots),
        "price": decimal_text(row.price, numbers.price, _PRINTED),
        "time": rfc3339(row.time_ms),
    }


def _candle(market: SymbolMarket, kline: Kline) -> list[float]:
    numbers = market.encoder.decimals
    prices = (kline.low, kline.high, kline.open, kline.close)
    return [
        kline.open_time // 1_000,
        *(float(numbers.price_text(price)) for price in prices),
        float(numbers.quantity_text(kline.volume)),
    ]


def _integer(query: Query, name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise CoinbaseError(f"invalid {name}")
    return int(text)


def _time_ms(query: Query, name: str) -> int | None:
    """A time in ISO 8601, or in seconds."""
    text = query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS:
        return int(text) * 1_000
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CoinbaseError(f"invalid {name}") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)
