"""ccxt: its handler of messages, and six candles of the trades that it gives, as one would write them."""

import json
from typing import Any, ClassVar

import ccxt.pro
from turns import LENGTHS_MS, frames, serve


class Client:
    """What the handler needs of a connection: where it goes, and who waits for the trades."""

    url = "wss://stream.binance.com:9443/stream"
    subscriptions: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        self.trades: Any = []

    def resolve(self, trades: Any, _: str) -> None:
        self.trades = trades


def exchange_of(symbols: list[str]) -> Any:
    """The exchange, which knows its symbols without asking for them."""
    exchange = ccxt.pro.binance()
    exchange.set_markets(
        [
            exchange.safe_market_structure(
                {"id": symbol, "symbol": f"{symbol.removesuffix('USDT')}/USDT", "base": symbol.removesuffix("USDT"),
                 "quote": "USDT", "type": "spot", "spot": True, "active": True}
            )
            for symbol in symbols
        ]
    )  # fmt: skip
    return exchange


def main() -> None:
    """Takes turns."""
    payloads = frames()
    symbols = sorted({payload.decode().partition('"s":"')[2].partition('"')[0] for payload in payloads})
    exchange, client = exchange_of(symbols), Client()
    candles: dict[tuple[str, int], list[float]] = {}

    def take_all() -> None:
        for payload in payloads:
            exchange.handle_message(client, json.loads(payload))
            trade = client.trades[-1]
            time, price, amount = trade["timestamp"], trade["price"], trade["amount"]
            for length in LENGTHS_MS:
                begin = time - time % length
                candle = candles.get((trade["symbol"], length))
                if candle is None or candle[0] != begin:
                    candles[trade["symbol"], length] = [begin, price, price, price, price, amount]
                    continue
                candle[2] = max(candle[2], price)
                candle[3] = min(candle[3], price)
                candle[4] = price
                candle[5] += amount

    serve("ccxt", take_all)


if __name__ == "__main__":
    main()
