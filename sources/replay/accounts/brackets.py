"""How much margin a position of USD-M must keep: brackets by its value, one table for every
contract.
"""

from decimal import Decimal
from typing import NamedTuple

from sources.replay.accounts.amounts import ZERO, product

MOST_LEVERAGE = 125


class Bracket(NamedTuple):
    """Positions of a value above `floor`, up to `cap`."""

    number: int
    leverage: int
    """The largest."""
    floor: Decimal
    cap: Decimal
    ratio: Decimal
    """Of the value, that must be kept."""
    deduction: Decimal
    """Taken from it, so that it grows steadily over the brackets."""


def _brackets() -> tuple[Bracket, ...]:
    table = (
        (125, "50000", "0.004"),
        (100, "500000", "0.005"),
        (50, "5000000", "0.01"),
        (20, "25000000", "0.025"),
        (10, "100000000", "0.05"),
        (5, "500000000", "0.1"),
        (2, "1000000000", "0.25"),
        (1, "100000000000", "0.5"),
    )
    found: list[Bracket] = []
    for number, (leverage, cap, ratio) in enumerate(table, 1):
        last = found[-1] if found else Bracket(0, 0, ZERO, ZERO, ZERO, ZERO)
        kept = Decimal(ratio)
        deduction = last.deduction + last.cap * (kept - last.ratio)
        found.append(Bracket(number, leverage, last.cap, Decimal(cap), kept, deduction))
    return tuple(found)


BRACKETS = _brackets()


def bracket_of(value: Decimal) -> Bracket:
    """The bracket of a position of a value, not negative; the last one beyond all caps."""
    return next((one for one in BRACKETS if value <= one.cap), BRACKETS[-1])


def maintenance_of(value: Decimal) -> Decimal:
    """The margin that a position of a value must keep."""
    bracket = bracket_of(value)
    return product(value, bracket.ratio) - bracket.deduction


def most_value(leverage: int) -> Decimal:
    """The largest value of a position with a leverage."""
    return max((one.cap for one in BRACKETS if one.leverage >= leverage), default=ZERO)
