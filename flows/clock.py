"""The only place that reads clocks.

Two kinds of time exist. The *feed's time* is the exchange's; all decisions about data use it. The *local monotonic*
time measures durations and limits output rates. The wall clock only stamps logs, tapes and `created_at`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import NamedTuple, TypeAlias

Reading: TypeAlias = tuple[int, int]
"""A venue's time (ms UTC; 0 while it is not known), and how often its clock began anew: for another process."""

WINDOW_MS = 60_000
"""Local time for which an observation counts, so that a drifting clock is followed in both directions."""
STEP_MS = 500
"""A step forward of more than this needs a second observation that agrees: a single message never moves the clock."""
GRAIN_MS = 20
"""Timers of machines are rounded up to this."""
LEAP_MS = 5_000
"""Longest local time between two ticks; after a longer one the process was stopped, or its clock was set."""


class Now(NamedTuple):
    """The current time, as machines get it; both in milliseconds."""

    feed: int
    """Exchange time, UTC since the epoch."""
    local: int
    """Monotonic, from an arbitrary zero."""


def wall_ns() -> int:
    """Wall clock, ns UTC since the epoch."""
    return time.time_ns()


def wall_ms() -> int:
    """Wall clock, ms UTC since the epoch."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Monotonic clock, ms."""
    return time.monotonic_ns() // 1_000_000


class FeedClock:
    """The time of a venue: the local monotonic clock and an offset.

    The offset is the largest `exchange time - local time` of the last `WINDOW_MS`, as the least delayed message is the
    best estimate; without observations the last one holds. Before the first observation the feed's time is 0, so no
    deadline in exchange time can have passed.

    A clock that is guarded falls by no more than `STEP_MS` when the window holds no less delayed message any more: it
    stays where it was, `is_ahead` of the messages, until its owner says which offset is to be believed.

    Where `tick` is called, which must be more often than every `LEAP_MS`, a longer pause counts as a leap of the local
    clock or of the process: the time then stands still until the next observation, and older offsets are dropped. Any
    thread may read; one thread observes and ticks.

    In a cluster one process observes it. The others `follow` what that one reads: their local clocks have another zero,
    so the venue's time travels with the data.
    """

    __slots__ = (
        "_before_leap",
        "_believed",
        "_claim",
        "_follows",
        "_is_guarded",
        "_leaps",
        "_monotonic_ms",
        "_offset",
        "_offsets",
        "_root",
        "_seen",
        "_ticked",
        "begins",
        "is_ahead",
    )

    def __init__(self, monotonic: Callable[[], int] = monotonic_ms, *, root: "FeedClock | None" = None) -> None:
        """With a `root` it shares the ticks of that clock, and so its leaps."""
        self._monotonic_ms = monotonic
        self._root = root or self
        self._offsets: deque[tuple[int, int]] = deque()  # (local time, offset), offsets falling
        self._offset: int | None = None
        self._claim: int | None = None
        self._ticked: int | None = None
        self._leaps = 0
        self._follows = True
        """Nothing was observed here: another process may say the time."""
        self._seen = 0
        """Number of leaps at the last observation."""
        self._before_leap = 0
        """Local time of the last tick before the newest leap."""
        self._is_guarded = False
        self._believed = 0
        """Guarded: the largest offset since it was last believed; it falls a little below that, and no further."""
        self.begins = 0
        """Number of times that it began anew, by messages alone."""
        self.is_ahead = False
        """Guarded, and all messages of the window are later than the offset it keeps."""

    def guard(self) -> None:
        """From now on it falls far only by `believe`."""
        self._is_guarded = True

    def twin(self) -> "FeedClock":
        """Another clock with the same local clock and ticks, without observations."""
        return FeedClock(self._monotonic_ms, root=self._root)

    def observe(self, exchange_time: int) -> None:
        """Takes a trusted exchange time (ms UTC)."""
        self._follows = False
        local = self._monotonic_ms()
        offset = exchange_time - local
        if self._offset is None or self._has_leapt(local):
            self._begin(local, offset)
        elif offset <= self._offset + STEP_MS:
            self._claim = None
            self._put(local, offset)
        elif self._claim is None or offset < self._claim - STEP_MS:
            self._claim = offset
        else:
            agreed, self._claim = min(offset, self._claim), max(offset, self._claim)
            self._put(local, agreed)

    def reading(self) -> Reading:
        """What it says now, for the clocks of other processes; nothing where it follows another one itself."""
        is_known = not self._follows and self.is_sure
        return (self.now().feed if is_known else 0), self.begins

    def follow(self, reading: Reading) -> None:
        """Takes the reading of the process that observes the venue, which has believed it: so one suffices. It came
        with data and may be late; the least delayed one of the window counts. Without effect where it is observed.
        """
        time, begins = reading
        if not self._follows or not time:
            return
        local = self._monotonic_ms()
        if self._offset is None or begins != self.begins or self._has_leapt(local):
            self._begin(local, time - local)
            self.begins = begins
        else:
            self._put(local, time - local)

    def set_to(self, exchange_time: int) -> None:
        """Restarts at this time (ms UTC), on which enough messages agree."""
        self._follows = False
        local = self._monotonic_ms()
        self._begin(local, exchange_time - local)

    @property
    def offset(self) -> int:
        """The offset that it keeps, ms."""
        return self._offset or 0

    @property
    def said_offset(self) -> int:
        """The largest offset that the messages of the window say, ms."""
        return self._offsets[0][1] if self._offsets else 0

    def believe(self, offset: int) -> None:
        """Goes to this offset, ms, which others than its messages confirm."""
        self._offset = self._believed = offset
        self.is_ahead = self.said_offset < offset - STEP_MS

    def tick(self, local: int) -> None:
        """Called regularly with the local time, while the process runs."""
        if self._ticked is not None and local - self._ticked > LEAP_MS:
            self._before_leap = self._ticked
            self._leaps += 1
        self._ticked = local

    @property
    def is_sure(self) -> bool:
        """Whether the time is known: there was an observation since the start, or since the last leap."""
        return self._offset is not None and not self._has_leapt(self._monotonic_ms())

    def now(self) -> Now:
        """The current time of this feed."""
        local, offset, root = self._monotonic_ms(), self._offset, self._root
        if offset is None:
            return Now(0, local)
        ticked = root._ticked  # noqa: SLF001 - of its own kind
        if self._seen == root._leaps and (ticked is None or local - ticked <= LEAP_MS):  # noqa: SLF001
            return Now(local + offset, local)
        stopped = root._before_leap if self._seen != root._leaps else ticked  # noqa: SLF001
        return Now((stopped or local) + offset, local)

    def carried(self) -> Now:
        """The current time as the local clock carries it on, also after a leap: ages and durations that people read are
        never too small by it. Nothing is decided about data by it.
        """
        local = self._monotonic_ms()
        return Now(0 if self._offset is None else local + self._offset, local)

    def _has_leapt(self, local: int) -> bool:
        root = self._root
        ticked = root._ticked  # noqa: SLF001 - of its own kind
        return self._seen != root._leaps or (ticked is not None and local - ticked > LEAP_MS)  # noqa: SLF001

    def _begin(self, local: int, offset: int) -> None:
        root = self._root
        if root._ticked is not None:  # noqa: SLF001 - of its own kind
            root.tick(local)
        self._seen = root._leaps  # noqa: SLF001
        self._offsets.clear()
        self._claim = None
        self._believed = offset
        self.begins += 1
        self._put(local, offset)

    def _put(self, local: int, offset: int) -> None:
        """Keeps the offsets that may still become the largest: at most one for each second of the window."""
        offsets = self._offsets
        while offsets and offsets[-1][1] <= offset:
            offsets.pop()
        if not offsets or offsets[-1][0] // 1_000 != local // 1_000:
            offsets.append((local, offset))
        while offsets[0][0] < local - WINDOW_MS and len(offsets) > 1:
            offsets.popleft()
        said = offsets[0][1]
        if self._is_guarded:
            self._believed = max(self._believed, said)
            self.is_ahead = said < self._believed - STEP_MS
            if self.is_ahead:
                return
        self._offset = said


