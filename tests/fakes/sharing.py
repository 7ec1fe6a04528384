"""Flows that share shards, as hosts of their own: each in a folder, with its processes."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.leases import Lease, bucket_of, key_of_subject, lease_of, shard_of_key, subject_of_key
from sinks.bus.stored import BusError
from tests.fakes.deployment import environment_of
from tests.fakes.warm import WarmProcess, started


class SharingHost:
    """`python -m flows.shards` in a folder, and the processes of its shards."""

    def __init__(self, process: WarmProcess, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        """The flow itself."""
        return self._process.pid

    def processes(self) -> list[int]:
        """All of its processes, itself first."""
        return [self.pid, *(one.pid for one in psutil.Process(self.pid).children(recursive=True))]

    async def kill(self) -> None:
        """Ends the flow by SIGKILL; the kernel ends its processes."""
        pids = self.processes()
        self._process.kill()
        await self._process.wait()
        while any(map(_runs, pids)):
            await asyncio.sleep(0.02)

    def send(self, number: int) -> list[int]:
        """Sends a signal to all of its processes."""
        pids = self.processes()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    async def stop(self) -> int:
        """Ends it in good order; gives its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    def said(self) -> str:
        """The log of all of its processes."""
        return self._log.read_text()


def _runs(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


@asynccontextmanager
async def sharing_host(folder: Path, **settings: Any) -> AsyncIterator[SharingHost]:
    """Starts one; it is killed at the exit where it has not ended."""
    folder.mkdir(exist_ok=True)
    log = folder / "shards.log"
    chosen = {"feed__shard": "auto", "log__format": "json", "metrics__enabled": False} | settings
    with log.open("ab") as out:
        process = await started("flows.shards", str(folder), cwd=folder, env=environment_of(chosen), out=out)
    host = SharingHost(process, log)
    try:
        yield host
    finally:
        if process.returncode is None:
            await host.kill()


async def leases(bus: Bus) -> dict[str, Lease]:
    """The leases by shard, as they stand in the bucket."""
    found: dict[str, Lease] = {}
    try:
        async with (
            connected(bus, "test", stream=bucket_of(bus.stream)) as client,
            aclosing(client.read([subject_of_key(bus.stream, ">")], newest_of_each=True)) as read,
        ):
            async for stored in read:
                shard = shard_of_key(key_of_subject(bus.stream, stored.subject)) if stored.seq else ""
                lease = lease_of(stored.body) if shard else None
                if lease:
                    found[shard] = lease
                if not stored.pending:
                    break
    except BusError:
        return {}
    return found
