"""A balance, a position and the state of an account, with marks that nothing else has."""

from decimal import Decimal
from typing import Final

from flows.model import AccountState, AccountTotal, Balance, Position

BEGIN: Final = 1_767_225_600_000
LABEL: Final = "quietlabel"

STATE: Final = AccountState("binance", LABEL, "live", BEGIN, "", 0, BEGIN)
BALANCE: Final = Balance(
    "binance", LABEL, "XQZ", Decimal("98765.00000001"), Decimal("1.5"), Decimal("98766.50000001"), BEGIN
)
POSITION: Final = Position(
    "binance",
    LABEL,
    "BTCUSDT",
    "SHORT",
    Decimal("98765.4"),
    Decimal("61000.10"),
    BEGIN,
    mark_price=Decimal("61000.1"),
    unrealised_pnl=Decimal("-0.5"),
    leverage=20,
    margin_type="cross",
    is_computed=True,
)
TOTAL: Final = AccountTotal("binance", LABEL, "USDT", Decimal("1234.5600"), Decimal("-0.5"), BEGIN, BEGIN - 9)
