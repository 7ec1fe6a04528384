"""Accounts: balances and positions, as a venue says them and as clients get them.

What arrives names no venue and no account (`…Report`, `AccountSnapshot`, `AccountUpdate`, `AccountEvent`); the results
of the flow do. An account is named by its label in the settings, never by an id or a key of the venue. Amounts and
prices are `Decimal` with the digits that the venue prints. Times are ms UTC.
"""

from decimal import Decimal
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Place: TypeAlias = Literal["BOTH", "LONG", "SHORT"]
"""Which of an instrument's positions: `BOTH` where it has only one, which is long or short by its sign."""
PositionSide: TypeAlias = Literal["LONG", "SHORT"]
MarginType: TypeAlias = Literal["cross", "isolated"]

ZERO: Final = Decimal(0)


class BalanceReport(Struct, frozen=True, gc=False):
    """What an account has of an asset, by the venue's word: absolute."""

    asset: str
    free: Decimal
    """Of spot what can be traded; of futures the wallet that all cross positions share."""
    locked: Decimal
    """Of spot what orders hold; of futures the margin of isolated positions."""
    time: int = 0
    """When it changed last, where the venue says it of each asset; 0 for the time of the message."""


class BalanceChange(Struct, frozen=True, gc=False):
    """By how much something free or locked has changed. It is never added to anything: an absolute report follows, or a
    snapshot is queried.
    """

    asset: str
    delta: Decimal


class PositionReport(Struct, frozen=True, gc=False):
    """A position by the venue's word: absolute. What is None was not said, and stays as it was known."""

    symbol: str
    place: Place
    quantity: Decimal
    """In the base currency; negative for a short position in the place `BOTH`, else without a sign. 0: flat."""
    entry_price: Decimal | None = None
    break_even_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    """In the currency in which the contract is settled."""
    realised_pnl: Decimal | None = None
    """Of this position since it was opened, before fees, in the same currency."""
    leverage: int | None = None
    margin_type: MarginType | None = None
    liquidation_price: Decimal | None = None
    """0 where it cannot be liquidated."""
    time: int = 0
    """When it changed last, where the venue says it of each position; 0 for the time of the message."""


class LeverageReport(Struct, frozen=True, gc=False):
    """With what leverage and margin an instrument's positions are held, whether there are any or not."""

    symbol: str
    leverage: int | None = None
    margin_type: MarginType | None = None


class AccountSnapshot(Struct, frozen=True):
    """All that an account has: what is not in it is zero."""

    time: int
    """When the account changed last, as far as the venue says it; else when the venue answered."""
    balances: tuple[BalanceReport, ...] = ()
    positions: tuple[PositionReport, ...] = ()
    leverages: tuple[LeverageReport, ...] = ()
    sequence: int | None = None
    """The number of the message, where the stream brought it and counts."""
    positions_time: int = 0
    """The same of the positions, where they were read after the balances; 0: `time`."""


class AccountUpdate(Struct, frozen=True):
    """What has changed in an account: absolute reports of that alone."""

    time: int
    """When it changed, ms UTC of the venue."""
    balances: tuple[BalanceReport, ...] = ()
    changes: tuple[BalanceChange, ...] = ()
    positions: tuple[PositionReport, ...] = ()
    leverages: tuple[LeverageReport, ...] = ()
    sequence: int | None = None
    """Each update's is the one before it plus one, where the venue counts them; None where it does not."""


class AccountEvent(Struct, frozen=True):
    """What happens to the private stream of an account."""

    kind: Literal["opened", "closed", "refused", "expired", "trigger", "alive"]
    """`opened`: it is subscribed, and no change from here on is missed. `closed`: changes may be missed. `refused`: the
    venue refuses the key, said once. `expired`: the venue has ended the subscription, a new one follows. `trigger`:
    something has changed that the message does not say: a snapshot is queried. `alive`: the venue has answered on the
    same connection, nothing else has happened.
    """
    reason: str = ""
    """For people; the venue's own words are `quoted`, and no key, signature or id of an account is in it."""
    time: int = 0
    """ms UTC of the venue where it is known, else 0."""


class AccountPrices(Struct, frozen=True, gc=False):
    """Newest prices of instruments: positions are valued by them between two reports of the venue."""

    prices: tuple[tuple[str, Decimal, int], ...]
    """Symbol, price, exchange time."""


class Balance(Struct, frozen=True, gc=False):
    """What an account has of an asset."""

    venue: str
    account: str
    asset: str
    free: Decimal
    locked: Decimal
    total: Decimal
    """`free` and `locked` together; 0 when it has none any more, and then it is said once."""
    event_time: int
    """When it changed last."""
    value: Decimal | None = None
    """Of the total, in `quote`; None where no price is known."""
    quote: str | None = None
    is_computed: bool = False
    """`value` is carried on by the market's price."""
    price_time: int | None = None
    """Exchange time of the price that `value` is by, ms UTC, however old; None where it is by none."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What there is one of."""
        return self.venue, self.account, self.asset


class Position(Struct, frozen=True, gc=False):
    """A position of an account."""

    venue: str
    account: str
    symbol: str
    side: PositionSide
    quantity: Decimal
    """In the base currency, without a sign; 0 when it is flat, and then it is said once."""
    entry_price: Decimal | None
    event_time: int
    """When it changed last."""
    break_even_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealised_pnl: Decimal | None = None
    realised_pnl: Decimal | None = None
    leverage: int | None = None
    margin_type: MarginType | None = None
    liquidation_price: Decimal | None = None
    is_computed: bool = False
    """Mark price and unrealised profit are carried on by the market's price, not said by the venue."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is one of."""
        return self.venue, self.account, self.symbol, self.side


class AccountState(Struct, frozen=True, gc=False):
    """Whether the balances and positions of an account are known to be the venue's."""

    venue: str
    account: str
    state: Literal["live", "connecting", "stale", "refused"]
    """`live`: its stream is subscribed, something came by it within `accounts.stale_s`, and there was a snapshot since.
    `connecting`: not yet, what there is is from before. `stale`: it was live. `refused`: the venue refuses the key.
    """
    since: int
    """Since when, ms UTC of the venue."""
    reason: str
    """Why it is not live; empty when it is."""
    snapshot_time: int
    """Time of the newest snapshot that was compared; 0 before the first."""
    event_time: int
    """When something came from the venue last."""

    @property
    def key(self) -> tuple[str, str]:
        """What there is one of."""
        return self.venue, self.account


class AccountTotal(Struct, frozen=True, gc=False):
    """What an account was worth at a whole minute, as far as prices are known."""

    venue: str
    account: str
    quote: str
    total: Decimal
    """Of all balances that have a value in `quote`, with the unrealised profit of positions settled in it."""
    unrealised_pnl: Decimal
    time: int
    """Begin of the minute."""
    price_time: int | None = None
    """Exchange time of the oldest price that a balance in it has its value by, ms UTC; None where there is none."""


AccountReport: TypeAlias = AccountSnapshot | AccountUpdate | AccountEvent
"""What arrives on the private stream of an account."""
AccountInput: TypeAlias = AccountReport | AccountPrices
"""Input of the machine of an account, whose key is `account_key`."""
AccountItem: TypeAlias = Balance | Position | AccountState
"""What clients with the right `account` get."""
AccountRecord: TypeAlias = Balance | Position | AccountState | AccountTotal
"""What is stored."""


def account_key(venue: str, account: str) -> str:
    """The key of an account's machine."""
    return f"{venue}:{account}"
