"""An asyncio event loop on a thread of its own, away from the flow's workers: the venue's connections live on one, the
broadcast on another.

The thread is a daemon and begins when it is first needed, which `anyio`'s blocking portal offers neither of: the engine
closes no sink that never had an item, and a thread that waits for that would keep the process.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

CLOSE_S = 3.0
"""Longest wait for what still runs to end when it is cancelled."""


class EventLoopThread:
    """An event loop, begun at the first `start` and ended by `close`. Its methods may be called from any thread but its
    own.
    """

    def __init__(self, name: str = "network") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self, task: Coroutine[Any, Any, T]) -> Future[T]:
        """Runs a coroutine on the loop; cancelling the future cancels it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name=self._name, daemon=True)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(task, self._loop)

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Has a function called on the loop, soon; not at all when it does not run."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)

    def close(self) -> None:
        """Cancels what still runs, lets it close its connections, ends the thread. Closing twice is harmless."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(CLOSE_S + 1)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_S)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """The thread, from the begin of its loop to the end; whoever closes it may be in the middle of a loop himself."""
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
