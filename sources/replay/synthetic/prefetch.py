"""Values computed ahead of their use, in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
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
    """Results of functions, each computed by a thread in its turn, or by the first caller when that comes earlier."""

    def __init__(self, name: str, *, is_wanted: bool) -> None:
        """`is_wanted`: the thread begins at once; else when the first of them is wanted."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._is_wanted = is_wanted
        self._waiting: list[_Computed[T]] = []

    def result(self, make: Callable[[], T]) -> Callable[[], T]:
        """The result of a function, which waits at most as long as its computation takes."""
        one = _Computed(make)
        self._waiting.append(one)
        if self._is_wanted:
            self._begin()

        def get() -> T:
            self._begin()
            return one.get()

        return get

    def _begin(self) -> None:
        self._is_wanted = True
        for one in self._waiting:
            one.begin(self._thread)
        self._waiting.clear()


class _Computed(Generic[T]):
    """One result."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._coming: Future[T] | None = None

    def begin(self, thread: ThreadPoolExecutor) -> None:
        self._coming = thread.submit(self._make)

    def get(self) -> T:
        coming = self._coming
        return self._make() if coming is None or coming.cancel() else coming.result()
