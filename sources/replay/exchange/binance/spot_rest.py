"""The REST interface of Binance spot, `/api/v3`: market data alone. Source: `rest-api`."""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from flows.model import DAY_MS
from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes, invalid
from sources.replay.exchange.binance.rest import (
    Answer,
    MarketRest,
    book_or_empty,
    checked,
    rate_limit,
    time_range,
    weight_of,
)
from sources.replay.exchange.dialect import View
from sources.replay.exchange.limits import RestLimits
from sources.replay.market.intervals import MINUTE_MS, intervals_of, open_of

Row: TypeAlias = Callable[[str], dict[str, Any]]
"""What is said of a symbol."""

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
_WINDOW = re.compile(r"([1-9]|[1-5]\d)m|([1-9]|1\d|2[0-3])h|([1-7])d")
_WINDOW_MS = (MINUTE_MS, 60 * MINUTE_MS, DAY_MS)
_ROLLING_WEIGHT, _MOST_ROLLING_WEIGHT, _MOST_ROLLING = 4, 200, 100
_STATUSES = ("TRADING", "END_OF_DAY", "HALT", "BREAK", "CANCEL_ONLY")
_PERMISSIONS = re.compile(r"SPOT|MARGIN|LEVERAGED|TRD_GRP_\d{3}")
_DEFAULT_PERMISSIONS = ("SPOT", "MARGIN", "LEVERAGED")
_SYMBOLS = ("symbol", "symbols", "symbolStatus")
_ONE = ("symbol",)
_TAKES = {
    "ping": Takes(),
    "time": Takes(),
    "exchangeInfo": Takes((), (*_SYMBOLS, "permissions", "showPermissionSets")),
    "depth": Takes(_ONE, ("limit", "symbolStatus")),
    "trades": Takes(_ONE, ("limit",)),
    "historicalTrades": Takes(_ONE, ("limit", "fromId")),
    "aggTrades": Takes(_ONE, ("fromId", "startTime", "endTime", "limit")),
    "klines": Takes((*_ONE, "interval"), ("startTime", "endTime", "timeZone", "limit")),
    "uiKlines": Takes((*_ONE, "interval"), ("startTime", "endTime", "timeZone", "limit")),
    "avgPrice": Takes(_ONE),
    "ticker": Takes((), (*_SYMBOLS, "windowSize", "type")),
    "ticker/24hr": Takes((), (*_SYMBOLS, "type")),
    "ticker/tradingDay": Takes((), (*_SYMBOLS, "timeZone", "type")),
    "ticker/price": Takes((), _SYMBOLS),
    "ticker/bookTicker": Takes((), _SYMBOLS),
}
"""The parameters of each endpoint."""
_TIME_FIELDS = frozenset(("serverTime", "time", "T", "openTime", "closeTime", "updateTime"))


