"""Keeps a publisher whose shard another one has taken from publishing.

Every message names the newest one of its subject that the publisher knows of, and the stream takes it only if that is
so: of two publishers of a subject one is refused. Who is refused reads the epoch of the shard, which each owner
publishes before anything else: a later one than its own means that it has been replaced. An equal one means that the
message before was of an owner that did not know yet that it was replaced, or its own without an answer: then what is
there is read back, and what is left is published.

So what a replaced owner still publishes is followed by nothing that contradicts it, and it is refused at the first
subject on which the new owner was faster.
"""

from collections.abc import Sequence
from contextlib import aclosing

import msgspec

from sinks.bus.client import BusClient
from sinks.bus.entry import Kept
from sinks.bus.leases import Lease, epoch_of, fence_subject
from sinks.bus.stored import BusError


class FencedError(Exception):
    """Another flow owns the shard."""


class Fence:
    """The fence of one shard in one epoch."""

    def __init__(self, shard: str, epoch: int, owner: str) -> None:
        self._subject = fence_subject(shard)
        self._mark = Kept(self._subject, "", msgspec.json.encode(Lease(epoch, owner)))
        self._shard = shard
        self._epoch = epoch
        self.newest: dict[str, int] = {}
        """The number of the newest message by subject; what is not there has none."""

    @property
    def mark(self) -> Kept:
        """The epoch, to be published."""
        return self._mark

    async def enter(self, client: BusClient, subjects: Sequence[str]) -> None:
        """Publishes the epoch, and reads what is the newest of each of these subjects, the fence's own among them.
        `FencedError` when there is a later epoch, `BusError` when that cannot be known.
        """
        known, self.newest = self.newest, {}
        epoch = await self._read(client, [self._subject])
        if epoch > self._epoch:
            raise FencedError(f"shard {self._shard} is owned in epoch {epoch}, and was lost in {self._epoch}")
        if epoch < self._epoch or self._subject not in known:
            [answer] = await client.publish([self._mark], expected=self.newest)
            if not isinstance(answer, int):
                raise BusError(answer if isinstance(answer, str) else answer.reason)
        await self._read(client, subjects)

    async def _read(self, client: BusClient, subjects: Sequence[str]) -> int:
        """Notes the newest of each subject; returns the epoch."""
        epoch = 0
        async with aclosing(client.read(subjects, newest_of_each=True)) as messages:
            async for stored in messages:
                if stored.seq:
                    self.newest[stored.subject] = stored.seq
                if stored.subject == self._subject:
                    epoch = epoch_of(stored.body)
                if not stored.pending:
                    break
        return epoch

    def on_published(self, kept: Kept, seq: int) -> None:
        """A message is there under this number."""
        self.newest[kept.subject] = max(seq, self.newest.get(kept.subject, 0))
