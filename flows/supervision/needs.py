"""Which process waits for which others before its first start."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from flows.process.free_ports import is_taken
from flows.supervision.spec import ProcessSpec

LOOK_S: Final = 0.1
"""Time between two looks at a port."""
NEEDED_S: Final = 60.0
"""Longest wait for what is needed; then a process is started all the same, and connects when it can."""


class Waiting(Protocol):
    """A process that is due."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The processes that it needs now."""
        ...


class Needs:
    """Knows by their ports which processes listen. Times are monotonic, in seconds."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        say: Callable[[str], None],
        listens: Callable[[str, int], bool] = is_taken,
    ) -> None:
        self._ports = {spec.name: spec.listens for spec in specs}
        self._say = say
        self._listens = listens
        self._since: dict[str, float] = {}

    def are_met(self, process: Waiting, now_s: float) -> bool:
        """Whether a process that is due can be started: what it needs listens, or it has waited for `NEEDED_S`."""
        missing = [name for name in process.waits_for if not self._is_ready(name)]
        if not missing:
            self._since.pop(process.name, None)
            return True
        if process.name not in self._since:
            self._since[process.name] = now_s
            self._say(f"{process.name} waits for {' and '.join(missing)}")
        if now_s - self._since[process.name] < NEEDED_S:
            return False
        self._say(f"{process.name} does not wait any longer for {' and '.join(missing)}")
        return True

    def _is_ready(self, name: str) -> bool:
        return all(self._listens(host, port) for _, host, port in self._ports.get(name, ()) if port)