class SpotRest(MarketRest):
    """Answers spot's market data requests from a market."""

    def __init__(self, view: View, limits: RestLimits) -> None:
        super().__init__(view, limits)
        answers = {
            **self._shared(),
            "uiKlines": self._klines,
            "avgPrice": self._average_price,
            "ticker": self._rolling_ticker,
            "ticker/tradingDay": self._day_ticker,
        }
        self.endpoints = {
            _PREFIX + name: checked(answers[name], takes, refuses_others=True) for name, takes in _TAKES.items()
        }
        """Paths and their handlers."""

    def _exchange_info(self, parameters: Parameters) -> Answer:
        chosen, status = parameters.symbols(self._symbols), _status(parameters)
        permissions = _permissions(parameters)
        if chosen is not None and (status or permissions):
            raise ApiError(-1128, "Combination of optional parameters invalid.")
        wanted = {*(permissions or _DEFAULT_PERMISSIONS)}
        shows_permissions = parameters.choice("showPermissionSets", ("true", "false"), default="true") == "true"
        rows = [
            row if shows_permissions else {key: value for key, value in row.items() if key != "permissionSets"}
            for row in self._view.market.exchange_info()
            if (row["symbol"] in chosen if chosen is not None else wanted.intersection(*row["permissionSets"]))
            and status in (None, row.get("status"))
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
        self._with_status((symbol,), parameters)
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
        times, zone_ms = time_range(parameters), parameters.zone_ms()
        if times.is_reversed:
            return Answer([], 2)
        rows = self._view.market.klines(
            symbol, interval, start_ms=times.start_ms, end_ms=times.end_ms, limit=limit, zone_ms=zone_ms
        )
        return Answer(rows, 2)

    def _average_price(self, parameters: Parameters) -> Answer:
        return Answer(self._view.market.average_price(parameters.symbol(self._symbols)), 2)

    def _rolling_ticker(self, parameters: Parameters) -> Answer:
        chosen = parameters.some_symbols(self._symbols)
        match = _WINDOW.fullmatch(parameters.text("windowSize") or "1d")
        if match is None:
            raise invalid("windowSize")
        length = sum(int(number) * unit for number, unit in zip(match.groups("0"), _WINDOW_MS, strict=True))
        # The window opens on a whole minute.
        open_ms = (self._view.now_ms - length) // MINUTE_MS * MINUTE_MS
        return self._windows(chosen, parameters, lambda symbol: self._view.market.window(symbol, open_ms))

    def _day_ticker(self, parameters: Parameters) -> Answer:
        chosen = parameters.some_symbols(self._symbols)
        open_ms = open_of("1d", self._view.now_ms, zone_ms=parameters.zone_ms())

        def row(symbol: str) -> dict[str, Any]:
            return self._view.market.window(symbol, open_ms) | {"closeTime": open_ms + DAY_MS - 1}

        return self._windows(chosen, parameters, row)

    def _windows(self, chosen: tuple[str, ...], parameters: Parameters, row: Row) -> Answer:
        if len(chosen) > _MOST_ROLLING:
            raise invalid("symbols")
        weight = min(_ROLLING_WEIGHT * len(chosen), _MOST_ROLLING_WEIGHT)
        return Answer(self._one_or_all(parameters, chosen, _shortened(row, parameters)), weight)

    def _ticker(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)
        row = _shortened(self._view.market.ticker, parameters)
        weight = 80 if chosen is None else weight_of(len(chosen), _TICKER_WEIGHTS)
        return Answer(self._one_or_all(parameters, chosen, row), weight)

    def _price(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)

        def row(symbol: str) -> dict[str, Any]:
            return {"symbol": symbol, "price": self._view.market.ticker(symbol)["lastPrice"]}

        return Answer(self._one_or_all(parameters, chosen, row), _brief_weight(parameters))

    def _book_ticker(self, parameters: Parameters) -> Answer:
        chosen = parameters.symbols(self._symbols)
        rows = self._one_or_all(parameters, chosen, self._view.market.book_ticker)
        return Answer(rows, _brief_weight(parameters))

    def _one_or_all(self, parameters: Parameters, chosen: tuple[str, ...] | None, row: Row) -> Any:
        """An object for `symbol`, a list for `symbols` or none."""
        symbols = self._with_status(chosen, parameters)
        if parameters.text("symbol") is not None and chosen:
            return row(chosen[0])
        return [row(symbol) for symbol in symbols]

    def _with_status(self, chosen: tuple[str, ...] | None, parameters: Parameters) -> tuple[str, ...]:
        """The chosen symbols, or all, with `symbolStatus`; -1220 when one that is named has another."""
        wanted = _status(parameters)
        if wanted is None:
            return self._symbols if chosen is None else chosen
        found = tuple(row["symbol"] for row in self._view.market.exchange_info() if row["status"] == wanted)
        if chosen is None:
            return found
        if not set(chosen) <= set(found):
            raise ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")
        return chosen


def _brief_weight(parameters: Parameters) -> int:
    return 4 if parameters.text("symbol") is None else 2


def _status(parameters: Parameters) -> str | None:
    """`symbolStatus`; -1122 when there is none of that name."""
    status = parameters.text("symbolStatus")
    if status is not None and status not in _STATUSES:
        raise ApiError(-1122, "Invalid symbolStatus.")
    return status


def _permissions(parameters: Parameters) -> tuple[str, ...] | None:
    """`permissions`: one, or a JSON list; -1130 when there is none of that name."""
    words = parameters.words("permissions")
    if words is not None and not all(map(_PERMISSIONS.fullmatch, words)):
        raise invalid("permissions")
    return words


def _shortened(row: Row, parameters: Parameters) -> Row:
    """The rows in the form that `type` says: `FULL` or `MINI`."""
    if parameters.choice("type", ("FULL", "MINI"), default="FULL") == "FULL":
        return row
    return lambda symbol: {key: value for key, value in row(symbol).items() if key not in _LEFT_OUT_OF_MINI}


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
