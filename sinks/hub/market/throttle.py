"""Rate limit by key: at most one value per interval, the newest; the last value always passes."""

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K", bound=tuple[str, ...] | str)
V = TypeVar("V")


class Conflator(Generic[K, V]):
    """Passes a key's first value, holds what follows within the interval, and releases the newest at its deadline.

    A value that comes when its key is free passes in the place of one that is still held. Holds one value a key. Times
    are ms of any monotonic clock.
    """

    def __init__(self, interval_ms: float) -> None:
        self._interval_ms = interval_ms
        self._free_at: dict[K, float] = {}
        self._held: dict[K, V] = {}
        self._deadlines: list[tuple[float, K]] = []  # a heap

    def submit(self, key: K, value: V, now_ms: float) -> bool:
        """True: the value passes now. False: it is held, in place of the value held before."""
        free_at = self._free_at.get(key, now_ms)
        if now_ms >= free_at:
            self._free_at[key] = now_ms + self._interval_ms
            self._held.pop(key, None)
            return True
        if key not in self._held:
            heapq.heappush(self._deadlines, (free_at, key))
        self._held[key] = value
        return False

    def held(self, key: K) -> V | None:
        """The value that waits for its deadline."""
        return self._held.get(key)

    def drop(self, key: K) -> None:
        """Drops the value that waits for its deadline."""
        self._held.pop(key, None)

    def forget(self, is_gone: Callable[[K], bool]) -> None:
        """Removes keys: their waiting values, and when they passed last."""
        for key in [known for known in self._free_at if is_gone(known)]:
            del self._free_at[key]
            self._held.pop(key, None)

    @property
    def next_deadline_ms(self) -> float | None:
        """When to call `take_due` next; None when nothing waits."""
        while self._deadlines and not self._is_held(*self._deadlines[0]):
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def take_due(self, now_ms: float) -> list[V]:
        """Releases the values that are due, in the order of their deadlines."""
        due: list[V] = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            deadline, key = heapq.heappop(self._deadlines)
            if self._is_held(deadline, key):
                due.append(self._held.pop(key))
                self._free_at[key] = now_ms + self._interval_ms
        return due

    def _is_held(self, deadline: float, key: K) -> bool:
        """Whether a value waits for this deadline, which may be that of a dropped one."""
        return key in self._held and self._free_at[key] == deadline

    def take_all(self) -> list[V]:
        """Releases all held values, for the close."""
        values = list(self._held.values())
        self._held.clear()
        self._deadlines.clear()
        return values
