"""SIGINT and SIGTERM for a program that runs in an event loop."""

import asyncio
import signal
from collections.abc import Callable


def on_stop_signals(stop: Callable[[], object]) -> None:
    """Has the running loop call `stop` at every SIGINT and SIGTERM. Call it in the main thread."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
        except NotImplementedError:  # the loop of Windows has none, but is woken by a signal
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
