"""The accounts of an exchange that are open, by name."""

from collections.abc import Callable
from typing import Generic, TypeVar

from sources.replay.accounts.keys import DEMO

MOST_ACCOUNTS = 100
"""Most accounts of an exchange."""

A = TypeVar("A")


class OpenedAccounts(Generic[A]):
    """Accounts by name, at most `MOST_ACCOUNTS`, of which the demo account is there from the begin."""

    def __init__(self, demo: A, new: Callable[[], A]) -> None:
        """`new` makes an account without anything in it."""
        self._accounts = {DEMO: demo}
        self._new = new

    def names(self) -> list[str]:
        """Every account."""
        return list(self._accounts)

    def open(self, account: str) -> None:
        """Opens an account, unless there is one of that name; `ValueError` for too many."""
        if account in self._accounts:
            return
        if len(self._accounts) >= MOST_ACCOUNTS:
            raise ValueError(f"{MOST_ACCOUNTS} accounts are open already")
        self._accounts[account] = self._new()

    def _named(self, account: str) -> A:
        if account not in self._accounts:
            raise ValueError(f"no account {account}; open it first")
        return self._accounts[account]
