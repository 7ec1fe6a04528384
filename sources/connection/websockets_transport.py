"""Transport `websockets`: the library of that name, in pure Python."""

import asyncio
from collections.abc import Mapping

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from sources.connection import transport

_QUEUE = (4_096, 1_024)
"""Most messages that the library reads ahead, and the number at which it resumes."""


async def open_socket(
    url: str,
    receive: transport.Receive,
    *,
    timeout_s: float,
    ping_s: float = transport.PING_S,
    headers: Mapping[str, str] = transport.NO_HEADERS,
) -> transport.Socket:
    """See `Open`."""
    try:
        connection = await connect(
            url,
            additional_headers=headers,
            compression=None,
            proxy=transport.proxy_of(url),
            max_size=transport.MAX_MESSAGE_BYTES,
            max_queue=_QUEUE,
            open_timeout=timeout_s,
            close_timeout=transport.CLOSE_S,
            ping_interval=ping_s,
            ping_timeout=ping_s,
        )
    except (OSError, EOFError, TimeoutError, ValueError, ImportError, WebSocketException) as error:
        raise transport.not_opened(error) from error
    return _WebsocketsSocket(connection, receive)


class _WebsocketsSocket:
    def __init__(self, connection: ClientConnection, receive: transport.Receive) -> None:
        self._connection = connection
        self._receive = receive
        self._is_paused = False
        self._resumed = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except ConnectionClosed as error:
            raise transport.TransportError(_why(error)) from error

    def pause(self) -> None:
        self._is_paused = True
        self._resumed.clear()

    def resume(self) -> None:
        self._is_paused = False
        self._resumed.set()

    @property
    def descriptor(self) -> int:
        return transport.descriptor_of(self._connection.transport)

    async def wait_ended(self) -> str:
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        await self._connection.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> str:
        take, receive = self._connection.recv, self._receive
        try:
            while True:
                receive(await take(decode=False))
                if self._is_paused:
                    await self._resumed.wait()
        except ConnectionClosed as error:
            return _why(error)


def _why(error: ConnectionClosed) -> str:
    if error.rcvd is not None:
        return transport.closed_by_venue(error.rcvd.code, error.rcvd.reason)
    return transport.cut(error.sent.reason if error.sent is not None else "")
