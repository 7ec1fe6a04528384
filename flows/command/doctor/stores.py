"""What is stored here: trades, and the flow's recovered state. Both are only read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flows.command.doctor.result import Result
from flows.recovered import state_fault
from flows.recovery import RecoveryError
from flows.recovery import check as check_state
from flows.settings import Settings
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStoreError

SYMBOLS_NAMED: Final = 5
"""Symbols whose last write is named, the latest first."""


def check_trades(settings: Settings) -> Iterator[Result]:
    """Whether the trade store of each venue can be opened and read, and its last writes. A flow may be writing it."""
    if not settings.trades.enabled:
        yield Result("trade store", "ok", "trades.enabled is off")
        return
    for venue in settings.by_venue:
        yield _trades_in(settings.trades.path / venue, f"trade store of {venue}")


def _trades_in(path: Path, check: str) -> Result:
    if not path.is_dir():
        return Result(check, "ok", f"there is none at {path} yet")
    try:
        with TradeReader(path) as reader:
            last = {symbol: reader.last_time(symbol) or 0 for symbol in reader.symbols()}
    except (TradeStoreError, OSError) as error:
        text, _, remedy = str(error).rpartition(": ")
        return Result(check, "fail", text or str(error), remedy)
    latest = sorted(last.items(), key=lambda item: -item[1])
    named = ", ".join(f"{symbol} {_iso(time)}" for symbol, time in latest[:SYMBOLS_NAMED])
    more = f" and {len(latest) - SYMBOLS_NAMED} more" if len(latest) > SYMBOLS_NAMED else ""
    return Result(check, "ok", f"readable; last trades: {named or 'none yet'}{more}")


def check_recovery(folder: Path) -> Result:
    """Whether this version can resume the state in a folder."""
    name = "recovered state"
    if not any(folder.glob("part-*.sqlite3")):
        return Result(name, "ok", f"there is none in {folder} yet")
    try:
        check_state(folder, state_fault)
    except RecoveryError as error:
        if "locked" in str(error):
            return Result(name, "ok", f"{folder} is in use by a running flow")
        text, _, remedy = str(error).rpartition(": ")
        return Result(name, "fail", text, remedy)
    return Result(name, "ok", f"{folder} can be resumed")


def _iso(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1_000, UTC):%Y-%m-%dT%H:%M:%SZ}"
