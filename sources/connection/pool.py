"""The connections of one shard of a venue's symbols, and how they follow what is wanted.

Everything here lives on the network thread. What is on an open connection stays there untouched while other streams
come and go beside it; a connection that carries nothing any more is closed, and opened again when it is needed.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from flows.model import Disconnected, Removed
from sources.connection.connection import Connection, Redundancy
from sources.connection.frame_queue import FrameQueue
from sources.connection.line_settings import LineSettings
from sources.connection.refusals import Refusals
from sources.connection.session import unexpected
from sources.connection.watch import LineWatch
from sources.feed import ConnectionPlan, DesiredStreams, VenueFeed

_log = structlog.get_logger(__name__)


class ConnectionPool:
    """Follows wishes. `queues` grows with the connections; each stays, for what is in it is still to be read."""

    def __init__(self, feed: VenueFeed, *, settings: LineSettings, ring: Callable[[], None]) -> None:
        self._feed = feed
        self._settings = settings
        self._ring = ring
        self._lines: list[_Line] = []
        self.queues: list[FrameQueue] = []

    async def follow(self, desired: DesiredStreams, *, not_trading: frozenset[str] = frozenset()) -> None:
        """Carries what is wanted, and nothing else; returns when the venue has confirmed it on the lines that are up.
        A later call may come before that: its changes wait for those of the earlier one, line by line.
        """
        plans = self._feed.plans(desired, [line.plan for line in self._lines], not_trading=not_trading)
        for plan in plans[len(self._lines) :]:
            line = _Line(plan, feed=self._feed, settings=self._settings, ring=self._ring)
            self._lines.append(line)
            self.queues.append(line.queue)
        changes = []
        for line, plan in zip(self._lines, plans, strict=True):
            before, line.plan = line.plan, plan  # at once, for the next call begins with it
            if plan != before:
                changes.append(line.change(before, plan, desired))
        await asyncio.gather(*changes)

    def renew(self, symbol: str, kinds: tuple[str, ...], reason: str) -> None:
        """A witness knows that these streams have missed something: see `LineWatch.renew`. On the network thread."""
        for line in self._lines:
            line.watch.renew(symbol, kinds, reason)

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.gather(*(line.close() for line in self._lines))


class _Line:
    """One planned connection, or several side by side that carry the same, behind one queue. Closed at first."""

    def __init__(
        self, plan: ConnectionPlan, *, feed: VenueFeed, settings: LineSettings, ring: Callable[[], None]
    ) -> None:
        self.plan = plan.emptied()
        self.queue = FrameQueue(plan.line, settings.queue_frames, ring)
        self.queue.admit(())
        self._feed = feed
        self._settings = settings
        self._turn = asyncio.Lock()
        self._redundancy = Redundancy()
        self._refusals = Refusals(self.queue)
        self.watch = LineWatch(
            self.plan, settings=settings, queue=self.queue, redundancy=self._redundancy, refusals=self._refusals
        )
        self._connections: list[Connection] = []
        self._lives: list[asyncio.Task[None]] = []

    async def change(self, before: ConnectionPlan, plan: ConnectionPlan, desired: DesiredStreams) -> None:
        """Carries what the plan says; when that is done, reports what has come and gone. A change that fails by an
        unexpected error is made by opening the line anew, so it never stays undone.
        """
        async with self._turn:
            self.queue.admit(plan.names)
            self.watch.follow(plan)
            try:
                await self._carry(before, plan)
            except Exception as error:  # noqa: BLE001 - the other lines, and this one, go on
                _log.error("line_change_failed", line=plan.line, exc_info=error)
                await self._close_all()
                self.queue.put_event(Disconnected(plan.line, plan.symbols, unexpected(error)))
                self._open(plan)
            self._tell_removed(before, plan, desired)

    async def close(self) -> None:
        """Ends the connections."""
        async with self._turn:
            await self._close_all()

    async def _carry(self, before: ConnectionPlan, plan: ConnectionPlan) -> None:
        if not plan.names:
            await self._close_all()
        elif not self._connections:
            self._open(plan)
        else:
            await asyncio.gather(*(connection.change(plan) for connection in self._connections))
            self._tell_new(before, plan)

    def _open(self, plan: ConnectionPlan) -> None:
        rotate_s = self._settings.rotate_hours * 3_600
        self._keep(self.watch.run())
        for number in range(1, self._settings.redundancy + 1):
            connection = Connection(
                plan,
                feed=self._feed,
                settings=self._settings,
                queue=self.queue,
                redundancy=self._redundancy,
                refusals=self._refusals,
                first_rotation_s=rotate_s * number / self._settings.redundancy,
            )
            self._connections.append(connection)
            self._keep(connection.run())

    def _keep(self, run: Coroutine[Any, Any, None]) -> None:
        life = asyncio.create_task(run)
        life.add_done_callback(report_bug)
        self._lives.append(life)

    async def _close_all(self) -> None:
        lives, self._lives, self._connections = self._lives, [], []
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)

    def _tell_new(self, before: ConnectionPlan, plan: ConnectionPlan) -> None:
        """When the line is down, it tells of all its streams as it comes back."""
        if self._redundancy.is_down:
            return
        new = [name for name in plan.names if name not in before.names]
        self._refusals.tell(plan, self._redundancy.live, new)
        symbols = tuple(dict.fromkeys(plan.names[name][0] for name in new if name not in self._refusals.streams))
        if symbols:
            _log.info("subscribed to more", line=plan.line, symbols=symbols, streams=len(plan.names))

    def _tell_removed(self, before: ConnectionPlan, plan: ConnectionPlan, desired: DesiredStreams) -> None:
        removed: dict[tuple[tuple[str, ...], bool], list[str]] = {}
        for symbol, kinds in before.kinds.items():
            left = plan.kinds.get(symbol, ())
            ended = tuple(kind for kind in kinds if kind not in left)
            if ended:
                removed.setdefault((ended, symbol not in desired), []).append(symbol)
        for (ended, is_gone), symbols in removed.items():
            _log.info("unsubscribed", line=plan.line, symbols=symbols, kinds=ended, streams=len(plan.names))
            self.queue.put_event(Removed(plan.line, tuple(symbols), ended, is_gone))
        self.queue.retire(name for name in before.names if name not in plan.names)


def report_bug(future: Any) -> None:
    """For what ends only by cancellation: anything else is ours to know."""
    if not future.cancelled() and (error := future.exception()) is not None:
        _log.error("a connection died of an error of ours", exc_info=error)
