"""Whether the API's dependencies are up, and since when. Pure."""

from collections.abc import Callable

from msgspec import Struct

from flows.clock import wall_ms


class Dependency(Struct, frozen=True):
    """A dependency of the API. `since_ms` is ms UTC of the wall clock."""

    name: str
    up: bool
    since_ms: int
    reason: str = ""
    """Why it is down."""


class Watch:
    """Tracks whether a dependency is up, and since when; down until the first report."""

    def __init__(self, name: str, *, now_ms: Callable[[], int] = wall_ms) -> None:
        self._now_ms = now_ms
        self.state = Dependency(name, up=False, since_ms=now_ms(), reason="not tried yet")
        self.failures = 0
        """Number of changes from up to down."""

    def report(self, *, up: bool, reason: str = "") -> None:
        """Records the result of a check or a use."""
        before = self.state
        since_ms = before.since_ms if before.up == up else self._now_ms()
        self.failures += before.up and not up
        self.state = Dependency(before.name, up=up, since_ms=since_ms, reason="" if up else reason)
