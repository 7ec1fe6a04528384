"""Runs what machines ask on the process's network thread, and calls back with what came of it."""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any

import structlog

from flows.loop_thread import EventLoopThread
from flows.queries import Query, QueryError
from sources.rest.client import VenueError

Handler = Callable[[Any], Awaitable[Any]]
MOST_OPEN = 10_000
"""Asks without an answer yet; one more is refused, and may be asked again later."""
_LASTING = frozenset((400, 401, 404, 451))
"""What the venue does not take, show or have: asked again, it says the same."""

_log = structlog.get_logger(__name__)


class QueryDispatcher:
    """The runner of queries: each goes to the handler of its type, and is answered once, by a value or a `QueryError`.
    Safe to call from any thread.
    """

    def __init__(self, handlers: Mapping[type[Query], Handler], network: EventLoopThread) -> None:
        self._handlers = handlers
        self._network = network
        self._open: set[Future[Any]] = set()
        self._is_closed = False

    def __call__(self, key: str, query: Query, answer: Callable[[Any], None]) -> None:
        """Runs a query of the machine with that key."""
        if self._is_closed:
            answer(QueryError(f"{key}: nobody answers any more, for the end has come"))
            return
        if len(self._open) >= MOST_OPEN:
            answer(QueryError(f"{key}: {MOST_OPEN} asks are without an answer yet"))
            return

        def on_end(run: Future[Any]) -> None:
            self._open.discard(run)
            answer(QueryError(f"{key}: the end came before the answer") if run.cancelled() else run.result())

        run = self._network.start(self._answer(key, query))
        self._open.add(run)
        run.add_done_callback(on_end)

    def close(self) -> None:
        """Gives up what is open, and refuses what comes. Closing twice is harmless."""
        self._is_closed = True
        for run in list(self._open):
            run.cancel()

    async def _answer(self, key: str, query: Query) -> Any:
        handler = self._handlers.get(type(query))
        if handler is None:
            return QueryError(f"{key}: nobody answers {type(query).__name__} here", lasting=True)
        try:
            return await handler(query)
        except QueryError as error:
            return error
        except VenueError as error:
            return QueryError(str(error), lasting=error.status in _LASTING)
        except Exception as error:  # noqa: BLE001 - whatever happened, the machine waits for an answer
            _log.error("a query was not answered", key=key, query=query, exc_info=error)
            return QueryError(repr(error))
