"""Requests that are none of HTTP: a client's error, so it costs no line of its own above DEBUG. Broken responses."""

from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from api.http.access_log import AccessLog
from api.http.errors import Problem
from api.http.responses import failure
from flows.foreign import visible

PATH: Final = "malformed"
"""What stands for the path of such a request in the log."""
_MOST_SHOWN: Final = 200

_log = structlog.get_logger(__name__)

OnMalformed = Callable[[int], None]
"""Called with the status of the answer."""


class ApiProtocol(web.RequestHandler):
    """The server's protocol of one connection. Its answers to malformed requests have the form of all errors."""

    __slots__ = ("_counted_by", "_on_malformed")

    def __init__(self, server: web.Server, *, counted_by: AccessLog, on_malformed: OnMalformed, **options: Any) -> None:
        """`options` are those of aiohttp's protocol."""
        super().__init__(server, **options)
        self._counted_by = counted_by
        self._on_malformed = on_malformed

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to a request that cannot be read. A problem after the begin of a response ends the connection
        with a line in the log. Anything else that fails is the server's own error.
        """
        if isinstance(exc, Problem) and request.writer.output_size:
            _log.warning("response_broken_off", path=visible(request.path, limit=_MOST_SHOWN), reason=exc.message)
            raise ConnectionError(exc.message) from exc
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        reason = visible(" ".join(exc.message.split()), limit=_MOST_SHOWN)
        request_id = uuid4().hex
        problem = Problem("bad_request", f"the request is not HTTP as it should be: {reason}")
        response = failure(problem, request_id=request_id)
        response.force_close()
        self._counted_by.on_answer(method="none", path=PATH, status=response.status, seconds=0.0, request_id=request_id)
        self._on_malformed(response.status)
        return response
