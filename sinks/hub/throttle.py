"""Not too often: at most one value a key and interval, the newest, and the last one always."""

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K", bound=tuple[str, ...] | str)
V = TypeVar("V")


class Conflator(Generic[K, V]):
    """Lets a key's first value pass, holds what follows within the interval, and gives out the newest in its turn.

    Holds one value a key. Times are ms of any clock that does not run backwards.
    """

    def __init__(self, interval_ms: float) -> None:
        self._interval_ms = interval_ms
        self._free_at: dict[K, float] = {}
        self._held: dict[K, V] = {}
        self._turns: list[tuple[float, K]] = []  # a heap

    def offer(self, key: K, value: V, now_ms: float) -> bool:
        """True: it may pass now. False: it is held, and what was held of this key is forgotten."""
        free_at = self._free_at.get(key, now_ms)
        if key not in self._held:
            if now_ms >= free_at:
                self._free_at[key] = now_ms + self._interval_ms
                return True
            heapq.heappush(self._turns, (free_at, key))
        self._held[key] = value
        return False

    def held(self, key: K) -> V | None:
        """What waits for its turn."""
        return self._held.get(key)

    def drop(self, key: K) -> None:
        """Forgets what waits for its turn."""
        self._held.pop(key, None)

    def forget(self, is_gone: Callable[[K], bool]) -> None:
        """Forgets keys altogether: what waits, and when they had their last turn."""
        for key in [known for known in self._free_at if is_gone(known)]:
            del self._free_at[key]
            self._held.pop(key, None)

    @property
    def next_turn_ms(self) -> float | None:
        """When to call `take_due` next; None when nothing waits."""
        while self._turns and self._turns[0][1] not in self._held:
            heapq.heappop(self._turns)
        return self._turns[0][0] if self._turns else None

    def take_due(self, now_ms: float) -> list[V]:
        """Gives out the values whose turn has come, in the order of their turns."""
        due: list[V] = []
        while self._turns and self._turns[0][0] <= now_ms:
            _, key = heapq.heappop(self._turns)
            if key in self._held and self._free_at[key] <= now_ms:  # else it is the turn of a value that was dropped
                due.append(self._held.pop(key))
                self._free_at[key] = now_ms + self._interval_ms
        return due

    def take_all(self) -> list[V]:
        """Gives out whatever is held, for the end."""
        values = list(self._held.values())
        self._held.clear()
        self._turns.clear()
        return values