class Timers:
    """When the machines of one thread are due, so that who waits on it knows how long. Times are rounded up to grains,
    so that machines that are woken together share one.
    """

    def __init__(self, monotonic: Callable[[], int] = monotonic_ms) -> None:
        self._monotonic_ms = monotonic
        self._machines: dict[int, int] = {}
        """Number of machines by the grain at which they are due."""
        self._first: int | None = None
        """The first of these grains, where it is known."""

    def move(self, before: int | None, grain: int | None) -> None:
        """A machine is due at another grain than before; None: at none."""
        machines = self._machines
        if grain is not None:
            machines[grain] = machines.get(grain, 0) + 1
            if self._first is not None and grain < self._first:
                self._first = grain
        if before is not None:
            left = machines.get(before, 0) - 1
            if left > 0:
                machines[before] = left
            else:
                machines.pop(before, None)
                if before == self._first:
                    self._first = None

    def next_in_s(self) -> float:
        """Seconds until the first one is due; not positive when one is, infinite without any."""
        if not self._machines:
            return inf
        if self._first is None:
            self._first = min(self._machines)
        return (self._first * GRAIN_MS - self._monotonic_ms()) / 1_000


_timers: dict[int, Timers] = {}


def timers_of_thread() -> Timers:
    """Those of the calling thread."""
    return _timers.setdefault(threading.get_ident(), Timers())
