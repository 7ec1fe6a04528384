"""What every buffer between the flow's thread and a writer's thread has: an end, and a record of what was lost."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Hashable
from typing import Generic, TypeVar

L = TypeVar("L")


class BoundedBuffer(ABC, Generic[L]):
    """Holds so much and no more. Whoever changes it, or looks at more than one part of it, holds `_changed`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._losses: dict[Hashable, L] = {}
        """What was given up, one an instrument."""

    @abstractmethod
    def __len__(self) -> int:
        """How much is held, what is being written included."""

    def close(self) -> None:
        """Nothing is taken in any more, what is held is due, and nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def take_losses(self) -> list[L]:
        """What was lost since this was last asked."""
        with self._changed:
            losses, self._losses = list(self._losses.values()), {}
            return losses

    def take_rest(self) -> list[L]:
        """Gives up what is still held. The answer is all that was lost, this included."""
        with self._changed:
            self._give_up()
            return self.take_losses()

    @abstractmethod
    def _give_up(self) -> None:
        """Counts everything that waits as lost. `_changed` is held."""
