"""What will be needed is made in a thread, while a server has other things to do."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """The items of an iterator, each taken from it in a thread of its own while the one before is in use, the first
    from now on. Nobody else may touch the iterator. Whoever comes too early waits.
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
    """What a function gives, made by a thread in its turn; made here and now when somebody needs it before."""

    def __init__(self, thread: ThreadPoolExecutor, make: Callable[[], T]) -> None:
        self._make = make
        self._coming = thread.submit(make)

    def __call__(self) -> T:
        """Waits at most as long as making it takes."""
        return self._make() if self._coming.cancel() else self._coming.result()
