"""The yardstick of the flow: what one would write first."""

from collections.abc import Callable
from typing import Any

import msgspec

from flows.model import timeframe_ms
from flows.settings import Feed
from sources.binance.envelope import MarketEnvelope


def plain_candles() -> Callable[[bytes], None]:
    """Takes a frame: decodes it and updates six candles of its symbol, trade by trade."""
    decode = msgspec.json.Decoder(MarketEnvelope, strict=False).decode
    lengths = [timeframe_ms(name) for name in Feed().timeframes]
    candles: dict[tuple[str, int], list[float]] = {}
    closed: list[list[float]] = []

    def take(frame: bytes) -> None:
        trade: Any = decode(frame).data
        price, quantity = trade.price, trade.quantity
        taker = 0.0 if trade.buyer_is_maker else quantity
        for length in lengths:
            begin = trade.time - trade.time % length
            candle = candles.get((trade.symbol, length))
            if candle is None or candle[0] != begin:
                if candle is not None:
                    closed.append(candle)
                candles[trade.symbol, length] = [
                    begin, price, price, price, price, quantity, price * quantity, 1, taker, taker * price,
                ]  # fmt: skip
                continue
            candle[2] = max(candle[2], price)
            candle[3] = min(candle[3], price)
            candle[4] = price
            candle[5] += quantity
            candle[6] += price * quantity
            candle[7] += 1
            candle[8] += taker
            candle[9] += taker * price

    return take
