"""Base of the buffers between the flow's thread and a writer's thread: closing, and a record of losses."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, TypeVar

L = TypeVar("L")


class BoundedBuffer(ABC, Generic[L]):
    """Bounded. Code that changes it, or reads more than one part of it, holds `_changed`."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        """Most items that it is meant to hold; the subclass says what happens there."""
        self._changed = threading.Condition()
        self._closed = False
        self._losses: dict[Hashable, L] = {}
        """Dropped items, one entry for each instrument."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of items held, those being written included."""

    def close(self) -> None:
        """Takes nothing more; what is held is due at once, and waiting calls return."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take_losses(self) -> list[L]:
        """The losses since the last call."""
        with self._changed:
            losses, self._losses = list(self._losses.values()), {}
            return losses

    def take_rest(self) -> list[L]:
        """Drops what is still held. Returns all losses, these included."""
        with self._changed:
            self._give_up()
            return self.take_losses()

    @abstractmethod
    def _give_up(self) -> None:
        """Counts everything that waits as lost. The caller holds `_changed`."""
