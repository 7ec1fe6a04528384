"""Whether what the API depends on is there, and since when. Pure."""

from collections.abc import Callable

from msgspec import Struct

from flows.clock import wall_ms


class Dependency(Struct, frozen=True):
    """Something the API needs. `since` is ISO-8601 in the schema of answers, here ms UTC of the wall clock."""

    name: str
    up: bool
    since_ms: int
    reason: str = ""
    """Why it is down."""


class Watch:
    """Remembers since when a dependency is as it is; down until it is seen for the first time."""

    def __init__(self, name: str, *, now_ms: Callable[[], int] = wall_ms) -> None:
        self._now_ms = now_ms
        self.state = Dependency(name, up=False, since_ms=now_ms(), reason="not tried yet")
        self.failures = 0
        """Times it went down."""

    def report(self, *, up: bool, reason: str = "") -> None:
        """Takes note of how it is now."""
        before = self.state
        since_ms = before.since_ms if before.up == up else self._now_ms()
        self.failures += before.up and not up
        self.state = Dependency(before.name, up=up, since_ms=since_ms, reason="" if up else reason)
