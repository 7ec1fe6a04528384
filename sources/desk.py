"""Runs what machines ask on the process's network thread, and calls back with what came of it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog

from flows.asks import Ask, AskError
from sources.network import NetworkThread
from sources.rest import VenueError

Handler = Callable[[Any], Awaitable[Any]]

_log = structlog.get_logger(__name__)


class AskDesk:
    """The runner of asks: each goes to the handler of its type. An answer is a value, or an `AskError`."""

    def __init__(self, handlers: Mapping[type[Ask], Handler], network: NetworkThread) -> None:
        self._handlers = handlers
        self._network = network

    def __call__(self, key: str, ask: Ask, answer: Callable[[Any], None]) -> None:
        """Runs an ask of the machine with that key."""
        self._network.start(self._run(key, ask, answer))

    async def _run(self, key: str, ask: Ask, answer: Callable[[Any], None]) -> None:
        handler = self._handlers.get(type(ask))
        if handler is None:
            answer(AskError(f"{key}: nobody answers {type(ask).__name__} here", lasting=True))
            return
        try:
            answer(await handler(ask))
        except AskError as error:
            answer(error)
        except VenueError as error:
            answer(AskError(str(error), lasting=error.status in (400, 404)))
        except Exception as error:  # noqa: BLE001 - whatever happened, the machine waits for an answer
            _log.error("an ask was not answered", key=key, ask=ask, exc_info=error)
            answer(AskError(repr(error)))
