"""What is to run."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from flows.settings.ports import Listener

LIVE_FOLDER: Final = Path("data")
DEMO_FOLDER: Final = Path("data/demo")
DEMO_MONGO_PORT: Final = 27117
DEMO_VENUES: Final = ("binance", "kraken", "coinbase")
"""At which the demo shows its market; the first is always among them."""
RECOVERY: Final = "recovery"
"""The recovered state, in the folder of a deployment."""
TRADES: Final = "trades"
"""The trade store, there."""
MONGO: Final = "mongo"
"""The data of the bundled database, there."""


class ProcessSpec(NamedTuple):
    """One process of a deployment. Processes are started in the order of their specs, and ended in reverse."""

    name: str
    """Stands before each line of its output."""
    argv: tuple[str, ...]
    """The program, by its path, and its arguments."""
    env: Mapping[str, str] = {}
    """Variables in addition to the supervisor's own."""
    prepare: tuple[str, ...] | None = None
    """A command that runs to its end before each start; if it fails, the process counts as ended with its exit code."""
    listens: "tuple[Listener, ...]" = ()
    """The ports without which it cannot run. They must be free before anything is started."""
    needs: tuple[str, ...] = ()
    """The processes whose ports it connects to: its first start waits until they listen."""
