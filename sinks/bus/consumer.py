"""Reading a stream by a consumer: what there is, and then all that comes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from sinks.bus.requests import repeated
from sinks.bus.stored import NOTHING, BusError, Stored

BEAT_S: Final = 0.5
"""Time between two signs of life of an idle consumer; without several the consumer is given up."""
SILENT_S: Final = 2.5
CLOSE_S: Final = 0.5
"""Longest wait until a consumer is deleted; the server does so itself after `INACTIVE_S`."""
INACTIVE_S: Final = 60.0
MESSAGE_ID: Final = "Nats-Msg-Id"
_FLOW_CONTROL: Final = "100"


@asynccontextmanager
async def delivered(
    client: Client,
    stream: str,
    subjects: Sequence[str],
    take: Callable[[Stored], None],
    *,
    lost: asyncio.Event,
    after: int = 0,
    since_ms: int = 0,
    newest_of_each: bool = False,
) -> AsyncIterator["asyncio.Future[None]"]:
    """While entered each message is handed to `take` where the library brings it. The future ends with why no more
    comes, a `BusError` or what `take` has raised. `lost` is set when the connection has ended.
    """
    consumer = _Consumer(client, take, lost)
    inbox = client.new_inbox()
    config = _config(inbox, subjects, after=after, since_ms=since_ms, newest_of_each=newest_of_each)
    try:
        subscription = await client.subscribe(inbox, cb=consumer.on_message)
        made = await repeated(lambda wait_s: client.jsm(timeout=wait_s).add_consumer(stream, config))
    except (OSError, NatsError, TimeoutError) as error:
        raise bus_error(error) from error
    # where the request was sent again some may have been delivered
    has_none = not made.num_pending and not (made.delivered and made.delivered.consumer_seq)
    watching = asyncio.create_task(consumer.watch())
    try:
        await consumer.begin(has_none=has_none)
        yield consumer.ended
    finally:
        watching.cancel()
        consumer.end()
        if client.is_connected:
            with suppress(Exception):
                await subscription.unsubscribe()
                await client.jsm(timeout=CLOSE_S).delete_consumer(stream, made.name)


async def consumed(
    client: Client,
    stream: str,
    subjects: Sequence[str],
    *,
    lost: asyncio.Event,
    after: int = 0,
    since_ms: int = 0,
    newest_of_each: bool = False,
) -> AsyncGenerator[Stored, None]:
    """See `BusClient.read`."""
    arrived: asyncio.Queue[Stored | None] = asyncio.Queue()
    async with delivered(
        client, stream, subjects, arrived.put_nowait,
        lost=lost, after=after, since_ms=since_ms, newest_of_each=newest_of_each,
    ) as ended:  # fmt: skip
        ended.add_done_callback(lambda _: arrived.put_nowait(None))
        while (stored := await arrived.get()) is not None:
            yield stored
        ended.result()


class _Consumer:
    """What comes of one consumer: each message in its turn, or why no more does."""

    def __init__(self, client: Client, take: Callable[[Stored], None], lost: asyncio.Event) -> None:
        self._client = client
        self._take = take
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._received = 0
        self._early: deque[Msg] | None = deque()
        """What has come before the consumer was known to be made, and is not handed on yet; None: all is."""
        self._alive_s = self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Why it has ended, when it has."""

    async def begin(self, *, has_none: bool) -> None:
        """The consumer is made; `has_none`: there is no message yet."""
        self._alive_s = self._loop.time()
        if has_none:
            self._hand_on(NOTHING)
        while self._early:
            await self._confirm(self._on(self._early.popleft()))
        self._early = None

    def end(self) -> None:
        """Nothing more is taken."""
        if not self.ended.cancel() and not self.ended.cancelled():
            self.ended.exception()  # who reads may have left before it came

    async def on_message(self, message: Msg) -> None:
        """As the library calls it."""
        self._alive_s = self._loop.time()
        if self._early is not None:
            self._early.append(message)
        else:
            await self._confirm(self._on(message))

    async def _confirm(self, reply: str) -> None:
        if not reply:
            return
        try:
            await self._client.publish(reply)
        except (OSError, NatsError, TimeoutError) as error:
            self._fail(bus_error(error))

    def _on(self, message: Msg) -> str:
        """One message. Returns where to confirm that all before it was received; "" where that is not requested."""
        if self.ended.done():
            return ""
        if message.headers and "Status" in message.headers:
            return self._on_status(message, message.headers)
        stored, number = _stored(message)
        self._received += 1
        if number == self._received:
            self._hand_on(stored)
        else:
            self._fail(BusError(f"the consumer brought its message {number}, and not {self._received}"))
        return ""

    def _hand_on(self, stored: Stored) -> None:
        try:
            self._take(stored)
        except Exception as error:  # noqa: BLE001 - raised where the messages are read, and not by the library
            self._fail(error)

    def _on_status(self, message: Msg, headers: Mapping[str, str]) -> str:
        """A sign of life, or a request to confirm."""
        if headers.get("Status") != _FLOW_CONTROL:
            self._fail(BusError(f"the consumer ended: {headers.get('Description') or headers.get('Status')}"))
            return ""
        reply = message.reply or headers.get("Nats-Consumer-Stalled") or ""
        if not reply and int(headers.get("Nats-Last-Consumer") or self._received) > self._received:
            self._fail(BusError("messages of the consumer are missing"))
        return reply

    async def watch(self) -> None:
        """Ends it when the connection is lost, or nothing has come for `SILENT_S`."""
        while not self.ended.done():
            due_s = self._alive_s + SILENT_S
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await self._lost.wait()
                    self._fail(BusError("the connection is lost"))
                    return
            if self._loop.time() > due_s + BEAT_S:  # the loop itself was held up, and what has come is unread
                self._alive_s = self._loop.time()
            elif self._alive_s + SILENT_S <= self._loop.time():
                self._fail(BusError("the consumer gives no sign of life"))

    def _fail(self, error: Exception) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)


