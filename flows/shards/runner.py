"""The processes of shards: one that is ready and waits, and one for each shard that is owned.

A process does not outlive the flow that started it. One that ends is started again, with the recovered state that it
has left; one that has given no sign of life for `HUNG_S` is killed first.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from flows.backoff import backoff_s
from flows.clock import monotonic_ms
from flows.process import child
from flows.process.exit_codes import CANNOT_RUN, FENCED
from flows.shards.process import Task

HUNG_S: Final = 10.0
"""A flow says each second that it is alive."""
FIRST_S: Final = 90.0
"""The same until it has said so for the first time: stores may be read for long at its start."""
END_S: Final = 20.0
"""Longest wait for a process that was requested to end."""
FAILURES: Final = 5
"""Ends in a row, none of them after a life of `STEADY_S`, after which a shard is left to others."""
STEADY_S: Final = 30.0
FENCED_REASON: Final = "another flow owns it"
_ARGUMENTS: Final = ("-m", "flows.shards.process")

_log = structlog.get_logger("flows.shards")


class Pulse:
    """A waiting process with the pipe of its signs of life."""

    def __init__(self, process: asyncio.subprocess.Process, read: int, write: int) -> None:
        self.process = process
        self.number = write
        """The descriptor in the process."""
        self._read = read

    @classmethod
    async def start(cls) -> "Pulse":
        """Starts a process."""
        read, write = os.pipe()
        try:
            os.set_blocking(read, False)
            os.set_blocking(write, False)
            process = await asyncio.create_subprocess_exec(
                *child.command(signal.SIGKILL, [sys.executable, *_ARGUMENTS]),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(write,),
                start_new_session=True,
            )
        finally:
            os.close(write)
        return cls(process, read, write)

    def run(self, task: Task) -> None:
        """Has it run a shard."""
        assert self.process.stdin  # noqa: S101 - it was started with one
        self.process.stdin.write(msgspec.json.encode(task) + b"\n")

    def has_beaten(self) -> bool:
        """Whether it has given a sign of life since the last call."""
        with suppress(BlockingIOError):
            return bool(os.read(self._read, 65_536))
        return False

    def kill(self) -> None:
        """Ends it at once."""
        with suppress(ProcessLookupError):
            self.process.kill()

    def terminate(self) -> None:
        """Requests its end."""
        with suppress(ProcessLookupError):
            self.process.terminate()

    def close(self) -> None:
        """Frees the pipe."""
        os.close(self._read)
        if self.process.stdin:
            self.process.stdin.close()


class Processes:
    """The waiting process of a flow."""

    def __init__(self) -> None:
        self._waiting: Pulse | None = None

    async def ready(self) -> None:
        """Has one wait."""
        if self._waiting is None or self._waiting.process.returncode is not None:
            self._waiting = await Pulse.start()

    async def take(self) -> Pulse:
        """The one that waits."""
        await self.ready()
        assert self._waiting  # noqa: S101 - it was made ready
        taken, self._waiting = self._waiting, None
        return taken

    async def close(self) -> None:
        """Ends it."""
        if self._waiting:
            self._waiting.kill()
            await self._waiting.process.wait()
            self._waiting.close()


class ShardRunner:
    """Runs one shard until it is to end."""

    def __init__(self, shard: str, processes: Processes, task: Callable[[int], Task]) -> None:
        """`task` is what is run, with the descriptor for signs of life."""
        self.shard = shard
        self._processes = processes
        self._task = task
        self._running: Pulse | None = None
        self._is_ending = False

    async def run(self) -> str:
        """Runs it to its end. Returns why it is to be left to others; empty when it was to end."""
        failures = 0
        while not self._is_ending:
            begun = monotonic_ms()
            code = await self._life()
            if self._is_ending:
                break
            if code in (CANNOT_RUN, FENCED):
                return "it cannot run here" if code == CANNOT_RUN else FENCED_REASON
            failures = 1 if monotonic_ms() - begun > STEADY_S * 1_000 else failures + 1
            if failures >= FAILURES:
                return f"it has ended {failures} times in a row"
            _log.warning("shard_ended", shard=self.shard, code=code)
            if failures > 1:
                await asyncio.sleep(backoff_s(failures - 1))
        return ""

    async def _life(self) -> int:
        running = self._running = await self._processes.take()
        try:
            if not self._is_ending:
                running.run(self._task(running.number))
                await self._processes.ready()
            return await self._watched(running)
        finally:
            running.kill()
            await running.process.wait()
            running.close()
            self._running = None

    async def _watched(self, running: Pulse) -> int:
        """Its exit code; it is killed when it hangs."""
        ended = asyncio.ensure_future(running.process.wait())
        last, within_s = monotonic_ms(), FIRST_S
        while not ended.done():
            await asyncio.wait([ended], timeout=0.5)
            now = monotonic_ms()
            if running.has_beaten():
                last, within_s = now, HUNG_S
            elif now - last > within_s * 1_000 and not self._is_ending:
                _log.error("shard_hangs", shard=self.shard, silent_s=round((now - last) / 1_000, 1))
                running.kill()
        return ended.result()

    def end(self) -> None:
        """Ends it in good order, or at once after `END_S`."""
        self._is_ending = True
        if self._running:
            self._running.terminate()
            asyncio.get_running_loop().call_later(END_S, self.kill)

    def kill(self) -> None:
        """Ends it at once."""
        self._is_ending = True
        if self._running:
            self._running.kill()
