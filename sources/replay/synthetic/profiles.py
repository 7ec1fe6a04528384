"""Profiles of synthetic symbols: price, units, size of orders. Unknown symbols get theirs by hash, so a name always
gives the same market.
"""

import hashlib
from typing import NamedTuple

from sources.replay.market.decimals import Decimals, decimals_of
from sources.replay.market.market import MarketKind

_ORDER_VALUE = 1_500.0
"""Value of an average order, in the quote asset."""
_SHARP_DIGITS = 5
"""Digits in the price of an unknown symbol."""

_DOLLARS = frozenset(("USD", "USDT", "USDC"))
_KNOWN_PRICES = {"BTCUSDT": 60_000.0, "ETHUSDT": 2_600.0, "BNBUSDT": 520.0, "SOLUSDT": 150.0, "XRPUSDT": 0.58}
_KNOWN_DECIMALS: dict[tuple[MarketKind, str], Decimals] = {
    ("spot", "BTCUSDT"): decimals_of("spot", price=2, quantity=5),
    ("spot", "ETHUSDT"): decimals_of("spot", price=2, quantity=4),
    ("spot", "BNBUSDT"): decimals_of("spot", price=2, quantity=3),
    ("spot", "SOLUSDT"): decimals_of("spot", price=2, quantity=3),
    ("spot", "XRPUSDT"): decimals_of("spot", price=4, quantity=0),
    ("usdm", "BTCUSDT"): decimals_of("usdm", price=1, quantity=3, printed=(2, 3)),
    ("usdm", "ETHUSDT"): decimals_of("usdm", price=2, quantity=3),
}


class Profile(NamedTuple):
    """A synthetic symbol at its start."""

    symbol: str
    decimals: Decimals
    ticks: int
    """Price of the last trade before the start."""
    order_lots: float
    """Quantity of an average order."""
    first_trade_id: int
    first_aggregate_id: int
    first_update_id: int
    reference: str = ""
    """The symbol of Binance spot whose price it follows; empty: it has a price of its own."""


def reference_of(base: str, quote: str) -> str:
    """The symbol of Binance spot whose price a pair follows: prices in dollars are those in USDT."""
    return base + ("USDT" if quote in _DOLLARS and base not in _DOLLARS else quote)


def following(symbol: str, reference: str, *, price: int, quantity: int) -> Profile:
    """The profile of a symbol that follows one of Binance spot; `price` and `quantity` are its decimals."""
    leader = profile_of("spot", reference)
    units = 10.0 ** (price - leader.decimals.price), 10.0 ** (quantity - leader.decimals.quantity)
    shown = Decimals(price, quantity, price, quantity, price + quantity)
    digest = hashlib.sha256(symbol.encode()).digest()
    ids = 10_000_000 + int.from_bytes(digest[:3])
    return Profile(
        symbol=symbol,
        decimals=shown,
        ticks=round(leader.ticks * units[0]),
        order_lots=leader.order_lots * units[1],
        first_trade_id=ids,
        first_aggregate_id=ids // 2,
        first_update_id=ids * 10,
        reference=reference,
    )


def profile_of(kind: MarketKind, symbol: str) -> Profile:
    """The profile of any symbol."""
    digest = hashlib.sha256(symbol.encode()).digest()
    price = _KNOWN_PRICES.get(symbol) or 10 ** (int.from_bytes(digest[:4]) / 2**32 * 5 - 2)
    decimals = _KNOWN_DECIMALS.get((kind, symbol)) or _decimals(kind, price)
    ids = 1_000_000_000 + int.from_bytes(digest[4:8])
    return Profile(
        symbol=symbol,
        decimals=decimals,
        ticks=round(price * 10**decimals.price),
        order_lots=_ORDER_VALUE / price * 10**decimals.quantity,
        first_trade_id=ids,
        first_aggregate_id=ids // 2,
        first_update_id=ids * 10,
    )


def _decimals(kind: MarketKind, price: float) -> Decimals:
    """A price has five digits, and a lot is worth about a hundredth of the quote asset."""
    whole = len(str(int(price))) if price >= 1 else 0
    leading = (
        0 if price >= 1 else len(f"{price:.8f}".partition(".")[2]) - len(f"{price:.8f}".partition(".")[2].lstrip("0"))
    )
    return decimals_of(kind, price=max(_SHARP_DIGITS - whole + leading, 0), quantity=whole and min(whole + 1, 5))
