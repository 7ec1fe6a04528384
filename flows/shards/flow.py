"""The flow that shares shards with others: reads the bucket, writes what the machine decides, runs the processes."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Final, assert_never
from uuid import uuid4

import msgspec
import structlog

from flows.backoff import backoff_s
from flows.clock import monotonic_ms, wall_ms
from flows.process.disk import DiskFullError
from flows.runtime.takeover import read_back_since
from flows.settings import PREFIX, Settings
from flows.shards.lease import VARIABLE, ShardLease
from flows.shards.machine import GiveUp, Lost, Shards, Taken, Write
from flows.shards.process import Task
from flows.shards.runner import FENCED_REASON, Processes, ShardRunner
from flows.shards.state import ShardFolder
from sinks.bus.client import BusClient, connected
from sinks.bus.entry import Kept
from sinks.bus.leases import FENCE, Entry, bucket_of, epoch_of, fence_subject, key_of_subject, subject_of_key
from sinks.bus.stored import BusError, Conflict, Refused

BEATS: Final = 4
"""Beats in the time of a lease."""
TURN_S: Final = 0.1
BEGIN_S: Final = 5.0
READ_S: Final = 0.5
WRITE_S: Final = 1.0
PAUSE_MS: Final = 200
"""Between two attempts to write while the servers take nothing."""
UNREAD_MS: Final = 1_500
"""After so long without an answer another server is tried: this one may be cut off, or on a host that is lost."""
UNKNOWN_MS: Final = 30_000
"""After so long the bucket is taken for another one, and read anew as at the start."""
UNMATCHED_MS: Final = 4_000
UNWRITTEN_MS: Final = 12_000
"""Servers need 4 to 9 s to choose a leader."""
MOST_WRITES: Final = 50
"""Rounds of writes in a turn."""
_RECOVERY: Final = ("-s", "5", "-b", "0")

_log = structlog.get_logger("flows.shards")


class SharingFlow:
    """One flow. `run` returns after `stop`, when its processes have ended and its shards are given up."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """`folder` is that of the deployment: the state of shards is in it."""
        bus = settings.bus
        self._settings = settings
        self._folder = folder
        self._bucket = bucket_of(bus.stream)
        self._beat_ms = int(bus.lease_s * 1_000) // BEATS
        self._shards = Shards(
            settings.flow_name,
            uuid4().hex,
            count=bus.shards,
            room=min(bus.most_shards, bus.shards),
            ttl_ms=int(bus.lease_s * 1_000),
            beat_ms=self._beat_ms,
            url=bus.api_url or "",
            wall_ms=wall_ms,
        )
        self._processes = Processes()
        self._running: dict[str, tuple[ShardRunner, asyncio.Task[None]]] = {}
        self._is_known = False
        """Whether the bucket was read, and is the same since."""
        self._read_ms = self._written_ms = 0
        """When the bucket was read last, and has taken something, or when this connection began."""
        self._known_ms = 0
        """When the bucket was read last."""
        self._read_at = self._write_at = 0
        """When it is to be read next, and may be written to."""
        self._failures = 0
        """Connections since it has taken something."""
        self._stopping = False
        self._has_said = False
        self._taken_since = 0

    def stop(self) -> None:
        """Ends it; once more: at once."""
        if self._stopping:
            for runner, _ in self._running.values():
                runner.kill()
        self._stopping = True

    async def run(self) -> None:
        """Takes part until `stop`."""
        try:
            if self._settings.bus.most_shards:
                await self._processes.ready()
            while not await self._is_over():
                try:
                    async with connected(self._settings.bus, "marketflow shards", stream=self._bucket) as client:
                        await self._follow(client)
                except BusError as error:
                    self._failures += 1
                    if self._failures == 1:
                        _log.warning("leases_not_read", reason=str(error))
                    self._apply()
                    await self._pause(backoff_s(self._failures, min_s=0.1, max_s=1.0))
        finally:
            for runner, _ in self._running.values():
                runner.kill()
            await asyncio.gather(*(task for _, task in self._running.values()), return_exceptions=True)
            await self._processes.close()

    async def _is_over(self) -> bool:
        """Whether it was stopped, and nothing runs any more. Shards that cannot be given up are over by their time."""
        return self._stopping and not self._running

    async def _pause(self, pause_s: float) -> None:
        for _ in range(max(1, round(pause_s / TURN_S))):
            if not self._stopping:
                await asyncio.sleep(TURN_S)
        if self._stopping:
            self._end_all()
            await asyncio.sleep(TURN_S)

    # --- the bucket ---

    async def _follow(self, client: BusClient) -> None:
        """One connection, to its end, which is a `BusError`, or that of the flow."""
        await client.listen(subject_of_key(self._settings.bus.stream, ">"), self._on_sign)
        if self._is_known:
            self._shards.on_reconnected(monotonic_ms())
        else:
            await client.prepare_bucket(self._settings.bus)
            fences = await self._fences()
            self._shards.on_connected(await self._entries(client, BEGIN_S), fences, monotonic_ms())
            self._is_known, self._known_ms = True, monotonic_ms()
        self._read_ms = self._written_ms = monotonic_ms()
        while not (self._stopping and not self._running and self._shards.is_over):
            await self._turn(client)
            await asyncio.sleep(TURN_S)

    def _on_sign(self, subject: str, body: bytes) -> None:
        if self._shards.on_sign(key_of_subject(self._settings.bus.stream, subject), body, monotonic_ms()):
            self._read_at = 0

    async def _entries(self, client: BusClient, wait_s: float) -> list[Entry]:
        stream = self._settings.bus.stream
        found = await client.newest(subject_of_key(stream, ">"), wait_s=wait_s)
        return [Entry(key_of_subject(stream, one.subject), one.body, one.seq, one.stamp_ms) for one in found]

    async def _read(self, client: BusClient) -> None:
        """Reads the bucket, which needs no leader. `BusError` when this server does not answer for `UNREAD_MS`."""
        try:
            for entry in await self._entries(client, READ_S):
                self._shards.on_entry(entry, monotonic_ms())
            self._read_ms = self._known_ms = monotonic_ms()
        except BusError:
            self._is_known = monotonic_ms() - self._known_ms < UNKNOWN_MS
            if monotonic_ms() - self._read_ms > UNREAD_MS:
                raise
        self._read_at = monotonic_ms() + self._beat_ms

    async def _fences(self) -> dict[str, int]:
        """The epochs in the stream, by shard; none while there is no stream."""
        found: dict[str, int] = {}
        try:
            async with connected(self._settings.bus, "marketflow shards") as client:
                if not (await client.span()).last:
                    return found
                async with aclosing(client.read([fence_subject(">")], newest_of_each=True)) as messages:
                    async for stored in messages:
                        if stored.seq:
                            found[stored.subject.rpartition(f".{FENCE}.")[2]] = epoch_of(stored.body)
                        if not stored.pending:
                            break
        except BusError as error:
            _log.info("epochs_not_read", reason=str(error))
        return found

    async def _turn(self, client: BusClient) -> None:
        """Reads and writes what is due, and follows it."""
        if client.is_lost:
            raise BusError("the connection is lost")
        if self._stopping:
            self._end_all()
        if monotonic_ms() >= self._read_at:
            await self._read(client)
        self._apply()
        if monotonic_ms() >= self._write_at:
            await self._write(client)
        if not self._shards.name_is_taken(monotonic_ms()):
            self._taken_since = 0
        elif not self._taken_since:
            self._taken_since = monotonic_ms()
        elif not self._has_said and monotonic_ms() - self._taken_since > 2 * BEATS * self._beat_ms:
            self._has_said = True
            _log.error("flow_name_is_taken", name=self._settings.flow_name, hint="set bus.flow to another name")

    async def _write(self, client: BusClient) -> None:
        """Writes what is due. While the servers take nothing it is tried again, on this connection: they may choose a
        leader. `BusError` when that lasts, for the server may be one that is cut off from the others.
        """
        for _ in range(MOST_WRITES):
            if not (writes := self._shards.due(monotonic_ms())):
                return
            answers = await client.publish(
                [Kept(subject_of_key(self._settings.bus.stream, write.key), "", write.body) for write in writes],
                expected={subject_of_key(self._settings.bus.stream, write.key): write.revision for write in writes},
                wait_s=WRITE_S,
            )
            for write, answer in zip(writes, answers, strict=True):
                self._note(write, answer)
            self._apply()
            if self._write_at > monotonic_ms():
                return

    def _note(self, write: Write, answer: int | str | Refused | Conflict) -> None:
        now = monotonic_ms()
        if isinstance(answer, int):
            self._shards.on_written(write, answer, now)
            self._written_ms, self._failures = now, 0
        elif isinstance(answer, Conflict):
            self._shards.on_written(write, None, now)
            self._read_at = 0
            if now - self._written_ms > UNMATCHED_MS:
                self._is_known = False  # its numbers are others than are known: the bucket was made anew
                raise BusError(answer.reason)
        else:
            self._write_at = now + PAUSE_MS
            if now - self._written_ms > UNWRITTEN_MS:
                raise BusError(answer if isinstance(answer, str) else answer.reason)

    # --- the processes ---

    def _end_all(self) -> None:
        self._shards.release_all()
        self._apply()

    def _apply(self) -> None:
        for change in self._shards.take_changes():
            match change:
                case Taken():
                    self._start(change)
                case GiveUp(shard):
                    _log.info("shard_given_up", shard=shard)
                    self._end(shard, ShardRunner.end)
                case Lost(shard):
                    _log.warning("shard_lost", shard=shard, reason="another flow owns it")
                    self._end(shard, ShardRunner.kill)
                case _:
                    assert_never(change)

    def _end(self, shard: str, how: Callable[[ShardRunner], None]) -> None:
        if shard in self._running:
            how(self._running[shard][0])
        else:
            self._shards.on_ended(shard)

    def _start(self, taken: Taken) -> None:
        _log.info("shard_taken", shard=taken.shard, epoch=taken.epoch)
        before = self._running.get(taken.shard)
        task = asyncio.ensure_future(self._run(taken, before[1] if before else None))
        runner = ShardRunner(taken.shard, self._processes, lambda pulse: self._task(taken, pulse))
        self._running[taken.shard] = runner, task

    async def _run(self, taken: Taken, before: "asyncio.Task[None] | None") -> None:
        """Runs a shard to its end, after the process of an epoch before has ended."""
        if before:
            await asyncio.wait([before])
        runner, own = self._running[taken.shard]
        try:
            reason = await runner.run()
        except (OSError, DiskFullError) as error:
            reason = str(error)
        if self._running.get(taken.shard) == (runner, own):
            del self._running[taken.shard]
        if reason == FENCED_REASON:
            self._shards.on_fenced(taken.shard)
        elif reason and self._shards.owned.get(taken.shard) == taken.epoch:
            _log.error("shard_refused", shard=taken.shard, reason=reason)
            self._shards.refuse(taken.shard, monotonic_ms())
        self._shards.on_ended(taken.shard)

    def _task(self, taken: Taken, pulse: int) -> Task:
        """What the process of a shard is to run."""
        folder = ShardFolder((self._folder / "shards" / taken.shard).absolute())
        known = folder.enter(taken, read_back_since(self._settings, taken.before_ms or wall_ms()))
        lease = ShardLease(taken.shard, taken.epoch, self._settings.flow_name, known.since_ms, pulse)
        number = int(taken.shard.partition("of")[0])
        values = {
            "FEED__SHARD": taken.shard.replace("of", "/"),
            "BUS__FLOW": taken.shard,
            "HUB__ENABLED": "false",
            "ALERTS__PATH": str(folder.alerts),
            "METRICS__PORT": str(self._settings.metrics.port + number if self._settings.metrics.port else 0),
        }
        if file := self._settings.log.file:
            values["LOG__FILE"] = str(file.with_name(f"{file.stem}-{taken.shard}{file.suffix}"))
        variables = {f"{PREFIX}{key}": value for key, value in values.items()}
        variables[VARIABLE] = msgspec.json.encode(lease).decode()
        return Task(variables, ["flows.main", "-r", str(folder.recovery), *_RECOVERY])
