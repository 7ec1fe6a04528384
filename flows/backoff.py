"""Delay before the next attempt, for a venue's connection or its REST side, a store, a hub.

Not `tenacity`: its loop keeps what the last attempt raised, whose traceback keeps the loop. In a process that collects
cycles as seldom as the flow each failed request would stay with all that its callers held.
"""

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.25
"""First delay for a local peer."""
LONGEST_S: Final = 5.0


def backoff_s(
    failures: int,
    *,
    min_s: float = FIRST_S,
    max_s: float = LONGEST_S,
    jitter: Callable[[], float] = random.random,
) -> float:
    """Seconds to wait after `failures` in a row (1 for the first): doubles from `min_s` up to `max_s`, of which a
    random half to all is taken, so that many clients do not reconnect at the same moment.
    """
    ceiling: float = min(max_s, min_s * 2.0 ** min(failures - 1, 32))
    return ceiling * (0.5 + jitter() / 2)