def _config(inbox: str, subjects: Sequence[str], *, after: int, since_ms: int, newest_of_each: bool) -> ConsumerConfig:
    policy = DeliverPolicy.BY_START_TIME if since_ms else DeliverPolicy.BY_START_SEQUENCE
    if newest_of_each:
        policy = DeliverPolicy.LAST_PER_SUBJECT
    one = subjects[0] if len(subjects) == 1 else None
    return ConsumerConfig(
        name=uuid4().hex,  # with a name what is read is part of the request's subject, for permissions
        deliver_subject=inbox,
        deliver_policy=policy,
        opt_start_seq=after + 1 if policy == DeliverPolicy.BY_START_SEQUENCE else None,
        opt_start_time=datetime.fromtimestamp(since_ms / 1_000, UTC) if since_ms else None,
        ack_policy=AckPolicy.NONE,
        max_deliver=1,
        filter_subject=one,
        filter_subjects=None if one else list(subjects),
        flow_control=True,
        idle_heartbeat=BEAT_S,
        inactive_threshold=INACTIVE_S,
        num_replicas=1,
        mem_storage=True,
    )


def _stored(message: Msg) -> tuple[Stored, int]:
    """The message, and its number at the consumer: from `$JS.ACK.…`, whose form has 9 fields, or 2 more in front and
    maybe one behind.
    """
    fields = message.reply.split(".")
    at = 4 if len(fields) == 9 else 6  # noqa: PLR2004 - the two forms
    seq, number, pending = int(fields[at + 1]), int(fields[at + 2]), int(fields[at + 4])
    message_id = (message.headers or {}).get(MESSAGE_ID, "")
    stamp_ms = int(fields[at + 3]) // 1_000_000
    return Stored(seq, message.subject, message.data, message_id, pending, stamp_ms), number


def bus_error(error: Exception) -> BusError:
    """The error of the library as one of the bus."""
    return BusError(str(error) or type(error).__name__)
