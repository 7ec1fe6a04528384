"""How long to wait before the next attempt, whatever it is that fails: a venue's line, a store, a hub.

Its own few lines rather than `tenacity`'s, which `sources.rest` retries with: a wait of `tenacity` is computed from the
state of a retry loop of its own, and none of those who wait here has one.
"""

import random
from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.25
"""After the first failure of something that is near and comes back soon."""
LONGEST_S: Final = 5.0


def backoff_s(
    failures: int,
    *,
    min_s: float = FIRST_S,
    max_s: float = LONGEST_S,
    jitter: Callable[[], float] = random.random,
) -> float:
    """Seconds to wait after so many failures in a row (1 for the first): doubling from `min_s` up to `max_s`, and
    between half and all of that at random, so that many clients of a venue that comes back do not all come back at
    once.
    """
    ceiling: float = min(max_s, min_s * 2.0 ** min(failures - 1, 32))
    return ceiling * (0.5 + jitter() / 2)
