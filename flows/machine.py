"""The bridge from a machine to the engine: batches, timers, queries, recovered state.

A machine only decides: it reads no clock, uses no thread, performs no I/O. What it needs from outside it queries; the
answer returns like any other input, so the graph has no cycle and no step waits.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeAlias, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from msgspec import Struct

from flows.clock import GRAIN_MS, FeedClock, Now, Reading, monotonic_ms, timers_of_thread
from flows.model import Removed
from flows.operators.protocol import QueryingMachine
from flows.operators.state_version import StateKeyError
from flows.queries import Query, QueryError, without_queries

In = TypeVar("In")
Out = TypeVar("Out")
X = TypeVar("X")

HEARTBEAT_MS = 1_000
"""Longest timer: the engine keeps every later one in memory until it expires (72 bytes an activation)."""
ANSWER_POLL_MS = 20
"""Interval at which answers are polled while a machine has open queries."""
MOST_AT_END_S = 60.0
"""Longest wait of a machine for answers when its input has ended."""
_LATER_GRAINS = 6
"""Longest timers, which only look at the clock again, are rounded down to so many grains: few wake-ups are for them
alone.
"""
_MAX_WAKES = 256

State: TypeAlias = tuple[str, Any]
"""Key and snapshot of a machine."""
Build: TypeAlias = Callable[[str, Any], QueryingMachine[In, Out]]
"""Makes the machine of a key, from its snapshot or from None."""
QueryRunner: TypeAlias = Callable[[str, Query, Callable[[Any], None]], None]
"""Runs a query of the machine with that key elsewhere and calls back, on any thread, with the answer or the
exception.
"""


def refuse_queries(key: str, query: Query, answer: Callable[[Any], None]) -> None:
    """The runner of a flow without a REST side: every query is refused."""
    answer(QueryError(f"{key}: {type(query).__name__} cannot be answered here", lasting=True))


class AwaitedQueries(Struct, frozen=True):
    """A runner whose answers are awaited where the input ends by itself, as that of a past which is read once."""

    run: QueryRunner
    stop: threading.Event

    def __call__(self, key: str, query: Query, answer: Callable[[Any], None]) -> None:
        """See `QueryRunner`."""
        self.run(key, query, answer)

    def is_last(self) -> bool:
        """Whether no later start goes on from the end of the input. After `stop` one does."""
        return not self.stop.is_set()


class MachineLogic(StatefulBatchLogic[tuple[str, In, Reading], Out | Removed, State], Generic[In, Out]):
    """A machine as a logic of the engine. Values are `(key, item, reading)`, as the engine does not pass the key; the
    reading is that of the clock where the item comes from, which may be in another process.
    """

    def __init__(
        self,
        state: State | None,
        build: Build[In, Out],
        *,
        clock: FeedClock,
        runner: QueryRunner = refuse_queries,
    ) -> None:
        self._build = build
        self._key = state[0] if state else ""
        self._machine: QueryingMachine[In, Out] | None = build(*state) if state else None
        self._clock = clock
        self._runner = runner
        self._open_queries = 0
        self._now = Now(0, 0)
        self._due: int | None = None if self._machine is None else self._machine.due_in(self._now)
        self._answers: deque[tuple[Query, Any]] = deque()
        self._timers = timers_of_thread()
        self._grain: int | None = None
        """When the engine is to call."""

    def on_batch(self, values: list[tuple[str, In, Reading]]) -> tuple[Sequence[Out | Removed], bool]:
        """Everything that has arrived for this key; a timer that is due comes last, as the input is older.

        After `Removed` the key has no machine and no state, unless more items follow. `StateKeyError` when the machine
        was recovered from the state of another key.
        """
        if values[0][0] != self._key:
            self._take_key(values[0][0])
        self._clock.follow(values[-1][2])
        self._now = now = self._clock.now()
        out: list[Out | Removed | Query] = []
        for _, item, _ in values:
            if isinstance(item, Removed):
                out = [*self._run_queries(out), *self._end_machine(now), item]
                continue
            if self._machine is None:
                self._machine = self._build(self._key, None)
            out += self._machine.on_events(item, now)
        if self._machine is None:
            self.notify_at()  # nothing is due; the engine does not call it any more
            return self._run_queries(out), StatefulBatchLogic.DISCARD
        self._pass_time(self._machine, now, out)
        return self._run_queries(out), StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[Sequence[Out | Removed], bool]:
        """A timer, an answer, or a spurious call."""
        self._now = now = self._clock.now()
        out: list[Out | Removed | Query] = []
        if self._machine is not None:
            self._pass_time(self._machine, now, out)
        return self._run_queries(out), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[Sequence[Out | Removed], bool]:
        """The input ends; where answers are awaited, the machine ends when it queries nothing more."""
        out: list[Out | Removed] = []
        machine, latest = self._machine, time.monotonic() + MOST_AT_END_S
        if machine is not None:
            self._await_answers(machine, latest, out)
            has_queried = True
            while has_queried:
                out += self._run_queries(list(machine.on_end(self._clock.now())))
                has_queried = self._await_answers(machine, latest, out)
        self._open_queries, self._due = 0, None
        self.notify_at()
        return out, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When to call next; the engine reads it after every call. Feed time becomes local time here."""
        due = self._due
        if self._open_queries:
            due = ANSWER_POLL_MS if due is None else min(due, ANSWER_POLL_MS)
        grain = None if due is None else _grain_of(self._now.local, due)
        if grain != self._grain:
            self._timers.move(self._grain, grain)
            self._grain = grain
        return None if grain is None else _wake_at(grain)

    def snapshot(self) -> State:
        """Key and state of the machine. An open query is not in it: the recovered machine makes it again."""
        return self._key, None if self._machine is None else self._machine.snapshot()

    def _take_key(self, key: str) -> None:
        """Takes the key of the first items."""
        if self._machine is not None:
            raise StateKeyError(f"what the recovered state holds for {key} is the state of {self._key}")
        self._key = key

    def _end_machine(self, now: Now) -> Sequence[Out]:
        """What the machine holds, as at the end of the input. Its open queries are dropped."""
        machine, self._machine = self._machine, None
        self._open_queries, self._answers, self._due = 0, deque(), None
        return without_queries(machine.on_end(now))[0] if machine is not None else ()

    def _pass_time(self, machine: QueryingMachine[In, Out], now: Now, out: list[Out | Removed | Query]) -> None:
        """Hands on the answers, calls the machine if it is due, and notes when it is due next."""
        while self._answers:
            self._open_queries -= 1
            out += machine.on_answer(*self._answers.popleft(), now)
        due = machine.due_in(now)
        if due is not None and due <= 0:
            out += machine.on_timer(now)
            due = machine.due_in(now)
        self._due = due

    def _await_answers(self, machine: QueryingMachine[In, Out], latest: float, out: list[Out | Removed]) -> bool:
        """Hands on the answers to what is open, and to what is queried because of them; whether there was any. The
        worker waits meanwhile: nothing else is to come. Until `latest` at most, monotonic.
        """
        runner, has_waited = self._runner, False
        if not isinstance(runner, AwaitedQueries):
            return False
        while self._open_queries and runner.is_last() and time.monotonic() < latest:
            has_waited = True
            if not self._answers:
                time.sleep(ANSWER_POLL_MS / 1_000)
                continue
            found: list[Out | Removed | Query] = []
            self._pass_time(machine, self._clock.now(), found)
            out += self._run_queries(found)
        return has_waited

    def _run_queries(self, out: list[Out | Removed | Query]) -> Sequence[Out | Removed]:
        results: Sequence[Out | Removed]
        results, queries = without_queries(out)
        for query in queries:
            self._open_queries += 1
            self._runner(self._key, query, partial(_answer, self._answers, query))
        return results


