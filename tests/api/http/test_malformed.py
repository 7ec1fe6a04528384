"""Requests that are none of HTTP are the client's error: answered in the usual form, and counted, no more."""

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from api.__main__ import running_api
from tests.fakes.interface import Deployment

HOST = b"Host: 127.0.0.1\r\n"
MALFORMED = {
    "text that is not ASCII in the path": "GET /api/prices/币 HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "bytes that are no text": b"GET /api/prices/\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "text that is not ASCII in the query": "GET /api/prices?venue=币 HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "a header that is too long": b"GET /api/prices HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 300_000 + b"\r\n\r\n",
    "a first line that is too long": b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "two lengths of the body": b"POST /api/symbols HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n" * 2 + b"\r\nabcde",
    "a length that is none": b"POST /api/symbols HTTP/1.1\r\n" + HOST + b"Content-Length: -5\r\n\r\nabcde",
    "a method that is none": b"G\x00T / HTTP/1.1\r\n" + HOST + b"\r\n",
}
PATIENCE_S = 60


async def answer_of(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), PATIENCE_S)
    finally:
        writer.close()


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_answered_in_the_usual_form_and_only_counted(
    name: str, deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_api(deployment.settings()) as (url, _):
        with capture_logs() as logged:
            answer = await answer_of(int(url.rpartition(":")[2]), MALFORMED[name])

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.partition(b" ")[2].startswith(b"400 ")
    assert b"application/json" in head
    said = json.loads(body)
    assert (said["success"], said["data"], said["error"]["code"]) == (False, None, "bad_request")
    assert len(said["error"]["message"]) <= 300
    assert body.decode().isascii()
    assert [(one["log_level"], one["path"], one["status"]) for one in logged if one["event"] == "request_answered"] == [
        ("debug", "malformed", 400)
    ]
    assert not [one for one in logged if one["log_level"] not in ("debug", "info")]
    assert caplog.records == []
