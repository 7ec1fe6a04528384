"""The one bridge from a machine to the engine: batches, timers, asks, recovered state.

A machine decides and does nothing else: it reads no clock, knows no thread, performs no I/O. What it needs from
outside it asks for; the answer comes back to it like any other input, so there is no cycle in the graph and no
waiting in it.
"""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol, TypeAlias

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic

from flows.bounds import trade_time
from flows.clock import FeedClock, Now, monotonic_ms
from flows.model import Removed
from flows.queries import Query, QueryError, without_queries

HEARTBEAT_MS = 1_000
"""Longest distance of a timer: the engine keeps every later one in memory until it expires (72 bytes an activation)."""
ANSWER_POLL_MS = 20
"""How often a machine with open queries is looked after."""
_GRAIN_MS = 10
"""Timers are rounded up to this, so that machines woken together share one."""
_MAX_WAKES = 256


class Machine(Protocol):
    """The logic of one instrument. Every method but `due_in` and `snapshot` gives outputs, `Query` among them.

    One that gives queries has `on_answer(query, answer, now)` too; an answer may be a `QueryError`.
    """

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """One item of the step before."""

    def on_timer(self, now: Now) -> list[Any]:
        """Its time has come, or somebody woke it for nothing."""

    def on_end(self, now: Now) -> list[Any]:
        """The input ends; the state is kept for the next start."""

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` is wanted; None when it is not."""

    def snapshot(self) -> Any:
        """The state to recover from: picklable, versioned, a copy."""


QueryRunner: TypeAlias = Callable[[str, Query, Callable[[Any], None]], None]
"""Runs a query of the machine with that key elsewhere and calls back, on any thread, with the answer or the
exception.
"""


def refuse_queries(key: str, query: Query, answer: Callable[[Any], None]) -> None:
    """The runner of a flow without a REST side: every query is refused."""
    answer(QueryError(f"{key}: nobody answers {type(query).__name__} here", lasting=True))


class MachineLogic(StatefulBatchLogic[tuple[str, Any], Any, tuple[str, Any]]):
    """A machine as the engine sees it. Values are `(key, item)`, for the engine tells a logic everything but its
    key.
    """

    def __init__(
        self,
        state: tuple[str, Any] | None,
        build: Callable[[str, Any], Any],
        *,
        clock: FeedClock,
        runner: QueryRunner = refuse_queries,
    ) -> None:
        self._build = build
        self._key = state[0] if state else ""
        self._machine: Any = build(*state) if state else None
        self._clock = clock
        self._runner = runner
        self._open_queries = 0
        self._now = Now(0, 0)
        self._due: int | None = None if self._machine is None else self._machine.due_in(self._now)
        self._answers: deque[tuple[Query, Any]] = deque()

    def on_batch(self, values: list[tuple[str, Any]]) -> tuple[list[Any], bool]:
        """Everything that has arrived for this key; a timer that is due goes last, for what has arrived is older.

        After `Removed` there is no machine and no state of this key any more, unless something comes behind it.
        """
        self._key = values[0][0]
        newest = values[-1][1]
        now = self._clock.now()
        if type(newest) is list and getattr(newest[-1], "time", 0) > now.feed:
            self._clock.observe(trade_time(newest[-1]))  # in a cluster the source may be in another process
            now = self._clock.now()
        self._now = now
        out: list[Any] = []
        for _, item in values:
            if type(item) is Removed:
                out = [*self._told(out), *self._let_go(now), item]
                continue
            if self._machine is None:
                self._machine = self._build(self._key, None)
            out += self._machine.on_events(item, now)
        if self._machine is None:
            return out, StatefulBatchLogic.DISCARD
        self._pass_time(now, out)
        return self._told(out), StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[list[Any], bool]:
        """A timer, an answer, or nothing at all."""
        self._now = now = self._clock.now()
        out: list[Any] = []
        if self._machine is not None:
            self._pass_time(now, out)
        return self._told(out), StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[Any], bool]:
        """The input ends."""
        return self._told(self._machine.on_end(self._clock.now())), StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """When to look again; the engine asks after every call. Feed time becomes local time here."""
        due = self._due
        if self._open_queries:
            due = ANSWER_POLL_MS if due is None else min(due, ANSWER_POLL_MS)
        return None if due is None else _wake_at(self._now.local + min(due, HEARTBEAT_MS))

    def snapshot(self) -> tuple[str, Any]:
        """Key and state of the machine. A query that is open now is not in it: the recovered machine asks again."""
        return self._key, self._machine.snapshot()

    def _let_go(self, now: Now) -> list[Any]:
        """What the machine holds, as at the end of the input. What it has asked nobody waits for any more."""
        machine, self._machine = self._machine, None
        self._open_queries, self._answers, self._due = 0, deque(), None
        return without_queries(machine.on_end(now))[0] if machine is not None else []

    def _pass_time(self, now: Now, out: list[Any]) -> None:
        """Hands on what was answered, wakes the machine if it is due, and notes when it is due next."""
        machine = self._machine
        while self._answers:
            self._open_queries -= 1
            out += machine.on_answer(*self._answers.popleft(), now)
        due = machine.due_in(now)
        if due is not None and due <= 0:
            out += machine.on_timer(now)
            due = machine.due_in(now)
        self._due = due

    def _told(self, out: list[Any]) -> list[Any]:
        told, queries = without_queries(out)
        for query in queries:
            self._open_queries += 1
            self._runner(self._key, query, partial(_answer, self._answers, query))
        return told


def _answer(answers: deque[tuple[Query, Any]], query: Query, answer: Any) -> None:
    """Leaves an answer for the machine that asked; when that is gone, nobody reads it."""
    answers.append((query, answer))


_wakes: dict[int, datetime] = {}


def _wake_at(local_ms: int) -> datetime:
    """The wall-clock time that the engine wants, of a monotonic one: many machines wake together, so they share it."""
    grain = local_ms // _GRAIN_MS + 1
    wake = _wakes.get(grain)
    if wake is None:
        if len(_wakes) > _MAX_WAKES:
            _wakes.clear()
        wait_ms = grain * _GRAIN_MS - monotonic_ms()
        wake = _wakes[grain] = datetime.now(UTC) + timedelta(milliseconds=wait_ms)
    return wake


def _with_key(batch: list[tuple[str, Any]]) -> list[tuple[str, tuple[str, Any]]]:
    return [(keyed[0], keyed) for keyed in batch]


@operator
def machine(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    up: KeyedStream[Any],
    build: Callable[[str, Any], Any],
    clock: FeedClock,
    runner: QueryRunner = refuse_queries,
) -> KeyedStream[Any]:
    """One machine a key; `build(key, state)` makes it, `state` being what its `snapshot` gave, or None."""
    keyed: KeyedStream[tuple[str, Any]] = op.flat_map_batch("key", up, _with_key)
    return op.stateful_batch("machine", keyed, partial(MachineLogic, build=build, clock=clock, runner=runner))


class _KeeperLogic(StatefulBatchLogic[Any, Any, int]):
    def __init__(self, keeper: Callable[[list[Any]], list[Any]]) -> None:
        self._keeper = keeper

    def on_batch(self, values: list[Any]) -> tuple[list[Any], bool]:
        return self._keeper(values), StatefulBatchLogic.RETAIN

    def snapshot(self) -> int:
        """A version: after a restart the lines tell everything anew."""
        return 1


@operator
def keeper(step_id: str, up: Stream[Any], build: Callable[[], Callable[[list[Any]], list[Any]]]) -> Stream[Any]:  # noqa: ARG001 - the engine's decorator takes it
    """One `build()` for the whole deployment takes everything that comes here, whichever worker it comes from."""
    keyed: KeyedStream[Any] = op.key_on("key", up, lambda _: "all")
    kept = op.stateful_batch("keeper", keyed, lambda _: _KeeperLogic(build()))
    return op.map("value", kept, lambda keyed: keyed[1])
