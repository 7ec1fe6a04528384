"""Requests to the servers that are sent again: while a stream has no leader no server answers, and the first answer
after the election is to be had at once, not when the wait for an earlier request is over.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

WAITS_S: Final = (0.5, 1.0, 1.5, 2.0)
"""Longest wait for the answer to each of them."""

T = TypeVar("T")


async def repeated(request: Callable[[float], Awaitable[T]]) -> T:
    """The result of `request(wait_s)`, which changes nothing when it is done twice. `TimeoutError` when none of
    `WAITS_S` was enough.
    """
    for wait_s in WAITS_S[:-1]:
        with suppress(TimeoutError):
            return await request(wait_s)
    return await request(WAITS_S[-1])
