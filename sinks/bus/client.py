"""The connection to NATS: the only file, beside its options, that imports its client library.

A connection that breaks is closed and opened anew by who uses it, so that nothing waits in a buffer of the library.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError

from sinks.bus.client_options import bucket_config, connect_options, differing, stream_config
from sinks.bus.credentials import connect_by
from sinks.bus.entry import Kept
from sinks.bus.settings import BucketSettings, BusAddress, BusSettings
from sinks.bus.stored import NOTHING, BusError, Conflict, NoStreamError, Refused, Stored, StreamSpan
from sinks.bus.subjects import is_ours

OPEN_S: Final = 5.0
NEXT_S: Final = 1.0
"""After so long without an answer of a server another one is tried beside it."""
ANSWER_S: Final = 5.0
"""Longest wait for the answer to a request, and for the acknowledgement of what was published."""
CLOSE_S: Final = 2.0
PING_S: Final = 5.0
BEAT_S: Final = 1.0
"""Time between two signs of life of an idle consumer; without several the connection is given up."""
SILENT_S: Final = 4.0
MESSAGE_ID: Final = "Nats-Msg-Id"
EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_FLOW_CONTROL: Final = "100"
_TOO_LARGE: Final = 10_054
_NOT_THE_LAST: Final = 10_071
"""The server's numbers of errors."""

_log = structlog.get_logger(__name__)


class _Ack(Struct, frozen=True):
    """The answer to a message that was published."""

    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


_ACK: Final = msgspec.json.Decoder(_Ack)


def check_credentials(settings: BusAddress) -> None:
    """`BusError` when a file of credentials is set that cannot be used, or the package that signs by it is not
    installed, which is of another extra.
    """
    if settings.credentials is None:
        return
    if find_spec("cryptography") is None:
        text = "bus.credentials needs the package cryptography, which is not installed"
        raise BusError(f"{text}: pip install 'marketflow-data[bus,keys]'")
    connect_by(settings.credentials)


@asynccontextmanager
async def connected(settings: BusAddress, name: str, *, stream: str = "") -> AsyncIterator["BusClient"]:
    """A connection to one of the servers, in any order, for the stream of the settings or another one. `BusError` when
    none answers.
    """
    client = await _connect(settings, name, stream)
    try:
        yield client
    finally:
        await client.close()


async def open_client(settings: BusAddress, name: str) -> "BusClient":
    """The same, to be closed by the caller."""
    return await _connect(settings, name, "")


