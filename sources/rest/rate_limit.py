"""What may be asked of a venue, and when: its request weight by the minute, shared by urgency.

No library knows weights that the venue itself counts, so this is ours: a pure meter, and a queue in front of it.
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
LONGEST_HOLD_S = 30.0
"""A venue that wants to be left alone for longer is not waited for."""


class RateLimitedError(Exception):
    """The venue wants to be left alone for longer than anybody should wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the venue wants to be left alone for another {seconds:.0f} s")
        self.seconds = seconds
        """How much longer."""


class WeightMeter:
    """How much weight was spent, and how long to wait for more. All times are monotonic, in seconds.

    The venue counts by the minute of its own clock, which is not known exactly, and at a moment between the request
    and its answer. So a request counts from its spending until a whole minute after its answer, and no minute of any
    clock can exceed the limit. What the venue says it has counted is the truth, for others on the same address count
    too: it holds for a minute, or until the venue says something else.
    """

    def __init__(self, limit: int) -> None:
        """At most `limit` within any sixty seconds."""
        self.limit = limit
        self._under_way = 0
        self._answered: deque[tuple[float, int]] = deque()
        self._sum = 0
        self._told = 0
        self._told_at = -WINDOW_S
        self._since_told = 0
        self._held_until = 0.0

    def used(self, now_s: float) -> int:
        """Weight that counts at this moment."""
        self._forget(now_s)
        return self._under_way + max(self._sum, self._told_now(now_s))

    def wait_s(self, weight: int, now_s: float) -> float:
        """Time until so much may be spent; 0.0 when it may be now. More than the limit is taken for the limit. A
        whole minute where only an answer makes room: to be asked again when one comes.
        """
        self._forget(now_s)
        if now_s < self._held_until:
            return self._held_until - now_s
        room = self.limit - min(weight, self.limit) - self._under_way
        if room < 0:
            return WINDOW_S
        wait = self._told_at + WINDOW_S - now_s if self._told_now(now_s) > room else 0.0
        own = self._sum
        for at, spent in self._answered:
            if own <= room:
                break
            own -= spent
            wait = max(wait, at + WINDOW_S - now_s)
        return wait

    def spend(self, weight: int) -> None:
        """Counts a request that goes out now; exactly one of the next two has to follow."""
        self._under_way += weight

    def settle(self, weight: int, now_s: float, *, told: int | None = None) -> None:
        """Its answer is there, or will never come. `told` is what the venue says it has counted in its minute."""
        self._under_way -= weight
        self._answered.append((now_s, weight))
        self._sum += weight
        if told is None:
            self._since_told += weight
        else:
            self._told, self._told_at, self._since_told = told, now_s, 0

    def return_unspent(self, weight: int) -> None:
        """It did not go out after all."""
        self._under_way -= weight

    def hold(self, seconds: float, now_s: float) -> None:
        """The venue wants to be left alone for so long."""
        self._held_until = max(self._held_until, now_s + seconds)

    def held_for_s(self, now_s: float) -> float:
        """How much of that is left."""
        return max(0.0, self._held_until - now_s)

    def _told_now(self, now_s: float) -> int:
        return self._told + self._since_told if now_s - self._told_at < WINDOW_S else 0

    def _forget(self, now_s: float) -> None:
        while self._answered and now_s - self._answered[0][0] >= WINDOW_S:
            self._sum -= self._answered.popleft()[1]


class Permit:
    """One request's share of the budget, for whoever sends it to say what became of it."""

    __slots__ = ("is_sent", "told")

    def __init__(self) -> None:
        self.is_sent = False
        """Set before it goes out: from then on it counts, whatever happens."""
        self.told: int | None = None
        """How much weight the venue says it has counted, when it says so."""


class WeightBudget:
    """Lets requests go as the meter allows and no more than `most_under_way` at a time, the most urgent first, and of
    equal urgency in their order. Belongs to one event loop.
    """

    def __init__(self, limit: int, *, most_under_way: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self.meter = WeightMeter(limit)
        self._free = most_under_way
        self._now_s = now_s
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def spend(self, weight: int, urgency: Urgency) -> AsyncIterator[Permit]:
        """Enters the block when a request of this weight may go out; the block lasts until its answer.
        `RateLimitedError` when the venue has banned requests for long, or does so in the meantime.
        """
        await self._turn(weight, urgency)
        spending = Permit()
        try:
            yield spending
        finally:
            self._leave(weight, spending)

    def hold(self, seconds: float) -> None:
        """The venue wants to be left alone. Nobody waits in the queue for what takes long."""
        self.meter.hold(seconds, self._now_s())
        if self.held_for_s > LONGEST_HOLD_S:
            for _, _, _, turn in self._waiting:
                if not turn.done():
                    turn.set_exception(RateLimitedError(self.held_for_s))
            self._waiting.clear()

    @property
    def used(self) -> int:
        """Weight that counts at this moment."""
        return self.meter.used(self._now_s())

    @property
    def held_for_s(self) -> float:
        """How long the venue still wants to be left alone."""
        return self.meter.held_for_s(self._now_s())

    async def _turn(self, weight: int, urgency: Urgency) -> None:
        if self.held_for_s > LONGEST_HOLD_S:
            raise RateLimitedError(self.held_for_s)
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (urgency, next(self._numbers), weight, turn))
        self._let_go()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not turn.exception():  # its turn came as it was given up
                self._leave(weight, Permit())
            raise

    def _leave(self, weight: int, spending: Permit) -> None:
        self._free += 1
        if spending.is_sent:
            self.meter.settle(weight, self._now_s(), told=spending.told)
        else:
            self.meter.return_unspent(weight)
        self._let_go()

    def _let_go(self) -> None:
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
            wait_s = self.meter.wait_s(weight, self._now_s())
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._let_go)
                return
            heappop(self._waiting)
            self._free -= 1
            self.meter.spend(weight)
            turn.set_result(None)
