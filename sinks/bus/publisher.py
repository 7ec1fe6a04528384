"""The publisher on its event loop: opens the connection, reads back what there is, publishes."""

from collections.abc import Sequence
from contextlib import aclosing
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from flows.clock import wall_ms
from sinks.bus.buffer import Loss
from sinks.bus.client import BusClient, open_client
from sinks.bus.entry import Entry, Kept
from sinks.bus.fence import Fence
from sinks.bus.published import Published
from sinks.bus.settings import BusSettings
from sinks.bus.stored import BusError, Conflict, Refused, StreamSpan
from sinks.bus.subjects import LOST, MARKET, NONE, TREES, token
from sinks.hub.payloads import iso_utc

_log = structlog.get_logger(__name__)
UNKNOWN: Final = -1
"""In the place of a number of the stream."""
_MOST_ANNOUNCED: Final = 100


class Turn(Struct):
    """What became of messages that were taken together."""

    published: list[Entry] = []
    failed: list[Entry] = []
    shortened: list[tuple[Entry, Kept]] = []
    """Those of which something was published before, and the rest of it."""
    cause: str = ""
    refused: list[tuple[Entry, str]] = []
    """Those that the stream will never take, and why."""


class LostBody(Struct, frozen=True):
    """Announces lost messages."""

    venue: str
    messages: int
    trades: int


