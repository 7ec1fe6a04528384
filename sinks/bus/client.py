"""The connection to NATS: the only file, beside its options, that imports its client library.

A connection that breaks is closed and opened anew by who uses it, so that nothing waits in a buffer of the library.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.js.api import StreamInfo
from nats.js.errors import NotFoundError

from sinks.bus.client_options import bucket_config, connect_options, differing, stream_config
from sinks.bus.consumer import MESSAGE_ID, bus_error, consumed, delivered
from sinks.bus.credentials import connect_by
from sinks.bus.direct import newest, past
from sinks.bus.entry import Kept
from sinks.bus.requests import repeated
from sinks.bus.settings import BucketSettings, BusAddress, BusSettings
from sinks.bus.stored import BusError, Conflict, NoStreamError, Refused, Stored, StreamSpan
from sinks.bus.subjects import is_ours

OPEN_S: Final = 5.0
NEXT_S: Final = 0.5
"""After so long without an answer of a server another one is tried beside it."""
ACKS_S: Final = 2.0
"""Longest wait for the next acknowledgement of what was published."""
CLOSE_S: Final = 2.0
PING_S: Final = 2.0
EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
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
        self._jsm = client.jsm()
        self._lost = lost
        self._inbox = ""
        self._ended: asyncio.Task[Any] | None = None
        """Waits for the end of the connection."""
        self._waiting: dict[str, asyncio.Future[_Ack]] = {}
        self._unanswered = 0
        self._all_answered: asyncio.Future[None] | None = None

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
        if self._ended:
            self._ended.cancel()
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
            raise bus_error(error) from error

    async def prepare_bucket(self, settings: BucketSettings) -> None:
        """Creates the stream of a bucket of keys and values, if it is missing and the settings let it."""
        try:
            if await self._info() is None and settings.create:
                await self._jsm.add_stream(bucket_config(self._stream, replicas=settings.replicas))
                _log.info("bus_bucket_created", stream=self._stream, replicas=settings.replicas)
        except (NatsError, TimeoutError) as error:
            raise bus_error(error) from error

    async def span(self) -> StreamSpan:
        """What the stream holds. `BusError` when there is none."""
        try:
            found = await self._info()
        except (NatsError, TimeoutError) as error:
            raise bus_error(error) from error
        if found is None:
            raise NoStreamError(f"there is no stream {self._stream} yet: a flow creates it")
        return StreamSpan(found.state.first_seq, found.state.last_seq, found.created)

    async def _info(self) -> StreamInfo | None:
        try:
            return await repeated(lambda wait_s: self._client.jsm(timeout=wait_s).stream_info(self._stream))
        except NotFoundError:
            return None

    # --- publishing ---

    async def publish(
        self, messages: Sequence[Kept], *, expected: Mapping[str, int] | None = None, wait_s: float = ACKS_S
    ) -> list[int | str | Refused | Conflict]:
        """Publishes messages and waits for the answers, at most `wait_s` for the next one: for each its number in the
        stream, or why it is not known to be there, or never will be. `expected` has the number of the newest message
        of each subject, 0 for none: where another one is the newest, nothing is published, which is a `Conflict`.
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
            await self._wait(answers, wait_s)
        except (OSError, NatsError, TimeoutError) as error:
            cause = str(error) or type(error).__name__
        finally:
            self._waiting = {}
        return [_outcome(answer, cause) for answer in answers]

    async def _wait(self, answers: Sequence["asyncio.Future[_Ack]"], wait_s: float) -> None:
        """Until all are there, the connection ends, or none has come for so long."""
        await asyncio.sleep(0)  # the library writes at its next turn
        self._unanswered = sum(not answer.done() for answer in answers)
        ended = self._ended = self._ended or asyncio.create_task(self._lost.wait())
        everything = self._all_answered = asyncio.get_running_loop().create_future()
        try:
            while left := self._unanswered:
                done, _ = await asyncio.wait({ended, everything}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                if done or left == self._unanswered:
                    return
        finally:
            self._all_answered = None

    async def _on_ack(self, message: Msg) -> None:
        answer = self._waiting.get(message.subject.rpartition(".")[2])
        if answer is None or answer.done():
            return
        status = (message.headers or {}).get("Status")
        if status:
            answer.set_result(_Ack(error={"description": f"no stream takes it ({status})"}))
        else:
            answer.set_result(_ACK.decode(message.data))
        self._unanswered -= 1
        if self._all_answered and not self._all_answered.done() and not self._unanswered:
            self._all_answered.set_result(None)

    # --- reading ---

    def read(
        self, subjects: Sequence[str], *, after: int = 0, since_ms: int = 0, newest_of_each: bool = False
    ) -> AsyncGenerator[Stored, None]:
        """The messages of these subjects in the order of their numbers: those behind `after`, or since a time (ms UTC,
        of the servers), or first the newest of each subject; then all that come. `NOTHING` comes first where there is
        none. `BusError` when the connection ends, or one is missing. To be closed before the connection.
        """
        return consumed(
            self._client, self._stream, subjects,
            lost=self._lost, after=after, since_ms=since_ms, newest_of_each=newest_of_each,
        )  # fmt: skip

    async def follow(self, subjects: Sequence[str], take: Callable[[Stored], None], *, after: int) -> None:
        """Hands the messages behind `after`, and all that come, to `take` at once, without a queue between; also
        `NOTHING`, as `read`. It ends with a `BusError`, or with what `take` raises.
        """
        async with delivered(self._client, self._stream, subjects, take, lost=self._lost, after=after) as ended:
            await ended

    async def newest(self, *subjects: str, wait_s: float) -> list[Stored]:
        """The newest message of each of some subjects or of a pattern's, at most 1,024, as one server has them at a
        time, see `sinks.bus.direct`. `BusError` without an answer within `wait_s`, or while there is no such stream.
        """
        return await newest(self._client, self._stream, subjects, wait_s=wait_s)

    def past(self, *, until: int, after: int = 0, since_ms: int = 0) -> AsyncGenerator[Stored, None]:
        """The messages behind `after`, or since a time (ms UTC, of the servers), to the number `until`, of all
        subjects; see `sinks.bus.direct`. `BusError` when no server has them.
        """
        return past(self._client, self._stream, until=until, after=after, since_ms=since_ms)

    async def listen(self, subject: str, on_message: Callable[[str, bytes], None]) -> None:
        """Calls `on_message(subject, body)` with what is published to a pattern of subjects by any client, this one
        among them, whether or not a stream takes it.
        """

        async def on_arrival(message: Msg) -> None:
            on_message(message.subject, message.data)

        try:
            await self._client.subscribe(subject, cb=on_arrival)
        except (OSError, NatsError, TimeoutError) as error:
            raise bus_error(error) from error


async def _close(client: Client) -> None:
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            await client.close()
    await asyncio.sleep(0)  # the library does not wait until its socket is closed


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
