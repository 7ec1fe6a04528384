"""An asyncio event loop on its own thread, apart from the flow's workers: one for the venue's connections, one for the
broadcast.

The thread is a daemon and starts when it is first needed; `anyio`'s blocking portal offers neither. The engine does not
close a sink that never had an item, and a thread that waits for that would keep the process alive.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

CLOSE_S = 3.0
"""Longest wait for cancelled tasks to end."""


class EventLoopThread:
    """An event loop, started by the first `start` and ended by `close`. Its methods may be called from any other
    thread.
    """

    def __init__(
        self, name: str = "network", *, new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    ) -> None:
        self._name = name
        self._new_loop = new_loop
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self, task: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine on the loop; cancelling the future cancels it."""
        with self._lock:
            if self._loop is None:
                self._loop = self._new_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(task, self._loop)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Schedules a function on the loop; does nothing when it is not running."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Cancels running tasks, lets them close their connections, ends the thread. A second call does nothing."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(CLOSE_S + 1)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """The thread: it ends its loop itself, as `close` may be called from within another running loop."""
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_S)
