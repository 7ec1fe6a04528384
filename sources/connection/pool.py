"""The connections of one shard of a venue's symbols, changed to the desired streams.

Everything here runs on the event-loop thread. A stream stays on its open connection while others are added and removed
beside it; a connection without streams is closed, and opened again when it is needed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog

from flows.model import Disconnected, Removed
from sources.connection.connection import Connection, Redundancy
from sources.connection.frame_queue import FrameQueue
from sources.connection.refusals import Refusals
from sources.connection.session import unexpected
from sources.connection.settings import ConnectionSettings
from sources.connection.watch import ConnectionWatch
from sources.feed import ConnectionPlan, DesiredStreams, VenueFeed

_log = structlog.get_logger(__name__)


class ConnectionPool:
    """Connects to the desired streams. `queues` only grows: items of a closed connection are still to be read."""

    def __init__(
        self,
        feed: VenueFeed,
        *,
        settings: ConnectionSettings,
        wake: Callable[[], None],
        wake_calm: Callable[[], None] | None = None,
    ) -> None:
        """`wake` is called when something has come; when it can wait for more, `wake_calm` if there is one."""
        self._feed = feed
        self._settings = settings
        self._wakes = wake, wake_calm or wake
        self._planned: list[_PlannedConnection] = []
        self.queues: list[FrameQueue] = []

    async def follow(self, desired: DesiredStreams, *, not_trading: frozenset[str] = frozenset()) -> None:
        """Subscribes to the desired streams and ends all others; returns when the venue has confirmed it on all open
        connections. Calls may overlap: on each connection the changes are made in their order.
        """
        plans = self._feed.plans(desired, [planned.plan for planned in self._planned], not_trading=not_trading)
        for plan in plans[len(self._planned) :]:
            planned = _PlannedConnection(plan, feed=self._feed, settings=self._settings, wakes=self._wakes)
            self._planned.append(planned)
            self.queues.append(planned.queue)
        changes = []
        for planned, plan in zip(self._planned, plans, strict=True):
            before, planned.plan = planned.plan, plan  # before any await: an overlapping call starts from it
            if plan != before:
                changes.append(planned.change(before, plan, desired))
        await asyncio.gather(*changes)

    def renew(self, symbol: str, kinds: tuple[str, ...], reason: str) -> None:
        """Renews streams with missed messages: see `ConnectionWatch.renew`. On the event-loop thread."""
        for planned in self._planned:
            planned.watch.renew(symbol, kinds, reason)

    def lines(self) -> dict[str, bool]:
        """Whether all connections of a line are up, by `line`; those without streams are left out. From any thread."""
        found: dict[str, bool] = {}
        for planned in list(self._planned):
            if planned.plan.names:
                found[planned.plan.line] = planned.is_up and found.get(planned.plan.line, True)
        return found

    def doubtful(self) -> frozenset[str]:
        """Symbols whose trading status may have changed: see `ConnectionWatch.doubtful`. From any thread."""
        return frozenset().union(*(planned.watch.doubtful for planned in list(self._planned)))

    async def close(self) -> None:
        """Closes all connections."""
        await asyncio.gather(*(planned.close() for planned in self._planned))


class _PlannedConnection:
    """One planned connection, or several redundant ones with the same streams, with one queue. Closed at first."""

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        feed: VenueFeed,
        settings: ConnectionSettings,
        wakes: tuple[Callable[[], None], Callable[[], None]],
    ) -> None:
        wake, wake_calm = wakes
        self.plan = plan.emptied()
        self.queue = FrameQueue(plan.line, settings.queue_frames, wake, wake_calm=wake_calm, venue=feed.venue)
        self.queue.admit(())
        self._feed = feed
        self._settings = settings
        self._lock = asyncio.Lock()
        self._redundancy = Redundancy()
        self._refusals = Refusals(self.queue)
        self.watch = ConnectionWatch(
            self.plan, settings=settings, queue=self.queue, redundancy=self._redundancy, refusals=self._refusals
        )
        self._connections: list[Connection] = []
        self._lives: list[asyncio.Task[None]] = []

    @property
    def is_up(self) -> bool:
        """Whether one of the redundant connections is confirmed."""
        return not self._redundancy.is_down

    async def change(self, before: ConnectionPlan, plan: ConnectionPlan, desired: DesiredStreams) -> None:
        """Changes the streams to those of the plan, then reports the ones added and removed. After an unexpected error
        the connections are reopened with the plan, so a change is always made.
        """
        async with self._lock:
            self.queue.admit(plan.names)
            self.queue.calm = plan.calm
            self.watch.follow(plan)
            try:
                await self._carry(before, plan)
            except Exception as error:  # noqa: BLE001 - all connections, this one included, go on
                _log.error("connection_change_failed", venue=self._feed.venue, line=plan.line, exc_info=error)
                await self._close_all()
                self.queue.put_event(Disconnected(plan.line, plan.symbols, unexpected(error)))
                self._open(plan)
            self._report_removed(before, plan, desired)

    async def close(self) -> None:
        """Closes the connections."""
        async with self._lock:
            await self._close_all()

    async def _carry(self, before: ConnectionPlan, plan: ConnectionPlan) -> None:
        if not plan.names:
            await self._close_all()
        elif not self._connections:
            self._open(plan)
        else:
            await asyncio.gather(*(connection.change(plan) for connection in self._connections))
            self._report_added(before, plan)

    def _open(self, plan: ConnectionPlan) -> None:
        rotate_s = self._settings.rotate_hours * 3_600
        self._keep(self.watch.run())
        for number in range(1, self._settings.redundancy + 1):
            second = plan.second if number > 1 else None
            connection = Connection(
                plan,
                feed=self._feed if second is None else second.feed,
                settings=self._settings,
                queue=self.queue,
                redundancy=self._redundancy,
                refusals=self._refusals,
                first_rotation_s=rotate_s * number / self._settings.redundancy,
                is_second=second is not None,
            )
            self._connections.append(connection)
            self._keep(connection.run())

    def _keep(self, run: Coroutine[Any, Any, None]) -> None:
        life = asyncio.create_task(run)
        life.add_done_callback(partial(report_bug, venue=self._feed.venue, line=self.plan.line))
        self._lives.append(life)

    async def _close_all(self) -> None:
        lives, self._lives, self._connections = self._lives, [], []
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    def _report_added(self, before: ConnectionPlan, plan: ConnectionPlan) -> None:
        """Reports added streams. A connection that is down reports all of its streams when it comes back."""
        if self._redundancy.is_down:
            return
        new = [name for name in plan.names if name not in before.names]
        self._refusals.update(plan, self._redundancy.live, new)
        symbols = tuple(dict.fromkeys(plan.names[name][0] for name in new if name not in self._refusals.streams))
        if symbols:
            _log.info("streams_added", venue=self._feed.venue, line=plan.line, symbols=symbols, streams=len(plan.names))

    def _report_removed(self, before: ConnectionPlan, plan: ConnectionPlan, desired: DesiredStreams) -> None:
        removed: dict[tuple[tuple[str, ...], bool], list[str]] = {}
        for symbol, kinds in before.kinds.items():
            left = plan.kinds.get(symbol, ())
            ended = tuple(kind for kind in kinds if kind not in left)
            if ended:
                removed.setdefault((ended, symbol not in desired), []).append(symbol)
        for (ended, is_gone), symbols in removed.items():
            _log.info(
                "unsubscribed",
                venue=self._feed.venue,
                line=plan.line,
                symbols=symbols,
                kinds=ended,
                streams=len(plan.names),
            )
            self.queue.put_event(Removed(plan.line, tuple(symbols), ended, is_gone))
        self.queue.retire(name for name in before.names if name not in plan.names)


def report_bug(future: Any, *, venue: str, line: str = "") -> None:
    """Logs the error of a task that should end only by cancellation."""
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.error("connection_task_failed", venue=venue, line=line, exc_info=error)
