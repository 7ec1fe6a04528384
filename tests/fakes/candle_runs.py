"""Candles whose price wanders as a market's does."""

import random
from collections.abc import Sequence

from flows.model import Candle, timeframe_ms
from tests.fakes.candles import BEGIN, candle


def wandering(
    count: int, *, seed: int = 7, timeframe: str = "1m", price: float = 100.0, drift: float = 0.0
) -> list[Candle]:
    """So many closed candles from `BEGIN` on; `drift` is the mean change of a candle."""
    rng = random.Random(seed)
    length_ms = timeframe_ms(timeframe)
    candles = []
    for number in range(count):
        opened, price = price, price * (1 + drift + rng.gauss(0, 0.002))
        volume = rng.expovariate(0.1)
        candles.append(
            candle(
                timeframe=timeframe,
                open_time=BEGIN + number * length_ms,
                open=opened,
                high=max(opened, price) * (1 + abs(rng.gauss(0, 0.001))),
                low=min(opened, price) * (1 - abs(rng.gauss(0, 0.001))),
                close=price,
                volume=volume,
                quote_volume=volume * (opened + price) / 2,
                taker_buy_volume=volume * rng.uniform(0.3, 0.7),
            )
        )
    return candles


def closing_at(prices: Sequence[float], *, volume: float = 1.0) -> list[Candle]:
    """Minutes that open and stay at a price each."""
    return [
        candle(minute, open=price, high=price, low=price, close=price, volume=volume, quote_volume=volume * price)
        for minute, price in enumerate(prices)
    ]
