"""When to send: at once after a pause, together under load.

The first items after a pause are sent at once. What follows waits until the thread has been busy for no more than three
tenths of the time since the last tick, at most `longest_s`, and is sent together. With few clients or few items nothing
waits; with many of both a client gets many messages in one write, and writes are the cost of fan-out.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

BUSY_SHARE: Final = 0.3
"""Share of a core that the thread takes, until ticks have their longest length."""


class Pace:
    """Calls `tick` when it is time; all methods belong to the thread of the loop."""

    def __init__(self, tick: Callable[[], object], *, longest_s: float, most_s: float = 0.0) -> None:
        self._on_tick = tick
        self._longest_s = longest_s
        self._most_s = max(longest_s, most_s)
        self._stretch = 1.0
        """How many times longer the last tick took than the thread was busy with it."""
        self._begin_s = 0.0
        self._begin_cpu_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """Something is to be sent."""
        at_s = self._next_s()
        if at_s <= asyncio.get_running_loop().time():
            self.cancel()
            self._tick()
        else:
            self._tick_at(at_s)

    def at(self, deadline_s: float) -> None:
        """Something is to be sent at this time of the loop."""
        self._tick_at(max(deadline_s, self._next_s()))

    def cancel(self) -> None:
        """Drops the tick that is due next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _next_s(self) -> float:
        """Loop time at which the next tick may begin."""
        busy_s = time.thread_time() - self._begin_cpu_s
        return self._begin_s + min(min(busy_s / BUSY_SHARE, self._longest_s) * self._stretch, self._most_s)

    def _tick_at(self, at_s: float) -> None:
        if self._timer is None or at_s < self._timer.when():
            self.cancel()
            self._timer = asyncio.get_running_loop().call_at(at_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        self._begin_s, self._begin_cpu_s = loop.time(), time.thread_time()
        self._on_tick()
        busy_s = time.thread_time() - self._begin_cpu_s
        self._stretch = max(1.0, (loop.time() - self._begin_s) / busy_s) if busy_s > 0 else 1.0
