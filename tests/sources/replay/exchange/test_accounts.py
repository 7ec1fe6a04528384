"""What operators do with accounts, whatever the venue."""

import json
from decimal import Decimal
from typing import Any

import pytest

from sources.replay.accounts.keys import KeyRing
from sources.replay.accounts.orders import AnyOrder, Open, Order, Transfer
from sources.replay.exchange.accounts import OperatedExchange


class Purses:
    """Accounts of one asset, of which one takes nothing above 10."""

    orders: tuple[type[Order], ...] = (Open, Transfer)

    def __init__(self) -> None:
        self.held = {"demo": Decimal(100), "small": Decimal(8)}

    def names(self) -> list[str]:
        return list(self.held)

    def open(self, account: str) -> None:
        self.held.setdefault(account, Decimal(0))

    def execute(self, order: AnyOrder) -> None:
        assert isinstance(order, Transfer)
        after = self.held[order.account] + order.amount
        if after < 0 or (order.account == "small" and after > 10):
            raise ValueError(f"{order.account} cannot have {after}")
        self.held[order.account] = after

    def report(self, account: str) -> dict[str, Any]:
        return {"held": str(self.held[account])}


def transfer(purses: Purses, **fields: str) -> None:
    body = {"do": "transfer", "asset": "USDT", **fields}
    OperatedExchange(purses, KeyRing()).execute(json.dumps(body).encode())


def test_a_transfer_is_the_same_for_both_accounts() -> None:
    purses = Purses()
    transfer(purses, amount="-2", other="small")
    assert purses.held == {"demo": Decimal(98), "small": Decimal(10)}
    transfer(purses, amount="9", other="small")
    assert purses.held == {"demo": Decimal(107), "small": Decimal(1)}
    transfer(purses, amount="3")  # from another exchange
    assert purses.held == {"demo": Decimal(110), "small": Decimal(1)}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"amount": "-3", "other": "small"}, "small cannot have 11"),
        ({"amount": "9", "other": "small"}, "small cannot have -1"),
        ({"amount": "-3", "other": "nobodys"}, "no account nobodys; open it first"),
        ({"amount": "-3", "other": "demo"}, "a transfer is between two accounts"),
    ],
)
def test_one_that_one_of_them_cannot_make_changes_neither(fields: dict[str, str], says: str) -> None:
    purses = Purses()
    with pytest.raises(ValueError, match=says):
        transfer(purses, **fields)
    assert purses.held == {"demo": Decimal(100), "small": Decimal(8)}
