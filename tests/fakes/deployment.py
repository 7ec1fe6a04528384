"""A whole deployment on loopback: flow and interface in processes of their own, and a client of the hub."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedOK

from tests.fakes.warm import WarmProcess, started

ROOT = Path(__file__).parents[2]
START_S = 240
"""Longest wait for something that should take a second: a bound for broken runs, not a measure."""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningFlow:
    """The flow as `python -m bytewax.run flows.main` in `folder`, told by the environment."""

    def __init__(self, process: WarmProcess, hub_url: str, log: Path) -> None:
        self._process = process
        self.hub_url = hub_url
        self.log = log

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and gives the exit code."""
        self._process.send_signal(number)
        return await asyncio.wait_for(self._process.wait(), START_S)

    async def kill(self) -> None:
        """Ends it as the power does."""
        self._process.kill()
        await self._process.wait()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text()


@asynccontextmanager
async def running_flow(folder: Path, *flags: str, **settings: Any) -> AsyncIterator[RunningFlow]:
    """Starts the flow; settings as `feed__symbols=[…]`. Yields as soon as its hub listens."""
    port = settings.get("hub__port") or free_port()
    chosen = {"hub__port": port, "log__format": "json", "metrics__enabled": False} | settings
    log = folder / "flow.log"
    with log.open("wb") as out:
        process = await started("bytewax.run", "flows.main", *flags, cwd=folder, env=environment_of(chosen), out=out)
    try:
        await until_listening(port, process, log)
        yield RunningFlow(process, f"ws://127.0.0.1:{port}/ws", log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class Server(NamedTuple):
    """A process of this machine that answers over HTTP."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def running_interface(folder: Path, **settings: Any) -> AsyncIterator[Server]:
    """Starts the interface in `folder`; settings as of the flow. Yields as soon as it listens."""
    port = settings.get("api__port") or free_port()
    log = folder / "api.log"
    with log.open("wb") as out:
        told = environment_of({"log__format": "json"} | settings | {"api__port": port})
        process = await started("api", cwd=folder, env=told, out=out)
    try:
        await until_listening(port, process, log)
        yield Server(port, process.pid)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), START_S) == 0, log.read_text()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


SHORT_POLL = 50
"""`feed__poll_frames` for a recording at full speed: on a busy machine a usual poll has more seconds of it than the
messages of a market may be ahead of its time (`flows/operators/time_gate.py`), and what is ahead is refused.
"""


def flow_settings(folder: Path, rest_url: str, mongod_uri: str, **more: Any) -> dict[str, Any]:
    """The settings of a flow that listens to the replay exchange with this REST address, with stores that are named by
    its folder. `more` is what is special to it, and wins.
    """
    return {
        "feed__origin": "replay",
        "feed__ws_url": rest_url.replace("http", "ws", 1),
        "feed__rest_url": rest_url,
        "feed__open_timeout_s": 60,  # a busy machine is no failure
        "mongo__uri": mongod_uri,
        "mongo__database": folder.name,
        "trades__path": str(folder / "trades"),
    } | more


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a process with these settings, named as `feed__symbols`."""
    told = {f"MARKETFLOW_{key.upper()}": _as_text(value) for key, value in settings.items()}
    return {**os.environ, **told, "PYTHONPATH": str(ROOT), "RUST_BACKTRACE": "0"}


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


async def until_listening(port: int, process: WarmProcess | Process, log: Path, *, within_s: float = START_S) -> None:
    """Waits until a process takes connections. `RuntimeError` when it ends before, `TimeoutError` after `within_s`."""
    async with asyncio.timeout(within_s):
        while True:
            if process.returncode is not None:
                raise RuntimeError(f"it ended with {process.returncode}, see {log}")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            await writer.wait_closed()
            return


def without_silence(incidents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The incidents but silences: an exchange that is starved on a busy machine is silent, and the flow says so."""
    return [incident for incident in incidents if incident["kind"] != "silent"]


class HubClient:
    """A client of the hub that keeps everything it was told."""

    def __init__(self, hub: ClientConnection) -> None:
        self._hub = hub
        self.messages: list[dict[str, Any]] = []

    async def subscribe(self, *channels: str) -> None:
        """Asks for channels and waits until the hub has confirmed it."""
        await self._hub.send(json.dumps({"op": "subscribe", "channels": channels}))
        await self.until(lambda message: message["type"] == "Snapshot" and message["data"]["complete"])

    async def until(self, wanted: Any) -> dict[str, Any]:
        """Reads on until a message is as wanted, and gives it."""
        async with asyncio.timeout(START_S):
            while True:
                message: dict[str, Any] = json.loads(await self._hub.recv())
                self.messages.append(message)
                if wanted(message):
                    return message

    async def until_end(self) -> None:
        """Reads on until the hub ends the connection: a flow that stops tells all that it knows before."""
        with contextlib.suppress(ConnectionClosedOK):
            await self.until(lambda _: False)

    async def close(self) -> None:
        """Hears nothing more."""
        await self._hub.close()

    async def until_live(self, lines: int = 2) -> None:
        """Reads on until so many lines of the venue are live: from then on the flow hears whatever the venue says."""
        live = set()

        def is_enough(message: dict[str, Any]) -> bool:
            news = message["data"]["messages"] if message["type"] == "Snapshot" else [message]
            for status in (item["data"] for item in news if item.get("type") == "Status"):
                if status.get("line") and status["state"] == "live":
                    live.add(status["line"])
            return len(live) >= lines

        if not any(is_enough(message) for message in self.messages if message["type"] in ("Snapshot", "Status")):
            await self.until(is_enough)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The data of all messages of a type, in order."""
        return [message["data"] for message in self.messages if message["type"] == kind]


@asynccontextmanager
async def hub_client(url: str) -> AsyncIterator[HubClient]:
    """Connects to a hub."""
    async with connect(url, max_size=None, max_queue=None, ping_interval=None) as hub:
        yield HubClient(hub)