async def _connect(settings: BusAddress, name: str, stream: str) -> "BusClient":
    """Tries the servers one after another, the next one also while one is slow to answer, as a host that is gone is."""
    waiting = random.sample(settings.url, len(settings.url))  # so that readers share the servers
    causes: list[str] = []
    trying: dict[asyncio.Task[BusClient], str] = {}
    try:
        while waiting or trying:
            if waiting:
                url = waiting.pop()
                trying[asyncio.create_task(BusClient.open(settings, url, name, stream or settings.stream))] = url
            done, _ = await asyncio.wait(
                trying, timeout=NEXT_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                url = trying.pop(task)
                try:
                    return task.result()
                except (OSError, NatsError, TimeoutError, ValueError, BusError) as error:
                    causes.append(f"{shown(url)}: {str(error) or type(error).__name__}")
    finally:
        for task in trying:
            task.cancel()
        for late in await asyncio.gather(*trying, return_exceptions=True):
            if isinstance(late, BusClient):
                await late.close()
    raise BusError("; ".join(causes))


def shown(url: str) -> str:
    """An address without what is secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 4222}"


class BusClient:
    """One connection. Its methods belong to the loop that has opened it."""

    def __init__(self, client: Client, stream: str, lost: asyncio.Event) -> None:
        self._client = client
        self._stream = stream
        self._js = client.jetstream(timeout=ANSWER_S)
        self._jsm = client.jsm(timeout=ANSWER_S)
        self._lost = lost
        self._inbox = ""
        self._waiting: dict[str, asyncio.Future[_Ack]] = {}

    @classmethod
    async def open(cls, settings: BusAddress, url: str, name: str, stream: str) -> "BusClient":
        """Connects to one server."""
        lost, causes = asyncio.Event(), [""]

        async def on_lost() -> None:
            lost.set()

        async def on_error(error: Exception) -> None:
            causes[0] = str(error) or type(error).__name__

        client = Client()
        try:
            await client.connect(
                url,
                name=name,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # without a bound even the first attempt is repeated for ever
                reconnect_time_wait=0,
                connect_timeout=int(OPEN_S),
                ping_interval=int(PING_S),
                max_outstanding_pings=2,
                error_cb=on_error,
                closed_cb=on_lost,
                disconnected_cb=on_lost,
                **connect_options(settings),
            )
        except BaseException as error:
            if client._transport:  # noqa: SLF001 - the library leaves the socket of an attempt that failed open
                client._transport.close()  # type: ignore[no-untyped-call]  # noqa: SLF001
                await asyncio.sleep(0)
            if isinstance(error, NoServersError):
                raise BusError(causes[0]) from error
            raise
        return cls(client, stream, lost)

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._lost.is_set() or not self._client.is_connected

    async def close(self) -> None:
        """Closes it."""
        await _close(self._client)

    # --- the stream ---

    async def prepare(self, settings: BusSettings) -> None:
        """Creates the stream, or brings it to the settings, unless they forbid it. `BusError` when there is none."""
        wanted = stream_config(settings)
        try:
            found = await self._info()
            if found is None:
                if not settings.create:
                    raise BusError(f"there is no stream {settings.stream}, and bus.create forbids to create it")
                await self._jsm.add_stream(wanted)
                _log.info("bus_stream_created", stream=settings.stream, replicas=settings.replicas)
            elif settings.create and (changed := differing(found.config, wanted)):
                if foreign := [one for one in found.config.subjects or () if not is_ours(one)]:
                    text = f"the stream {settings.stream} is of another program, with the subjects {', '.join(foreign)}"
                    raise BusError(f"{text}: write another name as bus.stream")
                await self._jsm.update_stream(found.config.evolve(**{one: getattr(wanted, one) for one in changed}))
                _log.info("bus_stream_changed", stream=settings.stream, changed=changed)
        except (NatsError, TimeoutError) as error:
            raise _bus_error(error) from error

    async def prepare_bucket(self, settings: BucketSettings) -> None:
        """Creates the stream of a bucket of keys and values, if it is missing and the settings let it."""
        try:
            if await self._info() is None and settings.create:
                await self._jsm.add_stream(bucket_config(self._stream, replicas=settings.replicas))
                _log.info("bus_bucket_created", stream=self._stream, replicas=settings.replicas)
        except (NatsError, TimeoutError) as error:
            raise _bus_error(error) from error

    async def span(self) -> StreamSpan:
        """What the stream holds. `BusError` when there is none."""
        try:
            found = await self._info()
        except (NatsError, TimeoutError) as error:
            raise _bus_error(error) from error
        if found is None:
            raise NoStreamError(f"there is no stream {self._stream} yet: a flow creates it")
        return StreamSpan(found.state.first_seq, found.state.last_seq, found.created)

    async def _info(self) -> StreamInfo | None:
        try:
            return await self._jsm.stream_info(self._stream)
        except NotFoundError:
            return None

    # --- publishing ---

    async def publish(
        self, messages: Sequence[Kept], *, expected: Mapping[str, int] | None = None
    ) -> list[int | str | Refused | Conflict]:
        """Publishes messages and waits for the answers: for each its number in the stream, or why it is not known to be
        there, or never will be. `expected` has the number of the newest message of each subject, 0 for none: where
        another one is the newest, nothing is published, which is a `Conflict`.
        """
        if not self._inbox:
            self._inbox = self._client.new_inbox()
            await self._client.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[_Ack]] = [loop.create_future() for _ in messages]
        self._waiting = {str(number): answer for number, answer in enumerate(answers)}
        cause = "it has not acknowledged"
        try:
            for number, kept in enumerate(messages):
                if kept.most_bytes > self._client.max_payload:  # the server would close the connection
                    answers[number].set_result(_Ack(error={"err_code": _TOO_LARGE, "description": "it is too large"}))
                    continue
                headers = {MESSAGE_ID: kept.message_id} if kept.message_id else {}
                if expected is not None:
                    headers[EXPECTED] = str(expected.get(kept.subject, 0))
                reply = f"{self._inbox}.{number}"
                await self._client.publish(kept.subject, kept.body, reply=reply, headers=headers or None)
            await self._wait(answers)
        except (OSError, NatsError, TimeoutError) as error:
            cause = str(error) or type(error).__name__
        finally:
            self._waiting = {}
        return [_outcome(answer, cause) for answer in answers]

    async def _wait(self, answers: Sequence["asyncio.Future[_Ack]"]) -> None:
        ended = asyncio.ensure_future(self._lost.wait())
        waiting = asyncio.ensure_future(asyncio.wait(answers))
        try:
            await asyncio.wait({ended, waiting}, timeout=ANSWER_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            waiting.cancel()

    async def _on_ack(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is None or answer.done():
            return
        status = (message.headers or {}).get("Status")
        if status:
            answer.set_result(_Ack(error={"description": f"no stream takes it ({status})"}))
        else:
            answer.set_result(_ACK.decode(message.data))

    # --- reading ---

    async def read(
        self, subjects: Sequence[str], *, after: int = 0, since_ms: int = 0, newest_of_each: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """The messages of these subjects in the order of their numbers: those behind `after`, or since a time (ms UTC,
        of the servers), or first the newest of each subject; then all that come. `NOTHING` comes first where there is
        none. `BusError` when the connection ends, or one is missing. To be closed before the connection.
        """
        inbox = self._client.new_inbox()
        arrived: asyncio.Queue[Msg] = asyncio.Queue()

        async def on_message(message: Msg) -> None:
            arrived.put_nowait(message)

        try:
            subscription = await self._client.subscribe(inbox, cb=on_message)
            policy = DeliverPolicy.BY_START_TIME if since_ms else DeliverPolicy.BY_START_SEQUENCE
            if newest_of_each:
                policy = DeliverPolicy.LAST_PER_SUBJECT
            one = subjects[0] if len(subjects) == 1 else None
            config = ConsumerConfig(
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
                inactive_threshold=60.0,
                num_replicas=1,
                mem_storage=True,
            )
            consumer = await self._jsm.add_consumer(self._stream, config)
        except (OSError, NatsError, TimeoutError) as error:
            raise _bus_error(error) from error
        try:
            if not consumer.num_pending:
                yield NOTHING
            expected = 0
            while True:
                message = await self._next(arrived)
                if message.headers and "Status" in message.headers:
                    try:
                        await self._on_status(message, expected)
                    except (OSError, NatsError, TimeoutError) as error:
                        raise _bus_error(error) from error
                    continue
                stored, number = _stored(message)
                expected += 1
                if number != expected:
                    raise BusError(f"the consumer brought its message {number}, and not {expected}")
                yield stored
        finally:
            if not self.is_lost:
                with suppress(Exception):
                    await subscription.unsubscribe()
                    await self._jsm.delete_consumer(self._stream, consumer.name)

    async def _next(self, arrived: "asyncio.Queue[Msg]") -> Msg:
        if not arrived.empty():
            return arrived.get_nowait()
        try:
            async with asyncio.timeout(SILENT_S):
                return await arrived.get()
        except TimeoutError:
            raise BusError("the connection is lost" if self.is_lost else "the consumer gives no sign of life") from None

    async def _on_status(self, message: Msg, received: int) -> None:
        """A sign of life, or a request to confirm that all before it was received."""
        headers = message.headers or {}
        if headers.get("Status") != _FLOW_CONTROL:
            raise BusError(f"the consumer ended: {headers.get('Description') or headers.get('Status')}")
        reply = message.reply or headers.get("Nats-Consumer-Stalled")
        if reply:
            await self._client.publish(reply)
        elif int(headers.get("Nats-Last-Consumer") or received) > received:
            raise BusError("messages of the consumer are missing")


async def _close(client: Client) -> None:
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    await asyncio.sleep(0)  # the library does not wait until its socket is closed


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


def _outcome(answer: "asyncio.Future[_Ack]", cause: str) -> int | str | Refused | Conflict:
    if not answer.done():
        answer.cancel()
        return cause
    ack = answer.result()
    if not ack.error:
        return ack.seq
    text, number = str(ack.error.get("description", ack.error)), ack.error.get("err_code")
    if number == _NOT_THE_LAST:
        return Conflict(text)
    return Refused(text) if number == _TOO_LARGE else text


def _bus_error(error: Exception) -> BusError:
    return BusError(str(error) or type(error).__name__)
