"""Runs the queries of machines on the process's event-loop thread and calls back with the answers."""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from typing import Any

import structlog

from flows.loop_thread import EventLoopThread
from flows.queries import Query, QueryError
from sources.rest.client import VenueError

Handler = Callable[[Any], Awaitable[Any]]
MOST_OPEN = 10_000
"""Most queries without an answer; one more is refused, and may be repeated later."""
_LASTING = frozenset((400, 401, 404, 451))
"""Statuses of requests that the venue cannot serve: a repetition gets the same answer."""

_log = structlog.get_logger(__name__)


class QueryDispatcher:
    """Runs each query by the handler of its type; each is answered once, by a value or a `QueryError`. Safe to call
    from any thread.
    """

    def __init__(self, handlers: Mapping[type[Query], Handler], network: EventLoopThread) -> None:
        self._handlers = handlers
        self._network = network
        self._open: set[Future[Any]] = set()
        self._is_closed = False

    def __call__(self, key: str, query: Query, answer: Callable[[Any], None]) -> None:
        """Runs a query of the machine with that key; `answer` may be called on another thread."""
        if self._is_closed:
            answer(QueryError(f"{key}: queries are closed, the process is ending"))
            return
        if len(self._open) >= MOST_OPEN:
            answer(QueryError(f"{key}: {MOST_OPEN} queries are open already"))
            return

        def on_end(run: Future[Any]) -> None:
            self._open.discard(run)
            answer(QueryError(f"{key}: the process is ending, no answer yet") if run.cancelled() else run.result())

        run = self._network.start(self._answer(key, query))
        self._open.add(run)
        run.add_done_callback(on_end)

    def close(self) -> None:
        """Cancels open queries and refuses new ones. Idempotent."""
        self._is_closed = True
        for run in list(self._open):
            run.cancel()

    async def _answer(self, key: str, query: Query) -> Any:
        handler = self._handlers.get(type(query))
        if handler is None:
            return QueryError(f"{key}: no handler for {type(query).__name__}", lasting=True)
        try:
            return await handler(query)
        except QueryError as error:
            return error
        except VenueError as error:
            return QueryError(str(error), lasting=error.status in _LASTING)
        except Exception as error:  # noqa: BLE001 - the machine waits for an answer in any case
            _log.error("query_failed", key=key, query=query, exc_info=error)
            return QueryError(repr(error))
