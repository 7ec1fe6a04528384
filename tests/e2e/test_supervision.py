"""The demo under its supervisor: each process is killed in turn and comes back, and the stores are complete."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession

from tests.fakes.deployment import environment_of, free_port, hub_client
from tests.fakes.twins import trades_of
from tests.fakes.witness import Witness
from tests.flows.supervision.supervised import is_gone

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PATIENCE_S = 240
"""Longest wait for something that should take seconds: a bound for broken runs, not a measure."""
ORDER = ("api", "flow", "mongod", "exchange")
SETTLE_S = 5
"""What is newer than this is not verified, as its writing may be under way."""


class Demo:
    """The running demo and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process, ports: dict[str, int], mongo_port: int) -> None:
        self.process = process
        self.ports = ports
        self.mongo_port = mongo_port
        self.said: list[str] = []
        self._news = asyncio.Event()

    async def read(self) -> None:
        """Keeps what it says, to its end."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode())
            self._news.set()

    async def until_said(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Waits until a line is said, among those from a place on."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._news.clear()
                for line in self.said[after:]:
                    if found := re.search(pattern, line):
                        return found
                assert self.process.returncode is None, "".join(self.said)
                await self._news.wait()

    async def pid_of(self, name: str, *, after: int = 0) -> int:
        """The process that was started last."""
        return int((await self.until_said(rf"\| {name} is started \(pid (\d+)", after=after))[1])


@asynccontextmanager
async def running_demo(folder: Path) -> AsyncIterator[Demo]:
    ports = {name: free_port() for name in ("hub__port", "api__port", "metrics__port", "replay__port")}
    mongo_port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows", "demo", "--venues", "binance", "--mongo-port", str(mongo_port),
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, limit=1_000_000,
        env=environment_of(ports),
    )  # fmt: skip
    demo = Demo(process, ports, mongo_port)
    reading = asyncio.create_task(demo.read())
    try:
        yield demo
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def candles_come(demo: Demo, *, closed: bool = False) -> None:
    """Waits until the hub brings a candle that changes now, or closes."""
    url = f"ws://127.0.0.1:{demo.ports['hub__port']}/ws"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with hub_client(url) as client:
                    await client.subscribe("Candle")
                    while True:
                        data = (await client.until(lambda message: message["type"] == "Candle"))["data"]
                        if not closed or (data["timeframe"] == "1m" and data["candle"]["is_closed"]):
                            return
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)


async def api_answers(demo: Demo) -> None:
    """Waits until the interface says that everything is there and current."""
    async with asyncio.timeout(PATIENCE_S), ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{demo.ports['api__port']}/health/ready") as response:
                    if response.status == 200:
                        return
            except ClientError:
                pass
            await asyncio.sleep(0.2)


async def verified(folder: Path) -> tuple[int | None, str]:
    """Exit code and words of the verification of everything against the exchange."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows", "--of", "data/demo", "verify", "--against", "rest", "--settle", str(SETTLE_S),
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment_of({}),
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def incomplete(folder: Path, witness: Witness) -> dict[str, Any]:
    """By symbol, how the stored trades differ from the exchange's, between the first and the last that are stored."""
    found: dict[str, Any] = {}
    for symbol, frame in trades_of(folder / "data" / "demo").items():
        ids = frame["id"].to_list()
        traded = [row[0] for row in witness.aggregates(symbol, ids[0]) if row[0] <= ids[-1]]
        if ids != traded:
            found[symbol] = sorted(set(ids) ^ set(traded)) or "doubled"
    return found


async def test_each_process_that_is_killed_comes_back_and_the_stores_are_complete(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo:
        await candles_come(demo)
        for name in ORDER:
            place = len(demo.said)
            pid = await demo.pid_of(name)
            os.kill(pid, signal.SIGKILL)
            await demo.until_said(rf"\| {name} was ended by SIGKILL: .* started again in 0.5 s", after=place)
            assert await demo.pid_of(name, after=place) != pid
            await api_answers(demo)
            await candles_come(demo)
        await candles_come(demo, closed=True)
        await asyncio.sleep(2 * SETTLE_S)  # the closed candle's proof

        code, said = await verified(tmp_path)
        assert code == 0, said
        with closing(Witness(f"http://127.0.0.1:{demo.ports['replay__port']}")) as witness:
            assert await asyncio.to_thread(incomplete, tmp_path, witness) == {}
        demo.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            assert await demo.process.wait() == 130


async def test_a_killed_supervisor_leaves_no_process_not_even_the_database(tmp_path: Path) -> None:
    async with running_demo(tmp_path) as demo:
        pids = [await demo.pid_of(name) for name in ORDER]
        pids.append(int((await demo.until_said(r"mongod_ready .*pid=(\d+)"))[1]))
        demo.process.kill()
        async with asyncio.timeout(PATIENCE_S):
            while not all(map(is_gone, pids)):
                await asyncio.sleep(0.1)
