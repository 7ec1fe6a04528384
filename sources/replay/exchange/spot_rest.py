"""The REST interface of Binance spot, `/api/v3`: market data alone. Source: `rest-api`."""

import re
from typing import Any

from sources.replay.exchange.limits import RestLimits
from sources.replay.exchange.parameters import ApiError, Parameters, invalid
from sources.replay.exchange.rest import (
    Answer,
    Endpoint,
    MarketRest,
    View,
    book_or_empty,
    rate_limit,
    time_range,
    weight_of,
)
from sources.replay.market.intervals import INTERVALS_MS, intervals_of

_PREFIX = "/api/v3/"
_DEPTH_WEIGHTS = ((100, 5), (500, 25), (1_000, 50), (5_000, 250))
_TICKER_WEIGHTS = ((20, 2), (100, 40), (101, 80))
_LEFT_OUT_OF_MINI = frozenset(
    (
        "priceChange",
        "priceChangePercent",
        "weightedAvgPrice",
        "prevClosePrice",
        "lastQty",
        "bidPrice",
        "bidQty",
        "askPrice",
        "askQty",
    )
)
_MINUTE_MS = 60_000
_AVERAGE_MINUTES = 5
_TIME_ZONE = re.compile(r"([+-]?)(\d{1,2})(?::([0-5]\d))?")
_TIME_FIELDS = frozenset(("serverTime", "time", "T", "openTime", "closeTime"))


