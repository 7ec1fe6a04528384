"""A USD-M account: wallets, positions, leverage and modes. It has no prices: what depends on the mark price is in
`margins.py`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from sources.replay.accounts.amounts import ZERO, checked, plain, positive, product, share
from sources.replay.accounts.position import Position, filled
from sources.replay.accounts.spot import MOST_ASSETS, MOST_TRADES, Side

PositionSide: TypeAlias = Literal["BOTH", "LONG", "SHORT"]
Reason: TypeAlias = Literal[
    "DEPOSIT",
    "WITHDRAW",
    "ORDER",
    "FUNDING_FEE",
    "ASSET_TRANSFER",
    "MARGIN_TRANSFER",
    "MARGIN_TYPE_CHANGE",
    "INSURANCE_CLEAR",
]
"""Why an account changed, in the exchange's words."""

TAKER_FEE: Final = Decimal("0.0005")
MAKER_FEE: Final = Decimal("0.0002")
"""The commissions where a fill does not say it, as shares of its value."""
USUAL_LEVERAGE = 20


class Place(NamedTuple):
    """Where a position is: its contract and side."""

    symbol: str
    side: PositionSide


class Contract(NamedTuple):
    """How an account trades a contract."""

    margin_asset: str
    leverage: int = USUAL_LEVERAGE
    is_isolated: bool = False


class Wallet(NamedTuple):
    """What an account has of an asset, the margins of positions included."""

    balance: Decimal = ZERO
    updated_ms: int = 0


class Change(NamedTuple):
    """What a step changed."""

    reason: Reason
    asset: str
    by: Decimal
    """Of the wallet's balance, without gains and commissions."""
    places: tuple[Place, ...] = ()
    """The positions that may have changed."""


class UsdmTrade(NamedTuple):
    """A fill of an account."""

    trade_id: int
    order_id: int
    place: Place
    side: Side
    quantity: Decimal
    price: Decimal
    value: Decimal
    realized: Decimal
    """Gain, before the commission."""
    commission: Decimal
    commission_asset: str
    time_ms: int
    is_maker: bool


