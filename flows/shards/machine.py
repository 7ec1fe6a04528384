"""Which shards this flow takes, keeps and gives up. Pure: entries of the bucket and the local time come in.

The laws:
* An epoch of a shard has one owner: it is taken by a write that names the revision before it.
* A lease is over when for `ttl_ms` of the local time its entry has not changed, and no write of its owner has
  come: no clocks are compared. Writes come to all flows also while the servers take none, as long as they choose a
  leader; so an owner that is lost then is known to be before they have one. Who was cut off waits `ttl_ms` anew; for
  less than that, half of it. So an outage of the bus takes no shard.
* Who does not receive its own writes, for lack of the permission, receives no one's: after each outage `ttl_ms` begin
  anew.
* An owner that cannot renew goes on. When another one has taken the shard, it learns so by the entry, and its messages
  are refused by the stream (`sinks.bus.fence`).
* A free shard is taken by a flow that has the fewest; by any one that has room if that does not happen within
  `PATIENCE` beats.
* Who has two shards more than another one gives one up, once the same flows have been there for `STEADY` beats.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from sinks.bus.leases import (
    Entry,
    Lease,
    Member,
    lease_of,
    member_key,
    member_of,
    member_of_key,
    shard_key,
    shard_names,
    shard_of_key,
)

PATIENCE: Final = 2
"""Beats that a free shard is left to the flows with fewer ones; as many pass before a new flow takes any."""
STEADY: Final = 40
"""Beats after which the flows count as the same ones, so that shards may move between them: a move is a gap that is
filled, so a flow that is there again after a fault gets its part when all have caught up."""
REFUSED: Final = 60
"""Beats for which a shard that could not be run is left to others."""


class Write(Struct, frozen=True):
    """A write to the bucket, if `revision` is that of the key's entry; 0: if there is none."""

    key: str
    body: bytes
    revision: int
    shard: str = ""
    """The shard that it takes, renews or gives up."""
    lease: Lease | None = None


class Taken(Struct, frozen=True):
    """A shard that is owned now."""

    shard: str
    epoch: int
    before: int
    """The epoch before, 0 for none."""
    before_ms: int
    """When the owner of that one was last seen, ms UTC, by the servers; 0: never."""


class GiveUp(Struct, frozen=True):
    """The process of this shard is to be ended; then `on_ended` is called."""

    shard: str


class Lost(Struct, frozen=True):
    """Another flow has the shard."""

    shard: str


Change: TypeAlias = Taken | GiveUp | Lost


class _Seen(Struct):
    """An entry, and when it has changed or a write of its owner came, ms of the local time."""

    entry: Entry
    since: int
    has_sign: bool = False
    """Whether a write of its owner came after the entry was read."""


