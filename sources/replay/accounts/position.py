"""One position of USD-M: how fills change it, and what it gains. Exact: what is released of its cost and what stays
are together the cost.
"""

from decimal import Decimal
from typing import NamedTuple

from sources.replay.accounts.amounts import ZERO, checked, product, share


class Position(NamedTuple):
    """A position in a contract."""

    amount: Decimal = ZERO
    """Contracts, negative for a short position."""
    cost: Decimal = ZERO
    """What was paid or received for them, not negative: amount times entry price."""
    fees: Decimal = ZERO
    """Commissions paid for them."""
    isolated: Decimal = ZERO
    """The margin that is kept for it alone."""
    realized: Decimal = ZERO
    """What it has gained over all its time, before commissions."""
    updated_ms: int = 0

    @property
    def sign(self) -> int:
        """1 for a long position, -1 for a short one, 0 without."""
        return (self.amount > 0) - (self.amount < 0)

    @property
    def entry_price(self) -> Decimal:
        """The average price of what is held, cut to eight decimals; 0 without a position."""
        return share(self.cost, Decimal(1), abs(self.amount)) if self.amount else ZERO

    @property
    def break_even_price(self) -> Decimal:
        """The price at which its commissions are earned, cut likewise."""
        cost = self.cost + self.sign * self.fees
        return share(cost, Decimal(1), abs(self.amount)) if self.amount else ZERO

    def value(self, mark: Decimal) -> Decimal:
        """Its value at a price, negative for a short position."""
        return product(self.amount, mark)

    def unrealized(self, mark: Decimal) -> Decimal:
        """What it would gain if it were closed at a price."""
        return self.value(mark) - self.sign * self.cost


class Filled(NamedTuple):
    """A position after a fill, and what the fill gained."""

    position: Position
    realized: Decimal


def filled(position: Position, quantity: Decimal, price: Decimal, *, fee: Decimal, at_ms: int) -> Filled:
    """A position after a fill of a quantity, negative for a sale, that costs a fee; `ValueError` when it is too large.

    What goes beyond closing is a new position, with its part of the fee.
    """
    value = abs(checked(product(quantity, price), "the value"))
    closing = min(abs(quantity), abs(position.amount)) if position.sign * quantity < 0 else ZERO
    opening = abs(quantity) - closing
    closed_value = share(value, closing, abs(quantity))
    rest, realized = _closed(position, closing, closed_value)
    sign = 1 if quantity > 0 else -1
    return Filled(
        rest._replace(
            amount=checked(rest.amount + sign * opening, "the position"),
            cost=checked(rest.cost + value - closed_value, "the position's value"),
            fees=rest.fees + (share(fee, opening, abs(quantity))),
            updated_ms=at_ms,
        ),
        realized,
    )


def _closed(position: Position, quantity: Decimal, value: Decimal) -> Filled:
    """A position of which a quantity was sold or bought back for a value."""
    if not quantity:
        return Filled(position, ZERO)
    whole = abs(position.amount)
    released = share(position.cost, quantity, whole)
    realized = position.sign * (value - released)
    after = Position(
        position.amount - position.sign * quantity,
        position.cost - released,
        position.fees - share(position.fees, quantity, whole),
        position.isolated - share(position.isolated, quantity, whole),
        position.realized + realized,
        position.updated_ms,
    )
    return Filled(after, realized)
