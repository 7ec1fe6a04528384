"""Products of Coinbase: their decimals and rows. Source: docs.cdp.coinbase.com, Exchange REST, "Products"."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sources.replay.market.decimals import Decimals
from sources.replay.market.lives import State
from sources.replay.synthetic.profiles import Profile, following, profile_of, reference_of

_LOT_DECIMALS = 8
_PRICE_DECIMALS = {"BTC-USD": 2, "ETH-USD": 2, "SOL-USD": 2, "XRP-USD": 4, "DOGE-USD": 5}


class Product(NamedTuple):
    """The assets of a product."""

    base: str
    quote: str

    @property
    def id(self) -> str:
        """Its name."""
        return f"{self.base}-{self.quote}"

    @property
    def reference(self) -> str:
        """The symbol of Binance spot whose price it follows."""
        return reference_of(self.base, self.quote)


def product_of(text: str) -> Product:
    """The product of a spelling as `BTC-USD`; `ValueError` for any other."""
    base, _, quote = text.upper().replace("/", "-").partition("-")
    if not base or not quote or "-" in quote:
        raise ValueError(f"{text!r} is no product: write it as BTC-USD")
    return Product(base, quote)


def profile_of_product(symbol: str) -> Profile:
    """The profile of a synthetic product."""
    product = product_of(symbol)
    known = _PRICE_DECIMALS.get(product.id)
    price = profile_of("spot", product.reference).decimals.price if known is None else known
    return following(product.id, product.reference, price=price, quantity=_LOT_DECIMALS)


_STATUSES: Final[Mapping[State, str]] = {
    State.TRADING: "online",
    State.HALTED: "offline",
    State.DELISTED: "delisted",
}
"""The words of Coinbase, which goes on listing what is delisted."""


def product_row(product: Product, decimals: Decimals, state: State = State.TRADING) -> dict[str, Any]:
    """Its row of `/products`."""
    return {
        "id": product.id,
        "base_currency": product.base,
        "quote_currency": product.quote,
        "quote_increment": decimals.price_text(1),
        "base_increment": decimals.quantity_text(1),
        "display_name": product.id,
        "min_market_funds": "1",
        "margin_enabled": False,
        "post_only": False,
        "limit_only": False,
        "cancel_only": False,
        "status": _STATUSES[state],
        "status_message": "",
        "trading_disabled": state is not State.TRADING,
        "fx_stablecoin": False,
        "max_slippage_percentage": "0.02000000",
        "auction_mode": False,
        "high_bid_limit_percentage": "",
    }


def stripped(number: str) -> str:
    """A decimal without the zeros at its end, as most messages have it."""
    return number.rstrip("0").rstrip(".") if "." in number else number
