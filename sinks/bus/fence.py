"""Keeps a publisher whose shard another one has taken from publishing.

Every message names the newest one of its subject that the publisher knows of, and the stream takes it only if that is
so: of two publishers of a subject one is refused. Who is refused reads the epoch of the shard, which each owner
publishes before anything else: a later one than its own means that it has been replaced. An equal one means that the
message before was of an owner that did not know yet that it was replaced, or its own without an answer: then what is
there is read back, and what is left is published.

So what a replaced owner still publishes is followed by nothing that contradicts it, and it is refused at the first
subject on which the new owner was faster.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from sinks.bus.client import BusClient
from sinks.bus.entry import Kept
from sinks.bus.leases import Lease, epoch_of, fence_subject
from sinks.bus.stored import BusError

MOST: Final = 500
"""Subjects of a request; the servers take 1,024."""
ANSWER_S: Final = 2.0


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
        """The number of the newest message by subject, as far as it is known; 0: there is none."""

    @property
    def mark(self) -> Kept:
        """The epoch, to be published."""
        return self._mark

    async def enter(self, client: BusClient) -> None:
        """Publishes the epoch, and forgets what else is the newest. `FencedError` when there is a later epoch,
        `BusError` when that cannot be known.
        """
        known, self.newest = self.newest, {}
        epoch = await self._read(client, [])
        if epoch < self._epoch or self._subject not in known:
            [answer] = await client.publish([self._mark], expected=self.newest)
            if not isinstance(answer, int):
                raise BusError(answer if isinstance(answer, str) else answer.reason)
            self.newest[self._subject] = answer

    async def learn(self, client: BusClient, subjects: Iterable[str]) -> int:
        """Reads what is the newest of those of these subjects of which that is not known, and returns the highest
        number. With each answer comes the epoch that the same server has: who has a message of a later owner has its
        epoch too. Errors as of `enter`.
        """
        unknown = sorted({*subjects} - self.newest.keys())
        for some in batched(unknown, MOST):
            self.newest |= dict.fromkeys(some, 0)
            await self._read(client, some)
        return max((self.newest[one] for one in unknown), default=0)

    async def _read(self, client: BusClient, subjects: Iterable[str]) -> int:
        """Notes the newest of each subject; returns the epoch."""
        epoch = 0
        for stored in await client.newest(self._subject, *subjects, wait_s=ANSWER_S):
            self.on_published(stored.subject, stored.seq)
            if stored.subject == self._subject:
                epoch = epoch_of(stored.body)
        if epoch > self._epoch:
            raise FencedError(f"shard {self._shard} is owned in epoch {epoch}, and was lost in {self._epoch}")
        return epoch

    def on_published(self, subject: str, seq: int) -> None:
        """A message is there under this number."""
        self.newest[subject] = max(seq, self.newest.get(subject, 0))


def batched(some: Sequence[str], count: int) -> Iterator[Sequence[str]]:
    """So many at a time."""
    return (some[begin : begin + count] for begin in range(0, len(some), count))
