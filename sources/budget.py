"""What may be asked of a venue, and when: its request weight by the minute, shared by urgency.

No library knows weights that the venue itself counts, so this is ours: a pure meter, and a queue in front of it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from flows.asks import Urgency

WINDOW_S = 60.0


class WeightMeter:
    """How much weight was spent, and how long to wait for more. All times are monotonic, in seconds.

    The venue counts by the minute of its own clock, which is not known exactly; so what was spent counts for a whole
    minute from its spending, and no minute of any clock can exceed the limit. What the venue says it has counted is
    the truth, for others on the same address count too: it holds for a minute, or until the venue says something else.
    """

    def __init__(self, limit: int) -> None:
        """At most `limit` within any sixty seconds."""
        self.limit = limit
        self._spent: deque[tuple[float, int]] = deque()
        self._sum = 0
        self._told = 0
        self._told_at = -WINDOW_S
        self._since_told = 0
        self._held_until = 0.0

    def used(self, now_s: float) -> int:
        """Weight that counts at this moment."""
        self._forget(now_s)
        told = self._told + self._since_told if now_s - self._told_at < WINDOW_S else 0
        return max(self._sum, told)

    def wait_s(self, weight: int, now_s: float) -> float:
        """Time until so much may be spent; 0.0 when it may be now. More than the limit is taken for the limit."""
        if now_s < self._held_until:
            return self._held_until - now_s
        excess = self.used(now_s) + min(weight, self.limit) - self.limit
        if excess <= 0:
            return 0.0
        waits = [0.0]
        if now_s - self._told_at < WINDOW_S and self._told + self._since_told >= self._sum:
            waits.append(self._told_at + WINDOW_S - now_s)
        own_excess = self._sum + min(weight, self.limit) - self.limit
        for at, spent in self._spent:
            if own_excess <= 0:
                break
            own_excess -= spent
            waits.append(at + WINDOW_S - now_s)
        return max(waits)

    def spend(self, weight: int, now_s: float) -> None:
        """Counts a request that goes out now."""
        self._spent.append((now_s, weight))
        self._sum += weight
        self._since_told += weight

    def told(self, used: int, now_s: float) -> None:
        """The venue says how much it has counted in its present minute."""
        self._told, self._told_at, self._since_told = used, now_s, 0

    def hold(self, seconds: float, now_s: float) -> None:
        """The venue wants to be left alone for so long."""
        self._held_until = max(self._held_until, now_s + seconds)

    def held_for_s(self, now_s: float) -> float:
        """How much of that is left."""
        return max(0.0, self._held_until - now_s)

    def _forget(self, now_s: float) -> None:
        while self._spent and now_s - self._spent[0][0] >= WINDOW_S:
            self._sum -= self._spent.popleft()[1]


class WeightBudget:
    """Lets requests go as the meter allows, the most urgent first, and of equal urgency in their order. Belongs to one
    event loop.
    """

    def __init__(self, limit: int, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self.meter = WeightMeter(limit)
        self._now_s = now_s
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._timer: asyncio.TimerHandle | None = None

    async def spend(self, weight: int, urgency: Urgency) -> None:
        """Returns when a request of this weight may go out; it is counted then."""
        turn = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (urgency, next(self._numbers), weight, turn))
        self._let_go()
        await turn

    def told(self, used: int) -> None:
        """The venue says how much it has counted."""
        self.meter.told(used, self._now_s())
        self._let_go()

    def hold(self, seconds: float) -> None:
        """The venue wants to be left alone."""
        self.meter.hold(seconds, self._now_s())

    @property
    def used(self) -> int:
        """Weight that counts at this moment."""
        return self.meter.used(self._now_s())

    @property
    def held_for_s(self) -> float:
        """How long it still does."""
        return self.meter.held_for_s(self._now_s())

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._waiting:
            _, _, weight, turn = self._waiting[0]
            if turn.cancelled():
                heappop(self._waiting)
                continue
            now_s = self._now_s()
            wait_s = self.meter.wait_s(weight, now_s)
            if wait_s > 0:
                self._timer = asyncio.get_running_loop().call_later(wait_s, self._let_go)
                return
            heappop(self._waiting)
            self.meter.spend(weight, now_s)
            turn.set_result(None)
