"""What operators do with the accounts of an exchange, whatever its venue: they look, move, and accept keys."""

from typing import Any, Protocol

import msgspec
from msgspec import structs

from flows.texts import refusal_in
from sources.replay.accounts.keys import KeyRing, NewKey
from sources.replay.accounts.orders import AnyOrder, Order, Transfer, decode_order
from sources.replay.exchange.dialect import Controls
from sources.replay.faults.catalogue import catalogue


class OperatedAccounts(Protocol):
    """The accounts of a market."""

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


class OperatedExchange:
    """The accounts and keys of an exchange."""

    def __init__(self, accounts: OperatedAccounts, ring: KeyRing) -> None:
        self._accounts = accounts
        self._ring = ring

    def controls(self) -> Controls:
        """What the control endpoint has of them."""
        return {
            ("GET", "accounts"): lambda _: self.report(),
            ("POST", "accounts"): self.execute,
            ("GET", "orders"): lambda _: catalogue(self._accounts.orders),
            ("POST", "keys"): self.add_key,
        }

    def add_key(self, body: bytes) -> dict[str, Any]:
        """Accepts a key that an operator orders; `ValueError` when it cannot be."""
        try:
            new = msgspec.json.decode(body, type=NewKey)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(refusal_in(body, error, NewKey)) from None
        self._accounts.open(new.account)
        return self._ring.add(new)

    def execute(self, body: bytes) -> dict[str, Any]:
        """Executes an operator's order; the state after it, or `ValueError`."""
        order = decode_order(body)
        if isinstance(order, Transfer) and order.other is not None:
            self._transfer(order, order.other)
        else:
            self._accounts.execute(order)
        return self.report()

    def _transfer(self, order: Transfer, other: str) -> None:
        """Takes it from the one account and adds it to the other; what the other cannot have is given back."""
        gets, gives = (order.account, other) if order.amount > 0 else (other, order.account)
        if gets not in self._accounts.names():
            raise ValueError(f"no account {gets}; open it first")
        amount = abs(order.amount)
        taken = structs.replace(order, account=gives, amount=-amount, other=None)
        self._accounts.execute(taken)
        try:
            self._accounts.execute(structs.replace(taken, account=gets, amount=amount))
        except ValueError:
            self._accounts.execute(structs.replace(taken, amount=amount))
            raise

    def report(self) -> dict[str, Any]:
        """Every account with its keys."""
        keys: dict[str, list[dict[str, Any]]] = {}
        for key in self._ring:
            shown = {"api_key": key.name, "kind": key.kind, "powers": key.powers}
            keys.setdefault(key.account, []).append(shown)
        return {
            "accounts": [
                {"account": name, "keys": keys.get(name, []), **self._accounts.report(name)}
                for name in self._accounts.names()
            ]
        }
