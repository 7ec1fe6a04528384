"""How long to wait before the next attempt."""

import random
from collections.abc import Callable


def backoff_s(failures: int, *, min_s: float, max_s: float, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many failures in a row (1 for the first): doubling from `min_s` up to `max_s`, and
    between half and all of that at random, so that many clients of a venue that comes back do not all come back at
    once.
    """
    ceiling: float = min(max_s, min_s * 2.0 ** min(failures - 1, 32))
    return ceiling * (0.5 + jitter() / 2)
