"""Hand-off of items from the flow's threads to the hub's thread."""

import threading
from collections import deque
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Delivery(NamedTuple, Generic[T]):
    """Batches in order, and the number of items lost before them."""

    batches: list[list[T]]
    lost: int
    is_followed: bool = False
    """More comes at once that does not wake the reader: it must look again."""


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
        self._is_woken = False
        """The reader was woken and has not looked yet."""
        self._is_urgent = False
        """Something urgent waits."""
        self._is_followed = False
        """The reader looks again soon."""

    def __len__(self) -> int:
        """Number of items that wait."""
        return self._size

    def put(self, batch: list[T], *, urgent: bool = False) -> bool:
        """Adds a batch; True when the reader must be woken, once until it looks. Where it looks again by itself, what
        is not urgent does not wake it.
        """
        with self._lock:
            wakes = not self._is_woken and (urgent or not self._is_followed)
            self._is_urgent = self._is_urgent or urgent
            self._is_woken = self._is_woken or wakes
            while self._batches and self._size + len(batch) > self._capacity:
                oldest = self._batches.popleft()
                self._size -= len(oldest)
                self._lost += len(oldest)
            self._batches.append(batch)
            self._size += len(batch)
            return wakes

    def take_all(self, *, can_look: bool = False) -> Delivery[T]:
        """Empties it. With `can_look` the reader looks again by itself if there was something urgent."""
        with self._lock:
            self._is_followed = self._is_urgent and can_look
            delivery = Delivery(list(self._batches), self._lost, self._is_followed)
            self._batches.clear()
            self._size = self._lost = 0
            self._is_woken = self._is_urgent = False
            return delivery
