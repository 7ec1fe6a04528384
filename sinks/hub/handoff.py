"""Hand-off of items from the flow's threads to the hub's thread."""

import threading
from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Delivery(NamedTuple, Generic[T]):
    """Batches in order, and the number of items lost before them."""

    batches: list[list[T]]
    lost: int


class Handoff(Generic[T]):
    """Batches of items between threads, at most `capacity` items and one batch; beyond that the oldest batches are
    dropped and counted. No call waits.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = threading.Lock()
        self._batches: deque[list[T]] = deque()
        self._size = 0
        self._lost = 0

    def __len__(self) -> int:
        """Number of items that wait."""
        return self._size

    def put(self, batch: list[T]) -> bool:
        """Adds a batch; True when it is the first since `take_all`, so the reader must be woken."""
        with self._lock:
            first = not self._batches
            while self._batches and self._size + len(batch) > self._capacity:
                oldest = self._batches.popleft()
                self._size -= len(oldest)
                self._lost += len(oldest)
            self._batches.append(batch)
            self._size += len(batch)
            return first

    def take_all(self) -> Delivery[T]:
        """Empties it."""
        with self._lock:
            delivery = Delivery(list(self._batches), self._lost)
            self._batches.clear()
            self._size = self._lost = 0
            return delivery
