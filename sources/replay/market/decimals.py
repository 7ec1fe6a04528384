"""Exact decimals: prices and quantities as whole numbers of the smallest unit that a symbol uses.

Sums over a day must come out in the exchange's own digits, so nothing here is ever a float. Numbers are kept in the
*significant* decimals of a symbol (its tick), which leaves room for a day's volume in 64 bits, and are written with the
*printed* decimals of the exchange, which on spot are always eight.
"""

from typing import NamedTuple

import polars as pl

from sources.replay.market.market import MarketKind

SPOT_DECIMALS = 8
_SHARP = 8
"""Decimals in which text is read before the significant ones are known; the exchange prints no finer."""


class Decimals(NamedTuple):
    """How the numbers of one symbol are counted and written."""

    price: int
    quantity: int
    printed_price: int
    printed_quantity: int
    printed_quote: int

    @property
    def quote(self) -> int:
        """Decimals of price times quantity."""
        return self.price + self.quantity

    def price_text(self, ticks: int) -> str:
        """A price as the exchange prints it."""
        return decimal_text(ticks, self.price, self.printed_price)

    def quantity_text(self, lots: int) -> str:
        """A quantity as the exchange prints it."""
        return decimal_text(lots, self.quantity, self.printed_quantity)

    def quote_text(self, product: int) -> str:
        """A quote volume (ticks times lots) as the exchange prints it."""
        return decimal_text(product, self.quote, self.printed_quote)


def decimals_of(kind: MarketKind, *, price: int, quantity: int, printed: tuple[int, int] | None = None) -> Decimals:
    """The decimals of a symbol from its significant ones. Spot prints eight everywhere; USD-M prints `printed` (default
    the significant ones) and their sum for quote volumes.
    """
    if kind == "spot":
        return Decimals(price, quantity, SPOT_DECIMALS, SPOT_DECIMALS, SPOT_DECIMALS)
    shown_price, shown_quantity = printed or (price, quantity)
    return Decimals(price, quantity, shown_price, shown_quantity, shown_price + shown_quantity)


def decimal_text(value: int, decimals: int, printed: int) -> str:
    """`value` of `10**-decimals` with exactly `printed` decimals, cut off (not rounded) where it has more."""
    if value < 0:
        return "-" + decimal_text(-value, decimals, printed)
    shift = printed - decimals
    digits = str(value * 10**shift if shift >= 0 else value // 10**-shift).zfill(printed + 1)
    return f"{digits[:-printed]}.{digits[-printed:]}" if printed else digits


def significant_decimals(texts: pl.Series) -> int:
    """The most decimals that any of the texts uses, without trailing zeros; 0 for none."""
    return _longest(texts.str.extract(r"\.(\d*?)0*$", 1))


def printed_decimals(texts: pl.Series) -> int:
    """The most decimals that any of the texts has, with trailing zeros; 0 for none."""
    return _longest(texts.str.extract(r"\.(\d*)$", 1))


def _longest(fractions: pl.Series) -> int:
    longest = fractions.str.len_bytes().max()
    return longest if isinstance(longest, int) else 0


def scaled(text: pl.Expr, decimals: int) -> pl.Expr:
    """Column of decimal texts as whole numbers of `10**-decimals`."""
    sharp: pl.Expr = text.str.to_decimal(scale=_SHARP) * 10**_SHARP
    return sharp.cast(pl.Int128).floordiv(10 ** (_SHARP - decimals)).cast(pl.Int64)


def printed(value: pl.Expr, decimals: int, shown: int) -> pl.Expr:
    """Column of whole numbers of `10**-decimals`, none negative, as texts with `shown` decimals, at least as many."""
    if not shown:
        return value.cast(pl.String)
    unit = 10**decimals
    whole = (value // unit).cast(pl.String)
    fraction = (value % unit).cast(pl.String).str.zfill(decimals) if decimals else pl.lit("")
    return pl.concat_str(whole, pl.lit("."), fraction, pl.lit("0" * (shown - decimals)))
