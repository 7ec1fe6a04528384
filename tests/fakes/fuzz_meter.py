"""What must hold for every call of a step, whatever it is given: it ends, it is short, and no exception escapes.

Costs are CPU time of the thread. A virtual machine counts there what its host takes from it, and caches that others
have emptied: so a run in which nothing but a long call was found is made again, and what is not found twice was not
the call's. A call that does not end is ended by a timer of the process's own CPU time.
"""

import gc
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import FrameType
from typing import NamedTuple, ParamSpec, TypeVar

import psutil

from tests.fakes.mutations import Mutation

MOST_CPU_S = 0.05
"""Of a single call."""
ENDLESS_S = 1.0
"""CPU time after which a call is taken not to end; it is ended after twice that at the latest."""
MOST_ALIKE = 20
"""Of findings of one kind so many are kept."""
MOST_ENDLESS = 5
"""After so many calls that did not end there is no use in going on."""
_SHOWN_BYTES = 150
_SHOWN_ALIKE = 3
_COLLECT_EVERY = 5_000
_MARK_EVERY_S = 0.002
"""By so much a call may be taken for longer than it was."""

T = TypeVar("T")
P = ParamSpec("P")
_TOO_LONG = f"takes more than {MOST_CPU_S * 1_000:.0f} ms"


class EndlessError(Exception):
    """A call has not ended."""


class Finding(NamedTuple):
    """What must not be."""

    step: str
    what: str
    seed: int
    """Of the mutation that was handed on last; -1: a true frame."""
    mutation: str
    frame: bytes
    """Its first bytes."""


class Report(NamedTuple):
    """What a run has shown."""

    frames: int
    """Mutated ones."""
    findings: list[Finding]
    """At most `MOST_ALIKE` of a kind."""
    slowest_s: float
    """CPU time of the most expensive call."""
    slowest: str
    """The step of that call, and the mutation."""
    growth_mb: float
    """Resident memory at the end beyond that after the first third."""
    rejected: int
    """Events and frames that were refused before any machine."""

    def __str__(self) -> str:
        lines = [f"{self.frames} frames, the most expensive call: {self.slowest}, {self.slowest_s * 1e3:.1f} ms"]
        for (step, what), number in Counter((found.step, found.what) for found in self.findings).most_common():
            alike = [found for found in self.findings if (found.step, found.what) == (step, what)]
            lines.append(f"{number} x {step}: {what}")
            lines += [f"    seed={found.seed} {found.mutation}: {found.frame!r}" for found in alike[:_SHOWN_ALIKE]]
        return "\n".join(lines)


class Meter:
    """Runs calls and notes what must not be."""

    def __init__(self) -> None:
        self._is_running = False
        self._mark_s, self._mark_cpu_s = time.perf_counter(), time.thread_time()
        """The clock on the wall and the CPU time, `_MARK_EVERY_S` before the call that runs or later."""
        self.findings: list[Finding] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._endless = 0
        self.rejected = 0
        self._seed, self._mutation = -1, Mutation("true", b"")
        self._slowest_s, self._slowest = 0.0, ""
        self._frames = 0
        self._process = psutil.Process()
        self._early_rss = 0

    def take(self, mutation: Mutation, *, seed: int, of: int) -> bytes:
        """The frame is handed on next; `of` are all that will be."""
        self._seed, self._mutation = seed, mutation
        self._frames += 1
        if self._frames == max(1, of // 3):
            self._early_rss = self._process.memory_info().rss
        if self._frames % _COLLECT_EVERY == 0:
            gc.collect()
        return mutation.frame

    def take_true(self, frame: bytes) -> bytes:
        """A true frame is handed on next."""
        self._seed, self._mutation = -1, Mutation("true", frame)
        return frame

    def run(self, step: str, call: Callable[[], T]) -> T | None:
        """What the call gives; None when it raised, which is noted."""
        begin_s = time.perf_counter()
        if begin_s - self._mark_s > _MARK_EVERY_S:
            self._mark_s, self._mark_cpu_s = begin_s, time.thread_time()
        self._is_running = True
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - any is one too many
            self.note(step, type(error).__name__)
            self._endless += isinstance(error, EndlessError)
            return None
        finally:
            self._is_running = False
            if time.perf_counter() - begin_s > min(self._slowest_s, MOST_CPU_S):
                self._measured(step, time.thread_time() - self._mark_cpu_s)

    def look(self) -> None:
        """Ends the call that runs, by an `EndlessError` in it, when it has run for too long."""
        if self._is_running and time.thread_time() - self._mark_cpu_s >= ENDLESS_S:
            raise EndlessError("it does not end")

    def _measured(self, step: str, spent_s: float) -> None:
        if spent_s > self._slowest_s:
            self._slowest_s, self._slowest = spent_s, f"{step} after {self._mutation.name} (seed {self._seed})"
        if spent_s > MOST_CPU_S:
            self.note(step, _TOO_LONG)

    def note(self, step: str, what: str) -> None:
        """Something is as it must not be."""
        self._counts[step, what] += 1
        if self._counts[step, what] <= MOST_ALIKE:
            frame = self._mutation.frame[:_SHOWN_BYTES]
            self.findings.append(Finding(step, what, self._seed, self._mutation.name, frame))

    @property
    def has_enough(self) -> bool:
        """Whether going on would show nothing new."""
        return self._endless >= MOST_ENDLESS

    def report(self) -> Report:
        """All of it."""
        gc.collect()
        grown = self._process.memory_info().rss - self._early_rss if self._early_rss else 0
        return Report(self._frames, self.findings, self._slowest_s, self._slowest, grown / 1e6, self.rejected)


def confirmed(run: Callable[P, Report]) -> Callable[P, Report]:
    """The same run, of which every part is decided by its arguments. Calls that are long are findings only when the
    same ones are long in a second run.
    """

    @wraps(run)
    def twice_if_long(*args: P.args, **options: P.kwargs) -> Report:
        first = run(*args, **options)
        if not first.findings or any(found.what != _TOO_LONG for found in first.findings):
            return first
        second = run(*args, **options)
        long = {(found.step, found.seed) for found in first.findings}
        kept = [found for found in second.findings if found.what != _TOO_LONG or (found.step, found.seed) in long]
        return second._replace(findings=kept)

    return twice_if_long


@contextmanager
def metered() -> Iterator[Meter]:
    """A meter; on the main thread alone. The garbage collector rests meanwhile: its pauses are not those of a call."""
    meter = Meter()

    def on_timer(_number: int, _frame: FrameType | None) -> None:
        meter.look()

    before = signal.signal(signal.SIGVTALRM, on_timer)
    gc.collect()
    gc.disable()
    signal.setitimer(signal.ITIMER_VIRTUAL, ENDLESS_S, ENDLESS_S)
    try:
        yield meter
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        gc.enable()
