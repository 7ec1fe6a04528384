"""An HTTP client that costs next to nothing, and a bare server to compare with."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from aiohttp import web

from tests.benchmarks.around import cpu_s
from tests.fakes.deployment import Server

_SPAWN = multiprocessing.get_context("spawn")
_LENGTH = b"content-length:"


class Asker:
    """One connection that is kept open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> "Asker":
        """Connects."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24))

    async def get(self, path: str) -> bytes:
        """The body of a 200."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line[len(_LENGTH) :]) for line in head.split(b"\r\n") if line.startswith(_LENGTH))
        body = await self._reader.readexactly(length)
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"{path}: {body.decode()}")
        return body

    def close(self) -> None:
        """Hangs up."""
        self._writer.close()


async def delays_ms(port: int, path: str, *, per_s: int, seconds: float) -> list[float]:
    """How long each of so many evenly spaced requests took, counted from when it was due."""
    askers = [await Asker.to(port) for _ in range(8)]
    free = asyncio.Queue[Asker]()
    for asker in askers:
        free.put_nowait(asker)
    begin_s = time.perf_counter()

    async def ask(number: int) -> float:
        due_s = begin_s + number / per_s
        await asyncio.sleep(due_s - time.perf_counter())
        asker = await free.get()
        await asker.get(path)
        free.put_nowait(asker)
        return (time.perf_counter() - due_s) * 1_000

    found = await asyncio.gather(*(ask(number) for number in range(int(per_s * seconds))))
    for asker in askers:
        asker.close()
    return found


async def requests_per_cpu_s(
    server: Server, path: str, *, seconds: float, beside: float = 0.0, connections: int = 8
) -> float:
    """How many requests a server answers in a second of a core, each connection with one under way. What it does
    `beside` that, in cores, is not counted.
    """
    askers = [await Asker.to(server.port) for _ in range(connections)]
    begin_s, before_s = time.perf_counter(), cpu_s(server.pid)

    async def ask(asker: Asker) -> int:
        count = 0
        while time.perf_counter() < begin_s + seconds:
            await asker.get(path)
            count += 1
        asker.close()
        return count

    answered = sum(await asyncio.gather(*map(ask, askers)))
    return answered / (cpu_s(server.pid) - before_s - beside * (time.perf_counter() - begin_s))


@contextmanager
def bare_server(bodies: dict[str, bytes]) -> Iterator[Server]:
    """Bare aiohttp in a process of its own: `/same/<name>` gives the bytes, `/encoded/<name>` decodes them once and
    encodes them for every request.
    """
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_serve, args=(theirs, bodies), daemon=True)
    process.start()
    try:
        yield Server(ours.recv(), process.pid or 0)
    finally:
        process.kill()
        process.join()


def _serve(parent: Any, bodies: dict[str, bytes]) -> None:
    decoded = {name: orjson.loads(body) for name, body in bodies.items()}

    async def same(request: web.Request) -> web.Response:
        return web.Response(body=bodies[request.match_info["name"]], content_type="application/json")

    async def encoded(request: web.Request) -> web.Response:
        body = orjson.dumps(decoded[request.match_info["name"]])
        return web.Response(body=body, content_type="application/json")

    async def run() -> None:
        application = web.Application()
        application.add_routes([web.get("/same/{name}", same), web.get("/encoded/{name}", encoded)])
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        parent.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())
