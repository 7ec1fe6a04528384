"""What a report about an account must be to be true: for every venue, streams and REST."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from flows.model.account import (
    AccountEvent,
    AccountReport,
    AccountSnapshot,
    AccountUpdate,
    BalanceReport,
    PositionReport,
)

MOST_ITEMS: Final = 5_000
"""Most assets, positions and instruments of a report."""
_MOST_DIGITS: Final = 34
"""As many as the decimal numbers of the database have."""
_MOST: Final = Decimal(10) ** 30
_LONGEST_NAME: Final = 40
_MOST_LEVERAGE: Final = 1_000_000
_LATEST_MS: Final = 4_102_444_800_000


def fault_of_report(report: AccountReport) -> str:
    """Why a report cannot be true; empty when it can. The text has no amounts and no names of assets."""
    if isinstance(report, AccountEvent):
        return "" if 0 <= report.time < _LATEST_MS else "its time cannot be"
    return next((text for is_wrong, text in _faults(report) if is_wrong), "")


def _faults(report: AccountSnapshot | AccountUpdate) -> Iterable[tuple[bool, str]]:
    """Each rule: whether it is broken, and its text; a later one may rely on those before it."""
    times = [report.time, *(row.time for row in report.balances), *(row.time for row in report.positions)]
    yield not all(0 <= time < _LATEST_MS for time in times), "its time cannot be"
    changes = getattr(report, "changes", ())
    most = max(map(len, (report.balances, report.positions, report.leverages, changes)))
    yield most > MOST_ITEMS, f"it has more than {MOST_ITEMS} rows"
    names = [row.asset for row in (*report.balances, *changes)]
    names += [row.symbol for row in report.positions] + [row.symbol for row in report.leverages]
    yield not all(map(_is_name, names)), "an asset or a symbol in it has no name"
    amounts = [*_amounts(report.balances), *(row.delta for row in changes), *_figures(report.positions)]
    yield not all(map(_is_amount, amounts)), "an amount in it is no number, too large or too long"
    leverages = [row.leverage for row in report.positions] + [row.leverage for row in report.leverages]
    yield not all(0 <= (one or 0) <= _MOST_LEVERAGE for one in leverages), "a leverage in it cannot be"
    yield any(row.locked < 0 for row in report.balances), "what is locked is negative"
    wrong_side = any(row.place != "BOTH" and row.quantity < 0 for row in report.positions)
    yield wrong_side, "the quantity of a position with a side is negative"


def _amounts(balances: Iterable[BalanceReport]) -> Iterable[Decimal]:
    for row in balances:
        yield row.free
        yield row.locked


def _figures(positions: Iterable[PositionReport]) -> Iterable[Decimal]:
    for row in positions:
        found = (
            row.quantity, row.entry_price, row.break_even_price, row.mark_price, row.unrealised_pnl, row.realised_pnl,
            row.liquidation_price,
        )  # fmt: skip
        yield from (figure for figure in found if figure is not None)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable() and " " not in text


def _is_amount(amount: Decimal) -> bool:
    if not amount.is_finite():
        return False
    _, digits, exponent = amount.as_tuple()
    return len(digits) <= _MOST_DIGITS and abs(int(exponent)) <= _MOST_DIGITS and abs(amount) < _MOST