class Shards:
    """The shards of one flow. `now` is local monotonic time in ms."""

    def __init__(
        self,
        name: str,
        instance: str,
        *,
        count: int,
        room: int,
        ttl_ms: int,
        beat_ms: int,
        url: str = "",
        wall_ms: Callable[[], int] = lambda: 0,
    ) -> None:
        """`name` tells the flows apart, `instance` the processes. Of `count` shards it takes at most `room`. An entry
        is renewed every `beat_ms`, and over after `ttl_ms`. `wall_ms` is for those who read a lease alone.
        """
        self._name = name
        self._instance = instance
        self._room = room
        self._ttl_ms = ttl_ms
        self._beat_ms = beat_ms
        self._url = url
        self._wall_ms = wall_ms
        self._names = shard_names(count)
        self._seen: dict[str, _Seen] = {}
        self._fences: dict[str, int] = {}
        self._owned: dict[str, Lease] = {}
        self._taking: dict[str, Taken] = {}
        """Shards of which a take was written."""
        self._ending: dict[str, bool] = {}
        """Shards whose process ends, and whether it has ended."""
        self._conflicts: set[str] = set()
        """Keys with another entry than is known here: it comes, or the next beat tries again."""
        self._refused: dict[str, int] = {}
        """Until when shards are left to others."""
        self._free_since: dict[str, int] = {}
        self._ready_at: int | None = None
        self._beat_at = 0
        self._turned_at = self._written_at = self._received_at = 0
        """When this flow has looked last, when the bucket took what it wrote, and when its own write came back."""
        self._others: dict[str, int] = {}
        """By instance the room of the other flows that are there."""
        self._steady_at = 0
        self._changes: list[Change] = []

    @property
    def owned(self) -> dict[str, int]:
        """Epoch by shard."""
        return {shard: lease.epoch for shard, lease in self._owned.items()}

    @property
    def is_over(self) -> bool:
        """Nothing is owned any more."""
        return not self._owned

    def take_changes(self) -> list[Change]:
        """What has changed since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def name_is_taken(self, now: int) -> bool:
        """Whether another process has the name of this flow: then it takes nothing. One that was killed has it for the
        time of a lease.
        """
        seen = self._seen.get(member_key(self._name))
        member = member_of(seen.entry.body) if seen else None
        return member is not None and member.instance != self._instance and self._is_fresh(seen, now)

    # --- what is read ---

    def on_connected(self, entries: Iterable[Entry], fences: dict[str, int], now: int) -> None:
        """The bucket is read, for the first time or anew: all its entries, and the epochs in the stream by shard."""
        is_first = self._ready_at is None
        self._seen = {entry.key: _Seen(entry, now) for entry in entries}
        self._turned_at = self._written_at = now
        self._fences = dict(fences)
        self._free_since = {}
        self._conflicts.clear()
        self._ready_at = now + PATIENCE * self._beat_ms if is_first else now
        self._beat_at = now
        self._steady_at = now + STEADY * self._beat_ms
        for shard in {*self._owned, *self._taking}:
            self._compare(shard)

    def on_reconnected(self, now: int) -> None:
        """The connection was lost, and there is one again."""
        self._begin_anew(now, self._ttl_ms if now - self._turned_at > self._ttl_ms else self._ttl_ms // 2)
        self._beat_at = self._turned_at = now

    def _begin_anew(self, now: int, within_ms: int) -> None:
        """No lease is over within this time."""
        least = now - self._ttl_ms + (within_ms if self._receives(now) else self._ttl_ms)
        for seen in self._seen.values():
            seen.since = max(seen.since, least)

    def _receives(self, now: int) -> bool:
        """Whether its own writes come back to it."""
        return self._received_at >= self._turned_at - 2 * self._beat_ms and now >= self._received_at > 0

    def _is_away(self, now: int) -> bool:
        """Whether the bucket takes nothing, and it is not known who writes meanwhile."""
        return now - self._written_at > 2 * self._beat_ms and not self._receives(now)

    def on_sign(self, key: str, body: bytes, now: int) -> bool:
        """A write of a flow has come, whether or not the servers have taken that. True when it is another one
        than is known: the bucket is to be read.
        """
        if key == member_key(self._name):
            self._received_at = now
        seen = self._seen.get(key)
        if seen is None or seen.entry.body != body:
            return True
        seen.since, seen.has_sign = now, True
        return False

    def on_entry(self, entry: Entry, now: int) -> None:
        """An entry was read; it has changed where its revision is another one."""
        seen = self._seen.get(entry.key)
        if seen is None or entry.revision > seen.entry.revision:
            is_known = seen is not None and seen.has_sign and seen.entry.body == entry.body
            self._seen[entry.key] = _Seen(entry, seen.since if seen and is_known else now)
            self._conflicts.discard(entry.key)
            self._compare(shard_of_key(entry.key))

    def _compare(self, shard: str) -> None:
        """What is owned, or was about to be taken, is compared with what stands in the bucket."""
        lease, owned = self._lease(shard), self._owned.get(shard)
        if owned is not None:
            if lease is not None and lease.epoch == owned.epoch and not lease.owner:
                return  # given up, as `on_written` is about to say
            if lease is None or (lease.epoch, lease.instance) != (owned.epoch, self._instance):
                self._owned.pop(shard)
                self._ending.pop(shard, None)
                self._changes.append(Lost(shard))
        elif lease is not None and lease.instance == self._instance and shard in self._taking:
            self._own(shard, lease)
        else:
            self._taking.pop(shard, None)

    def _own(self, shard: str, lease: Lease) -> None:
        self._owned[shard] = lease
        self._free_since.pop(shard, None)
        self._changes.append(self._taking.pop(shard))

    def on_ended(self, shard: str) -> None:
        """The process of a shard that is given up has ended."""
        if shard in self._ending:
            self._ending[shard] = True

    def refuse(self, shard: str, now: int) -> None:
        """The shard cannot be run here: its process has ended for good."""
        if shard in self._owned:
            self._refused[shard] = now + REFUSED * self._beat_ms
            self._ending[shard] = True

    def on_fenced(self, shard: str) -> None:
        """The process of a shard has found a later epoch in the stream than its own."""
        if shard in self._owned:
            self._fences[shard] = max(self._fences.get(shard, 0), self._owned[shard].epoch + 1)
            self._ending[shard] = True

    def release_all(self) -> None:
        """The flow ends: all its processes are to be ended."""
        self._room = 0
        for shard in self._owned:
            self._end(shard)

    def _end(self, shard: str) -> None:
        if shard not in self._ending:
            self._ending[shard] = False
            self._changes.append(GiveUp(shard))

    # --- what is written ---

    def due(self, now: int) -> list[Write]:
        """What is to be written now, in this order; `on_written` is called for each. To be called again when one was
        written, an entry has changed, or a beat has passed.
        """
        if self._ready_at is None:
            return []
        self._turned_at = now
        if self.name_is_taken(now):
            return []
        self._look_around(now)
        if now >= self._beat_at:
            self._conflicts.clear()
        writes = [self._write(shard, Lease(self._owned[shard].epoch)) for shard, over in self._ending.items() if over]
        if now >= self._beat_at:
            self._beat_at = now + self._beat_ms
            key, member = member_key(self._name), Member(self._instance, self._room, self._url)
            writes.append(Write(key, msgspec.json.encode(member), self._revision(key)))
            writes += [self._write(shard, lease) for shard, lease in self._owned.items() if not self._ending.get(shard)]
        writes = [write for write in writes if write.key not in self._conflicts]
        if writes or now < self._ready_at or self._is_away(now):
            return writes
        if shard := self._next_free(now):
            return [self._take(shard)]
        if now >= self._steady_at and (shard := self._superfluous()):
            self._end(shard)
        return []

    def on_written(self, write: Write, revision: int | None, now: int) -> None:
        """A write is done under this revision; None: the key has another entry, which comes."""
        if revision is None:
            self._taking.pop(write.shard, None)
            self._conflicts.add(write.key)
            return
        if self._is_away(now):
            self._begin_anew(now, self._ttl_ms)
        self._written_at = now
        self._seen[write.key] = _Seen(Entry(write.key, write.body, revision), now)
        if write.lease is None:
            return
        if not write.lease.owner:
            self._owned.pop(write.shard, None)
            self._ending.pop(write.shard, None)
        elif write.shard in self._taking:
            self._own(write.shard, write.lease)

    def _write(self, shard: str, lease: Lease) -> Write:
        key = shard_key(shard)
        return Write(key, msgspec.json.encode(lease), self._revision(key), shard, lease)

    def _take(self, shard: str) -> Write:
        seen, known = self._seen.get(shard_key(shard)), self._lease(shard)
        before = max(known.epoch if known else 0, self._fences.get(shard, 0))
        self._taking[shard] = Taken(shard, before + 1, before, seen.entry.stamp_ms if seen else 0)
        return self._write(shard, Lease(before + 1, self._name, self._instance, self._wall_ms()))

    # --- who is there ---

    def _revision(self, key: str) -> int:
        seen = self._seen.get(key)
        return seen.entry.revision if seen else 0

    def _lease(self, shard: str) -> Lease | None:
        seen = self._seen.get(shard_key(shard)) if shard else None
        return lease_of(seen.entry.body) if seen else None

    def _is_fresh(self, seen: _Seen | None, now: int) -> bool:
        return seen is not None and now - seen.since < self._ttl_ms

    def _look_around(self, now: int) -> None:
        """Who else is there, and which shards are free."""
        others = {}
        for key, seen in self._seen.items():
            member = member_of(seen.entry.body) if member_of_key(key) and self._is_fresh(seen, now) else None
            if member is not None and member.room and member.instance != self._instance:
                others[member.instance] = member.room
        if others.keys() != self._others.keys():
            self._steady_at = now + STEADY * self._beat_ms
        self._others = others
        free = {shard for shard in self._names if shard not in self._owned and self._is_free(shard, now)}
        self._free_since = {shard: self._free_since.get(shard, now) for shard in free}

    def _is_free(self, shard: str, now: int) -> bool:
        lease = self._lease(shard)
        return lease is None or not lease.owner or not self._is_fresh(self._seen.get(shard_key(shard)), now)

    def _held_by_others(self) -> list[int]:
        """How many shards each of the others has that has room for more."""
        held = Counter(lease.instance for shard in self._names if (lease := self._lease(shard)) and lease.owner)
        return [held[instance] for instance, room in self._others.items() if held[instance] < room]

    def _next_free(self, now: int) -> str:
        """The shard that is to be taken; empty for none."""
        if len(self._owned) >= self._room:
            return ""
        has_fewest = len(self._owned) <= min(self._held_by_others(), default=self._room)
        patience = 0 if has_fewest else PATIENCE * self._beat_ms
        found = [
            shard
            for shard, since in self._free_since.items()
            if now - max(since, self._ready_at or 0) >= patience
            and now >= self._refused.get(shard, now)
            and shard_key(shard) not in self._conflicts
        ]
        if found and not has_fewest:  # the others do not take it: it is not to be offered to them again at once
            self._steady_at = now + REFUSED * self._beat_ms
        return min(found, key=self._order, default="")

    def _order(self, shard: str) -> int:
        """Each flow has another order, so that several take different ones."""
        return zlib.crc32(f"{self._instance} {shard}".encode())

    def _superfluous(self) -> str:
        """The shard that another one should have; empty for none."""
        if self._free_since or self._ending:
            return ""
        least = min(self._held_by_others(), default=len(self._owned))
        return max(self._owned, key=self._order) if len(self._owned) - least > 1 else ""
