"""REST of USD-M that is derived of klines: those of mark, index and premium, and `/futures/data` on who buys and sells.

How accounts are distributed is made up of the symbol and the time: every look at a time finds the same.
"""

from collections.abc import Callable
from typing import Any, Final

from flows.model import DAY_MS
from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes, invalid
from sources.replay.exchange.binance.rest import Answer, Endpoint, checked, ordered_times, steps_of, weight_of
from sources.replay.exchange.dialect import View, symbol_names
from sources.replay.market.contracts import Contract, share_of
from sources.replay.market.intervals import INTERVALS_MS, intervals_of, next_open

KLINE_WEIGHTS: Final = ((99, 1), (499, 2), (1_000, 5), (1_500, 10))
_PERIODS: Final = ("5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d")
"""The periods of `/futures/data`."""
_KEPT_MS: Final = 30 * DAY_MS
"""How far back `/futures/data` goes."""
_RATIOS: Final = ("topLongShortAccountRatio", "topLongShortPositionRatio", "globalLongShortAccountRatio")
_HALF_SWING: Final = 0.2


class DataRest:
    """Answers these requests from a market."""

    def __init__(self, view: View) -> None:
        self._view = view
        of_symbol, of_pair = Takes(("symbol", "interval")), Takes(("pair", "interval"))
        data, basis = Takes(("symbol", "period")), Takes(("pair", "contractType", "period"))
        answers: dict[str, tuple[Endpoint, Takes]] = {
            "/fapi/v1/markPriceKlines": (self._klines("symbol", _mark_row), of_symbol),
            "/fapi/v1/indexPriceKlines": (self._klines("pair", _index_row), of_pair),
            "/fapi/v1/premiumIndexKlines": (self._klines("symbol", _premium_row), of_symbol),
            "/futures/data/takerlongshortRatio": (self._taker_volumes, data),
            "/futures/data/basis": (self._basis, basis),
            **{f"/futures/data/{name}": (self._ratio(name), data) for name in _RATIOS},
        }
        self.endpoints = {
            path: checked(answer, takes, refuses_others=False) for path, (answer, takes) in answers.items()
        }
        """Paths and their handlers."""

    @property
    def _symbols(self) -> tuple[str, ...]:
        return symbol_names(self._view.market)

    def _klines(self, name: str, row: Callable[[Contract, str, list[Any], float], list[Any]]) -> Endpoint:
        def answer(parameters: Parameters) -> Answer:
            symbol = self._symbol(name, parameters)
            interval = parameters.interval(intervals_of("usdm"))
            limit = parameters.limit(default=500, most=1_500, clamps=False)
            times, market = ordered_times(parameters), self._view.market
            rows = market.klines(symbol, interval, start_ms=times.start_ms, end_ms=times.end_ms, limit=limit)
            before = [float(each[4]) for each in rows]
            found = [
                row(Contract(symbol), interval, each, close)
                for each, close in zip(rows, before[:1] + before[:-1], strict=True)
            ]
            return Answer(found, weight_of(limit, KLINE_WEIGHTS))

        return answer

    def _symbol(self, name: str, parameters: Parameters) -> str:
        if name == "symbol":
            return parameters.symbol(self._symbols)
        pair = parameters.required(name)
        found = [row["symbol"] for row in self._view.market.exchange_info() if row["pair"] == pair]
        if not found:
            raise ApiError(-1121, "Invalid pair.")
        return str(found[0])

    def _rows(self, symbol: str, parameters: Parameters) -> list[list[Any]]:
        """The klines of the period that are closed."""
        now_ms = self._view.now_ms
        period, times = period_times(parameters, now_ms)
        if not times:
            return []
        rows = self._view.market.klines(symbol, period, start_ms=times[0], end_ms=times[-1], limit=len(times))
        return [row for row in rows if row[6] < now_ms]

    def _taker_volumes(self, parameters: Parameters) -> Answer:
        rows = self._rows(parameters.symbol(self._symbols), parameters)
        return Answer([_taker_row(row) for row in rows], 0)

    def _ratio(self, name: str) -> Endpoint:
        def answer(parameters: Parameters) -> Answer:
            symbol = parameters.symbol(self._symbols)
            return Answer([_ratio_row(name, symbol, row[0]) for row in self._rows(symbol, parameters)], 0)

        return answer

    def _basis(self, parameters: Parameters) -> Answer:
        symbol, kind = self._symbol("pair", parameters), parameters.required("contractType")
        if kind != "PERPETUAL":
            return Answer([], 0)
        pair = parameters.required("pair")
        return Answer([_basis_row(Contract(symbol), pair, row) for row in self._rows(symbol, parameters)], 0)


