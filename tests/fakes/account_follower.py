"""An account that is followed as in a flow, without the engine: its feed, stream and machine on one event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

from msgspec import Struct

from flows.clock import Now, monotonic_ms, wall_ms
from flows.model.account import AccountReport, AccountState, Balance, Position
from flows.model.incidents import Incident
from flows.model.secret import Secret
from flows.operators.account.keeper import AccountKeeper, AccountPolicy
from flows.queries import AccountQuery, AccountRenewQuery, QueryError
from sources.account import AccountFeed, AccountRefusedError
from sources.account_stream import AccountStream
from sources.connection.transport import transport_of
from sources.rest.client import VenueError

WAIT_S = 30.0
"""Far above what anything takes on a busy machine."""


class Settings(Struct, frozen=True, kw_only=True):
    """What an account and its stream need."""

    venue: str
    api_key: Secret
    api_secret: Secret
    rest_url: str
    ws_url: str
    origin: str = "replay"
    account: str = "mine"
    accounts_ws_url: str | None = None
    recv_window_ms: int = 5_000
    open_timeout_s: float = 10.0
    backoff_min_s: float = 0.05
    backoff_max_s: float = 0.2
    stale_s: float = 3.0
    allow_powerful_keys: bool = True


class Follower:
    """What a client of the flow would know."""

    def __init__(self, feed: AccountFeed, settings: Settings, *, audit_ms: int) -> None:
        policy = AccountPolicy(audit_ms, int(settings.stale_s * 1_000), "USDT")
        self.machine = AccountKeeper(f"{settings.venue}:mine", policy)
        self.balances: dict[str, tuple[Decimal, Decimal]] = {}
        self.positions: dict[tuple[str, str], Position] = {}
        self.states: list[AccountState] = []
        self.incidents: list[Incident] = []
        self.snapshots = 0
        self._feed = feed
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.stream = AccountStream(
            feed, "mine", settings=settings, rules=settings, open_socket=transport_of("websockets"), emit=self._take
        )

    @property
    def state(self) -> str:
        return self.states[-1].state if self.states else ""

    def held(self) -> tuple[dict[str, tuple[Decimal, Decimal]], dict[tuple[str, str], Decimal]]:
        """What is not zero: free and locked by asset, quantities by symbol and side."""
        return (
            {asset: amounts for asset, amounts in self.balances.items() if any(amounts)},
            {where: position.quantity for where, position in self.positions.items() if position.quantity},
        )

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Waits until something holds."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    async def until_equal(self, truth: Callable[[], Awaitable[Any]]) -> None:
        """Waits until it is live and equal to the venue."""
        async with asyncio.timeout(WAIT_S):
            while self.state != "live" or self.held() != await truth():
                await asyncio.sleep(0.02)

    def _now(self) -> Now:
        return Now(wall_ms(), monotonic_ms())

    def _take(self, report: AccountReport) -> None:
        self._results(self.machine.on_events(report, self._now()))

    def _results(self, out: Any) -> None:
        for item in out:
            match item:
                case Balance():
                    self.balances[item.asset] = item.free, item.locked
                case Position():
                    self.positions[item.symbol, item.side] = item
                case AccountState():
                    self.states.append(item)
                case Incident():
                    self.incidents.append(item)
                case AccountQuery():
                    self._tasks.add(asyncio.ensure_future(self._query(item)))
                case AccountRenewQuery():
                    self.stream.renew(item.reason)
        self._changed.set()

    async def _query(self, query: AccountQuery) -> None:
        answer: Any
        self.snapshots += 1
        try:
            answer = await self._feed.snapshot()
        except AccountRefusedError as error:
            answer = QueryError(str(error), lasting=True)
        except VenueError as error:
            answer = QueryError(str(error))
        self._results(self.machine.on_answer(query, answer, self._now()))

    async def tick(self) -> None:
        """Timers."""
        while True:
            await asyncio.sleep(0.02)
            if self.machine.due_in(self._now()) == 0:
                self._results(self.machine.on_timer(self._now()))


@asynccontextmanager
async def following(feed: AccountFeed, settings: Settings, *, audit_ms: int = 600_000) -> AsyncIterator[Follower]:
    """The account is followed for the length of the block."""
    follower = Follower(feed, settings, audit_ms=audit_ms)
    tasks = [asyncio.ensure_future(follower.stream.run()), asyncio.ensure_future(follower.tick())]
    try:
        yield follower
        assert [task.exception() for task in tasks if task.done()] == []
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
