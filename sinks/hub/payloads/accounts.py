"""Payloads of accounts: the `data` of messages about balances, positions and the state of accounts. They are sent only
with the right `account`.

Amounts and prices are numbers with the digits of the venue; times of balances and positions are ms UTC since the epoch,
those of states ISO-8601.
"""

from decimal import Decimal
from typing import ClassVar

from flows.model import AccountState, Balance, Position
from sinks.hub.payloads.form import Payload


class BalanceBody(Payload[Balance], frozen=True, gc=False):
    """What an account has of an asset; `total` 0: nothing any more. `value` is that of the total in `quote`, null where
    no price is known; `price_time` is the exchange's time of that price, however old, null where it is by none.
    """

    venue: str
    account: str
    asset: str
    free: Decimal
    locked: Decimal
    total: Decimal
    value: Decimal | None
    quote: str | None
    is_computed: bool
    price_time: int | None
    timestamp: int

    times: ClassVar = {"timestamp": "event_time"}


class PositionBody(Payload[Position], frozen=True, gc=False):
    """A position; `quantity` 0: it is flat. `is_computed`: mark price and unrealised profit are carried on by the
    market's price. What the venue does not report is null.
    """

    venue: str
    account: str
    symbol: str
    side: str
    quantity: Decimal
    entry_price: Decimal | None
    break_even_price: Decimal | None
    mark_price: Decimal | None
    unrealised_pnl: Decimal | None
    realised_pnl: Decimal | None
    leverage: int | None
    margin_type: str | None
    liquidation_price: Decimal | None
    is_computed: bool
    timestamp: int

    times: ClassVar = {"timestamp": "event_time"}


class AccountBody(Payload[AccountState], frozen=True, gc=False):
    """Whether what is known of an account is the venue's, as in the model. `snapshot_time` is that of the newest
    snapshot that was compared, `timestamp` when something came from the venue last.
    """

    venue: str
    account: str
    state: str
    since: str | None
    reason: str
    snapshot_time: str | None
    timestamp: int

    times: ClassVar = {"since": "since", "snapshot_time": "snapshot_time", "timestamp": "event_time"}
