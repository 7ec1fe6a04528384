"""What an operator can order of accounts. A JSON object whose `do` is the name, amounts as texts or numbers, e.g.
`{"do": "deposit", "account": "demo", "asset": "USDT", "amount": "100"}`.
"""

from decimal import Decimal
from typing import Annotated, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from flows.texts import refusal_in
from sources.replay.accounts.amounts import checked, positive
from sources.replay.accounts.brackets import MOST_LEVERAGE
from sources.replay.accounts.keys import DEMO
from sources.replay.accounts.spot import Side
from sources.replay.accounts.usdm import PositionSide
from sources.replay.faults.spec import tag_of

Asset = Annotated[str, Meta(pattern="^[^\\s\\x00-\\x1f\\x7f\"'<>\\\\]{1,20}$")]
Symbol = Annotated[str, Meta(min_length=1, max_length=40)]


AccountName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,40}$")]


class Order(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag=tag_of, kw_only=True):
    """Base class of orders. The docstring of each begins with what it does and ends with an example."""

    account: AccountName = DEMO
    """Whose account."""


class Open(Order, frozen=True):
    """Opens an account without anything in it.

    {"do": "open", "account": "second"}
    """


class _Amount(Order, frozen=True):
    asset: Asset
    amount: Decimal

    def __post_init__(self) -> None:
        positive(self.amount, "amount")


class Deposit(_Amount, frozen=True):
    """Adds to an account.

    {"do": "deposit", "asset": "USDT", "amount": "100"}
    """


class Withdraw(_Amount, frozen=True):
    """Takes from an account.

    {"do": "withdraw", "asset": "USDT", "amount": "25.5"}
    """


class _Signed(Order, frozen=True):
    asset: Asset
    amount: Decimal

    def __post_init__(self) -> None:
        checked(self.amount, "amount")
        if not self.amount:
            raise ValueError("amount is zero")


class Transfer(_Signed, frozen=True):
    """Moves from another account of the same owner, or to it where the amount is negative.

    {"do": "transfer", "asset": "USDT", "amount": "-50"}
    """

    other: AccountName | None = None
    """The other account. Default: one of another exchange or market."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.other == self.account:
            raise ValueError("a transfer is between two accounts")


class Lock(_Signed, frozen=True):
    """Spot: locks what is free, or frees it where the amount is negative.

    {"do": "lock", "asset": "BTC", "amount": "0.01"}
    """


class Fill(Order, frozen=True):
    """A market order that is filled at once: spot exchanges two assets, USD-M changes a position.

    {"do": "fill", "symbol": "BTCUSDT", "side": "BUY", "quantity": "0.01"}
    """

    symbol: Symbol
    side: Side
    quantity: Decimal
    price: Decimal | None = None
    """Default: that of the last trade of the market."""
    commission: Decimal | None = None
    """Negative: paid to the account. Default: the exchange's usual share."""
    commission_asset: Asset | None = None
    """Default: spot takes what is received, USD-M the margin's."""
    maker: bool = False
    position_side: PositionSide = "BOTH"
    """USD-M: `LONG` or `SHORT` where the account has both sides. Kraken: either of them is on margin."""

    def __post_init__(self) -> None:
        positive(self.quantity, "quantity")
        if self.price is not None:
            positive(self.price, "price")
        if self.commission is not None:
            checked(self.commission, "commission")


class Funding(Order, frozen=True):
    """USD-M: settles the funding of a contract's positions.

    {"do": "funding", "symbol": "BTCUSDT", "rate": "0.0001"}
    """

    symbol: Symbol
    rate: Decimal | None = None
    """A share of the value at the mark price; default the rate that the market states."""

    def __post_init__(self) -> None:
        if self.rate is not None and abs(checked(self.rate, "rate")) > 1:
            raise ValueError("rate is a share of the value: at most 1")


class Leverage(Order, frozen=True):
    """USD-M: changes the leverage of a contract.

    {"do": "leverage", "symbol": "BTCUSDT", "leverage": 10}
    """

    symbol: Symbol
    leverage: Annotated[int, Meta(ge=1, le=MOST_LEVERAGE)]


class MarginType(Order, frozen=True):
    """USD-M: gives positions of a contract margins of their own, or not; not while there is a position.

    {"do": "margin_type", "symbol": "BTCUSDT", "isolated": true}
    """

    symbol: Symbol
    isolated: bool


class Margin(Order, frozen=True):
    """USD-M: adds to the margin of an isolated position, or takes from it.

    {"do": "margin", "symbol": "BTCUSDT", "amount": "50"}
    """

    symbol: Symbol
    amount: Decimal
    position_side: PositionSide = "BOTH"

    def __post_init__(self) -> None:
        checked(self.amount, "amount")


class MultiAssets(Order, frozen=True):
    """USD-M: makes every asset margin of every position, or not.

    {"do": "multi_assets", "on": true}
    """

    on: bool


class PositionMode(Order, frozen=True):
    """USD-M: gives a contract a long and a short position, or one; not while there is a position.

    {"do": "position_mode", "both_sides": true}
    """

    both_sides: bool


class MarginCall(Order, frozen=True):
    """USD-M: warns the owner of a contract's positions, and changes nothing.

    {"do": "margin_call", "symbol": "BTCUSDT"}
    """

    symbol: Symbol


class Liquidate(Order, frozen=True):
    """USD-M: closes a contract's positions after a warning. What the wallet then owes, the insurance fund pays.

    {"do": "liquidate", "symbol": "BTCUSDT"}
    """

    symbol: Symbol
    price: Decimal | None = None
    """Default: the mark price."""

    def __post_init__(self) -> None:
        if self.price is not None:
            positive(self.price, "price")


class ListenKeys(Order, frozen=True):
    """USD-M: how long listen keys live that are made or kept alive from now on; those that there are, too.

    {"do": "listen_keys", "life_ms": 60000}
    """

    life_ms: Annotated[int, Meta(ge=0, le=86_400_000)]


class Tokens(Order, frozen=True):
    """Kraken: how long tokens of private streams can be used after they were made; those that there are, too.

    {"do": "tokens", "life_ms": 0}
    """

    life_ms: Annotated[int, Meta(ge=0, le=86_400_000)]


AnyOrder: TypeAlias = (
    Open
    | Deposit
    | Withdraw
    | Transfer
    | Lock
    | Fill
    | Funding
    | Leverage
    | MarginType
    | Margin
    | MultiAssets
    | PositionMode
    | MarginCall
    | Liquidate
    | ListenKeys
    | Tokens
)

ORDERS: tuple[type[Order], ...] = get_args(AnyOrder)
_DECODER: msgspec.json.Decoder[AnyOrder] = msgspec.json.Decoder(AnyOrder)


def decode_order(body: bytes) -> AnyOrder:
    """The order that a JSON text describes; `ValueError` with the reason when it describes none."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        names = ", ".join(tag_of(kind.__name__) for kind in ORDERS)
        reason = refusal_in(body, error, AnyOrder)
        is_said = reason != str(error) and "`$.do`" not in reason
        raise ValueError(reason if is_said else f"{error}; orders are {names}") from None
