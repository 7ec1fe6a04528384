"""The replay exchange in a thread of its own, for code without an event loop, or with one of its own."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import ParamSpec, TypeVar

from flows.loop_thread import EventLoopThread
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import AnyFault

T = TypeVar("T")
P = ParamSpec("P")


class ThreadedExchange:
    """An exchange that runs in another thread; every method may be called from any thread but that one."""

    def __init__(self, exchange: ReplayExchange, thread: EventLoopThread) -> None:
        self._exchange = exchange
        self._thread = thread
        self.ws_url = exchange.ws_url
        """Base address of the streams."""
        self.rest_url = exchange.rest_url
        """Base address of REST."""

    def inject(self, fault: AnyFault) -> None:
        """Starts a fault; errors as in `ReplayExchange.inject`."""
        self._call(lambda: self._exchange.inject(fault))

    def clear_faults(self) -> None:
        """Clears the active faults."""
        self._call(self._exchange.clear_faults)

    def pause(self) -> None:
        """Stops the market and its time."""
        self._call(self._exchange.pause)

    def resume(self) -> None:
        """Resumes the market."""
        self._call(self._exchange.resume)

    def wait_finished(self, timeout_s: float | None = None) -> None:
        """Returns when everything is played and written; `TimeoutError` when that takes longer."""
        self._thread.start(self._exchange.finished.wait()).result(timeout_s)

    def _call(self, act: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return act()

        return self._thread.start(on_loop()).result()


def _in_thread(
    running: Callable[P, AbstractAsyncContextManager[ReplayExchange]],
) -> Callable[P, AbstractContextManager[ThreadedExchange]]:
    """The same context manager without an event loop; the thread has ended when the block is left."""

    @functools.wraps(running)
    @contextlib.contextmanager
    def block(*args: P.args, **options: P.kwargs) -> Iterator[ThreadedExchange]:
        with contextlib.closing(EventLoopThread("replay exchange")) as thread:
            stack = contextlib.AsyncExitStack()
            exchange = thread.start(stack.enter_async_context(running(*args, **options))).result()
            try:
                yield ThreadedExchange(exchange, thread)
            finally:
                ended = thread.start(stack.aclose())
                wait([ended])
            ended.result()

    return block


exchange_in_thread = _in_thread(running_exchange)
"""`running_exchange` in a thread, for the duration of the block."""
