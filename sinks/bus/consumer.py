"""Reading a stream by a consumer: what there is, and then all that comes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
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
    """See `BusClient.read`. `lost` is set when the connection has ended."""
    inbox = client.new_inbox()
    arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def on_message(message: Msg) -> None:
        arrived.put_nowait(message)

    config = _config(inbox, subjects, after=after, since_ms=since_ms, newest_of_each=newest_of_each)
    try:
        subscription = await client.subscribe(inbox, cb=on_message)
        consumer = await repeated(lambda wait_s: client.jsm(timeout=wait_s).add_consumer(stream, config))
        delivered = consumer.delivered.consumer_seq if consumer.delivered else 0
    except (OSError, NatsError, TimeoutError) as error:
        raise bus_error(error) from error
    try:
        if not consumer.num_pending and not delivered:  # where the request was sent again some may have been delivered
            yield NOTHING
        expected = 0
        while True:
            message = await _next(arrived, lost)
            if message.headers and "Status" in message.headers:
                try:
                    await _on_status(client, message, expected)
                except (OSError, NatsError, TimeoutError) as error:
                    raise bus_error(error) from error
                continue
            stored, number = _stored(message)
            expected += 1
            if number != expected:
                raise BusError(f"the consumer brought its message {number}, and not {expected}")
            yield stored
    finally:
        if client.is_connected:
            with suppress(Exception):
                await subscription.unsubscribe()
                await client.jsm(timeout=CLOSE_S).delete_consumer(stream, consumer.name)


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


async def _next(arrived: "asyncio.Queue[Msg]", lost: asyncio.Event) -> Msg:
    if not arrived.empty():
        return arrived.get_nowait()
    try:
        async with asyncio.timeout(SILENT_S):
            return await arrived.get()
    except TimeoutError:
        raise BusError("the connection is lost" if lost.is_set() else "the consumer gives no sign of life") from None


async def _on_status(client: Client, message: Msg, received: int) -> None:
    """A sign of life, or a request to confirm that all before it was received."""
    headers = message.headers or {}
    if headers.get("Status") != _FLOW_CONTROL:
        raise BusError(f"the consumer ended: {headers.get('Description') or headers.get('Status')}")
    reply = message.reply or headers.get("Nats-Consumer-Stalled")
    if reply:
        await client.publish(reply)
    elif int(headers.get("Nats-Last-Consumer") or received) > received:
        raise BusError("messages of the consumer are missing")


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