class UsdmAccount:
    """Wallets by asset and positions by place. Every method checks first and then changes all of it, or raises
    `ValueError`. Whether margins suffice is not checked: an operator may bring an account into need.
    """

    def __init__(
        self,
        margin_assets: Callable[[], Mapping[str, str]],
        balances: Mapping[str, Decimal] | None = None,
        *,
        opened_ms: int = 0,
    ) -> None:
        """`margin_assets`: of each contract that is listed now; `balances` are there since `opened_ms`."""
        self._margin_assets = margin_assets
        self._contracts: dict[str, Contract] = {}
        self._wallets = {asset: Wallet(balance, opened_ms) for asset, balance in (balances or {}).items()}
        self._positions: dict[Place, Position] = {}
        self._trades: deque[UsdmTrade] = deque(maxlen=MOST_TRADES)
        self._traded = 0
        self.has_sides = False
        """Whether a contract has a long and a short position; else one."""
        self.is_multi_asset = False
        """Whether every asset is margin of every position."""

    # --- what it has -------------------------------------------------------------------------------------------------

    @property
    def wallets(self) -> Mapping[str, Wallet]:
        """By asset."""
        return self._wallets

    @property
    def positions(self) -> Mapping[Place, Position]:
        """By place; a position that was closed stays with the amount 0."""
        return self._positions

    @property
    def trades(self) -> tuple[UsdmTrade, ...]:
        """Its newest fills, oldest first."""
        return tuple(self._trades)

    def contract(self, symbol: str) -> Contract:
        """How it trades a contract; `ValueError` for an unknown one."""
        if symbol not in self._contracts:
            listed = self._margin_assets()
            if symbol not in listed:
                raise ValueError(f"no symbol {symbol}; there are {', '.join(list(listed)[:10])}")
            self._contracts[symbol] = Contract(listed[symbol])
        return self._contracts[symbol]

    def position(self, place: Place) -> Position:
        """The position at a place."""
        return self._positions.get(place, Position())

    def places(self, symbol: str) -> tuple[Place, ...]:
        """The places of a contract."""
        sides: tuple[PositionSide, ...] = ("LONG", "SHORT") if self.has_sides else ("BOTH",)
        return tuple(Place(symbol, side) for side in sides)

    def wallet(self, asset: str) -> Decimal:
        """The balance of a wallet."""
        return self._wallets.get(asset, Wallet()).balance

    def cross_wallet(self, asset: str) -> Decimal:
        """The same without the margins of isolated positions."""
        kept = (
            position.isolated
            for place, position in self._positions.items()
            if self._contracts[place.symbol].margin_asset == asset
        )
        return self.wallet(asset) - sum(kept, ZERO)

    # --- what changes it ---------------------------------------------------------------------------------------------

    def move(self, asset: str, amount: Decimal, reason: Reason, at_ms: int) -> Change:
        """Adds to a wallet, or takes from it what is not margin of an isolated position."""
        if amount < 0 and self.cross_wallet(asset) + amount < 0:
            raise ValueError(f"the account has {plain(self.cross_wallet(asset))} {asset} outside of isolated positions")
        self._pay({asset: amount}, at_ms)
        return Change(reason, asset, amount)

    def fill(
        self,
        place: Place,
        side: Side,
        *,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal | None,
        commission_asset: str | None,
        is_maker: bool,
        at_ms: int,
    ) -> tuple[UsdmTrade, Change]:
        """Changes a position, and pays its gain and the commission."""
        contract = self.contract(place.symbol)
        signed = positive(quantity, "quantity") * (1 if side == "BUY" else -1)
        before = self.position(place)
        self._check_side(place, before, signed)
        value = positive(product(quantity, positive(price, "price")), "the value")
        fee = product(value, MAKER_FEE if is_maker else TAKER_FEE) if commission is None else commission
        done = filled(before, signed, price, fee=fee, at_ms=at_ms)
        after = self._with_margin(contract, before, done.position)
        paid_in = commission_asset or contract.margin_asset
        payments = {contract.margin_asset: done.realized}
        payments[paid_in] = payments.get(paid_in, ZERO) - fee
        self._pay(payments, at_ms)
        self._positions[place] = after
        self._traded += 1
        number = self._traded
        trade = UsdmTrade(
            number, number, place, side, quantity, price, value, done.realized, fee, paid_in, at_ms, is_maker
        )
        self._trades.append(trade)
        return trade, Change("ORDER", contract.margin_asset, ZERO, (place,))

    def pay_funding(self, place: Place, mark: Decimal, rate: Decimal, at_ms: int) -> Change:
        """Pays or receives the share `rate` of a position's value: a long position pays a rate above zero."""
        contract, position = self.contract(place.symbol), self.position(place)
        fee = -product(position.value(mark), rate)
        self._pay({contract.margin_asset: fee}, at_ms)
        isolated = position.isolated and position.isolated + fee
        self._positions[place] = position._replace(isolated=max(isolated, ZERO))
        return Change("FUNDING_FEE", contract.margin_asset, fee, (place,) if contract.is_isolated else ())

    def move_margin(self, place: Place, amount: Decimal, at_ms: int) -> Change:
        """Adds to the margin of an isolated position, or takes from it."""
        contract, position = self.contract(place.symbol), self.position(place)
        if not (contract.is_isolated and position.amount):
            raise ValueError(f"no isolated position in {place.symbol}")
        if position.isolated + amount < 0 or self.cross_wallet(contract.margin_asset) - amount < 0:
            raise ValueError(
                f"the position has {plain(position.isolated)} of margin, and the wallet "
                f"{plain(self.cross_wallet(contract.margin_asset))} besides"
            )
        self._positions[place] = position._replace(isolated=position.isolated + amount, updated_ms=at_ms)
        return Change("MARGIN_TRANSFER", contract.margin_asset, ZERO, (place,))

    def clear_debt(self, asset: str, at_ms: int) -> Change | None:
        """Pays what a wallet owes, as the exchange's insurance fund does; None where it owes nothing."""
        owed = -self.wallet(asset)
        if owed <= 0:
            return None
        self._pay({asset: owed}, at_ms)
        return Change("INSURANCE_CLEAR", asset, owed)

    def set_leverage(self, symbol: str, leverage: int) -> None:
        """Of later fills."""
        self._contracts[symbol] = self.contract(symbol)._replace(leverage=leverage)

    def set_isolated(self, symbol: str, *, is_isolated: bool) -> Change:
        """Whether positions of a contract have margins of their own; not while there is a position."""
        contract = self.contract(symbol)
        if any(self.position(place).amount for place in self.places(symbol)):
            raise ValueError(f"{symbol} has a position; close it first")
        self._contracts[symbol] = contract._replace(is_isolated=is_isolated)
        return Change("MARGIN_TYPE_CHANGE", contract.margin_asset, ZERO, self.places(symbol))

    def set_sides(self, *, has_sides: bool) -> None:
        """Whether contracts have two positions; not while there is one."""
        if any(position.amount for position in self._positions.values()):
            raise ValueError("the account has positions; close them first")
        self.has_sides = has_sides

    def _check_side(self, place: Place, position: Position, signed: Decimal) -> None:
        if place not in self.places(place.symbol):
            sides = ", ".join(one.side for one in self.places(place.symbol))
            raise ValueError(f"position_side is one of {sides} in this mode")
        after = position.amount + signed
        if (place.side == "LONG" and after < 0) or (place.side == "SHORT" and after > 0):
            raise ValueError(f"the position is {plain(position.amount)}, no more can be closed")

    def _with_margin(self, contract: Contract, before: Position, after: Position) -> Position:
        """A position after a fill with the margin of what was opened, where it is isolated."""
        if not contract.is_isolated or not after.amount:
            return after._replace(isolated=ZERO)
        is_turned = before.sign * after.sign < 0
        opened = after.cost if is_turned else max(after.cost - before.cost, ZERO)
        margin = share(opened, Decimal(1), Decimal(contract.leverage))
        if margin > self.cross_wallet(contract.margin_asset) + before.isolated - after.isolated:
            raise ValueError(f"the position needs {plain(margin)} {contract.margin_asset} of margin")
        return after._replace(isolated=after.isolated + margin)

    def _pay(self, payments: Mapping[str, Decimal], at_ms: int) -> None:
        after = {
            asset: Wallet(checked(self.wallet(asset) + amount, "the balance"), at_ms)
            for asset, amount in payments.items()
        }
        if len(self._wallets.keys() | after.keys()) > MOST_ASSETS:
            raise ValueError(f"an account has at most {MOST_ASSETS} assets")
        self._wallets |= after
