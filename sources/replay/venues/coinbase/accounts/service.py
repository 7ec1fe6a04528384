"""The accounts of Coinbase: what operators order, and what the channel `user` says of it: orders, never balances.

Chosen, as it is not known: deposits, withdrawals and transfers have no message at all; what is locked is an open order.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from sources.replay.accounts.amounts import ZERO, plain
from sources.replay.accounts.spot import SpotTrade
from sources.replay.accounts.spot_orders import SpotChange
from sources.replay.exchange.accounts import OperatedExchange
from sources.replay.exchange.dialect import AccountsView
from sources.replay.market.market import Message
from sources.replay.venues.accounts import NamedPair, SpotVenueAccounts
from sources.replay.venues.coinbase.accounts.keys import Bearers, demo_ring
from sources.replay.venues.coinbase.advanced_messages import user
from sources.replay.venues.coinbase.products import product_of
from sources.replay.venues.times import rfc3339

DEMO_BALANCES: Final = {"USD": Decimal(100_000), "BTC": Decimal(1), "ETH": Decimal(10)}
"""What the demo account begins with."""


def stream_of(account: str) -> str:
    """The name of an account's orders among the streams of the exchange; no client can subscribe it by that."""
    return f"user:{account}"


def _named(symbol: str) -> NamedPair:
    product = product_of(symbol)
    return product.id, product.base, product.quote


class CoinbaseAccounts(SpotVenueAccounts):
    """The accounts of an exchange, and the keys for them."""

    def __init__(self, view: AccountsView) -> None:
        super().__init__(view, DEMO_BALANCES, _named)
        ring = demo_ring()
        self.bearers = Bearers(ring)
        """Who sends requests."""
        self.operated = OperatedExchange(self, ring)
        """What operators do with them."""

    def messages(self, account: str, change: SpotChange, now_ms: int) -> Iterable[Message]:
        """Of a fill its order as it is opened and as it is filled; of a lock an order that is open, or cancelled."""
        if change.trade is not None:
            rows = [_filled(change.trade, is_done=is_done) for is_done in (False, True)]
        elif change.reason == "lock":
            rows = [_open(change.assets[0], change.amount, now_ms)]
        else:
            rows = []
        return [Message(now_ms, stream_of(account), user([row], now_ms)) for row in rows]


def _filled(trade: SpotTrade, *, is_done: bool) -> Mapping[str, Any]:
    done = trade.quantity if is_done else ZERO
    return _order(
        trade.order_id,
        trade.time_ms,
        status="FILLED" if is_done else "OPEN",
        product_id=trade.symbol,
        order_side=trade.side,
        cumulative_quantity=plain(done),
        leaves_quantity=plain(trade.quantity - done),
        avg_price=plain(trade.price if is_done else ZERO),
        total_fees=plain(trade.commission if is_done else ZERO),
    )


def _open(asset: str, amount: Decimal, now_ms: int) -> Mapping[str, Any]:
    return _order(
        now_ms,
        now_ms,
        status="OPEN" if amount > 0 else "CANCELLED",
        product_id=f"{asset}-USD",
        order_side="SELL",
        cumulative_quantity="0",
        leaves_quantity=plain(abs(amount)),
        avg_price="0",
        total_fees="0",
    )


def _order(number: int, time_ms: int, **fields: str) -> Mapping[str, Any]:
    return {
        "order_id": f"00000000-0000-4000-9000-{number % 10**12:012}",
        "client_order_id": f"replay-{number}",
        **fields,
        "creation_time": rfc3339(time_ms),
        "order_type": "Limit",
        "product_type": "SPOT",
        "time_in_force": "GOOD_UNTIL_CANCELLED",
    }
