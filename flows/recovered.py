"""Whether this program can resume a recovered state. It is found by the id of the step that has left it, and begins
with the version of its form; a state of any other step, or in any other form, is refused and never guessed at.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from flows.operators.candles import builder, reconcile
from flows.operators.state_version import StateVersionError, restore
from flows.operators.trades.state import NAME, STATE_VERSION, SequenceState

FLOW: Final = "marketflow"
TRADES_STEP: Final = f"{FLOW}.candles.pipeline.machine"
STEPS: Final = frozenset(
    (
        TRADES_STEP,
        *(
            f"{FLOW}.{step}"
            for step in (
                "source",
                "hub_prices.sink",
                "order_books.book.machine",
                "stats_24h.day.machine",
                "mongodb.sink",
                "rocksdb.sink",
                "freshness.states.keeper",
                "hub.sink",
            )
        ),
    )
)
"""Ids of the steps that can leave a state. The engine ignores the state of a step that it does not find, silently."""

_Form: TypeAlias = type[tuple[object, ...]]

_FORMS: Final[Mapping[str, tuple[int, _Form]]] = {
    NAME: (STATE_VERSION, SequenceState),
    "the candles": (builder.STATE_VERSION, tuple),
    reconcile.NAME: (reconcile.STATE_VERSION, reconcile.ProofState),
}
"""Version and form of the state of each machine in `TRADES_STEP`, in their order."""


def state_fault(step_id: str, state: object) -> str:
    """Why what a step has left in the recovered state cannot be resumed by this program; empty when it can. `state` is
    as `MachineLogic.snapshot` gave it. Steps that keep nothing to be resumed take anything.
    """
    if step_id not in STEPS:
        return f"it holds the state of a step {step_id}, which this program does not have"
    if step_id != TRADES_STEP:
        return ""
    try:
        key, parts = cast("tuple[str, tuple[object, ...]]", state)
        for (name, (version, form)), part in zip(_FORMS.items(), parts, strict=True):
            restore(part, version, form, f"{name} of {key}")
    except StateVersionError as error:
        return str(error)
    except (TypeError, ValueError):
        return f"the state of {step_id} has another form"
    return ""
