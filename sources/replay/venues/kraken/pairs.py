"""Pairs of Kraken: their names, decimals, and rows of `AssetPairs` and of the channel `instrument`.

WebSocket v2 names a pair `BTC/USD`; REST has an id (`XXBTZUSD`), an `altname` (`XBTUSD`) and a `wsname` (`XBT/USD`), in
which Bitcoin and Dogecoin keep their old names. Source: `AssetPairs` of 2026-07-07.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sources.replay.market.decimals import Decimals, decimal_text
from sources.replay.market.lives import State
from sources.replay.synthetic.profiles import Profile, following, profile_of, reference_of

_OLD_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_OLD_ASSETS = {
    "BTC": "XXBT",
    "DOGE": "XXDG",
    "ETH": "XETH",
    "LTC": "XLTC",
    "XRP": "XXRP",
    "XLM": "XXLM",
    "USD": "ZUSD",
    "EUR": "ZEUR",
    "GBP": "ZGBP",
    "JPY": "ZJPY",
    "CAD": "ZCAD",
}
_OLD_IDS = frozenset(("BTC", "ETH", "LTC", "XRP", "XLM"))
"""Base assets whose pairs with an old quote asset have the ids of both assets as their id."""
_LOT_DECIMALS = 8
_PRICE_DECIMALS = {"BTC/USD": 1, "BTC/USDT": 1, "ETH/USD": 2, "SOL/USD": 2, "XRP/USD": 5, "DOGE/USD": 7}
_FEES = [[0, 0.4], [10_000, 0.35], [50_000, 0.24], [100_000, 0.22]]
_MAKER_FEES = [[0, 0.25], [10_000, 0.2], [50_000, 0.14], [100_000, 0.12]]
_LEVERAGES = [2, 3, 4, 5]
_POSITION_LIMIT = 1_000
_COST_DECIMALS = 5


class Pair(NamedTuple):
    """The names of a pair."""

    base: str
    quote: str

    @property
    def symbol(self) -> str:
        """Its name in WebSocket v2."""
        return f"{self.base}/{self.quote}"

    @property
    def altname(self) -> str:
        """Its short name in REST."""
        return _old(self.base) + _old(self.quote)

    @property
    def wsname(self) -> str:
        """Its name in WebSocket v1."""
        return f"{_old(self.base)}/{_old(self.quote)}"

    @property
    def id(self) -> str:
        """The key of its answers in REST."""
        if self.base in _OLD_IDS and old_asset(self.quote).startswith("Z"):
            return old_asset(self.base) + old_asset(self.quote)
        return self.altname

    @property
    def reference(self) -> str:
        """The symbol of Binance spot whose price it follows."""
        return reference_of(self.base, self.quote)

    @property
    def price_decimals(self) -> int:
        """How many decimals its prices have."""
        known = _PRICE_DECIMALS.get(self.symbol)
        return profile_of("spot", self.reference).decimals.price if known is None else known


def pair_of(text: str) -> Pair:
    """The pair of a spelling as `BTC-USD` or `BTC/USD`; `ValueError` for any other."""
    base, _, quote = text.upper().replace("-", "/").partition("/")
    if not base or not quote or "/" in quote:
        raise ValueError(f"{text!r} is no pair: write it as BTC-USD")
    return Pair(base, quote)


def profile_of_pair(symbol: str) -> Profile:
    """The profile of a synthetic pair."""
    pair = pair_of(symbol)
    return following(pair.symbol, pair.reference, price=pair.price_decimals, quantity=_LOT_DECIMALS)


STATUSES: Final[Mapping[State, str]] = {
    State.TRADING: "online",
    State.HALTED: "cancel_only",
    State.DELISTED: "delisted",
}
"""The words of Kraken; what is delisted is in the channel `instrument` alone."""


def asset_pair_row(pair: Pair, decimals: Decimals, state: State = State.TRADING) -> dict[str, Any]:
    """Its row of `AssetPairs`."""
    return {
        "altname": pair.altname,
        "wsname": pair.wsname,
        "aclass_base": "currency",
        "base": old_asset(pair.base),
        "aclass_quote": "currency",
        "quote": old_asset(pair.quote),
        "lot": "unit",
        "cost_decimals": _COST_DECIMALS,
        "pair_decimals": decimals.printed_price,
        "lot_decimals": decimals.printed_quantity,
        "lot_multiplier": 1,
        "leverage_buy": _LEVERAGES,
        "leverage_sell": _LEVERAGES,
        "fees": _FEES,
        "fees_maker": _MAKER_FEES,
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": decimals.quantity_text(1),
        "costmin": "0.5",
        "tick_size": decimals.price_text(1),
        "status": STATUSES[state],
        "execution_venue": "international",
        "long_position_limit": _POSITION_LIMIT,
        "short_position_limit": _POSITION_LIMIT,
    }


def instrument_row(pair: Pair, decimals: Decimals, state: State = State.TRADING) -> dict[str, Any]:
    """Its row among the pairs of the channel `instrument`."""
    tick = float(decimal_text(1, decimals.printed_price, decimals.printed_price))
    return {
        "symbol": pair.symbol,
        "base": pair.base,
        "quote": pair.quote,
        "status": STATUSES[state],
        "qty_precision": decimals.printed_quantity,
        "qty_increment": float(decimals.quantity_text(1)),
        "price_precision": decimals.printed_price,
        "cost_precision": _COST_DECIMALS,
        "marginable": True,
        "has_index": True,
        "cost_min": 0.5,
        "margin_initial": 0.2,
        "position_limit_long": _POSITION_LIMIT,
        "position_limit_short": _POSITION_LIMIT,
        "tick_size": tick,
        "price_increment": tick,
        "qty_min": float(decimals.quantity_text(1)),
    }


def asset_row(asset: str) -> dict[str, Any]:
    """A row among the assets of the channel `instrument`."""
    return {
        "id": asset,
        "status": "enabled",
        "precision": 10,
        "precision_display": 5,
        "multiplier": 1,
        "borrowable": True,
        "collateral_value": 1.0,
        "margin_rate": 0.02,
    }


def _old(asset: str) -> str:
    return _OLD_NAMES.get(asset, asset)


def old_asset(asset: str) -> str:
    """The name of an asset in REST."""
    return _OLD_ASSETS.get(asset, asset)
