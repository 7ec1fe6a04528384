"""Responses in the envelope `{"success", "data", "error"}`, gzipped where it pays."""

from typing import Any, Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.web import ContentCoding

from api.http.errors import ErrorBody, Problem

COMPRESS_BYTES: Final = 2_048
"""Shorter responses are not compressed."""
_JSON = msgspec.json.Encoder(decimal_format="number")


def success(request: web.Request, data: Any, *, status: int) -> web.Response:
    """The response with the data, encoded as JSON."""
    body = bytearray(b'{"success":true,"data":')
    _JSON.encode_into(data, body, -1)
    body += b',"error":null}'
    response = web.Response(body=body, status=status, content_type="application/json")
    response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    if len(body) >= COMPRESS_BYTES and accepts_gzip(request.headers.get(hdrs.ACCEPT_ENCODING, "")):
        response.enable_compression(ContentCoding.gzip)
    return response


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a header `Accept-Encoding` allows gzip (RFC 9110, 12.5.3): by name, else by `*`; weight 0 is a no."""
    weights = dict(map(_weighted, accept_encoding.split(",")))
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weighted(part: str) -> tuple[str, float]:
    coding, _, parameters = part.partition(";")
    name, _, value = parameters.partition("=")
    try:
        weight = float(value) if name.strip().lower() == "q" else 1.0
    except ValueError:
        weight = 0.0
    return coding.strip().lower(), weight


def failure_body(problem: Problem, *, request_id: str) -> bytes:
    """The envelope of a `Problem`."""
    error = ErrorBody(problem.code, problem.message, request_id, problem.nearest, problem.collecting)
    return b'{"success":false,"data":null,"error":' + _JSON.encode(error) + b"}"


def failure(problem: Problem, *, request_id: str) -> web.Response:
    """The error response of a `Problem`."""
    response = web.Response(
        body=failure_body(problem, request_id=request_id),
        status=problem.status,
        content_type="application/json",
    )
    if problem.retry_after_s:
        response.headers[hdrs.RETRY_AFTER] = str(problem.retry_after_s)
    if problem.code == "unauthorized":
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response