class SpotRest(MarketRest):
    """Answers spot's market data requests from a market."""

    def __init__(self, view: View, limits: RestLimits) -> None:
        super().__init__(view, limits)
        answers = {**self._shared(), "uiKlines": self._klines, "avgPrice": self._average_price}
        self.endpoints = {_PREFIX + name: self._strictly(answer) for name, answer in answers.items()}
        """Paths and their handlers."""

    @staticmethod
    def _strictly(answer: Endpoint) -> Endpoint:
        def checked(parameters: Parameters) -> Answer:
            answered = answer(parameters)
            parameters.refuse_unread()
            return answered

        return checked

    def _exchange_info(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)
        status = parameters.text("symbolStatus")
        parameters.text("permissions")  # every symbol has all permissions of a market data client
        shows_permissions = parameters.choice("showPermissionSets", ("true", "false"), default="true") == "true"
        rows = [
            row if shows_permissions else {key: value for key, value in row.items() if key != "permissionSets"}
            for row in self._view.market.exchange_info()
            if (chosen is None or row["symbol"] in chosen) and status in (None, row.get("status"))
        ]
        rate_limits = [
            rate_limit("REQUEST_WEIGHT", "MINUTE", 1, self._limits.weight_per_minute),
            rate_limit("ORDERS", "SECOND", 10, 100),
            rate_limit("ORDERS", "DAY", 1, 200_000),
            rate_limit("RAW_REQUESTS", "MINUTE", 5, 300_000),
        ]
        return Answer(
            {
                "timezone": "UTC",
                "serverTime": self._view.now_ms,
                "rateLimits": rate_limits,
                "exchangeFilters": [],
                "symbols": rows,
            },
            20,
        )

    def _depth(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=100, most=5_000)
        return Answer(book_or_empty(self._view.depth(symbol, limit)), weight_of(limit, _DEPTH_WEIGHTS))

    def _trades(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=500, most=1_000)
        return Answer(self._view.market.trades(symbol, from_id=None, limit=limit), 25)

    def _historical_trades(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=500, most=1_000)
        return Answer(self._view.market.trades(symbol, from_id=parameters.integer("fromId"), limit=limit), 25)

    def _agg_trades(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=500, most=1_000)
        from_id, times = parameters.integer("fromId"), time_range(parameters)
        if from_id is not None and times != (None, None):
            raise ApiError(
                -1128,
                "Combination of optional parameters invalid. Recommendation: 'fromId' or 'startTime' and 'endTime'",
            )
        if times.is_reversed:
            return Answer([], 4)
        rows = self._view.market.agg_trades(
            symbol, from_id=from_id, start_ms=times.start_ms, end_ms=times.end_ms, limit=limit
        )
        return Answer(rows, 4)

    def _klines(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        interval = parameters.interval(intervals_of("spot"))
        limit = parameters.limit(default=500, most=1_000)
        times = time_range(parameters)
        _check_time_zone(parameters.text("timeZone") or "0", interval)
        if times.is_reversed:
            return Answer([], 2)
        rows = self._view.market.klines(symbol, interval, start_ms=times.start_ms, end_ms=times.end_ms, limit=limit)
        return Answer(rows, 2)

    def _average_price(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        rows = self._view.market.klines(symbol, "1m", start_ms=None, end_ms=None, limit=_AVERAGE_MINUTES)
        volume, quote = sum(float(row[5]) for row in rows), sum(float(row[7]) for row in rows)
        ticker = self._view.market.ticker(symbol)
        price = f"{quote / volume:.8f}" if volume else ticker["lastPrice"]
        return Answer({"mins": _AVERAGE_MINUTES, "price": price, "closeTime": ticker["closeTime"]}, 2)

    def _ticker(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)
        is_mini = parameters.choice("type", ("FULL", "MINI"), default="FULL") == "MINI"
        parameters.text("symbolStatus")

        def row(symbol: str) -> dict[str, Any]:
            ticker = self._view.market.ticker(symbol)
            return {key: ticker[key] for key in ticker if key not in _LEFT_OUT_OF_MINI} if is_mini else ticker

        weight = 80 if chosen is None else weight_of(len(chosen), _TICKER_WEIGHTS)
        return Answer(self._one_or_all(parameters, chosen, row), weight)

    def _price(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)
        parameters.text("symbolStatus")

        def row(symbol: str) -> dict[str, Any]:
            return {"symbol": symbol, "price": self._view.market.ticker(symbol)["lastPrice"]}

        return Answer(self._one_or_all(parameters, chosen, row), _brief_weight(parameters))

    def _book_ticker(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)
        parameters.text("symbolStatus")
        rows = self._one_or_all(parameters, chosen, self._view.market.book_ticker)
        return Answer(rows, _brief_weight(parameters))

    def _one_or_all(self, parameters: Parameters, chosen: tuple[str, ...] | None, row: Any) -> Any:
        """An object for `symbol`, a list for `symbols` or none."""
        if parameters.text("symbol") is not None and chosen:
            return row(chosen[0])
        return [row(symbol) for symbol in (self._symbols if chosen is None else chosen)]


def _brief_weight(parameters: Parameters) -> int:
    return 4 if parameters.text("symbol") is None else 2


def _check_time_zone(zone: str, interval: str) -> None:
    """Accepts a time zone whose periods begin as in UTC; rows for any other cannot be computed."""
    match = _TIME_ZONE.fullmatch(zone)
    if match is None:
        raise invalid("timeZone")
    minutes = int(match[2]) * 60 + int(match[3] or 0)
    signed = -minutes if match[1] == "-" else minutes
    if not -12 * 60 <= signed <= 14 * 60 or (minutes * _MINUTE_MS) % INTERVALS_MS[interval]:
        raise invalid("timeZone")


def in_microseconds(body: Any) -> Any:
    """A body for `X-MBX-TIME-UNIT: MICROSECOND`: every time in microseconds; a kline ends with its last microsecond."""
    match body:
        case dict():
            return {
                key: value * 1_000 if key in _TIME_FIELDS else in_microseconds(value) for key, value in body.items()
            }
        case [int(opened), *middle] if len(body) == len(_KLINE_ROW):
            closed = middle[5]
            return [opened * 1_000, *middle[:5], closed * 1_000 + 999, *middle[6:]]
        case list():
            return [in_microseconds(value) for value in body]
        case _:
            return body


_KLINE_ROW = range(12)
