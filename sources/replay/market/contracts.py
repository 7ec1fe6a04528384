"""What a futures contract has besides trades: mark price, funding, open interest, liquidations. All of it follows from
the symbol, the time and the price of the last trade, so every look at a time finds the same.

Funding is settled every eight hours UTC; its rate is known from the time before on. Open interest moves slowly. A
liquidation is made in about one second of `LIQUIDATION_EVERY_S`, a percent off the price.
"""

import math
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec

from sources.replay.market.intervals import open_of
from sources.replay.market.market import Message, Wanted
from sources.replay.market.symbol_market import SymbolMarket

FUNDING_MS: Final = 8 * 3_600_000
"""Time between two payments."""
INTERVAL_HOURS: Final = FUNDING_MS // 3_600_000
CAP: Final = 0.02
"""The largest rate, and as a negative one the least."""
LIQUIDATION_EVERY_S: Final = 20
_PREMIUM = 2e-4
"""The mark price is so much off the last trade's, at most."""
_INTEREST_VALUE = 2.5e8
"""Of all open contracts, in the quote asset, when the market is at its average."""
_SWING_MS = 5_400_000
_LIQUIDATED_VALUE = 20_000.0
_SELLERS = 0.5


class Contract(NamedTuple):
    """One perpetual contract."""

    symbol: str

    def rate(self, time_ms: int) -> str:
        """The rate that is settled at the first payment at or after a time."""
        chance = share_of(self.symbol, "rate", -(-time_ms // FUNDING_MS))
        return f"{0.0001 + 0.0004 * (chance - 0.5):.8f}"

    def mark(self, price: float, time_ms: int) -> tuple[str, str, str]:
        """Mark price, index price, and estimate of the price of settlement, at a price of the last trade."""
        lean = math.sin(self._phase(time_ms))
        index = price * (1 - _PREMIUM * lean / 2)
        return _value(price * (1 + _PREMIUM * lean / 2)), _value(index), _value(index * 0.99999)

    def premium(self, time_ms: int) -> float:
        """How far the mark price is above the index price, as a share of it."""
        half = _PREMIUM * math.sin(self._phase(time_ms)) / 2
        return (1 + half) / (1 - half) - 1

    def premium_range(self, begin_ms: int, end_ms: int) -> tuple[float, float]:
        """The least and the largest premium in a span."""
        ends = [self.premium(begin_ms), self.premium(end_ms)]
        for peak, sign in ((0.25, 1), (0.75, -1)):
            turns = [self._phase(time_ms) / math.tau - peak for time_ms in (begin_ms, end_ms)]
            if math.floor(turns[1]) > math.floor(turns[0]):
                half = sign * _PREMIUM / 2
                ends.append((1 + half) / (1 - half) - 1)
        return min(ends), max(ends)

    def mark_range(self, low: float, high: float) -> tuple[float, float]:
        """Between which prices mark and index price are, where those of trades are between `low` and `high`."""
        return low * (1 - _PREMIUM / 2), high * (1 + _PREMIUM / 2)

    def _phase(self, time_ms: int) -> float:
        return time_ms / 97_000 + share_of(self.symbol, "phase", 0) * 6.28

    def open_interest(self, price: float, time_ms: int) -> tuple[str, str]:
        """The quantity of open contracts, and its value."""
        swing = 1 + 0.05 * math.sin(time_ms / _SWING_MS + share_of(self.symbol, "interest", 0) * 6.28)
        quantity = round(_INTEREST_VALUE * swing / price, 3)
        return f"{quantity:.3f}", _value(quantity * price)

    def liquidation(self, price: float, event_ms: int, price_text: Any, quantity_text: Any) -> dict[str, Any] | None:
        """The `forceOrder` payload of a second; None where nothing is liquidated in it."""
        second = event_ms // 1_000
        if share_of(self.symbol, "liquidation", second) * LIQUIDATION_EVERY_S >= 1:
            return None
        sells = share_of(self.symbol, "side", second) < _SELLERS
        size = 0.1 + share_of(self.symbol, "size", second)
        quantity = quantity_text(_LIQUIDATED_VALUE * size / price)
        order = {
            "s": self.symbol,
            "S": "SELL" if sells else "BUY",
            "o": "LIMIT",
            "f": "IOC",
            "q": quantity,
            "p": price_text(price * (0.99 if sells else 1.01)),
            "ap": price_text(price),
            "X": "FILLED",
            "l": quantity,
            "z": quantity,
            "T": event_ms - 4,
            "ps": self.symbol,
            "st": 1,
        }
        return {"e": "forceOrder", "E": event_ms, "o": order}

    def next_funding(self, time_ms: int) -> int:
        """The first payment after a time."""
        return (time_ms // FUNDING_MS + 1) * FUNDING_MS


class ContractSchedule:
    """The streams of a contract that are sent by the clock: mark prices every second and every three, liquidations."""

    def __init__(self, market: SymbolMarket, recorded: frozenset[str]) -> None:
        name = market.encoder.symbol.lower()
        self._market = market
        self._contract = Contract(market.encoder.symbol)
        self._marks = {f"{name}@markPrice@1s": 1, f"{name}@markPrice": 3}
        self._orders = f"{name}@forceOrder"
        self._recorded = recorded

    def on_second(self, now_ms: int, wanted: Wanted) -> Iterator[Message]:
        """The messages of this second of the streams that are wanted."""
        streams = [
            stream
            for stream, every_s in self._marks.items()
            if wanted(stream) and stream not in self._recorded and now_ms // 1_000 % every_s == 0
        ]
        has_orders = wanted(self._orders) and self._orders not in self._recorded
        price = self._price(now_ms) if streams or has_orders else None
        if price is None:
            return
        if streams:
            payload = msgspec.json.encode(self._mark(price, now_ms))
            yield from (Message(now_ms, stream, payload) for stream in streams)
        if has_orders and (order := self._liquidation(price, now_ms)):
            yield Message(now_ms, self._orders, msgspec.json.encode(order))

    def mark(self, now_ms: int) -> dict[str, Any] | None:
        """The mark price; None before the first trade."""
        price = self._price(now_ms)
        return None if price is None else self._mark(price, now_ms)

    def liquidation(self, now_ms: int) -> dict[str, Any] | None:
        """What is liquidated in this second; None where nothing is."""
        price = self._price(now_ms)
        return None if price is None else self._liquidation(price, now_ms)

    def _price(self, now_ms: int) -> float | None:
        kline = self._market.kline("1m", open_of("1m", now_ms))
        return None if kline is None else kline.close / 10**self._market.encoder.decimals.price

    def _mark(self, price: float, now_ms: int) -> dict[str, Any]:
        mark, index, settle = self._contract.mark(price, now_ms)
        following = self._contract.next_funding(now_ms)
        return {
            "e": "markPriceUpdate",
            "E": now_ms,
            "s": self._contract.symbol,
            "p": mark,
            "ap": mark,
            "P": settle,
            "i": index,
            "r": self._contract.rate(following),
            "T": following,
            "st": 1,
        }

    def _liquidation(self, price: float, now_ms: int) -> dict[str, Any] | None:
        numbers = self._market.encoder.decimals
        return self._contract.liquidation(
            price,
            now_ms,
            lambda value: numbers.price_text(max(1, round(value * 10**numbers.price))),
            lambda value: numbers.quantity_text(max(1, round(value * 10**numbers.quantity))),
        )


def _value(value: float) -> str:
    return f"{value:.8f}"


def share_of(symbol: str, what: str, number: int) -> float:
    """A number from 0 to 1 that is the same whenever it is looked at."""
    digest = blake2b(f"{symbol}:{what}:{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
