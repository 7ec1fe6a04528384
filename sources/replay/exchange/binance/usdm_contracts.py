"""REST of USD-M that spot does not have: mark price, funding, open interest. Market data alone, as `usdm_rest`."""

from typing import Any

from sources.replay.exchange.binance.parameters import Parameters
from sources.replay.exchange.binance.rest import Answer, Endpoint, ordered_times, steps_of
from sources.replay.exchange.binance.usdm_data import period_times
from sources.replay.exchange.dialect import View, symbol_names
from sources.replay.market.contracts import CAP, FUNDING_MS, INTERVAL_HOURS, Contract


class ContractRest:
    """Answers requests about contracts from a market."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.endpoints: dict[str, Endpoint] = {
            "/fapi/v1/premiumIndex": self._premium_index,
            "/fapi/v1/fundingRate": self._funding_rate,
            "/fapi/v1/fundingInfo": self._funding_info,
            "/fapi/v1/openInterest": self._open_interest,
            "/futures/data/openInterestHist": self._open_interest_history,
        }
        """Paths and their handlers."""

    @property
    def _symbols(self) -> tuple[str, ...]:
        return symbol_names(self._view.market)

    def _premium_index(self, parameters: Parameters) -> Answer:
        if parameters.text("symbol") is None:
            return Answer([self._premium_row(symbol) for symbol in self._symbols], 10)
        return Answer(self._premium_row(parameters.symbol(self._symbols)), 1)

    def _premium_row(self, symbol: str) -> dict[str, Any]:
        contract, now_ms = Contract(symbol), self._view.now_ms
        mark, index, settle = marks_of(self._view, symbol)
        following = contract.next_funding(now_ms)
        return {
            "symbol": symbol,
            "markPrice": mark,
            "indexPrice": index,
            "estimatedSettlePrice": settle,
            "lastFundingRate": contract.rate(following),
            "interestRate": "0.00010000",
            "nextFundingTime": following,
            "time": now_ms,
        }

    def _funding_rate(self, parameters: Parameters) -> Answer:
        """The settled payments that have been, ascending; without a symbol those of all."""
        chosen = self._symbols if parameters.text("symbol") is None else (parameters.symbol(self._symbols),)
        limit = parameters.limit(default=100, most=1_000, clamps=False)
        times = steps_of(ordered_times(parameters), FUNDING_MS, self._view.now_ms, limit, oldest_ms=0)
        prices = {symbol: self._prices(symbol, "8h", times) for symbol in chosen}
        rows = [self._payment(symbol, time_ms, prices[symbol][time_ms]) for time_ms in times for symbol in chosen]
        return Answer(rows[:limit], 1)

    def _payment(self, symbol: str, time_ms: int, price: float) -> dict[str, Any]:
        contract = Contract(symbol)
        mark, _, _ = contract.mark(price, time_ms)
        return {"symbol": symbol, "fundingTime": time_ms, "fundingRate": contract.rate(time_ms), "markPrice": mark}

    def _funding_info(self, _: Parameters) -> Answer:
        rows = [
            {
                "symbol": symbol,
                "adjustedFundingRateCap": f"{CAP:.8f}",
                "adjustedFundingRateFloor": f"{-CAP:.8f}",
                "fundingIntervalHours": INTERVAL_HOURS,
                "disclaimer": False,
            }
            for symbol in self._symbols
        ]
        return Answer(rows, 0)

    def _open_interest(self, parameters: Parameters) -> Answer:
        symbol, now_ms = parameters.symbol(self._symbols), self._view.now_ms
        quantity, _ = Contract(symbol).open_interest(self._price(symbol), now_ms)
        return Answer({"openInterest": quantity, "symbol": symbol, "time": now_ms}, 1)

    def _open_interest_history(self, parameters: Parameters) -> Answer:
        symbol = parameters.symbol(self._symbols)
        period, times = period_times(parameters, self._view.now_ms)
        prices = self._prices(symbol, period, times)
        return Answer([self._interest_row(symbol, time_ms, prices[time_ms]) for time_ms in times], 0)

    def _interest_row(self, symbol: str, time_ms: int, price: float) -> dict[str, Any]:
        quantity, value = Contract(symbol).open_interest(price, time_ms)
        return {"symbol": symbol, "sumOpenInterest": quantity, "sumOpenInterestValue": value, "timestamp": time_ms}

    def _price(self, symbol: str) -> float:
        return _price(self._view, symbol)

    def _prices(self, symbol: str, interval: str, times: list[int]) -> dict[int, float]:
        """The price at each of these times, which are begins of an interval; the present one where none is known."""
        now = self._price(symbol)
        if not times:
            return {}
        rows = self._view.market.klines(symbol, interval, start_ms=times[0], end_ms=times[-1], limit=len(times))
        return dict.fromkeys(times, now) | {row[0]: float(row[1]) for row in rows}


def marks_of(view: View, symbol: str) -> tuple[str, str, str]:
    """Mark price, index price, and estimate of the price of settlement of a contract now."""
    return Contract(symbol).mark(_price(view, symbol), view.now_ms)


def _price(view: View, symbol: str) -> float:
    return float(view.market.ticker(symbol)["lastPrice"]) or 1.0
