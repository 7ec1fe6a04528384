"""A request about an account: who may send it, and what it takes."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias

from sources.replay.accounts.orders import AnyOrder, Order
from sources.replay.exchange.binance.parameters import Parameters, Takes
from sources.replay.exchange.binance.rest import Answer


class Access(Enum):
    """What a request must have."""

    FREE = "free"
    KEY = "key"
    """A key that the exchange knows."""
    SIGNED = "signed"
    """A signature besides, and a time."""


class AccountEndpoint(NamedTuple):
    """What answers a method and path."""

    answer: Callable[[str, Parameters], Answer]
    """Of an account, by its name; raises `ApiError` for what the exchange refuses."""
    takes: Takes = Takes()
    access: Access = Access.SIGNED


AccountEndpoints: TypeAlias = Mapping[tuple[str, str], AccountEndpoint]
"""By method and path."""


class MarketAccounts(Protocol):
    """The accounts of one market of Binance."""

    @property
    def endpoints(self) -> AccountEndpoints:
        """The requests about them."""

    @property
    def orders(self) -> tuple[type[Order], ...]:
        """The kinds of orders that there are for them."""

    def names(self) -> list[str]:
        """Every account."""

    def open(self, account: str) -> None:
        """Opens an account, unless there is one of that name; `ValueError` for too many."""

    def execute(self, order: AnyOrder) -> None:
        """Executes an operator's order; `ValueError` when it cannot be, and then nothing is changed."""

    def report(self, account: str) -> dict[str, Any]:
        """An account's part of the state."""
