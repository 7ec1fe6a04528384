"""A market that plays a list of messages and answers REST from a few rows: all its figures are written by the test."""

from collections.abc import Iterable, Iterator
from typing import Any

from sources.replay.market.lives import Lives
from sources.replay.market.market import PAUSE, IsDue, MarketKind, Message, Wanted, always_due

BEGIN_MS = 1_767_225_600_000


def trade_message(number: int, *, symbol: str = "BTCUSDT", due_ms: int | None = None) -> Message:
    """Spot trade `number`, one a millisecond from the market's begin."""
    time = BEGIN_MS + number if due_ms is None else due_ms
    payload = (
        f'{{"e":"trade","E":{time},"s":"{symbol}","t":{number},"p":"100.50000000","q":"0.01000000",'
        f'"T":{time},"m":true,"M":true}}'
    )
    return Message(time, f"{symbol.lower()}@trade", payload.encode())


def trade_messages(count: int, *, symbol: str = "BTCUSDT") -> list[Message]:
    return [trade_message(number, symbol=symbol) for number in range(count)]


class ScriptedMarket:
    """Plays `messages` once. Its aggregate trades are numbered 0 to 2999, one a second, of three trades each."""

    def __init__(
        self,
        messages: Iterable[Message] = (),
        *,
        kind: MarketKind = "spot",
        symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT"),
    ) -> None:
        self.kind: MarketKind = kind
        self.lives = Lives()
        self._messages = messages
        self._symbols = symbols
        self._now_ms = BEGIN_MS
        self._update_id = 1_000

    def play(self, wanted: Wanted, is_due: IsDue = always_due) -> Iterator[Message]:
        for message in self._messages:
            if not is_due(message.due_ms) and wanted(message.stream):
                yield Message(message.due_ms, PAUSE, b"")
            self._now_ms = message.due_ms
            self._update_id += 1
            if wanted(message.stream):
                yield message

    def move_to(self, now_ms: int) -> None:
        """Its times are its own."""

    @property
    def now_ms(self) -> int:
        return self._now_ms

    def pass_time(self, by_ms: int) -> None:
        """Lets time go by without a message."""
        self._now_ms += by_ms

    def exchange_info(self) -> list[dict[str, Any]]:
        return [
            {
                "symbol": symbol,
                "pair": symbol,
                "contractType": "PERPETUAL",
                "status": "TRADING",
                "baseAsset": symbol.removesuffix("USDT"),
                "quoteAsset": "USDT",
                "marginAsset": "USDT",
                "permissionSets": [["SPOT"]],
                "filters": [{"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000", "tickSize": "0.01"}],
            }
            for symbol in self._symbols
        ]

    def depth(self, symbol: str, limit: int) -> dict[str, Any] | None:
        if symbol != "BTCUSDT":
            return None
        levels = range(min(limit, 6_000))
        return {
            "lastUpdateId": self._update_id,
            "bids": [[f"{100 - 0.01 * level:.8f}", "1.00000000"] for level in levels],
            "asks": [[f"{101 + 0.01 * level:.8f}", "2.00000000"] for level in levels],
        }

    def agg_trades(
        self, symbol: str, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        rows = [_agg_trade(number) for number in range(3_000)]
        if from_id is not None:
            return rows[from_id : from_id + limit]
        begin, end = start_ms or 0, end_ms or BEGIN_MS * 2
        found = [row for row in rows if begin <= row["T"] <= end]
        return found[:limit] if start_ms is not None else found[-limit:]

    def trades(self, symbol: str, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
        first = 9_000 - limit if from_id is None else from_id
        return [{"id": first + row, "price": "100.50000000", "time": BEGIN_MS} for row in range(limit)]

    def klines(
        self,
        symbol: str,
        interval: str,
        *,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        zone_ms: int = 0,
    ) -> list[list[Any]]:
        begin = BEGIN_MS if start_ms is None else start_ms
        return [
            [
                begin + row * 60_000,
                "1.0",
                "2.0",
                "0.5",
                "1.5",
                "4.0",
                begin + row * 60_000 + 59_999,
                "6.0",
                3,
                "1",
                "2",
                "0",
            ]
            for row in range(min(limit, 3))
        ]

    def ticker(self, symbol: str) -> dict[str, Any]:
        return {
            "symbol": symbol,
            "priceChange": "1.00000000",
            "lastPrice": "100.50000000",
            "openPrice": "99.50000000",
            "openTime": BEGIN_MS - 86_400_000,
            "closeTime": BEGIN_MS,
            "count": 7,
        }

    def window(self, symbol: str, open_ms: int) -> dict[str, Any]:
        return {**self.ticker(symbol), "openTime": open_ms}

    def average_price(self, symbol: str) -> dict[str, Any]:
        return {"mins": 5, "price": "1.50000000", "closeTime": BEGIN_MS}

    def book_ticker(self, symbol: str) -> dict[str, Any]:
        return {"symbol": symbol, "bidPrice": "100.0", "bidQty": "1.0", "askPrice": "101.0", "askQty": "2.0"}


def _agg_trade(number: int) -> dict[str, Any]:
    return {
        "a": number,
        "p": "100.50000000",
        "q": "0.03000000",
        "f": 3 * number,
        "l": 3 * number + 2,
        "T": BEGIN_MS + 1_000 * number,
        "m": False,
        "M": True,
    }