def _answer(answers: deque[tuple[Query, Any]], query: Query, answer: Any) -> None:
    """Queues an answer for the machine that made the query; when that has ended, it is never read."""
    answers.append((query, answer))


_wakes: dict[int, datetime] = {}


def _grain_of(local_ms: int, due_ms: int) -> int:
    """The grain at which a machine is called that is due in so many milliseconds: within `HEARTBEAT_MS`."""
    if due_ms < HEARTBEAT_MS:
        return (local_ms + due_ms) // GRAIN_MS + 1
    return (local_ms + HEARTBEAT_MS) // GRAIN_MS // _LATER_GRAINS * _LATER_GRAINS


def _wake_at(grain: int) -> datetime:
    """The wall-clock time of a grain, for the engine: machines that wake together share it."""
    wake = _wakes.get(grain)
    if wake is None:
        if len(_wakes) > _MAX_WAKES:
            _wakes.clear()
        wait_ms = grain * GRAIN_MS - monotonic_ms()
        wake = _wakes[grain] = datetime.now(UTC) + timedelta(milliseconds=wait_ms)
    return wake


def with_reading(clock: FeedClock, batch: list[tuple[str, X]]) -> list[tuple[str, tuple[str, X, Reading]]]:
    """Keyed items as `MachineLogic` takes them."""
    if not batch:
        return []
    reading = clock.reading()
    return [(key, (key, item, reading)) for key, item in batch]


