"""Values computed ahead of their use, in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """The items of an iterator, each taken from it in a thread while the one before is in use, the first at once. The
    iterator must not be used elsewhere. `next` waits for an item that is not ready.
    """

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._coming = self._thread.submit(next, items)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        item = self._coming.result()
        self._coming = self._thread.submit(next, self._items)
        return item


class Lazy(Generic[T]):
    """The result of a function, computed by a thread in its turn, or by the first caller when that comes earlier."""

    def __init__(self, thread: ThreadPoolExecutor, make: Callable[[], T]) -> None:
        self._make = make
        self._coming = thread.submit(make)

    def __call__(self) -> T:
        """Waits at most as long as the computation takes."""
        return self._make() if self._coming.cancel() else self._coming.result()
