"""The replay exchange in a thread of its own, for code that has no event loop or must not share one with it."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.limits import Limits
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import AnyFault
from sources.replay.market.market import Market
from sources.replay.market.player import Speed

T = TypeVar("T")


class ThreadedExchange:
    """An exchange that another thread runs; every method may be called from any thread but that one."""

    def __init__(self, exchange: ReplayExchange, loop: asyncio.AbstractEventLoop) -> None:
        self._exchange = exchange
        self._loop = loop
        self.ws_url = exchange.ws_url
        """Base address of the streams."""
        self.rest_url = exchange.rest_url
        """Base address of REST."""

    def inject(self, fault: AnyFault) -> None:
        """Makes something go wrong; errors as in `ReplayExchange.inject`."""
        self._call(lambda: self._exchange.inject(fault))

    def clear_faults(self) -> None:
        """Switches off what is on."""
        self._call(self._exchange.clear_faults)

    def pause(self) -> None:
        """Stops the market and its time."""
        self._call(self._exchange.pause)

    def resume(self) -> None:
        """Lets the market go on."""
        self._call(self._exchange.resume)

    def end(self, stop: asyncio.Event) -> None:
        """Sets the event for which the exchange's thread waits."""
        self._loop.call_soon_threadsafe(stop.set)

    def wait_finished(self, timeout_s: float | None = None) -> None:
        """Returns when everything is played and written; `TimeoutError` when that takes longer."""
        self._await(self._exchange.finished.wait()).result(timeout_s)

    def _call(self, act: Callable[[], T]) -> T:
        async def on_loop() -> T:
            return act()

        return self._await(on_loop()).result()

    def _await(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)


@contextlib.contextmanager
def exchange_in_thread(
    market: Market,
    *,
    speed: Speed = "max",
    host: str = "127.0.0.1",
    port: int = 0,
    limits: Limits | None = None,
    settle_s: float = 0.0,
    start_now: bool = False,
    paused: bool = False,
) -> Iterator[ThreadedExchange]:
    """`running_exchange` in a thread, for the length of the block; the thread has ended when the block is left."""
    started: Future[ThreadedExchange] = Future()
    stop = asyncio.Event()

    async def serve() -> None:
        async with running_exchange(
            market,
            speed=speed,
            host=host,
            port=port,
            limits=limits,
            settle_s=settle_s,
            start_now=start_now,
            paused=paused,
        ) as exchange:
            started.set_result(ThreadedExchange(exchange, asyncio.get_running_loop()))
            await stop.wait()

    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that opened the block
            failures.append(error)
            if not started.done():
                started.set_exception(error)

    thread = threading.Thread(target=run, name="replay exchange")
    thread.start()
    exchange = started.result()
    try:
        yield exchange
    finally:
        exchange.end(stop)
        thread.join()
    if failures:
        raise failures[0]
