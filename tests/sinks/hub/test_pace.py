"""When ticks come: at once after a pause; a tick that others keep from the processor makes the next wait longer."""

import asyncio
import time
from itertools import pairwise

from sinks.hub.pace import Pace


async def test_what_comes_after_a_pause_is_sent_at_once() -> None:
    ticks: list[int] = []
    pace = Pace(lambda: ticks.append(1), longest_s=60)
    pace.wake()
    assert ticks == [1]


async def test_a_tick_that_waits_for_the_processor_makes_the_next_wait_longer() -> None:
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(time.monotonic())
        end = time.thread_time() + 0.002
        while time.thread_time() < end:
            pass
        time.sleep(0.1)  # stands for the time in which others have the processor

    pace = Pace(tick, longest_s=0.01, most_s=0.4)
    while len(ticks) < 3:
        pace.wake()
        await asyncio.sleep(0)
    assert min(later - earlier for earlier, later in pairwise(ticks)) >= 0.2
