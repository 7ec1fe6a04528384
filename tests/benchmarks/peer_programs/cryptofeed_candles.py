"""cryptofeed: its handler of messages, and its own aggregation in six timeframes as callbacks of trades."""

import asyncio
from typing import Any

from cryptofeed.backends.aggregate import OHLCV
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Binance
from cryptofeed.symbols import Symbols
from turns import LENGTHS_MS, frames, serve


async def nothing(_: Any) -> None:
    """What is done with a closed candle."""


def feed_of(symbols: list[str]) -> Any:
    """The feed, which knows its symbols without asking for them."""
    names = {f"{symbol.removesuffix('USDT')}-USDT": symbol for symbol in symbols}
    Symbols.set(Binance.id, names, {"tick_size": {}, "instrument_type": dict.fromkeys(names, "spot")})
    aggregations = [OHLCV(nothing, window=length // 1_000) for length in LENGTHS_MS]
    return Binance(symbols=list(names), channels=[TRADES], callbacks={TRADES: aggregations})


def main() -> None:
    """Takes turns."""
    texts = [frame.decode() for frame in frames()]
    symbols = sorted({text.partition('"s":"')[2].partition('"')[0] for text in texts})
    feed = feed_of(symbols)

    async def take_all() -> None:
        for text in texts:
            await feed.message_handler(text, None, 0.0)

    serve("cryptofeed", lambda: asyncio.run(take_all()))


if __name__ == "__main__":
    main()
