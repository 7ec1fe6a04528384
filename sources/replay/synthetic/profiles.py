"""Profiles of synthetic symbols: price, units, size of orders. Unknown symbols get theirs by hash, so a name always
gives the same market.
"""

import hashlib
import math
from typing import NamedTuple

from sources.replay.market.decimals import Decimals, decimals_of
from sources.replay.market.market import MarketKind

_ORDER_VALUE = 1_500.0
"""Value of an average order, in the quote asset."""
_SHARP_DIGITS = 5
"""Digits in the price of an unknown symbol."""

_DOLLARS = frozenset(("USD", "USDT", "USDC"))
# fmt: off
_SPOT: dict[str, tuple[float, int, int]] = {
    "BTCUSDT": (60_000.0, 2, 5), "ETHUSDT": (2_600.0, 2, 4), "BNBUSDT": (520.0, 2, 3), "SOLUSDT": (150.0, 2, 3),
    "XRPUSDT": (0.58, 4, 0), "DOGEUSDT": (0.12, 5, 0), "ADAUSDT": (0.38, 4, 1), "TRXUSDT": (0.155, 4, 1),
    "AVAXUSDT": (27.0, 2, 2), "LINKUSDT": (11.5, 2, 2), "DOTUSDT": (4.5, 3, 2), "LTCUSDT": (66.0, 2, 3),
    "BCHUSDT": (340.0, 1, 3), "TONUSDT": (5.5, 3, 2), "NEARUSDT": (4.2, 3, 1), "UNIUSDT": (7.0, 3, 2),
    "ATOMUSDT": (4.5, 3, 2), "ETCUSDT": (18.5, 2, 2), "XLMUSDT": (0.095, 4, 0), "FILUSDT": (3.7, 3, 2),
    "APTUSDT": (6.5, 2, 2), "ARBUSDT": (0.55, 4, 1), "OPUSDT": (1.5, 3, 2), "SUIUSDT": (1.0, 4, 1),
    "INJUSDT": (19.0, 2, 2), "SHIBUSDT": (0.0000145, 8, 0), "PEPEUSDT": (0.0000085, 8, 0),
    "BONKUSDT": (0.000019, 8, 0), "FLOKIUSDT": (0.00013, 8, 0), "1000SATSUSDT": (0.0003, 8, 0),
    "WIFUSDT": (1.7, 3, 2), "币安人生USDT": (0.12, 4, 1), "ETHBTC": (0.0433, 5, 4),
}
"""Of usual names: a price of the year 2024, decimals of prices, decimals of quantities."""
_USDM: dict[str, tuple[float, Decimals]] = {
    "BTCUSDT": (60_000.0, decimals_of("usdm", price=1, quantity=3, printed=(2, 3))),
    "ETHUSDT": (2_600.0, decimals_of("usdm", price=2, quantity=3)),
    "BNBUSDT": (520.0, decimals_of("usdm", price=2, quantity=2, printed=(3, 2))),
    "SOLUSDT": (150.0, decimals_of("usdm", price=2, quantity=2, printed=(4, 2))),
    "XRPUSDT": (0.58, decimals_of("usdm", price=4, quantity=1)),
    "DOGEUSDT": (0.12, decimals_of("usdm", price=5, quantity=0, printed=(6, 0))),
    "ADAUSDT": (0.38, decimals_of("usdm", price=4, quantity=0, printed=(5, 0))),
    "1000PEPEUSDT": (0.0085, decimals_of("usdm", price=7, quantity=0)),
    "1000SHIBUSDT": (0.0145, decimals_of("usdm", price=6, quantity=0)),
    "1000BONKUSDT": (0.019, decimals_of("usdm", price=6, quantity=0)),
}
"""The same of contracts whose decimals are not spot's; what they print is often finer than their ticks."""
# fmt: on


_MOST_ORDER_LOTS = 1e11
"""Of an average order: a month has 50 million trades at the usual activity."""


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
    """The profile of a symbol that follows one of Binance spot; `price` and `quantity` are its decimals. The last of a
    quantity are 0 where the coin is so cheap that the volume of a month would outgrow 64 bits.
    """
    leader = profile_of("spot", reference)
    order = leader.order_lots / 10**leader.decimals.quantity
    lots = min(quantity, max(int(math.log10(_MOST_ORDER_LOTS / order)), 0))
    units = 10.0 ** (price - leader.decimals.price), 10.0 ** (lots - leader.decimals.quantity)
    shown = Decimals(price, lots, price, quantity, price + quantity)
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
    price, decimals = _known(kind, symbol) or _unknown(kind, digest)
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


def _known(kind: MarketKind, symbol: str) -> tuple[float, Decimals] | None:
    """Price and decimals of a usual name."""
    if kind == "usdm" and symbol in _USDM:
        return _USDM[symbol]
    if symbol not in _SPOT:
        return None
    price, of_price, of_quantity = _SPOT[symbol]
    return price, decimals_of(kind, price=of_price, quantity=of_quantity)


def _unknown(kind: MarketKind, digest: bytes) -> tuple[float, Decimals]:
    """The same of any other name, by its hash."""
    price = 10 ** (int.from_bytes(digest[:4]) / 2**32 * 5 - 2)
    return price, _decimals(kind, price)


def _decimals(kind: MarketKind, price: float) -> Decimals:
    """A price has five digits, and a lot is worth about a hundredth of the quote asset."""
    whole = len(str(int(price))) if price >= 1 else 0
    leading = (
        0 if price >= 1 else len(f"{price:.8f}".partition(".")[2]) - len(f"{price:.8f}".partition(".")[2].lstrip("0"))
    )
    return decimals_of(kind, price=max(_SHARP_DIGITS - whole + leading, 0), quantity=whole and min(whole + 1, 5))
