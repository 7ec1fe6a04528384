"""What a USD-M account is worth at mark prices: values, margins, what is free, where a position is liquidated. Pure.

Source: the exchange's pages on margin and liquidation. With one kind of margin an asset stands for the contracts that
are settled in it; with all kinds together each counts as one dollar, as stable coins do.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from sources.replay.accounts.amounts import ZERO, share
from sources.replay.accounts.brackets import bracket_of, maintenance_of
from sources.replay.accounts.position import Position
from sources.replay.accounts.usdm import Contract, Place, UsdmAccount

Marks = Mapping[str, Decimal]
"""The mark price of each contract."""


class PositionMargins(NamedTuple):
    """A position at a mark price."""

    place: Place
    position: Position
    contract: Contract
    mark: Decimal
    value: Decimal
    """Negative for a short position."""
    unrealized: Decimal
    initial: Decimal
    maintenance: Decimal


class AssetMargins(NamedTuple):
    """What an account has of an asset."""

    asset: str
    wallet: Decimal
    unrealized: Decimal
    maintenance: Decimal
    initial: Decimal
    cross_wallet: Decimal
    cross_unrealized: Decimal
    cross_initial: Decimal
    updated_ms: int

    @property
    def balance(self) -> Decimal:
        """Wallet and what positions would gain."""
        return self.wallet + self.unrealized

    @property
    def available(self) -> Decimal:
        """What new positions may use."""
        return max(self.cross_wallet + self.cross_unrealized - self.cross_initial, ZERO)

    @property
    def withdrawable(self) -> Decimal:
        """What may be taken out: of gains that are not realized nothing."""
        return max(self.cross_wallet + min(self.cross_unrealized, ZERO) - self.cross_initial, ZERO)


def margins_of(account: UsdmAccount, place: Place, mark: Decimal) -> PositionMargins:
    """A position at its mark price."""
    position, contract = account.position(place), account.contract(place.symbol)
    value = position.value(mark)
    return PositionMargins(
        place,
        position,
        contract,
        mark,
        value,
        position.unrealized(mark),
        share(abs(value), Decimal(1), Decimal(contract.leverage)),
        maintenance_of(abs(value)),
    )


def open_margins(account: UsdmAccount, marks: Marks) -> list[PositionMargins]:
    """All positions that are open."""
    held = (place for place, position in account.positions.items() if position.amount)
    return [margins_of(account, place, marks[place.symbol]) for place in held]


def asset_margins(account: UsdmAccount, asset: str, held: list[PositionMargins]) -> AssetMargins:
    """What an account has of an asset, with the positions that are settled in it."""
    own = [one for one in held if one.contract.margin_asset == asset]
    cross = [one for one in own if not one.contract.is_isolated]
    wallet = account.wallets.get(asset)
    return AssetMargins(
        asset,
        account.wallet(asset),
        sum((one.unrealized for one in own), ZERO),
        sum((one.maintenance for one in own), ZERO),
        sum((one.initial for one in own), ZERO),
        account.cross_wallet(asset),
        sum((one.unrealized for one in cross), ZERO),
        sum((one.initial for one in cross), ZERO),
        wallet.updated_ms if wallet else 0,
    )


def total(rows: list[AssetMargins]) -> AssetMargins:
    """Several assets together, each unit as one dollar."""
    return AssetMargins(
        "",
        wallet=sum((one.wallet for one in rows), ZERO),
        unrealized=sum((one.unrealized for one in rows), ZERO),
        maintenance=sum((one.maintenance for one in rows), ZERO),
        initial=sum((one.initial for one in rows), ZERO),
        cross_wallet=sum((one.cross_wallet for one in rows), ZERO),
        cross_unrealized=sum((one.cross_unrealized for one in rows), ZERO),
        cross_initial=sum((one.cross_initial for one in rows), ZERO),
        updated_ms=max((one.updated_ms for one in rows), default=0),
    )


def liquidation_price(account: UsdmAccount, one: PositionMargins, held: list[PositionMargins]) -> Decimal:
    """The mark price at which the margin of a position is used up, cut to eight decimals; 0 where there is none.

    `held` are all open positions: those that are not isolated share their margin.
    """
    position, asset = one.position, one.contract.margin_asset
    if not position.amount:
        return ZERO
    if one.contract.is_isolated:
        margin = position.isolated
    else:
        others = [
            other
            for other in held
            if other.place != one.place and other.contract.margin_asset == asset and not other.contract.is_isolated
        ]
        gains = sum((other.unrealized - other.maintenance for other in others), ZERO)
        margin = account.cross_wallet(asset) + gains
    bracket = bracket_of(abs(one.value))
    # margin + amount * price - sign * cost = abs(amount) * price * ratio - deduction, solved for the price
    above = margin + bracket.deduction - position.sign * position.cost
    below = abs(position.amount) * bracket.ratio - position.amount
    return max(share(above, Decimal(1), below), ZERO) if below else ZERO
