"""The server that is checked: its REST interface, and conversations over its WebSocket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

from flows.process.proxy import is_loopback, trusted_by
from sources.connection.transport import proxy_of

LARGEST_FRAME: Final = 32 << 20
LARGEST_ANSWER: Final = 64 << 20
"""Bytes; `exchangeInfo` of all symbols has about 15 MiB."""
_OK: Final = 200


class Answer(NamedTuple):
    """An answer of REST."""

    status: int
    body: Any
    headers: httpx.Headers


class Conversation:
    """An open WebSocket. Frames are JSON; every wait ends with the rule's own time."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, request: object) -> None:
        """Sends a request; a text as it is."""
        await self._socket.send(request if isinstance(request, str) else json.dumps(request))

    async def receive(self) -> Any:
        """The next frame."""
        return json.loads(await self._socket.recv())

    async def reply(self, request: object) -> dict[str, Any]:
        """Sends a request and gives what answers it, which has no stream and is no event."""
        await self.send(request)
        while True:
            message = await self.receive()
            if isinstance(message, dict) and not message.keys() & {"stream", "e"} and not _is_book(message):
                return message

    async def is_silent(self, for_s: float) -> bool:
        """Whether nothing comes for a time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await self._socket.recv()
                return False
        return True

    async def answers_ping(self, payload: bytes) -> None:
        """Sends a ping and waits for the pong with its payload."""
        await (await self._socket.ping(payload))


def _is_book(message: dict[str, Any]) -> bool:
    """Best bid and ask, and partial books, of spot have no event type."""
    return "lastUpdateId" in message or "u" in message


class Seen(NamedTuple):
    """What the streams brought."""

    messages: dict[str, list[dict[str, Any]]]
    snapshot: dict[str, Any]
    """A book of REST that was queried meanwhile."""

    def of(self, stream: str) -> list[dict[str, Any]]:
        """The messages of a stream, in their order."""
        return self.messages.get(stream, [])


class Peer:
    """A server of Binance's protocol, and what it sent while it was listened to."""

    def __init__(self, rest_url: str, ws_url: str, *, market: str, symbol: str) -> None:
        """`market` is `spot` or `usdm`; `symbol` is a market that trades often."""
        self.market, self.symbol = market, symbol
        self._ws_url = ws_url.rstrip("/")
        self._base = "/api/v3" if market == "spot" else "/fapi/v1"
        self._http = httpx.AsyncClient(
            base_url=rest_url.rstrip("/"),
            verify=trusted_by(rest_url),
            trust_env=not is_loopback(rest_url),
            timeout=30.0,
        )
        self.seen = Seen({}, {})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def get(self, path: str, **parameters: Any) -> Answer:
        """The answer to a query, whatever its status; `path` is below the interface's version. `ValueError` when it is
        no JSON, or larger than `LARGEST_ANSWER`.
        """
        async with self._http.stream("GET", f"{self._base}/{path}", params=parameters) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise ValueError(f"the answer has more than {LARGEST_ANSWER >> 20} MiB")
            return Answer(response.status_code, json.loads(body), response.headers)

    async def good(self, path: str, **parameters: Any) -> Any:
        """The body of an answer with status 200; `ValueError` with another."""
        answer = await self.get(path, **parameters)
        if answer.status != _OK:
            raise ValueError(f"status {answer.status}: {answer.body}")
        return answer.body

    @asynccontextmanager
    async def open(self, path: str) -> AsyncIterator[Conversation]:
        """A connection to a path, as `/ws/btcusdt@aggTrade`."""
        url = self._ws_url + path
        async with connect(url, max_size=LARGEST_FRAME, proxy=proxy_of(url)) as socket:
            yield Conversation(socket)

    def route_of(self, stream: str) -> str:
        """The route that carries a stream: spot has none."""
        if self.market == "spot":
            return ""
        is_public = any(word in stream for word in ("@depth", "@bookTicker", "@trade"))
        return "/public" if is_public else "/market"

    async def listen(self, streams: Sequence[str], for_s: float) -> None:
        """Takes what these streams bring within a time, and in the middle of it a book of REST."""
        by_route: dict[str, list[str]] = {}
        for stream in streams:
            by_route.setdefault(self.route_of(stream), []).append(stream)
        messages: dict[str, list[dict[str, Any]]] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                takes = [self._take(route, names, messages) for route, names in by_route.items()]
                await asyncio.gather(*takes, self._take_snapshot(for_s / 2))
        self.seen = Seen(messages, self.seen.snapshot)

    async def _take(self, route: str, streams: Sequence[str], messages: dict[str, list[dict[str, Any]]]) -> None:
        async with self.open(f"{route}/stream?streams={'/'.join(streams)}") as line:
            while True:
                frame = await line.receive()
                messages.setdefault(frame["stream"], []).append(frame["data"])

    async def _take_snapshot(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self.seen = Seen({}, await self.good("depth", symbol=self.symbol, limit=1_000))
