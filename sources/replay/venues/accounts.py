"""Spot accounts of other venues than Binance: what operators order of them. The venue makes messages of each change."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from sources.replay.accounts.amounts import text
from sources.replay.accounts.opened import OpenedAccounts
from sources.replay.accounts.orders import AnyOrder, Deposit, Fill, Lock, Open, Order, Transfer, Withdraw
from sources.replay.accounts.spot import SpotAccount
from sources.replay.accounts.spot_orders import Instrument, SpotChange, execute_spot
from sources.replay.exchange.dialect import AccountsView, symbol_names
from sources.replay.market.market import Message

NamedPair = tuple[str, str, str]
"""A symbol of the exchange with its base and quote asset."""


class SpotVenueAccounts(OpenedAccounts[SpotAccount]):
    """The spot accounts of an exchange."""

    def __init__(self, view: AccountsView, demo: Mapping[str, Decimal], named: Callable[[str], NamedPair]) -> None:
        """`named` reads the spelling of a symbol; `ValueError` for one that is none."""
        super().__init__(SpotAccount(demo), SpotAccount)
        self._view = view
        self._named_pair = named

    @property
    def orders(self) -> tuple[type[Order], ...]:
        """The kinds of orders that there are for them."""
        return (Open, Deposit, Withdraw, Transfer, Lock, Fill)

    def execute(self, order: AnyOrder) -> None:
        """Executes an order and sends its messages; `ValueError` when it cannot be, and then nothing is changed."""
        if isinstance(order, Open):
            self.open(order.account)
            return
        now_ms = self._view.true_ms
        change = execute_spot(self._named(order.account), order, self.listed, now_ms)
        self._view.publish(list(self.messages(order.account, change, now_ms)))

    def balances(self, account: str) -> SpotAccount:
        """An account that exists."""
        return self._accounts[account]

    def listed(self, symbol: str) -> Instrument:
        """An instrument by a spelling; `ValueError` where the exchange has none."""
        name, base, quote = self._named_pair(symbol)
        names = symbol_names(self._view.market)
        if name not in names:
            raise ValueError(f"no symbol {symbol}; there are {', '.join(names[:10])}")
        return Instrument(name, base, quote, Decimal(self._view.market.ticker(name)["lastPrice"]))

    @abstractmethod
    def messages(self, account: str, change: SpotChange, now_ms: int) -> Iterable[Message]:
        """What is sent of a change."""

    def report(self, account: str) -> dict[str, Any]:
        """An account's part of the state."""
        rows = self._accounts[account].balances.items()
        return {
            "balances": [
                {"asset": asset, "free": text(balance.free), "locked": text(balance.locked)}
                for asset, balance in rows
                if any(balance)
            ]
        }
