"""What an account holds: balances, positions, and with what leverage; and what of it has changed."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple, TypeAlias

from msgspec import structs

from flows.model.account import (
    ZERO,
    AccountSnapshot,
    AccountUpdate,
    LeverageReport,
    Place,
    PositionReport,
)
from flows.operators.account.table import Table

Amounts: TypeAlias = tuple[Decimal, Decimal]
"""Free and locked."""
Where: TypeAlias = tuple[str, Place]
"""Where a position is: symbol and place."""

_SETTINGS: Final = ("leverage", "margin_type")
"""Of an instrument's positions. A stream brings one of them alone, and a snapshot both."""
_SAME_PRICE: Final = Decimal("0.000001")
"""Entry prices of stream and REST that differ by a smaller share are the same, rounded in two ways."""


class Changes(NamedTuple):
    """What a report has changed."""

    assets: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()
    is_doubtful: bool = False
    """A snapshot is to say what holds."""
    refined: tuple[Where, ...] = ()
    """Where the position is the same, and something else of it is new: prices, profit, leverage."""

    def __bool__(self) -> bool:
        """Whether something is held that was not."""
        return bool(self.assets or self.where)


class Holdings:
    """The balances and positions of one account."""

    def __init__(self) -> None:
        self.balances: Table[str, Amounts] = Table(
            differs=lambda old, new: old != new,
            refines=lambda old, new: old != new,
            zero=lambda _: (ZERO, ZERO),
            joined=lambda _, new: new,
        )
        self.positions: Table[Where, PositionReport] = Table(
            differs=_differs,
            refines=_refines,
            zero=lambda where: PositionReport(where[0], where[1], ZERO),
            joined=_joined,
        )
        self.leverages: dict[str, LeverageReport] = {}
        self._set: dict[tuple[str, str], int] = {}
        """When an update of the stream brought a leverage or margin type, local, by symbol and field."""

    def update(self, update: AccountUpdate, local: int) -> Changes:
        """Takes an update of the stream."""
        assets = {
            row.asset: self.balances.update(row.asset, (row.free, row.locked), row.time or update.time, local)
            for row in update.balances
        }
        places = {
            where_of(row): self.positions.update(where_of(row), row, row.time or update.time, local)
            for row in update.positions
        }
        taken = ("changed", "doubtful")
        refined = [where for where, outcome in places.items() if outcome == "refined"]
        of_leverage = [where for row in update.leverages for where in self._set_leverage(row, local)]
        return Changes(
            tuple(asset for asset, outcome in assets.items() if outcome in taken),
            tuple(where for where, outcome in places.items() if outcome in taken),
            is_doubtful="doubtful" in (*assets.values(), *places.values()),
            refined=tuple(dict.fromkeys([*refined, *of_leverage])),
        )

    def compare(self, snapshot: AccountSnapshot, queried: int) -> Changes:
        """Takes a snapshot that was queried at that local time."""
        balances = {row.asset: ((row.free, row.locked), row.time) for row in snapshot.balances}
        positions = {where_of(row): (row, row.time) for row in snapshot.positions}
        one = self.balances.compare(balances, snapshot.time, queried)
        two = self.positions.compare(positions, snapshot.positions_time or snapshot.time, queried)
        refined = list(two.refined)
        for row in snapshot.leverages:
            refined += self._set_leverage(self._not_newer(row, queried), -1)
        refined = [where for where in dict.fromkeys(refined) if where not in two.changed]
        return Changes(
            tuple(one.changed), tuple(two.changed), one.is_doubtful or two.is_doubtful, refined=tuple(refined)
        )

    def position(self, where: Where) -> PositionReport:
        """A position as it is known, with its leverage."""
        report = self.positions.value(where)
        own = self.leverages.get(report.symbol)
        if own is None:
            return report
        return structs.replace(
            report,
            leverage=own.leverage if report.leverage is None else report.leverage,
            margin_type=report.margin_type or own.margin_type,
        )

    def open_positions(self) -> Iterable[Where]:
        """Where there are positions."""
        return [where for where, known in self.positions.items.items() if known.value.quantity]

    def _not_newer(self, row: LeverageReport, queried: int) -> LeverageReport:
        """A row of a snapshot, without what the stream has brought since it was queried."""
        newer = [name for name in _SETTINGS if self._set.get((row.symbol, name), -1) >= queried]
        return structs.replace(row, **dict.fromkeys(newer)) if newer else row

    def _set_leverage(self, row: LeverageReport, local: int) -> list[Where]:
        """Takes a leverage; the positions that have it."""
        known = self.leverages.get(row.symbol, LeverageReport(row.symbol))
        new = LeverageReport(row.symbol, row.leverage or known.leverage, row.margin_type or known.margin_type)
        self.leverages[row.symbol] = new
        if local >= 0:
            self._set |= {(row.symbol, name): local for name in _SETTINGS if getattr(row, name) is not None}
        return [where for where in self.open_positions() if where[0] == row.symbol and new != known]


def where_of(row: PositionReport) -> Where:
    """Where a reported position is."""
    return row.symbol, row.place


def _differs(old: PositionReport, new: PositionReport) -> bool:
    if old.quantity != new.quantity:
        return True
    one, two = old.entry_price, new.entry_price
    return one is not None and two is not None and abs(one - two) > _SAME_PRICE * abs(one)


def _refines(old: PositionReport, new: PositionReport) -> bool:
    return bool(new.quantity) and structs.replace(old, time=new.time) != new


def _joined(old: PositionReport, new: PositionReport) -> PositionReport:
    """The new report with what the old one says of the same position and the new one does not."""
    if not new.quantity:
        return PositionReport(new.symbol, new.place, ZERO, realised_pnl=new.realised_pnl)
    if old.quantity * new.quantity <= 0:
        return new
    unsaid = {
        name: getattr(old, name)
        for name in new.__struct_fields__
        if getattr(new, name) is None and name not in _OF_THE_MOMENT
    }
    return structs.replace(new, **unsaid) if unsaid else new


_OF_THE_MOMENT: Final = frozenset(("mark_price", "unrealised_pnl", "liquidation_price"))
"""What holds only for the report that says it."""
