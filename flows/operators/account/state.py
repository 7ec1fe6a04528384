"""The recovered state of an account's machine: what it held, so that clients see it, marked as old, until the venue is
queried again.
"""

from decimal import Decimal
from typing import Final, NamedTuple

from flows.model.account import LeverageReport, PositionReport
from flows.operators.account.holdings import Holdings, where_of
from flows.operators.state_version import restore

STATE_VERSION: Final = 2


class KeptState(NamedTuple):
    """The form of the state."""

    version: int
    balances: list[tuple[str, Decimal, Decimal, int]]
    """Asset, free, locked, time."""
    positions: list[tuple[PositionReport, int]]
    leverages: list[LeverageReport]
    snapshot_time: int
    event_time: int
    """When something came from the venue last."""


def kept(holdings: Holdings, snapshot_time: int, event_time: int) -> KeptState:
    """The state of holdings."""
    return KeptState(
        STATE_VERSION,
        [(asset, *known.value, known.time) for asset, known in holdings.balances.items.items()],
        [(known.value, known.time) for known in holdings.positions.items.values()],
        list(holdings.leverages.values()),
        snapshot_time,
        event_time,
    )


def restored(state: object, holdings: Holdings, key: str) -> tuple[int, int]:
    """Puts a state into empty holdings; the times of its snapshot and of the venue's last word. `StateVersionError` for
    one of another form.
    """
    found = restore(state, STATE_VERSION, KeptState, f"the account {key}")
    holdings.balances.restore((asset, (free, locked), time) for asset, free, locked, time in found.balances)
    holdings.positions.restore((where_of(report), report, time) for report, time in found.positions)
    holdings.leverages.update((row.symbol, row) for row in found.leverages)
    return found.snapshot_time, found.event_time
