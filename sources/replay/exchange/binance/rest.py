"""What the REST interfaces of both markets have in common. Pure: parameters in, an answer out."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from sources.replay.exchange.binance.parameters import ApiError, Parameters, Takes
from sources.replay.exchange.dialect import View, symbol_names
from sources.replay.exchange.limits import RestLimits


class Answer(NamedTuple):
    """The body of an answer, and the weight of the request."""

    body: Any
    weight: int


Endpoint: TypeAlias = Callable[[Parameters], Answer]
"""Answers one path; raises `ApiError` for parameters the exchange refuses."""


class MarketRest:
    """Answers the market data requests that both markets have; each subclass maps its paths to them."""

    def __init__(self, view: View, limits: RestLimits) -> None:
        self._view = view
        self._limits = limits

    @property
    def _symbols(self) -> tuple[str, ...]:
        """The symbols that the exchange knows now."""
        return symbol_names(self._view.market)

    def _shared(self) -> dict[str, Endpoint]:
        """The requests of both markets: some answered here, the rest by a method of each subclass."""
        own: dict[str, Endpoint] = {name: getattr(self, method) for name, method in _OWN.items()}
        return {
            "ping": lambda _: Answer({}, 1),
            "time": lambda _: Answer({"serverTime": self._view.now_ms}, 1),
            **own,
        }


_OWN = {
    "exchangeInfo": "_exchange_info",
    "depth": "_depth",
    "trades": "_trades",
    "historicalTrades": "_historical_trades",
    "aggTrades": "_agg_trades",
    "klines": "_klines",
    "ticker/24hr": "_ticker",
    "ticker/price": "_price",
    "ticker/bookTicker": "_book_ticker",
}
"""The methods of a `MarketRest` by what they answer."""


def checked(answer: Endpoint, takes: Takes, *, refuses_others: bool) -> Endpoint:
    """An endpoint that answers no other request than it takes."""

    def endpoint(parameters: Parameters) -> Answer:
        parameters.check(takes, refuses_others=refuses_others)
        return answer(parameters)

    return endpoint


class TimeRange(NamedTuple):
    """The times of a list request, both inclusive and optional.

    Without times the newest rows are returned, with `startTime` the oldest from there, with `endTime` alone the newest
    up to there.
    """

    start_ms: int | None
    end_ms: int | None

    @property
    def length_ms(self) -> int | None:
        """End minus begin, negative when they are reversed; None when one is missing."""
        return None if self.start_ms is None or self.end_ms is None else self.end_ms - self.start_ms

    @property
    def is_reversed(self) -> bool:
        """Whether it ends before it begins."""
        return self.length_ms is not None and self.length_ms < 0


def time_range(parameters: Parameters) -> TimeRange:
    """`startTime` and `endTime`."""
    return TimeRange(parameters.time_ms("startTime"), parameters.time_ms("endTime"))


def ordered_times(parameters: Parameters) -> TimeRange:
    """`startTime` and `endTime`; -1023 when they are reversed, as USD-M has it."""
    times = time_range(parameters)
    if times.is_reversed:
        raise ApiError(-1023, "Start time is greater than end time.")
    return times


def steps_of(of: TimeRange, step_ms: int, now_ms: int, limit: int, *, oldest_ms: int) -> list[int]:
    """Whole steps of a time until now, ascending: from its begin on, else the newest."""
    end_ms = now_ms if of.end_ms is None else min(of.end_ms, now_ms)
    if of.start_ms is None:
        last = end_ms // step_ms
        return [step * step_ms for step in range(max(0, last - limit + 1), last + 1)]
    first = -(-max(of.start_ms, oldest_ms) // step_ms)
    return [step * step_ms for step in range(first, min(first + limit, end_ms // step_ms + 1))]


def weight_of(size: int, steps: tuple[tuple[int, int], ...]) -> int:
    """The weight of the first step, `(up to this size, weight)`, that a size does not exceed, else of the last."""
    return next((weight for most, weight in steps if size <= most), steps[-1][1])


def book_or_empty(book: dict[str, Any] | None) -> dict[str, Any]:
    """The book to send. One that does not exist yet is empty with update id 0: no difference fits it, so a client
    fetches it again.
    """
    return {"lastUpdateId": 0, "bids": [], "asks": []} if book is None else book


def rate_limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    """One row of `rateLimits`."""
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
