"""Polls MongoDB for commands from the API and executes them, in its own thread.

A request for an instrument goes to its machine through the source, like all input; its result returns to the poller as
to a sink. Desired subscriptions are applied first.

A request that was taken always ends: with the machine's answer, once the candles that came before it are stored; when
its symbol is not or no longer followed; or when no answer comes. One that has not ended when the flow ends is reopened,
and done by the next flow.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

import structlog
from msgspec import Struct
from pymongo.errors import PyMongoError

from flows.model import RefreshRequest, RefreshResult, Removed
from flows.runtime.subscriptions import SubscriptionController
from flows.texts import database_reason
from sinks.mongo.commands import CommandConsumer, Request

LOOK_S = 0.5
"""Time between two polls."""
AGAIN_S = 10.0
"""The same while the server is unavailable."""
FIRST_LOOK_S = 2.0
"""Longest wait at the start for the first poll, so that the source starts with the desired subscriptions."""
READY_S = 60.0
"""How long a request waits for the source to be ready for it."""
ANSWER_S = 900.0
"""Time after which a request without an answer has failed."""
STOP_S = 3.0
"""Longest wait for the last poll at the close."""
MOST_RUNNING = 100
"""Most running requests; the others stay open."""

_log = structlog.get_logger(__name__)


Mark: TypeAlias = Callable[[], Callable[[], bool]]
"""Marks what a store has taken; the function returned tells whether all of that is stored. Of any thread."""


class _Running(Struct, frozen=True):
    symbol: str
    since_s: float
    """Monotonic clock."""


class _Ended(Struct):
    result: RefreshResult
    is_stored: Callable[[], bool] | None = None
    """Of the candles that came before the answer; None until the next poll, as they may come from another worker."""


class _Share(NamedTuple):
    """The share of requests of this process."""

    venue: str
    is_own: Callable[[str], bool]
    """Whether a symbol is in the share."""


class CommandPoller:
    """Applies the desired subscriptions in MongoDB, passes requests to the flow, and stores their results."""

    def __init__(
        self,
        commands: CommandConsumer,
        *,
        venue: str,
        refresh: Callable[[RefreshRequest], bool],
        subscriptions: SubscriptionController,
        is_own: Callable[[str], bool] = lambda _: True,
        mark: Mark = lambda: lambda: True,
        local_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`is_own`: whether a symbol is in this process's share. `mark` is that of the store of candles."""
        self._commands = commands
        self._share = _Share(venue, is_own)
        self._refresh = refresh
        self._subscriptions = subscriptions
        self._mark = mark
        self._local_s = local_s
        self._ended: dict[str, _Ended] = {}
        """By request: what is not written yet."""
        self._running: dict[str, _Running] = {}
        self._early: dict[str, float] = {}
        """Requests taken before the source was ready, and since when they wait."""
        self._lock = threading.Lock()
        self._has_looked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)

    def start(self) -> None:
        """Starts polling."""
        self._thread.start()

    def wait_first(self) -> None:
        """Returns after the first poll, or when that takes too long."""
        self._has_looked.wait(FIRST_LOOK_S)

    def write(self, batch: list[RefreshResult | Removed]) -> None:
        """Takes results of requests. The machine of a `Removed` symbol has ended, and with it its requests."""
        for item in batch:
            if isinstance(item, RefreshResult):
                self._end(item, None)
            else:
                self._end_of(item.symbols, "its streams have been removed")

    def close(self) -> None:
        """Stops polling, writes the results that can be written, and reopens the other requests."""
        self._stopped.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(STOP_S)  # what it takes meanwhile is reopened too
        try:
            self._report_ended()
            with self._lock:
                given_back = [*self._running, *self._ended]
                self._running, self._ended = {}, {}
            if given_back:
                self._commands.reopen(given_back)
        except PyMongoError as error:
            _log.warning("requests_not_reopened", reason=database_reason(error))

    def _run(self) -> None:
        is_ready = has_begun = False
        while True:
            try:
                self._subscriptions.look()
                self._has_looked.set()
                if not is_ready:
                    self._commands.ensure_indexes()
                    is_ready = True
                if not has_begun:
                    self._give_back_older()
                    has_begun = True
                self._end_unfollowed()
                self._report_ended()
                self._take_all()
            except PyMongoError as error:
                _log.debug("commands_unreadable", reason=database_reason(error))
                is_ready = False
                self._has_looked.set()
            if self._stopped.wait(LOOK_S if is_ready else AGAIN_S):
                return

    def _give_back_older(self) -> None:
        """Reopens what an earlier flow left running."""
        with self._lock:
            known = set(self._running)
        venue, is_own = self._share
        left = [request for request in self._commands.running(venue) if is_own(request.work.symbol)]
        self._commands.reopen(request.id for request in left if request.id not in known)

    def _take_all(self) -> None:
        while not self._stopped.is_set() and len(self._running) < MOST_RUNNING:
            request = self._commands.take(self._share.venue, is_own=self._share.is_own)
            if request is None or not self._hand_on(request):
                return

    def _hand_on(self, request: Request) -> bool:
        """Passes a request to the flow; False when the source is not ready for it yet."""
        work = request.work
        timeframes = (work.timeframe,) if work.timeframe else ()
        wanted = RefreshRequest(
            (work.symbol,), request.id, timeframes, work.start or 0, work.end or 0, is_stored=work.kind == "republish"
        )
        if not self._subscriptions.follows(work.symbol):
            self._subscriptions.look()  # its subscription may be newer than the last poll
        now_s = self._local_s()
        with self._lock:
            self._running[request.id] = _Running(work.symbol, now_s)  # before the answer can arrive
        if self._refresh(wanted):
            _log.info("refresh_requested", symbol=work.symbol, request=request.id)
            self._early.pop(request.id, None)
            return True
        if self._subscriptions.follows(work.symbol) and now_s - self._early.setdefault(request.id, now_s) < READY_S:
            with self._lock:
                self._running.pop(request.id, None)
            self._commands.reopen([request.id])
            return False
        self._early.pop(request.id, None)
        self._end(RefreshResult(request.id, f"{work.symbol} is not followed by this flow", failed=True))
        return True

    def _end_unfollowed(self) -> None:
        """Ends the requests whose symbol is no longer followed, and those without an answer in time."""
        with self._lock:
            running = dict(self._running)
        self._end_of(
            {one.symbol for one in running.values() if not self._subscriptions.follows(one.symbol)}, "it was removed"
        )
        late_s = self._local_s() - ANSWER_S
        for request_id, one in running.items():
            if one.since_s < late_s:
                self._end(RefreshResult(request_id, f"{one.symbol}: no answer within {ANSWER_S:g} s", failed=True))

    def _end_of(self, symbols: Iterable[str], reason: str) -> None:
        """Ends every request about these symbols."""
        gone = frozenset(symbols)
        with self._lock:
            ended = {request_id: one.symbol for request_id, one in self._running.items() if one.symbol in gone}
        for request_id, symbol in ended.items():
            self._end(RefreshResult(request_id, f"{symbol} is not followed any more: {reason}", failed=True))

    def _end(self, result: RefreshResult, is_stored: Callable[[], bool] | None = lambda: True) -> None:
        """Ends a request, once: its result is written by the thread of the poller."""
        with self._lock:
            if self._running.pop(result.request, None) is not None:
                self._ended[result.request] = _Ended(result, is_stored)

    def _report_ended(self) -> None:
        """Writes the results whose candles are stored: who reads `done` finds them."""
        with self._lock:
            ended = list(self._ended.values())
        for one in ended:
            if one.is_stored is None:
                one.is_stored = self._mark()
            if not one.is_stored():
                continue
            result = one.result
            self._commands.report(result.request, "failed" if result.failed else "done", result.report)
            _log.info("refresh_done", request=result.request, report=result.report)
            with self._lock:
                self._ended.pop(result.request, None)
