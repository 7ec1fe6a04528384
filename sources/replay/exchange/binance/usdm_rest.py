"""The REST interface of Binance USD-M futures, `/fapi`: market data alone.

Source: the request and response models of Binance's own USD-M connector, and the error codes of the derivatives pages.
"""

from collections.abc import Callable
from typing import Any

from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes
from sources.replay.exchange.binance.rest import (
    Answer,
    MarketRest,
    book_or_empty,
    checked,
    ordered_times,
    rate_limit,
    weight_of,
)
from sources.replay.exchange.binance.usdm_contracts import ContractRest
from sources.replay.exchange.binance.usdm_data import KLINE_WEIGHTS, DataRest
from sources.replay.exchange.dialect import View
from sources.replay.exchange.limits import RestLimits
from sources.replay.market.intervals import intervals_of

_PREFIX = "/fapi/v1/"
_DEPTH_WEIGHTS = ((50, 2), (100, 5), (500, 10), (1_000, 20))
_DEPTH_LIMITS = (5, 10, 20, 50, 100, 500, 1_000)
_RPI_LIMIT = 1_000
_HOUR_MS = 3_600_000
_ONE = Takes(("symbol",))
_TAKES = {
    "depth": _ONE,
    "rpiDepth": _ONE,
    "trades": _ONE,
    "historicalTrades": Takes(("symbol",), needs_key=True),
    "aggTrades": _ONE,
    "klines": Takes(("symbol", "interval")),
    "continuousKlines": Takes(("pair", "contractType", "interval")),
}
"""What must be sent to an endpoint; whatever it does not know is ignored."""


class UsdmRest(MarketRest):
    """Answers USD-M's market data requests from a market. Unknown parameters are ignored, as there."""

    def __init__(self, view: View, limits: RestLimits) -> None:
        super().__init__(view, limits)
        answers = {**self._shared(), "continuousKlines": self._continuous_klines, "rpiDepth": self._rpi_depth}
        self.endpoints = {
            _PREFIX + name: checked(answer, _TAKES.get(name, Takes()), refuses_others=False)
            for name, answer in answers.items()
        }
        """Paths and their handlers."""
        self.endpoints["/fapi/v2/ticker/price"] = self._price
        self.endpoints |= ContractRest(view).endpoints
        self.endpoints |= DataRest(view).endpoints

    def _exchange_info(self, _: Parameters) -> Answer:
        rate_limits = [
            rate_limit("REQUEST_WEIGHT", "MINUTE", 1, self._limits.weight_per_minute),
            rate_limit("ORDERS", "MINUTE", 1, 1_200),
            rate_limit("ORDERS", "SECOND", 10, 300),
        ]
        rows = self._view.market.exchange_info()
        margins = dict.fromkeys(row["marginAsset"] for row in rows if "marginAsset" in row)
        assets = [{"asset": asset, "marginAvailable": True, "autoAssetExchange": "-10000"} for asset in margins]
        return Answer(
            {
                "timezone": "UTC",
                "serverTime": self._view.now_ms,
                "futuresType": "U_MARGINED",
                "rateLimits": rate_limits,
                "exchangeFilters": [],
                "assets": assets,
                "symbols": rows,
            },
            1,
        )

    def _depth(self, parameters: Parameters) -> Answer:
        return self._book(parameters, default=500, valid=_DEPTH_LIMITS)

    def _rpi_depth(self, parameters: Parameters) -> Answer:
        """The book with the orders of retail price improvement, of which a market here has none."""
        return self._book(parameters, default=_RPI_LIMIT, valid=(_RPI_LIMIT,))

    def _book(self, parameters: Parameters, *, default: int, valid: tuple[int, ...]) -> Answer:
        symbol = parameters.symbol(self._symbols)
        sent = parameters.integer("limit")
        limit = default if sent is None else sent
        if limit not in valid:
            raise ApiError(-4021, f"'{limit}' is not valid depth limit.")
        book = book_or_empty(self._view.depth(symbol, limit))
        now_ms = self._view.now_ms
        return Answer({"E": now_ms, "T": now_ms} | book, weight_of(limit, _DEPTH_WEIGHTS))

    def _trades(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=500, most=1_000, clamps=False)
        return Answer(self._view.market.trades(symbol, from_id=None, limit=limit), 5)

    def _historical_trades(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=100, most=500, clamps=False)
        return Answer(self._view.market.trades(symbol, from_id=parameters.integer("fromId"), limit=limit), 200)

    def _agg_trades(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        limit = parameters.limit(default=500, most=1_000, clamps=False)
        from_id, times = parameters.integer("fromId"), ordered_times(parameters)
        if from_id is None and (times.length_ms or 0) > _HOUR_MS:
            raise ApiError(-1127, "More than 1 hours between startTime and endTime.")
        rows = self._view.market.agg_trades(
            symbol, from_id=from_id, start_ms=times.start_ms, end_ms=times.end_ms, limit=limit
        )
        return Answer(rows, 20)

    def _klines(self, parameters: Parameters) -> Answer:
        return self._klines_of(parameters.symbol(self._symbols), parameters)

    def _continuous_klines(self, parameters: Parameters) -> Answer:
        pair = parameters.required("pair")
        kind = parameters.required("contractType")
        for row in self._view.market.exchange_info():
            if row.get("pair", row["symbol"]) == pair and row.get("contractType", "PERPETUAL") == kind:
                return self._klines_of(row["symbol"], parameters)
        raise ApiError(-1121, "Invalid symbol.")

    def _klines_of(self, symbol: str, parameters: Parameters) -> Answer:
        interval = parameters.interval(intervals_of("usdm"))
        limit = parameters.limit(default=500, most=1_500, clamps=False)
        times = ordered_times(parameters)
        rows = self._view.market.klines(symbol, interval, start_ms=times.start_ms, end_ms=times.end_ms, limit=limit)
        return Answer(rows, weight_of(limit, KLINE_WEIGHTS))

    def _ticker(self, parameters: Parameters) -> Answer:
        return self._one_or_all(parameters, self._view.market.ticker, weights=(1, 40))

    def _price(self, parameters: Parameters) -> Answer:
        return self._one_or_all(parameters, self._price_of, weights=(1, 2))

    def _price_of(self, symbol: str) -> dict[str, Any]:
        ticker = self._view.market.ticker(symbol)
        return {"symbol": symbol, "price": ticker["lastPrice"], "time": ticker["closeTime"]}

    def _book_ticker(self, parameters: Parameters) -> Answer:
        return self._one_or_all(parameters, self._view.market.book_ticker, weights=(2, 5))

    def _one_or_all(
        self, parameters: Parameters, row: Callable[[str], dict[str, Any]], *, weights: tuple[int, int]
    ) -> Answer:
        """An object for `symbol`, a list of all without; `weights` of the one and of the other."""
        if parameters.text("symbol") is None:
            return Answer([row(symbol) for symbol in self._symbols], weights[1])
        return Answer(row(parameters.symbol(self._symbols)), weights[0])
