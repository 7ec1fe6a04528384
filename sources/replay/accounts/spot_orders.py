"""What an operator's order does to a spot account, whatever the venue: the venue makes messages of the change."""

from collections.abc import Callable
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

from sources.replay.accounts.amounts import ZERO
from sources.replay.accounts.orders import AnyOrder, Deposit, Fill, Lock, Transfer, Withdraw
from sources.replay.accounts.spot import SpotAccount, SpotTrade

Reason: TypeAlias = Literal["deposit", "withdrawal", "transfer", "lock", "trade"]


class Instrument(NamedTuple):
    """What an order to fill needs to know of its symbol."""

    symbol: str
    base: str
    quote: str
    last_price: Decimal


Listed: TypeAlias = Callable[[str], Instrument]
"""The instrument that an order names; `ValueError` where the exchange has none of that name."""


class SpotChange(NamedTuple):
    """What an order changed."""

    reason: Reason
    assets: tuple[str, ...]
    """Those whose balances may have changed."""
    amount: Decimal = ZERO
    """What was moved, or locked; negative for what was taken away, or freed."""
    trade: SpotTrade | None = None
    """Of a fill."""


def execute_spot(account: SpotAccount, order: AnyOrder, listed: Listed, at_ms: int) -> SpotChange:
    """Executes an order; `ValueError` when it cannot be, and then nothing is changed."""
    match order:
        case Deposit():
            account.move(order.asset, order.amount, at_ms)
            return SpotChange("deposit", (order.asset,), order.amount)
        case Withdraw():
            account.move(order.asset, -order.amount, at_ms)
            return SpotChange("withdrawal", (order.asset,), -order.amount)
        case Transfer():
            account.move(order.asset, order.amount, at_ms)
            return SpotChange("transfer", (order.asset,), order.amount)
        case Lock():
            account.lock(order.asset, order.amount, at_ms)
            return SpotChange("lock", (order.asset,), order.amount)
        case Fill():
            return _fill(account, order, listed(order.symbol), at_ms)
        case _:
            raise ValueError("spot has no such order")


def _fill(account: SpotAccount, order: Fill, instrument: Instrument, at_ms: int) -> SpotChange:
    assets = (instrument.base, instrument.quote)
    trade = account.trade(
        instrument.symbol,
        assets,
        order.side,
        quantity=order.quantity,
        price=order.price or instrument.last_price,
        commission=order.commission,
        commission_asset=order.commission_asset,
        is_maker=order.maker,
        at_ms=at_ms,
    )
    return SpotChange("trade", tuple(dict.fromkeys((*assets, trade.commission_asset))), trade=trade)
