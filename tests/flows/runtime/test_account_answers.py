"""What an account answers is checked before its machine gets it, whichever venue it is of."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from flows.model.account import AccountEvent, AccountSnapshot, BalanceReport, LeverageReport, PositionReport
from flows.model.account_bounds import fault_of_report
from flows.queries import AccountQuery, QueryError
from flows.runtime.accounts import AccountRuntime

BEGIN = 1_767_225_600_000
GOOD = AccountSnapshot(BEGIN, (BalanceReport("BTC", Decimal("0." + "1" * 34), Decimal(0)),))


def of_balance(free: str) -> AccountSnapshot:
    return AccountSnapshot(BEGIN, (BalanceReport("BTC", Decimal(free), Decimal(0)),))


class _Feed:
    def __init__(self, answer: AccountSnapshot | Exception) -> None:
        self._answer = answer

    async def snapshot(self) -> AccountSnapshot:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def answered(answer: AccountSnapshot | Exception) -> Any:
    nothing: Any = None
    feed: Any = _Feed(answer)
    handler = AccountRuntime(feed, nothing, nothing).handlers[AccountQuery]
    return asyncio.run(handler(AccountQuery("", 1)))  # type: ignore[arg-type]


def test_what_can_be_true_is_handed_on() -> None:
    assert answered(GOOD) == GOOD


@pytest.mark.parametrize(
    "answer",
    [
        *map(of_balance, ("NaN", "sNaN", "Infinity", "-Infinity", "9e999999", "1e-999999", "1." + "1" * 34)),
        AccountSnapshot(BEGIN, positions=(PositionReport("BTCUSDT", "BOTH", Decimal("sNaN")),)),
        AccountSnapshot(BEGIN, positions=(PositionReport("BTCUSDT", "BOTH", Decimal(1), time=10**14),)),
        AccountSnapshot(BEGIN, positions=(PositionReport("BTCUSDT", "BOTH", Decimal(1), leverage=10**40),)),
        AccountSnapshot(BEGIN, leverages=(LeverageReport("BTCUSDT", 10**40),)),
        AccountSnapshot(-1),
        ArithmeticError("of 12345"),
        ValueError("12345"),
    ],
)
def test_what_cannot_be_true_is_no_answer(answer: AccountSnapshot | Exception) -> None:
    with pytest.raises(QueryError, match="cannot be true") as refused:
        answered(answer)
    assert not refused.value.lasting
    assert "12345" not in str(refused.value)


def test_the_time_of_an_event_is_one_that_can_be() -> None:
    assert fault_of_report(AccountEvent("alive", time=BEGIN)) == ""
    assert fault_of_report(AccountEvent("alive", time=253_000_000_000_000)) == "its time cannot be"
