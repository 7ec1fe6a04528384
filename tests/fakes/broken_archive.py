"""A server of one file on loopback that breaks off, forgets what a range is, changes its file, or refuses, as told."""

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from msgspec import Struct


class Harm(Struct):
    """What is done to one answer."""

    status: int = 0
    """Refused with it."""
    headers: dict[str, str] = {}
    cut_after: int | None = None
    """Bytes after which the connection is cut."""
    is_held: bool = False
    """Instead, nothing more comes until the client is gone."""
    new_content: bytes | None = None
    """The file becomes this one behind the answer."""


class BrokenArchive:
    """Serves `content` at any path, but for those that end in `.CHECKSUM`, which get `checksum`. Each answer of the
    file takes the next harm, the last ones take none.
    """

    def __init__(self, content: bytes, *, checksum: str | None = None) -> None:
        self.content = content
        self.checksum = checksum
        self.harms: list[Harm] = []
        self.knows_ranges = True
        self.knows_if_range = True
        self.has_etag = True
        self.asked: list[tuple[str, str]] = []
        """`Range` and `If-Range` of each question for the file."""
        self.sent = 0
        """Bytes of the file that were handed over."""

    def etag(self) -> str:
        return f'"{hash(self.content) & 0xFFFF_FFFF:x}"' if self.has_etag else ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith(".CHECKSUM"):
            return web.Response(text=self.checksum) if self.checksum is not None else web.Response(status=404)
        self.asked.append((request.headers.get("Range", ""), request.headers.get("If-Range", "")))
        harm = self.harms.pop(0) if self.harms else Harm()
        if harm.status:
            return web.Response(status=harm.status, headers=harm.headers)
        content, begin = self.content, self._begin(request)
        if begin >= len(content) > 0:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
        response = web.StreamResponse(status=206 if begin else 200)
        response.content_length = len(content) - begin
        if begin:
            response.headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if self.has_etag:
            response.headers["ETag"] = self.etag()
        await response.prepare(request)
        part = content[begin:] if harm.cut_after is None else content[begin : begin + harm.cut_after]
        await response.write(part)
        self.sent += len(part)
        if harm.new_content is not None:
            self.content = harm.new_content
        while harm.is_held and request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        if harm.cut_after is not None and request.transport is not None:
            await asyncio.sleep(0)
            request.transport.close()
        return response

    def _begin(self, request: web.Request) -> int:
        match = re.fullmatch(r"bytes=([0-9]+)-", request.headers.get("Range", ""))
        is_other = self.knows_if_range and request.headers.get("If-Range", self.etag()) != self.etag()
        return int(match[1]) if match and self.knows_ranges and not is_other else 0


@contextmanager
def served(archive: BrokenArchive) -> Iterator[str]:
    """Serves it from a thread of its own; yields its address."""
    loop, ready, addresses = asyncio.new_event_loop(), threading.Event(), list[str]()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/{path:.*}", archive.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        addresses.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
