"""Whether this program can resume a recovered state. It is found by the id of the step that has left it and by a key,
names that key, and begins with the version of its form; a state of any other step or key, or in any other form, is
refused and never guessed at.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from flows.operators.account import state as account
from flows.operators.alerts import keeper as alerts
from flows.operators.candles import builder, reconcile
from flows.operators.derivatives import contract
from flows.operators.state_version import StateVersionError, restore
from flows.operators.trades.state import NAME, STATE_VERSION, SequenceState

FLOW: Final = "marketflow"
TRADES_STEP: Final = f"{FLOW}.candles.pipeline.machine"
CONTRACTS_STEP: Final = f"{FLOW}.derivatives.contract.machine"
ACCOUNTS_STEP: Final = f"{FLOW}.accounts.account.machine"
ALERTS_STEP: Final = f"{FLOW}.alerts.rules.machine"
MACHINE_STEPS: Final = frozenset(
    (
        TRADES_STEP,
        f"{FLOW}.order_books.book.machine",
        f"{FLOW}.stats_24h.day.machine",
        CONTRACTS_STEP,
        ACCOUNTS_STEP,
        ALERTS_STEP,
    )
)
"""Ids of the steps with a machine for each instrument."""
STEPS: Final = frozenset(
    (
        *MACHINE_STEPS,
        *(
            f"{FLOW}.{step}"
            for step in (
                "source",
                "account",
                "hub_prices.sink",
                "mongodb.sink",
                "rocksdb.sink",
                "freshness.states.keeper",
                "hub.sink",
                "bus.sink",
                "kafka.sink",
                "alert_outbox.sink",
            )
        ),
    )
)
"""Ids of the steps that can leave a state. The engine ignores the state of a step that it does not find, silently."""

_OF_VENUE: Final = ":"
_OTHER_VERSION: Final = "it was written by another version"

_Form: TypeAlias = type[tuple[object, ...]]

_FORMS: Final[Mapping[str, tuple[int, _Form]]] = {
    NAME: (STATE_VERSION, SequenceState),
    "the candles": (builder.STATE_VERSION, tuple),
    reconcile.NAME: (reconcile.STATE_VERSION, reconcile.ProofState),
}
"""Version and form of the state of each machine in `TRADES_STEP`, in their order."""
_STATE_OF: Final[Mapping[str, tuple[str, int, _Form]]] = {
    CONTRACTS_STEP: ("the contract", contract.STATE_VERSION, contract.ContractState),
    ACCOUNTS_STEP: ("the account", account.STATE_VERSION, account.KeptState),
    ALERTS_STEP: ("the alerts of", alerts.STATE_VERSION, alerts.KeptState),
}
"""Name, version and form of the state of the machines of the other steps that keep one."""


def prefix_of(venue: str) -> str:
    """What stands before the ids of the steps of a further venue of a flow."""
    return f"{venue}{_OF_VENUE}"


def plain_step(step_id: str) -> str:
    """The id of a step without the venue's prefix."""
    flow, dot, rest = step_id.partition(".")
    prefix, colon, plain = rest.partition(_OF_VENUE)
    return f"{flow}{dot}{plain}" if colon and "." not in prefix else step_id


def state_fault(step_id: str, state_key: str, state: object) -> str:
    """Why what a step has left in the recovered state under a key cannot be resumed by this program; empty when it can.
    `state` is as `MachineLogic.snapshot` gave it. Steps that keep nothing to be resumed take anything.
    """
    step_id = plain_step(step_id)
    if step_id not in STEPS:
        return f"{_OTHER_VERSION}: it holds the state of a step {step_id}, which this program does not have"
    if step_id not in MACHINE_STEPS:
        return ""
    try:
        key, parts = cast("tuple[str, tuple[object, ...]]", state)
        if key != state_key:
            return f"it is mixed up: what it holds for {state_key} in {step_id} is the state of {key!r:.80}"
        if step_id == TRADES_STEP:
            for (name, (version, form)), part in zip(_FORMS.items(), parts, strict=True):
                restore(part, version, form, f"{name} of {key}")
        if step_id in _STATE_OF:
            name, version, form = _STATE_OF[step_id]
            restore(parts, version, form, f"{name} {key}")
    except StateVersionError as error:
        return f"{_OTHER_VERSION}: {error}"
    except (TypeError, ValueError):
        return f"{_OTHER_VERSION}: the state of {step_id} has another form"
    return ""
