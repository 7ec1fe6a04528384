"""Serves metrics over HTTP from its own thread and loop, with limits on everything that a peer may hold.

After each response the connection is closed; there is no keep-alive and no body. A peer that sends no complete request
in time, or does not read the response, is cut off; of too many connections the oldest is.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app

from flows.loop_thread import EventLoopThread
from flows.process.descriptor_room import ACCEPTED_AT_ONCE, QUEUED

REQUEST_S: Final = 10.0
"""Longest time from the begin of a connection to the end of the request, and again for the response."""
MOST_CONNECTIONS: Final = 32
"""Connections at a time; with one more the oldest is cut."""
MOST_HEADER_BYTES: Final = 8_192

_HEAD_ENDS = b"\r\n\r\n"
_PASSED_ON = {"accept": "HTTP_ACCEPT", "accept-encoding": "HTTP_ACCEPT_ENCODING"}
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_log = structlog.get_logger(__name__)


class MetricsServer:
    """A server of one registry; it lives as long as the process, or until `close`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        host: str,
        port: int,
        request_s: float = REQUEST_S,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        """Opens the port and serves it. `OSError` when it cannot be opened."""
        self._answer = _answerer(registry)
        self._request_s = request_s
        self._most = most_connections
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._listener = _listen(host, port)
        self.port: int = self._listener.getsockname()[1]
        self._stop = asyncio.Event()
        self._thread = EventLoopThread("metrics")
        self._serving = self._thread.start(self._serve())

    def close(self) -> None:
        """Closes the port and all connections."""
        self._thread.call(self._stop.set)
        wait([self._serving])
        self._thread.close()

    async def _serve(self) -> None:
        try:
            await self._answer_until_stopped()
        except Exception:
            _log.exception("metrics_server_failed")
            raise

    async def _answer_until_stopped(self) -> None:
        server = await asyncio.start_server(
            self._follow, sock=self._listener, limit=MOST_HEADER_BYTES, backlog=ACCEPTED_AT_ONCE
        )
        self._listener.listen(QUEUED)
        await self._stop.wait()
        server.close()
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _follow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server runs it as one
        if len(self._open) >= self._most:
            self._open.pop(next(iter(self._open))).transport.abort()
        self._open[task] = writer
        try:
            async with asyncio.timeout(self._request_s):
                head = await reader.readuntil(_HEAD_ENDS)
            writer.write(self._answer(head))
            async with asyncio.timeout(self._request_s):
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the connection ends here
        finally:
            self._open.pop(task, None)
            writer.transport.abort()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def _answerer(registry: CollectorRegistry) -> Callable[[bytes], bytes]:
    """A function that returns the complete response to a request's head."""
    application: Any = make_wsgi_app(registry)

    def answer(head: bytes) -> bytes:
        environment = environment_of(head)
        if environment is None:
            return _BAD_REQUEST
        started: list[tuple[str, list[tuple[str, str]]]] = []
        body: Iterable[bytes] = application(environment, lambda status, headers: started.append((status, headers)))
        content = b"".join(body)
        [(status, headers)] = started
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        lines += [f"Content-Length: {len(content)}", "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1") + content

    return answer


def environment_of(head: bytes) -> dict[str, str] | None:
    """The WSGI environment of a request; None for an invalid one."""
    first, *lines = head.removesuffix(_HEAD_ENDS).decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):  # noqa: PLR2004
        return None
    path, _, query = words[1].partition("?")
    headers = (line.partition(":") for line in lines)
    shown = {_PASSED_ON[name.lower()]: value.strip() for name, _, value in headers if name.lower() in _PASSED_ON}
    return {"REQUEST_METHOD": words[0], "PATH_INFO": path, "QUERY_STRING": query, **shown}
