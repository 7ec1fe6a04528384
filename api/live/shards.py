"""Who owns which shard, and which flows are there: follows the bucket of leases of a bus."""

import asyncio
from contextlib import aclosing
from typing import Final

import structlog
from msgspec import Struct

from flows.backoff import backoff_s
from flows.clock import monotonic_ms, wall_ms
from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.leases import (
    Entry,
    bucket_of,
    key_of_subject,
    lease_of,
    member_of,
    member_of_key,
    shard_key,
    shard_names,
    subject_of_key,
)
from sinks.bus.stored import BusError
from sinks.bus.subjects import text_of

LOST_MS: Final = 60_000
"""After so long without a sign of life a flow is no longer listed."""
_log = structlog.get_logger(__name__)


class ShardOwner(Struct, frozen=True):
    """A shard. `owner` is null while no flow has it: from when on, `since_ms` (ms UTC) says."""

    shard: str
    owner: str | None
    epoch: int
    since_ms: int


class SharingFlow(Struct, frozen=True):
    """A flow that shares shards; `url` is that of the interface beside it, empty where others cannot reach one."""

    name: str
    url: str
    room: int
    seen_ms_ago: int


class ShardBoard:
    """The shards and flows as they were read last. Belongs to one event loop."""

    def __init__(self, settings: Bus) -> None:
        self._settings = settings
        self._entries: dict[str, Entry] = {}
        self._seen_at: dict[str, int] = {}
        """When each entry has changed, by local time."""
        self._is_read = False
        """While the bucket is not read nothing is known to be over."""

    async def follow(self) -> None:
        """Reads the bucket until cancelled."""
        failures = 0
        while True:
            try:
                await self._read()
            except BusError as error:
                if self._is_read:
                    _log.warning("leases_not_read", reason=str(error))
                failures = 1 if self._is_read else failures + 1
                self._is_read = False
            await asyncio.sleep(backoff_s(failures))

    async def _read(self) -> None:
        stream = self._settings.stream
        async with (
            connected(self._settings, "marketflow api shards", stream=bucket_of(stream)) as client,
            aclosing(client.read([subject_of_key(stream, ">")], newest_of_each=True)) as entries,
        ):
            async for stored in entries:
                if stored.seq:
                    self.take(Entry(key_of_subject(stream, stored.subject), stored.body, stored.seq, stored.stamp_ms))
                self._is_read = True

    def take(self, entry: Entry) -> None:
        """An entry has changed, or is read for the first time."""
        known = self._entries.get(entry.key)
        if known is None or known.revision != entry.revision:
            self._seen_at[entry.key] = monotonic_ms() if known else monotonic_ms() - max(0, wall_ms() - entry.stamp_ms)
        self._entries[entry.key] = entry

    def owners(self) -> list[ShardOwner]:
        """Every shard, also those that no flow has."""
        found = []
        for shard in shard_names(self._settings.shards):
            entry = self._entries.get(shard_key(shard))
            lease = lease_of(entry.body) if entry else None
            age_ms = monotonic_ms() - self._seen_at[shard_key(shard)] if entry else 0
            is_over = not lease or not lease.owner or (self._is_read and age_ms > self._settings.lease_s * 1_000)
            if lease is None or entry is None:
                found.append(ShardOwner(shard, None, 0, 0))
            else:
                owner, since_ms = (None, wall_ms() - age_ms) if is_over else (lease.owner, lease.since_ms)
                found.append(ShardOwner(shard, owner, lease.epoch, since_ms))
        return found

    def flows(self) -> list[SharingFlow]:
        """The flows that were seen within `LOST_MS`, by name."""
        found = []
        for key, entry in self._entries.items():
            name, member = member_of_key(key), member_of(entry.body)
            age_ms = monotonic_ms() - self._seen_at[key]
            if name and member is not None and age_ms < LOST_MS:
                found.append(SharingFlow(text_of(name), member.url, member.room, age_ms))
        return sorted(found, key=lambda flow: flow.name)
