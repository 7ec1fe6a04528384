"""A request about an account: who may send it, and what it takes."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

from sources.replay.accounts.keys import ApiKey
from sources.replay.exchange.accounts import OperatedAccounts
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
KeyEndpoints: TypeAlias = Mapping[tuple[str, str], Callable[[ApiKey], Answer]]
"""By method and path what is said of the key itself that a request is signed with."""


class MarketAccounts(OperatedAccounts, Protocol):
    """The accounts of one market of Binance."""

    @property
    def endpoints(self) -> AccountEndpoints:
        """The requests about them."""

    @property
    def of_keys(self) -> KeyEndpoints:
        """The requests about the key that signs them."""
