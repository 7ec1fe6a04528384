"""Waits of tests that leave the processor to what is waited for."""

import asyncio
import time

SHARE = 4
"""Part of the time that looks take, one of so many: some read whole stores."""
LONGEST_S = 5.0


def rest_s(begun: float, *, least_s: float) -> float:
    """How long to sleep behind a look that began at this time of `time.monotonic`: the longer the longer it took."""
    took_s = time.monotonic() - begun
    return max(least_s, min(LONGEST_S, (SHARE - 1) * took_s))


async def rest_after(begun: float, *, least_s: float) -> None:
    """Sleeps so long."""
    await asyncio.sleep(rest_s(begun, least_s=least_s))
