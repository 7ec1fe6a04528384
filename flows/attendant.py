"""Does what the API asks of the flow: a thread that looks into MongoDB now and then.

What is wanted of an instrument goes to its machine, through the source like everything else, and what became of it
comes back here as a sink. Which instruments are followed at all is looked up first.
"""

import threading
from collections.abc import Callable

import structlog
from pymongo.errors import PyMongoError

from flows.model import Refreshed, RefreshWanted
from flows.wishes import WishDesk
from sinks.requests import Attendant, Request

LOOK_S = 0.5
"""Time between two looks."""
AGAIN_S = 10.0
"""The same while the server is away."""
FIRST_LOOK_S = 2.0
"""Longest wait at start for the first look, so that the source begins with what is wanted."""

_log = structlog.get_logger(__name__)


class RequestDesk:
    """Follows the wishes in MongoDB, takes requests from there, hands them to the flow, and writes back what became of
    them.
    """

    def __init__(
        self, attendant: Attendant, *, venue: str, refresh: Callable[[RefreshWanted], bool], wishes: WishDesk
    ) -> None:
        self._attendant = attendant
        self._venue = venue
        self._refresh = refresh
        self._wishes = wishes
        self._has_looked = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)

    def start(self) -> None:
        """Begins to look; returns after the first time, or when that takes too long."""
        self._thread.start()
        self._has_looked.wait(FIRST_LOOK_S)

    def write(self, batch: list[Refreshed]) -> None:
        """Says what became of requests."""
        for refreshed in batch:
            self._report(refreshed)

    def close(self) -> None:
        """Looks no more."""
        self._stopped.set()

    def _run(self) -> None:
        is_ready = False
        while True:
            try:
                if not is_ready:
                    self._attendant.ensure_indexes()
                    is_ready = True
                self._wishes.look()
                self._has_looked.set()
                while not self._stopped.is_set() and (request := self._attendant.take(self._venue)) is not None:
                    self._hand_on(request)
            except PyMongoError as error:
                _log.debug("wishes and requests cannot be read", reason=str(error))
                is_ready = False
                self._has_looked.set()
            if self._stopped.wait(LOOK_S if is_ready else AGAIN_S):
                return

    def _hand_on(self, request: Request) -> None:
        work = request.work
        timeframes = (work.timeframe,) if work.timeframe else ()
        wanted = RefreshWanted((work.symbol,), request.id, timeframes, work.start or 0, work.end or 0)
        _log.info("refresh wanted", symbol=work.symbol, request=request.id)
        if not self._refresh(wanted):
            self._report(Refreshed(request.id, f"{work.symbol} is not followed by this flow", failed=True))

    def _report(self, refreshed: Refreshed) -> None:
        _log.info("refresh done", request=refreshed.request, report=refreshed.report)
        try:
            self._attendant.report(refreshed.request, "failed" if refreshed.failed else "done", refreshed.report)
        except PyMongoError as error:
            _log.warning("what became of a request cannot be written", request=refreshed.request, reason=str(error))
