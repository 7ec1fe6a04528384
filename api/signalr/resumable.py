"""The WebSockets of one client, one after another: another one follows where the client comes back after a cut."""

import asyncio
from collections.abc import AsyncIterator, Callable

from api.signalr.transports import WebSocketTransport


class ResumableTransport:
    """A `Transport` that stays open without connection once `is_kept`."""

    takes_binary = True

    def __init__(self, line: WebSocketTransport) -> None:
        self.is_kept = False
        """Whether the client may come back."""
        self.on_writable: Callable[[], None] = lambda: None
        """Called when there is room again, or the connection is cut."""
        self.on_cut: Callable[[], None] = lambda: None
        """Called when what is read next comes over another connection."""
        self._line = line
        self._unread = [line]
        self._is_open = True
        self._changed = asyncio.Event()
        line.on_writable = self._on_writable

    @property
    def is_open(self) -> bool:
        """Whether messages may still come."""
        return self._is_open and (self.is_kept or self._line.is_open)

    @property
    def is_away(self) -> bool:
        """Whether the client has no connection."""
        return not self._line.is_open

    def has_fetched(self) -> bool:
        """Always unknown: the client sends pings."""
        return False

    def replace(self, line: WebSocketTransport) -> None:
        """The client has come back over another connection; the one before is cut."""
        before, self._line = self._line, line
        self._unread.append(line)
        line.on_writable, before.on_writable = self._on_writable, lambda: None
        before.cut()
        self._changed.set()

    async def frames(self) -> AsyncIterator[bytes]:
        """What the client sends, until the end: all that has come over a connection before what comes over the next."""
        while True:
            line = self._unread[0]
            async for frame in line.frames():
                yield frame
            if line.has_left and line is self._line:
                self._is_open = False
            while self.is_open and line is self._line:
                await self.wait_room()
            if not self.is_open:
                return
            self._unread.remove(line)
            self.on_cut()

    def write(self, records: bytes, *, is_binary: bool) -> bool:
        """Sends finished messages; False when there is no more room."""
        return self._line.write(records, is_binary=is_binary)

    def begin_close(self, code: int, reason: str) -> None:
        """Begins to close the connection; the client cannot come back."""
        self._is_open = False
        self._line.begin_close(code, reason)
        self._changed.set()

    async def wait_room(self) -> None:
        """Waits until there is room again, or the connection changes."""
        self._changed.clear()
        await self._changed.wait()

    async def wait_closing(self) -> None:
        """Returns when a close that was begun is over; nothing more is read."""
        self._is_open = False
        await self._line.wait_closing()
        for line in self._unread:
            line.is_read.set()

    def _on_writable(self) -> None:
        self.on_writable()
        self._changed.set()
