"""What stands around the flow in a benchmark of the whole: the exchange, and clients that nobody looks at; and what a
process has used.
"""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil

from tests.benchmarks.crowd import shake_hands
from tests.fakes.deployment import ROOT, START_S, until_listening


@asynccontextmanager
async def running_exchange_process(*arguments: str) -> AsyncIterator[str]:
    """The replay exchange as the command that users run; yields `host:port`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sources.replay", *arguments, "--port", "0",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout
        address = await asyncio.wait_for(process.stdout.readline(), START_S)
        yield address.decode().strip()
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def running_module(folder: Path, environment: Mapping[str, str], *command: str, port: int) -> AsyncIterator[int]:
    """A module as `python -m` starts it, a process of its own from the begin; yields its number when the port is open.

    What it writes is in `folder`, named by the last word of the command. It is given `START_S` to end.
    """
    log = folder / f"{command[-1]}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        await until_listening(port, process, log)
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await asyncio.wait_for(process.wait(), START_S)


@contextmanager
def listeners(hub_url: str, count: int) -> Iterator[None]:
    """So many clients of the hub that only empty their sockets, twenty times a second, on a thread.

    What they cost must not be the benchmark's own Python, for it shares the processors with what is measured.
    """
    port = int(hub_url.rpartition(":")[2].partition("/")[0])
    sockets = [shake_hands(port) for _ in range(count)]
    for line in sockets:
        line.setblocking(False)
    ended = threading.Event()

    def sweep() -> None:
        while not ended.wait(0.05):
            for line in sockets:
                with suppress(BlockingIOError):
                    while line.recv(1 << 18):
                        pass

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for line in sockets:
            line.close()


def cpu_s(pid: int) -> float:
    """What a process has used so far, the system's part included."""
    times = psutil.Process(pid).cpu_times()
    used: float = times.user + times.system
    return used


async def cores_of(pid: int, *, seconds: float) -> float:
    """The share of a core that a process takes, as it is at the moment."""
    before_s, begin_s = cpu_s(pid), time.monotonic()
    await asyncio.sleep(seconds)
    return (cpu_s(pid) - before_s) / (time.monotonic() - begin_s)
