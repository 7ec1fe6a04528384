"""The rate limit of a venue: request weight per minute, or another window, shared by urgency.

No library handles weights that the venue itself counts, so this is ours: a pure counter and a queue in front of it.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from itertools import count

from flows.queries import Urgency

WINDOW_S = 60.0
"""The usual window of a limit."""
LONGEST_BAN_S = 30.0
"""Requests do not wait for the end of a longer ban; they fail with `RateLimitedError`."""


class RateLimitedError(Exception):
    """The venue has banned requests for longer than `LONGEST_BAN_S`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"rate limited by the venue for another {seconds:.0f} s")
        self.seconds = seconds
        """Time until the ban ends, s."""


class WeightCounter:
    """Counts used weight, and computes how long to wait for more. All times are monotonic, in seconds.

    The venue counts by the minute of its own clock, which is not known exactly, and at a moment between the request
    and its answer. So a request counts from `acquire` until a whole minute after its answer, and no minute of any clock
    can exceed the limit. The venue's own count takes precedence, as it includes other clients on the same address: it
    is valid for a minute, or until the next one. A window of another length takes the place of the minute.
    """

    def __init__(self, limit: int, *, window_s: float = WINDOW_S) -> None:
        """At most `limit` within any window."""
        self.limit = limit
        self._window_s = window_s
        self._under_way = 0
        self._answered: deque[tuple[float, int]] = deque()
        self._sum = 0
        self._server_used = 0
        self._server_used_at = -window_s
        self._since_server_used = 0
        self._banned_until = 0.0

    def used(self, now_s: float) -> int:
        """Weight that counts at this moment."""
        self._forget(now_s)
        return self._under_way + max(self._sum, self._server_used_now(now_s))

    def wait_s(self, weight: int, now_s: float) -> float:
        """Time until `weight` may be acquired, s; 0.0: now. More than the limit counts as the limit. A whole window
        where only an answer makes room: call it again when one arrives.
        """
        self._forget(now_s)
        if now_s < self._banned_until:
            return self._banned_until - now_s
        room = self.limit - min(weight, self.limit) - self._under_way
        if room < 0:
            return self._window_s
        wait = self._server_used_at + self._window_s - now_s if self._server_used_now(now_s) > room else 0.0
        own = self._sum
        for at, spent in self._answered:
            if own <= room:
                break
            own -= spent
            wait = max(wait, at + self._window_s - now_s)
        return wait

    def acquire(self, weight: int) -> None:
        """Counts a request that is sent now; exactly one call of `settle` or `release` must follow."""
        self._under_way += weight

    def settle(self, weight: int, now_s: float, *, server_used: int | None = None) -> None:
        """The request has ended, with or without an answer. `server_used` is the venue's own count for its minute."""
        self._under_way -= weight
        self._answered.append((now_s, weight))
        self._sum += weight
        if server_used is None:
            self._since_server_used += weight
        else:
            self._server_used, self._server_used_at, self._since_server_used = server_used, now_s, 0

    def release(self, weight: int) -> None:
        """The request was not sent after all."""
        self._under_way -= weight

    def ban(self, seconds: float, now_s: float) -> None:
        """The venue refuses requests for `seconds`."""
        self._banned_until = max(self._banned_until, now_s + seconds)

    def banned_for_s(self, now_s: float) -> float:
        """Time until the ban ends, s; 0.0 without one."""
        return max(0.0, self._banned_until - now_s)

    def _server_used_now(self, now_s: float) -> int:
        return self._server_used + self._since_server_used if now_s - self._server_used_at < self._window_s else 0

    def _forget(self, now_s: float) -> None:
        while self._answered and now_s - self._answered[0][0] >= self._window_s:
            self._sum -= self._answered.popleft()[1]


class Permit:
    """The permission for one request; its sender records here what became of it."""

    __slots__ = ("is_sent", "server_used")

    def __init__(self) -> None:
        self.is_sent = False
        """Set before the request is sent: from then on it counts, whatever happens."""
        self.server_used: int | None = None
        """The venue's own count in its answer; None when it sends none."""


class RateLimiter:
    """Admits requests as the counter allows, at most `most_under_way` at a time, by urgency and then in their order.
    Belongs to one event loop.
    """

    def __init__(
        self,
        limit: int,
        *,
        most_under_way: int,
        window_s: float = WINDOW_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counter = WeightCounter(limit, window_s=window_s)
        self.bans = 0
        """How often the venue has refused requests for their number."""
        self._free = most_under_way
        self._now_s = now_s
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def acquire(self, weight: int, urgency: Urgency) -> AsyncIterator[Permit]:
        """Enters the block when a request of this weight may be sent; the block lasts until its answer.
        `RateLimitedError` when the venue has banned requests for longer than `LONGEST_BAN_S`, before or meanwhile.
        """
        await self._wait_turn(weight, urgency)
        permit = Permit()
        try:
            yield permit
        finally:
            self._finish(weight, permit)

    def ban(self, seconds: float) -> None:
        """The venue refuses requests for `seconds`. A long ban fails all requests in the queue."""
        self.bans += 1
        self.counter.ban(seconds, self._now_s())
        if self.banned_for_s > LONGEST_BAN_S:
            for _, _, _, turn in self._waiting:
                if not turn.done():
                    turn.set_exception(RateLimitedError(self.banned_for_s))
            self._waiting.clear()

    @property
    def limit(self) -> int:
        """Most weight that may count at a moment."""
        return self.counter.limit

    @property
    def used(self) -> int:
        """Weight that counts at this moment."""
        return self.counter.used(self._now_s())

    @property
    def banned_for_s(self) -> float:
        """Time until the venue's ban ends, s."""
        return self.counter.banned_for_s(self._now_s())

    async def _wait_turn(self, weight: int, urgency: Urgency) -> None:
        if self.banned_for_s > LONGEST_BAN_S:
            raise RateLimitedError(self.banned_for_s)
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (urgency, next(self._numbers), weight, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():  # admitted and cancelled at the same time
                self._finish(weight, Permit())
            raise

    def _finish(self, weight: int, permit: Permit) -> None:
        self._free += 1
        if permit.is_sent:
            self.counter.settle(weight, self._now_s(), server_used=permit.server_used)
        else:
            self.counter.release(weight)
        self._admit()

    def _admit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            _, _, weight, turn = self._waiting[0]
            if turn.cancelled():
                heappop(self._waiting)
                continue
            if not self._free:
                return
            wait_s = self.counter.wait_s(weight, self._now_s())
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._admit)
                return
            heappop(self._waiting)
            self._free -= 1
            self.counter.acquire(weight)
            turn.set_result(None)
