"""A spot account: what it has of each asset, and its trades."""

from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

from sources.replay.accounts.amounts import MOST, ZERO, plain, positive, product

Side: TypeAlias = Literal["BUY", "SELL"]

MOST_ASSETS = 1_000
"""Most assets of an account."""
MOST_TRADES = 10_000
"""How many trades an account keeps; the oldest go first."""
COMMISSION: Final = Decimal("0.001")
"""The commission where a trade does not say it, as a share of what is received."""


class Balance(NamedTuple):
    """What an account has of an asset."""

    free: Decimal = ZERO
    locked: Decimal = ZERO


class SpotTrade(NamedTuple):
    """A trade of an account."""

    trade_id: int
    order_id: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    value: Decimal
    """In the quote asset."""
    commission: Decimal
    commission_asset: str
    time_ms: int
    is_maker: bool


class SpotAccount:
    """Balances by asset. Every method checks first and then changes all of it, or raises `ValueError`."""

    def __init__(self, balances: Mapping[str, Decimal] | None = None) -> None:
        self._balances = {asset: Balance(free) for asset, free in (balances or {}).items()}
        self._trades: deque[SpotTrade] = deque(maxlen=MOST_TRADES)
        self._traded = 0
        self.updated_ms = 0
        """When it changed last, ms UTC."""

    @property
    def balances(self) -> Mapping[str, Balance]:
        """What it has, by asset; what it has used up stays as zero."""
        return self._balances

    @property
    def trades(self) -> tuple[SpotTrade, ...]:
        """Its newest trades, oldest first."""
        return tuple(self._trades)

    def balance(self, asset: str) -> Balance:
        """What it has of an asset."""
        return self._balances.get(asset, Balance())

    def move(self, asset: str, amount: Decimal, at_ms: int) -> None:
        """Adds to what is free, or takes from it."""
        self._change({asset: (amount, ZERO)}, at_ms)

    def lock(self, asset: str, amount: Decimal, at_ms: int) -> None:
        """Moves from free to locked, or back where the amount is negative."""
        self._change({asset: (-amount, amount)}, at_ms)

    def trade(
        self,
        symbol: str,
        assets: tuple[str, str],
        side: Side,
        *,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal | None,
        commission_asset: str | None,
        is_maker: bool,
        at_ms: int,
    ) -> SpotTrade:
        """Exchanges base and quote asset (`assets`), and pays the commission: default a share of what is received."""
        base, quote = assets
        value = positive(product(positive(quantity, "quantity"), positive(price, "price")), "the value")
        got, amount = (base, quantity) if side == "BUY" else (quote, value)
        paid = product(amount, COMMISSION) if commission is None else commission
        sign = 1 if side == "BUY" else -1
        changes = {base: (sign * quantity, ZERO), quote: (-sign * value, ZERO)}
        paid_in = commission_asset or got
        changes[paid_in] = (changes.get(paid_in, (ZERO, ZERO))[0] - paid, ZERO)
        self._change(changes, at_ms)
        self._traded += 1
        done = SpotTrade(
            self._traded, self._traded, symbol, side, quantity, price, value, paid, paid_in, at_ms, is_maker
        )
        self._trades.append(done)
        return done

    def _change(self, changes: Mapping[str, tuple[Decimal, Decimal]], at_ms: int) -> None:
        after = {}
        for asset, (free, locked) in changes.items():
            before = self.balance(asset)
            now = Balance(before.free + free, before.locked + locked)
            if min(now) < 0:
                raise ValueError(f"the account has {plain(before.free)} {asset}, and {plain(before.locked)} locked")
            if max(now) > MOST:
                raise ValueError(f"an account has at most {MOST} of an asset")
            after[asset] = now
        if len(self._balances.keys() | after.keys()) > MOST_ASSETS:
            raise ValueError(f"an account has at most {MOST_ASSETS} assets")
        self._balances |= after
        self.updated_ms = at_ms