def period_times(parameters: Parameters, now_ms: int) -> tuple[str, list[int]]:
    """The `period` of a request to `/futures/data`, and the begins, ms UTC, ascending, of those that it wants."""
    period = parameters.required("period")
    if period not in _PERIODS:
        raise invalid("period")
    limit = parameters.limit(default=30, most=500, clamps=False)
    times = ordered_times(parameters)
    return period, steps_of(times, INTERVALS_MS[period], now_ms, limit, oldest_ms=now_ms - _KEPT_MS)


def _row(row: list[Any], opened: str, high: str, low: str, close: str) -> list[Any]:
    """A kline of prices that are not traded."""
    return [row[0], opened, high, low, close, "0", row[6], "0", row[8], "0", "0", "0"]


def _mark_row(contract: Contract, interval: str, row: list[Any], before: float) -> list[Any]:
    return _of_marks(contract, interval, row, before, 0)


def _index_row(contract: Contract, interval: str, row: list[Any], before: float) -> list[Any]:
    return _of_marks(contract, interval, row, before, 1)


def _of_marks(contract: Contract, interval: str, row: list[Any], before: float, which: int) -> list[Any]:
    """The kline of mark (0) or index price (1); they follow the price `before` until the first trade of the period."""
    opened, close = (
        contract.mark(float(price), time_ms)[which]
        for price, time_ms in ((row[1], row[0]), (row[4], next_open(interval, row[0]) - 1))
    )
    low, high = contract.mark_range(min(float(row[3]), before), max(float(row[2]), before))
    return _row(row, opened, f"{high:.8f}", f"{low:.8f}", close)


def _premium_row(contract: Contract, interval: str, row: list[Any], _before: float) -> list[Any]:
    end_ms = next_open(interval, row[0]) - 1
    low, high = contract.premium_range(row[0], end_ms)
    opened, close = contract.premium(row[0]), contract.premium(end_ms)
    return _row(row, *(f"{value:.8f}" for value in (opened, high, low, close)))


def _taker_row(row: list[Any]) -> dict[str, Any]:
    bought = float(row[9])
    sold = float(row[5]) - bought
    ratio = bought / sold if sold > 0 else 0.0
    return {
        "buySellRatio": f"{ratio:.4f}",
        "buyVol": f"{bought:.4f}",
        "sellVol": f"{max(sold, 0.0):.4f}",
        "timestamp": row[0],
    }


def _ratio_row(name: str, symbol: str, time_ms: int) -> dict[str, Any]:
    long = round(0.5 + _HALF_SWING * (2 * share_of(symbol, name, time_ms) - 1), 4)
    return {
        "symbol": symbol,
        "longShortRatio": f"{long / (1 - long):.4f}",
        "longAccount": f"{long:.4f}",
        "shortAccount": f"{1 - long:.4f}",
        "timestamp": time_ms,
    }


def _basis_row(contract: Contract, pair: str, row: list[Any]) -> dict[str, Any]:
    price = float(row[1])
    _, index, _ = contract.mark(price, row[0])
    basis = price - float(index)
    return {
        "indexPrice": index,
        "contractType": "PERPETUAL",
        "basisRate": f"{basis / float(index):.4f}",
        "futuresPrice": row[1],
        "annualizedBasisRate": "",
        "basis": f"{basis:.8f}",
        "pair": pair,
        "timestamp": row[0],
    }
