"""Balances and positions as clients get them, with what they are worth by the newest prices of the market."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from flows.clock import Now
from flows.model.account import (
    ZERO,
    AccountItem,
    AccountPrices,
    AccountTotal,
    Balance,
    Position,
    PositionReport,
    PositionSide,
)
from flows.operators.account.holdings import Changes, Holdings, Where

CARRY_MS: Final = 500
"""Least time between two valuations of the same item by prices alone."""
_MOST_PRICES: Final = 10_000


class Values:
    """The results of one account."""

    def __init__(self, venue: str, account: str, quote: str, holdings: Holdings, stale_ms: int) -> None:
        self._venue = venue
        self._account = account
        self._quote = quote
        self._holdings = holdings
        self._stale_ms = stale_ms
        self._prices: dict[str, Decimal] = {}
        self._priced: dict[str, int] = {}
        """When a price came, local."""
        self._price_times: dict[str, int] = {}
        """The exchange time of a price."""
        self._compared_at = 0
        """When the newest snapshot was queried, local."""
        self._sides: dict[Where, PositionSide] = {}
        """The side on which a position was shown last."""
        self._carried: dict[object, int] = {}
        """When an item was valued by prices last, local."""

    def items(self, changes: Changes) -> list[AccountItem]:
        """What has changed."""
        out: list[AccountItem] = [self._balance(asset) for asset in changes.assets]
        for where in dict.fromkeys((*changes.where, *changes.refined)):
            out += self._positions(where)
        return out

    def compared(self, local: int) -> None:
        """A snapshot that was queried at that local time has been taken."""
        self._compared_at = local

    def is_old(self, now: Now) -> bool:
        """Whether the profit of a position is carried on by a price that is old, and the venue's own word older."""
        return any(
            max(self._priced[where[0]], self._said_at(where)) + self._stale_ms < now.local
            for where in self._holdings.open_positions()
            if where[0] in self._priced
        )

    def on_prices(self, found: AccountPrices, now: Now) -> list[AccountItem]:
        """What newer prices change: not more often than `CARRY_MS` for each item."""
        changed = set()
        for symbol, price, time in found.prices:
            if len(self._prices) < _MOST_PRICES or symbol in self._prices:
                self._prices[symbol] = price
                self._priced[symbol] = now.local
                self._price_times[symbol] = time
                changed.add(symbol)
        out: list[AccountItem] = []
        for where in self._holdings.open_positions():
            if where[0] in changed and self._may_carry(where, now):
                out += self._positions(where)
        for asset, known in self._holdings.balances.items.items():
            if any(known.value) and changed.intersection(self._symbols_of(asset)) and self._may_carry(asset, now):
                out.append(self._balance(asset))
        return out

    def total(self, minute: int) -> AccountTotal:
        """What it is worth, as far as prices are known."""
        held = self._holdings.balances.items.items()
        values = [self._value(asset, sum(known.value, ZERO)) for asset, known in held]
        gains = [self._of_market(where, self._holdings.position(where))[1] for where in self._holdings.open_positions()]
        gain = sum((one for one in gains if one is not None), ZERO)
        total = sum((value for value, _ in values if value is not None), ZERO) + gain
        oldest = min((time for _, time in values if time is not None), default=None)
        return AccountTotal(self._venue, self._account, self._quote, total, gain, minute, oldest)

    def _may_carry(self, item: object, now: Now) -> bool:
        if self._carried.get(item, -CARRY_MS) + CARRY_MS > now.local:
            return False
        self._carried[item] = now.local
        return True

    # --- balances ----------------------------------------------------------------------------------------------------

    def _balance(self, asset: str) -> Balance:
        known = self._holdings.balances.items.get(asset)
        free, locked = known.value if known else (ZERO, ZERO)
        value, price_time = self._value(asset, free + locked)
        return Balance(
            self._venue,
            self._account,
            asset,
            free,
            locked,
            free + locked,
            known.time if known else 0,
            value,
            None if value is None else self._quote,
            is_computed=value is not None and asset != self._quote,
            price_time=price_time,
        )

    def _value(self, asset: str, total: Decimal) -> tuple[Decimal | None, int | None]:
        """The value of so much of an asset, and the time of the price that it is by; None for none."""
        if asset == self._quote or not total:
            return total, None
        priced = next((symbol for symbol in self._symbols_of(asset) if symbol in self._prices), None)
        return (None, None) if priced is None else (total * self._prices[priced], self._price_times[priced])

    def _symbols_of(self, asset: str) -> tuple[str, str]:
        """The instruments whose price is that of an asset in `quote`."""
        return f"{asset}{self._quote}", f"{asset}-{self._quote}"

    # --- positions ---------------------------------------------------------------------------------------------------

    def _positions(self, where: Where) -> Iterable[Position]:
        """A position; where it has changed its side, the end of the other one before it."""
        report = self._holdings.position(where)
        known = self._holdings.positions.items.get(where)
        time = known.time if known else 0
        before = self._sides.get(where)
        side = before or "LONG"
        if report.quantity:
            side = _side_of(report)
        if before and before != side and not self._has_other(where, before):
            yield Position(self._venue, self._account, report.symbol, before, ZERO, None, time)
        self._sides[where] = side
        if report.quantity or not self._has_other(where, side):
            yield self._position(report, side, time)
        if not report.quantity:
            del self._sides[where]

    def _has_other(self, where: Where, side: PositionSide) -> bool:
        """Whether the instrument has a position of that side in another place: the position mode was changed, and what
        has ended here is not the end of that one.
        """
        return any(
            other != where and other[0] == where[0] and _side_of(self._holdings.position(other)) == side
            for other in self._holdings.open_positions()
        )

    def _position(self, report: PositionReport, side: PositionSide, time: int) -> Position:
        mark, gain = self._of_market((report.symbol, report.place), report)
        return Position(
            self._venue,
            self._account,
            report.symbol,
            side,
            abs(report.quantity),
            report.entry_price,
            time,
            report.break_even_price,
            mark,
            gain,
            report.realised_pnl,
            report.leverage,
            report.margin_type,
            report.liquidation_price,
            is_computed=gain is not None and gain != report.unrealised_pnl,
        )

    def _of_market(self, where: Where, report: PositionReport) -> tuple[Decimal | None, Decimal | None]:
        """Mark price and unrealised profit: by the newest price, or as the venue said them if that is newer."""
        price = self._prices.get(report.symbol)
        if price is None or report.entry_price is None or not report.quantity or self._is_said(where, report):
            return report.mark_price, report.unrealised_pnl
        return price, (price - report.entry_price) * (
            report.quantity if _side_of(report) == "LONG" else -abs(report.quantity)
        )

    def _is_said(self, where: Where, report: PositionReport) -> bool:
        """Whether the venue's word of the profit is newer than the price; without a mark price it has to be much newer,
        as the price then says more.
        """
        if report.unrealised_pnl is None:
            return False
        least_ms = self._stale_ms if report.mark_price is None else 0
        return self._said_at(where) > self._priced[report.symbol] + least_ms

    def _said_at(self, where: Where) -> int:
        """When the venue said a position last, local."""
        known = self._holdings.positions.items.get(where)
        return (known.received if known else 0) or self._compared_at


def _side_of(report: PositionReport) -> PositionSide:
    if report.place == "BOTH":
        return "LONG" if report.quantity > 0 else "SHORT"
    return report.place
