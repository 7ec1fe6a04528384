"""Responses in the envelope `{"success", "data", "error"}`, gzipped where it pays."""

from typing import Any, Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.web import ContentCoding

from api.http.errors import ErrorBody, Problem

COMPRESS_BYTES: Final = 2_048
"""Shorter responses are not compressed."""
_JSON = msgspec.json.Encoder()


def success(request: web.Request, data: Any, *, status: int) -> web.Response:
    """The response with the data, encoded as JSON."""
    body = bytearray(b'{"success":true,"data":')
    _JSON.encode_into(data, body, -1)
    body += b',"error":null}'
    response = web.Response(body=body, status=status, content_type="application/json")
    if len(body) >= COMPRESS_BYTES and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        response.enable_compression(ContentCoding.gzip)
    return response


def failure(problem: Problem, *, request_id: str) -> web.Response:
    """The error response of a `Problem`."""
    error = ErrorBody(problem.code, problem.message, request_id, problem.nearest, problem.collecting)
    response = web.Response(
        body=b'{"success":false,"data":null,"error":' + _JSON.encode(error) + b"}",
        status=problem.status,
        content_type="application/json",
    )
    if problem.retry_after_s:
        response.headers[hdrs.RETRY_AFTER] = str(problem.retry_after_s)
    if problem.code == "unauthorized":
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response
