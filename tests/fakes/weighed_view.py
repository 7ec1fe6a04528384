"""An exchange as a dialect sees it, with a scripted market and the true count of weight."""

from collections.abc import Coroutine, Sequence
from typing import Any

from sources.replay.exchange.limits import Limits, Refusal, WeightLimiter, limits_of
from sources.replay.market.market import Market, MarketKind, Message
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket


class WeighedView:
    def __init__(self, limits: Limits | None = None, *, kind: MarketKind = "spot") -> None:
        self.market: Market = ScriptedMarket(kind=kind)
        self.now_ms = BEGIN_MS + 5
        self.limits = limits or limits_of(kind)
        self.ordered: dict[str, Refusal] = {}
        self._weights = WeightLimiter(self.limits)

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        return self.market.depth(symbol, limit)

    def charge(self, weight: int, now_s: float) -> Refusal | None:
        return self._weights.charge(weight, now_s)

    def used_weight(self, now_s: float) -> int:
        return self._weights.used(now_s)

    def refusal(self, path: str) -> Refusal | None:
        return self.ordered.get(path)

    @property
    def true_ms(self) -> int:
        return self.now_ms

    def publish(self, messages: Sequence[Message]) -> None:
        raise AssertionError("no account is moved here")

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        raise AssertionError("no listen key is made here")
