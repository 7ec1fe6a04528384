"""Instruments as a venue's REST interface lists them. What it says beside name and status is taken if it is valid."""

from typing import Final

from flows.foreign import visible
from flows.model import ListedInstrument
from flows.names import is_symbol

_MOST_DECIMALS: Final = 30
_STATUS_LETTERS: Final = 40


def listed(
    venue: str,
    symbol: str,
    status: str,
    *,
    base: object,
    quote: object,
    price_decimals: object,
    quantity_decimals: object,
) -> ListedInstrument:
    """An instrument; without assets where one of them has no valid name, and without decimals that cannot be."""
    base, quote = _asset(base), _asset(quote)
    return ListedInstrument(
        venue,
        symbol,
        visible(status, limit=_STATUS_LETTERS),
        base if quote else "",
        quote if base else "",
        _decimals(price_decimals),
        _decimals(quantity_decimals),
    )


def decimals_of(step: object) -> int | None:
    """The decimals of a step such as `0.00100000`, which are 3; None for what is no step."""
    if not isinstance(step, str) or len(step) > 2 * _MOST_DECIMALS or not step.isascii():
        return None
    whole, _, decimals = step.partition(".")
    if not (whole.isdigit() and (decimals.isdigit() or not decimals) and (whole + decimals).strip("0")):
        return None
    return len(decimals.rstrip("0"))


def _asset(name: object) -> str:
    return name if isinstance(name, str) and is_symbol(name) else ""


def _decimals(number: object) -> int | None:
    return number if type(number) is int and 0 <= number <= _MOST_DECIMALS else None