class Publisher:
    """Publishes for one flow. But for `settled_seq`, `announce` and `read_back_from` all belongs to one event loop."""

    def __init__(
        self,
        settings: BusSettings,
        *,
        name: str,
        fence: Fence | None = None,
        since_ms: int = 0,
    ) -> None:
        """Behind a `fence` it publishes only as long as no other one has its shard. `since_ms` is the time of the
        servers since when an earlier owner of it may have published what this one is about to; 0: there was none.
        """
        self._settings = settings
        self._name = name
        self._fence = fence
        self._since_ms = since_ms
        self._client: BusClient | None = None
        self._published: Published | None = None
        self._read_back_from = UNKNOWN
        self._announced: list[Kept] = []
        self._uncertain: set[int] = set()
        """Ids of the entries that were sent, and may be there or not."""
        self._newest = UNKNOWN
        self._read_until = 0
        """The number to which everything was read back."""
        self.settled_seq = UNKNOWN
        """Everything of this flow up to this number of the stream is settled."""

    def read_back_from(self, seq: int) -> None:
        """Everything behind this number is read back before anything is published."""
        self._read_back_from = self._newest = self.settled_seq = seq

    def announce(self, loss: Loss) -> None:
        """Says on the bus that messages are lost, with the next ones."""
        if len(self._announced) < _MOST_ANNOUNCED:
            subject = f"{MARKET}.{token(loss.venue)}.{NONE}.{LOST}.{token(self._name)}"
            data = LostBody(loss.venue, loss.messages, loss.trades)
            body = {"type": LOST, "data": data, "timestamp": iso_utc(wall_ms()), "flow": self._name}
            self._announced.append(Kept(subject, "", msgspec.json.encode(body)))

    def stand(self) -> None:
        """Publishes the epoch again, with the next messages: the stream must not lose it by age or size."""
        if self._fence:
            self._announced.append(self._fence.mark)

    async def publish(self, entries: Sequence[Entry]) -> Turn:
        """Publishes messages of different subjects. What fails says why, and is to be tried again. `FencedError` when
        another one owns the shard.
        """
        turn = Turn()
        try:
            client = await self._ready()
            await self._learn(client, [*(one.subject for one in self._announced), *(one.subject for one in entries)])
        except BusError as error:
            await self.close()
            return Turn(failed=list(entries), cause=str(error))
        announced, self._announced = self._announced, []
        sent = [(entry, kept) for entry in entries if (kept := self._rest_of(entry, turn)) is not None]
        messages = [*announced, *(kept for _, kept in sent)]
        answers = await client.publish(messages, expected=self._fence.newest if self._fence else None)
        self._note(messages, answers)
        for (entry, _), answer in zip(sent, answers[len(announced) :], strict=True):
            if isinstance(answer, int):
                self._newest = max(self._newest, answer)
                self._uncertain.discard(id(entry))
                turn.published.append(entry)
            elif isinstance(answer, Refused):
                self._uncertain.discard(id(entry))
                turn.refused.append((entry, answer.reason))
            elif isinstance(answer, Conflict):
                turn.cause = answer.reason
                turn.failed.append(entry)
            else:
                turn.cause = answer
                self._uncertain |= {id(entry)} if entry.lasting else set()
                turn.failed.append(entry)
        if turn.cause:
            self._announced = announced
            await self.close()
        if not self._uncertain:
            self.settled_seq = self._newest
        return turn

    def _note(self, messages: Sequence[Kept], answers: Sequence[int | str | Refused | Conflict]) -> None:
        if self._fence:
            for kept, answer in zip(messages, answers, strict=True):
                if isinstance(answer, int):
                    self._fence.on_published(kept.subject, answer)

    def _rest_of(self, entry: Entry, turn: Turn) -> Kept | None:
        """What is to be published of a message; None: it is there already."""
        kept = entry.fixed()
        if self._published is None or not entry.lasting:
            return kept
        rest = self._published.without(kept)
        if rest is None:
            turn.published.append(entry)
        elif rest is not kept:
            turn.shortened.append((entry, rest))
        return rest

    async def _ready(self) -> BusClient:
        if self._client is None or self._client.is_lost:
            await self.close()
            self._client = await open_client(self._settings, f"marketflow {self._name}")
            await self._client.prepare(self._settings)
            if self._fence:
                await self._fence.enter(self._client)
            await self._read_back(self._client)
        return self._client

    async def _learn(self, client: BusClient, subjects: Sequence[str]) -> None:
        """What is the newest of these subjects. What another owner has published to them since it was read back is read
        back too.
        """
        if self._fence and await self._fence.learn(client, subjects) > self._read_until:
            span = await client.span()
            await self._read(client, span, after=self._read_until)

    async def _read_back(self, client: BusClient) -> None:
        """Reads what was published since the recovered state was written, or by the owner before this one: once a
        process; behind a fence with each connection, since what was refused may be behind something else.
        """
        after, span = self._read_back_from, await client.span()
        is_first = after == UNKNOWN and self.settled_seq == UNKNOWN
        if is_first and not (self._since_ms and span.last):
            self._newest = self.settled_seq = self._read_until = span.last  # nothing before is of this process
            return
        if after == UNKNOWN and not is_first:
            if not self._fence:
                return
            after = self.settled_seq
        if span.last < after:
            _log.warning("bus_stream_replaced", last=span.last, known=after)
        await self._read(client, span, after=after, since_ms=self._since_ms if is_first else 0)
        if is_first or span.last < after:
            self._newest = self.settled_seq = span.last
        self._read_back_from = UNKNOWN
        _log.info("bus_read_back", messages=len(self._published or ()), after=after)

    async def _read(self, client: BusClient, span: StreamSpan, *, after: int, since_ms: int = 0) -> None:
        """Notes the messages behind `after`, or since a time."""
        found = self._published = self._published or Published()
        begin = 0 if since_ms else max(after, span.first - 1)
        if begin < span.last:
            if self._fence:
                messages = client.past(until=span.last, after=begin, since_ms=since_ms)
            else:
                messages = client.read(TREES, after=begin, since_ms=since_ms)
            async with aclosing(messages):
                async for stored in messages:
                    if stored.seq:
                        found.add(stored.subject, stored.message_id, stored.body)
                    if stored.seq >= span.last or not (stored.pending or self._fence):
                        break
        self._read_until = span.last

    async def close(self) -> None:
        """Closes the connection."""
        client, self._client = self._client, None
        if client:
            await client.close()
