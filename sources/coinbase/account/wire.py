"""Coinbase's answers and messages about accounts, field by field (https://docs.cdp.coinbase.com/api-reference/
advanced-trade-api/rest-api/accounts/list-accounts, WebSocket channel `user`).

Amounts keep the digits that are printed. Unknown fields are ignored: of orders nothing is read but that there are some.
"""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from sources.coinbase.wire import Time

MOST_ROWS = 1_000
Text = Annotated[str, Meta(max_length=64)]


class Amount(Struct, frozen=True):
    """{"value":"1.23","currency":"BTC"}"""

    value: Decimal


class AccountRow(Struct, frozen=True):
    """One wallet; a currency may have several."""

    currency: Annotated[str, Meta(min_length=1, max_length=32)]
    available_balance: Amount
    hold: Amount


class AccountsPage(Struct, frozen=True):
    """{"accounts":[{"uuid":"8bfc20d7-f7c6-4422-bf07-8243ca4169fe","name":"BTC Wallet","currency":"BTC",
    "available_balance":{"value":"1.23","currency":"BTC"},"default":false,"active":true,"type":"CRYPTO","ready":true,
    "hold":{"value":"0.5","currency":"BTC"}}],"has_next":true,"cursor":"789100","size":1}
    """

    accounts: Annotated[list[AccountRow], Meta(max_length=MOST_ROWS)]
    has_next: bool = False
    cursor: Annotated[str, Meta(max_length=500)] = ""


class KeyPermissions(Struct, frozen=True):
    """{"can_view":true,"can_trade":false,"can_transfer":false,"portfolio_uuid":"…","portfolio_type":"DEFAULT"}"""

    can_view: bool
    can_trade: bool
    can_transfer: bool


class Event(Struct, frozen=True, gc=False):
    """An event of any channel: of `user` its orders, of `subscriptions` the channels."""

    type: Text = ""
    orders: Annotated[list[dict[str, object]], Meta(max_length=100_000)] = []
    subscriptions: dict[str, object] = {}


class Message(Struct, frozen=True, gc=False):
    """{"channel":"user","client_id":"","timestamp":"2026-01-01T00:00:06.0Z","sequence_num":1,"events":[{"type":"update",
    "orders":[{"order_id":"0b1c..","status":"FILLED","product_id":"BTC-USD"}]}]}, or
    {"type":"error","message":"authentication failure"}
    """

    channel: Text = ""
    timestamp: Time | None = None
    sequence_num: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    events: Annotated[list[Event], Meta(max_length=10_000)] = []
    type: Text = ""
    message: str = ""
