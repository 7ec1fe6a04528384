"""The lowest and the highest price of the last seconds. Pure."""

from collections import deque
from collections.abc import Collection, Iterable
from typing import Final, TypeAlias

from flows.model.alerts import PricePoint

STEPS: Final = 200
"""A price is kept for the span less one such part of it at least, and for the whole span at most: of prices in the same
part only the outermost are kept, so that memory does not grow with the number of trades.
"""
Prices: TypeAlias = deque[PricePoint]


class PriceSpan:
    """The prices of one instrument in `(newest - span, newest]`, by the trades' own times."""

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._step_ms = max(1, span_ms // STEPS)
        self._lows: Prices = deque()
        """Prices rising: those behind one are higher, and leave the span later."""
        self._highs: Prices = deque()
        """Prices falling."""
        self._newest = 0

    @property
    def low(self) -> PricePoint | None:
        """The lowest price; of equal ones the newest."""
        return self._lows[0] if self._lows else None

    @property
    def high(self) -> PricePoint | None:
        """The highest price; of equal ones the newest."""
        return self._highs[0] if self._highs else None

    def add(self, point: PricePoint) -> None:
        """The next trade in the order of ids."""
        price, time, lows, highs = point.price, point.time, self._lows, self._highs
        step = time // self._step_ms
        self._newest = max(self._newest, time)
        while lows and lows[-1].price >= price:
            lows.pop()
        if not lows or lows[-1].time // self._step_ms != step:
            lows.append(point)
        while highs and highs[-1].price <= price:
            highs.pop()
        if not highs or highs[-1].time // self._step_ms != step:
            highs.append(point)
        until = self._newest - self._span_ms
        while lows and lows[0].time <= until:
            lows.popleft()
        while highs and highs[0].time <= until:
            highs.popleft()

    def forget(self, ids: Collection[int]) -> None:
        """Trades that were wrong."""
        self._lows = deque(point for point in self._lows if point.trade_id not in ids)
        self._highs = deque(point for point in self._highs if point.trade_id not in ids)

    def kept(self) -> tuple[tuple[PricePoint, ...], tuple[PricePoint, ...]]:
        """The state to recover from."""
        return tuple(self._lows), tuple(self._highs)

    def restore(self, lows: Iterable[PricePoint], highs: Iterable[PricePoint]) -> None:
        """Takes what was `kept`."""
        self._lows, self._highs = deque(lows), deque(highs)
        self._newest = max((point.time for point in (*self._lows, *self._highs)), default=0)
