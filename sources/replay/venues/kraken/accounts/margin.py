"""Positions on margin as Kraken lists them: a row for each order that opened one, closed oldest first. Pure."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

from sources.replay.accounts.amounts import ZERO, checked, plain, positive, product, share
from sources.replay.accounts.spot import Side

LEVERAGE: Final = 5
"""Where no order has set another one."""
FEE: Final = Decimal("0.0002")
"""For opening and for closing, as a share of the value."""
MOST_ROWS: Final = 1_000
"""Most positions of an account."""


class MarginRow(NamedTuple):
    """A position; `cost` is that of all of `volume`, whatever is closed of it."""

    number: int
    symbol: str
    side: Side
    volume: Decimal
    cost: Decimal
    fee: Decimal
    margin: Decimal
    opened_ms: int
    closed: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        """What is open of it."""
        return self.volume - self.closed

    @property
    def left_cost(self) -> Decimal:
        """What that was opened for."""
        return self.cost - share(self.cost, self.closed, self.volume)

    def value(self, price: Decimal) -> Decimal:
        """What is open of it at a price."""
        return product(self.left, price)

    def net(self, price: Decimal) -> Decimal:
        """What it would gain at a price."""
        gain = self.value(price) - self.left_cost
        return gain if self.side == "BUY" else -gain


class MarginBook:
    """The positions of an account."""

    def __init__(self) -> None:
        self._rows: list[MarginRow] = []
        self._leverages: dict[str, int] = {}
        self._numbers = 0

    @property
    def rows(self) -> tuple[MarginRow, ...]:
        """Those that are open, oldest first."""
        return tuple(self._rows)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Of later orders."""
        self._leverages[symbol] = leverage

    def restore(self, rows: tuple[MarginRow, ...]) -> None:
        """Takes a fill back."""
        self._rows = list(rows)

    def fill(self, symbol: str, side: Side, quantity: Decimal, price: Decimal, at_ms: int) -> tuple[Decimal, Decimal]:
        """Closes positions of the other side, and opens one with what is left; what is gained, and the fee."""
        value = positive(product(positive(quantity, "quantity"), positive(price, "price")), "the value")
        fee = product(value, FEE)
        rows, gained, left = [], ZERO, quantity
        for row in self._rows:
            if row.symbol != symbol or row.side == side or not left:
                rows.append(row)
                continue
            closing = min(left, row.left)
            after = row._replace(closed=row.closed + closing)
            gain = product(closing, price) - (row.left_cost - after.left_cost)
            gained += gain if row.side == "BUY" else -gain
            left -= closing
            rows += [after] if after.left else []
        if left:
            rows.append(self._opened(symbol, side, left, product(left, price), share(fee, left, quantity), at_ms))
        if len(rows) > MOST_ROWS:
            raise ValueError(f"an account has at most {MOST_ROWS} positions")
        self._rows = rows
        return checked(gained, "the gain"), fee

    def _opened(self, symbol: str, side: Side, volume: Decimal, cost: Decimal, fee: Decimal, at_ms: int) -> MarginRow:
        self._numbers += 1
        margin = share(cost, Decimal(1), Decimal(self._leverages.get(symbol, LEVERAGE)))
        return MarginRow(self._numbers, symbol, side, volume, cost, fee, margin, at_ms)


def report_of(rows: Iterable[MarginRow], price_of: dict[str, Decimal]) -> list[dict[str, str]]:
    """The positions as the state shows them."""
    return [
        {
            "symbol": row.symbol,
            "position_side": "LONG" if row.side == "BUY" else "SHORT",
            "amount": plain(row.left),
            "entry_price": plain(share(row.left_cost, Decimal(1), row.left)),
            "unrealized": plain(row.net(price_of[row.symbol])),
        }
        for row in rows
    ]