def _by_key(
    clock: FeedClock, by_key: Callable[[list[Any]], list[tuple[str, X]]], batch: list[Any]
) -> list[tuple[str, tuple[str, X, Reading]]]:
    return with_reading(clock, by_key(batch))


@operator
def machine(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    up: Stream[Any],
    build: Build[In, Out],
    clock: FeedClock,
    runner: QueryRunner = refuse_queries,
    *,
    by_key: Callable[[list[Any]], list[tuple[str, In]]] | None = None,
) -> KeyedStream[Out | Removed]:
    """One machine for each key; `build(key, state)` makes it, `state` being the result of its `snapshot`, or None.
    `Removed` ends the machine of its key and follows its last results. `by_key` makes keyed items of those of `up`;
    without it `up` is keyed. It is no step of its own, for each costs at every poll.
    """
    key = partial(with_reading, clock) if by_key is None else partial(_by_key, clock, by_key)
    keyed: KeyedStream[tuple[str, In, Reading]] = op.flat_map_batch("key", up, key)
    build_logic: Callable[[State | None], MachineLogic[In, Out]] = partial(
        MachineLogic, build=build, clock=clock, runner=runner
    )
    return op.stateful_batch("machine", keyed, build_logic)


class _KeeperLogic(StatefulBatchLogic[tuple[In, Reading], Out, int]):
    def __init__(self, clock: FeedClock, take: Callable[[list[In]], list[Out]]) -> None:
        self._clock = clock
        self._take = take

    def on_batch(self, values: list[tuple[In, Reading]]) -> tuple[list[Out], bool]:
        self._clock.follow(values[-1][1])
        return self._take([item for item, _ in values]), StatefulBatchLogic.RETAIN

    def snapshot(self) -> int:
        """A version: after a restart the source sends everything anew."""
        return 1


@operator
def keeper(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    up: Stream[In],
    build: Callable[[], Callable[[list[In]], list[Out]]],
    clock: FeedClock,
) -> Stream[Out]:
    """One `build()` for the whole deployment takes all items, from all workers. `clock` is the one that it reads."""
    keyed: KeyedStream[tuple[In, Reading]] = op.flat_map_batch("key", up, partial(_for_one, clock))
    kept: KeyedStream[Out] = op.stateful_batch("keeper", keyed, lambda _: _KeeperLogic(clock, build()))
    return op.map("value", kept, lambda keyed: keyed[1])


def _for_one(clock: FeedClock, batch: list[X]) -> list[tuple[str, tuple[X, Reading]]]:
    reading = clock.reading()
    return [("all", (item, reading)) for item in batch]
