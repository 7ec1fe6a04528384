"""One client of the SignalR hub: its messages in order, its subscription, its streams, its keep-alive."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode

from api.gateway.gateway import Gateway
from api.http.errors import Problem
from api.signalr.forms import PushForm, Record, StreamForm
from api.signalr.protocol import (
    CODECS,
    HANDSHAKE_OK,
    Cancellation,
    Close,
    Codec,
    Invocation,
    ProtocolError,
    handshake_refusal,
)
from api.signalr.resumable import ResumableTransport
from api.signalr.session import Session
from api.signalr.transports import Transport, WebSocketTransport
from flows.clock import monotonic_ms
from sinks.hub.auth import REQUESTS_PER_S, TokenBucket
from sinks.hub.client import STALLED_MS, Client
from sinks.hub.rights import Rights
from sinks.hub.subscription import RequestError, RightError, Subscription, build_rule, granted

MOST_STREAMS: Final = 16
"""Most streams of a connection at a time."""
MOST_WAITING: Final = 64
"""Most messages of a client that wait to be served; then nothing more is read."""
_CHECK_S: Final = 1.0
_PUSHES: Final = {name: PushForm(codec) for name, codec in CODECS.items()}
_DIMENSIONS: Final = ("channels", "symbols", "timeframes", "venues")
DEFAULT_CHANNELS: Final = ("MarketData", "Candle")
"""What `Subscribe` means without channels."""

Calls = Mapping[str, Callable[[Sequence[Any]], Awaitable[Any]]]
"""Methods by name that answer from arguments alone. They raise `Problem`."""

_log = structlog.get_logger(__name__)


class Lane:
    """The `Peer` of one subscription or stream: several share the connection."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def write_frames(self, frames: bytes) -> bool:
        """Writes finished messages."""
        return self._connection.write(frames) if frames else True

    def begin_close(self, code: int, reason: str) -> None:
        """Ends the connection; the client may come back."""
        self._connection.end(code, reason)


class Connection:
    """Serves one client until it leaves."""

    def __init__(self, transport: Transport, gateway: Gateway, calls: Calls, rights: Rights) -> None:
        self._transport = transport
        self._gateway = gateway
        self._calls = calls
        self.rights = rights
        """Those of its client."""
        self._resumable = transport if isinstance(transport, ResumableTransport) else None
        self._session = Session(monotonic_ms(), may_resume=self._resumable is not None)
        self._waiting: asyncio.Queue[Invocation | Cancellation | Close] = asyncio.Queue(MOST_WAITING)
        self._client: Client | None = None
        self._streams: dict[str, Client] = {}
        transport.on_writable = self._on_writable
        if self._resumable:
            self._resumable.on_cut = self._on_cut

    async def serve(self) -> None:
        """Serves it, from the handshake to the close."""
        work = [asyncio.create_task(task) for task in (self._read(), self._serve_messages(), self._watch())]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            results = await asyncio.gather(*work, return_exceptions=True)
            for client in self._clients():
                self._gateway.relay.leave(client)
            await self._transport.wait_closing()
        failure = next((one for one in results if isinstance(one, Exception)), None)
        try:
            if failure is not None:
                raise failure
        finally:
            del failure, results, work  # the traceback has this frame: without that they hold each other

    @property
    def transport_name(self) -> str:
        """For logs."""
        return type(self._transport).__name__

    def _clients(self) -> list[Client]:
        return [*([self._client] if self._client else []), *self._streams.values()]

    # --- sending ---

    def write(self, records: bytes) -> bool:
        """Writes finished messages of those that a stateful reconnect counts; False when there is no more room."""
        resumption = self._session.resumption
        if resumption is None:
            return self._write_uncounted(records)
        resumption.on_written(records)
        return self._write_uncounted(records) and not resumption.is_full

    def _write_uncounted(self, records: bytes) -> bool:
        self._session.on_sent(monotonic_ms())
        codec = self._session.codec
        return self._transport.write(records, is_binary=codec is not None and codec.is_binary)

    def end(self, code: int, reason: str, *, allow_reconnect: bool = True) -> None:
        """Says why, and closes."""
        codec = self._session.codec
        if codec is not None:
            self._write_uncounted(codec.close(reason, allow_reconnect=allow_reconnect))
        self._transport.begin_close(code, reason)

    def _reply(self, data: bytes) -> None:
        """Sends an answer, behind what waits."""
        assert self._client is not None  # noqa: S101 - set by the handshake
        self._gateway.relay.reply(self._client, [Record(data)], self._gateway.now())

    def _on_writable(self) -> None:
        resumption = self._session.resumption
        if resumption and resumption.is_full:
            return
        for client in self._clients():
            self._gateway.relay.on_writable(client, self._gateway.now())

    # --- time ---

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_CHECK_S)
            if self._resumable and self._resumable.is_kept and self._resumable.is_away:
                self._check_return(monotonic_ms())
            else:
                self._check_line(monotonic_ms())

    def _check_return(self, now_ms: int) -> None:
        resumption = self._session.resumption
        if resumption and resumption.has_left(now_ms):
            self.end(WSCloseCode.GOING_AWAY, "the client has not come back")

    def _check_line(self, now_ms: int) -> None:
        codec, resumption = self._session.codec, self._session.resumption
        if self._transport.has_fetched():
            self._session.on_seen(now_ms)
        if self._session.is_silent(now_ms) and not self._waiting.full():
            self.end(WSCloseCode.GOING_AWAY, "the client is silent")
        elif resumption and (ack := resumption.take_ack()):
            self._write_uncounted(ack)
        elif codec is not None and self._session.wants_ping(now_ms):
            self._write_uncounted(codec.ping())

    # --- stateful reconnects ---

    @property
    def may_resume(self) -> bool:
        """Whether the client may come back over another connection."""
        return self._resumable is not None and self._resumable.is_kept and self._resumable.is_open

    def resume(self, line: WebSocketTransport) -> None:
        """The client has come back; only while it may."""
        transport, resumption = self._resumable, self._session.resumption
        if transport is None or resumption is None:
            return
        transport.replace(line)
        self._session.on_seen(monotonic_ms())
        self._write_uncounted(resumption.again())
        self._on_writable()

    def _on_cut(self) -> None:
        if self._session.resumption:
            self._session.resumption.on_cut()

    # --- messages of the client ---

    async def _read(self) -> None:
        bucket = TokenBucket(now_ms=monotonic_ms())
        async for frame in self._transport.frames():
            was_open, was_full = self._session.codec is not None, self._is_full
            try:
                messages = self._session.on_frame(frame, monotonic_ms())
            except ProtocolError as error:
                if not was_open:
                    self._write_uncounted(handshake_refusal(str(error)))
                self.end(WSCloseCode.PROTOCOL_ERROR, str(error)[:100], allow_reconnect=False)
                return
            if not was_open and not self._begin():
                return
            if was_full and not self._is_full:
                self._on_writable()
            for message in messages:
                if not isinstance(message, Close) and not bucket.take(monotonic_ms()):
                    self.end(WSCloseCode.POLICY_VIOLATION, f"more than {REQUESTS_PER_S} messages a second")
                    return
                if isinstance(message, Invocation | Cancellation | Close) and not await self._put(message):
                    return

    @property
    def _is_full(self) -> bool:
        return self._session.resumption is not None and self._session.resumption.is_full

    async def _put(self, message: Invocation | Cancellation | Close) -> bool:
        """Has a message served in its turn; False when the connection ends. One that may be resumed is read on, as what
        the client acknowledges is among what it sends.
        """
        if self._session.resumption and self._waiting.full():
            self.end(WSCloseCode.TRY_AGAIN_LATER, "calls, but does not read")
            return False
        await self._waiting.put(message)
        return True

    async def _serve_messages(self) -> None:
        while not isinstance(message := await self._waiting.get(), Close):
            if not await self._serve(message):
                return
        self._transport.begin_close(WSCloseCode.OK, "")

    def _begin(self) -> bool:
        codec = self._codec
        if codec.is_binary and not self._transport.takes_binary:
            self._write_uncounted(handshake_refusal("this transport carries text alone: use the protocol json"))
            self._transport.begin_close(WSCloseCode.UNSUPPORTED_DATA, "")
            return False
        self._write_uncounted(HANDSHAKE_OK)
        if self._resumable:
            self._resumable.is_kept = self._session.resumption is not None
        self._client = self._join(_PUSHES[codec.name], Subscription((), self.rights))
        return True

    @property
    def _codec(self) -> Codec:
        assert self._session.codec is not None  # noqa: S101 - after the handshake
        return self._session.codec

    def _join(self, form: PushForm | StreamForm, subscription: Subscription) -> Client:
        return self._gateway.relay.join(Lane(self), self._gateway.now(), encoding=form, subscription=subscription)

    async def _serve(self, message: Invocation | Cancellation) -> bool:
        """Serves one message; False when the connection ends. A client that does not read must wait."""
        try:
            async with asyncio.timeout(STALLED_MS / 1_000):
                while any(client.behind for client in self._clients()) and self._transport.is_open:
                    await self._transport.wait_room()
        except TimeoutError:
            self.end(WSCloseCode.TRY_AGAIN_LATER, "calls, but does not read")
            return False
        match message:
            case Invocation():
                await self._call(message)
            case Cancellation():
                self._end_stream(message.id)
        return self._transport.is_open

    async def _call(self, call: Invocation) -> None:
        try:
            answer = await self._answer(call)
        except Problem as problem:
            answer = self._codec.failed(call.id or "", f"{problem.code}: {problem.message}")
        except RightError as error:
            answer = self._codec.failed(call.id or "", f"no_right: {error}")
        except RequestError as error:
            answer = self._codec.failed(call.id or "", f"bad_request: {error}")
        except Exception:  # noqa: BLE001 - an error of ours is no reason to end the connection
            _log.exception("signalr_call_failed", target=call.target)
            answer = self._codec.failed(call.id or "", "internal: see the interface's log")
        if call.id and answer:
            self._reply(answer)

    async def _answer(self, call: Invocation) -> bytes:
        """The completion of a call; empty for a stream, which ends when it is cancelled."""
        if (call.target == "StreamPrices") != call.is_stream:
            raise RequestError(f"{call.target} is {'no' if call.is_stream else 'a'} stream")
        if call.is_stream:
            self._begin_stream(call.id or "", call.arguments)
            return b""
        if call.target in ("Subscribe", "Unsubscribe"):
            return self._change(call)
        if call.target not in self._calls:
            known = ", ".join(("Subscribe", "Unsubscribe", *self._calls, "StreamPrices"))
            raise RequestError(f"unknown method; known are {known}")
        return self._codec.result(call.id or "", await self._calls[call.target](call.arguments))

    # --- subscription and streams ---

    def _change(self, call: Invocation) -> bytes:
        assert self._client is not None  # noqa: S101 - set by the handshake
        wanted = call.target == "Subscribe"
        named = dict(zip(_DIMENSIONS, map(_names, call.arguments[: len(_DIMENSIONS)]), strict=False))
        if len(call.arguments) > len(_DIMENSIONS):
            raise RequestError(f"{call.target} has {', '.join(_DIMENSIONS)}")
        channels: Sequence[str] | None = named.get("channels")
        if channels is None:
            channels = DEFAULT_CHANNELS if wanted else _subscribed(self._client.subscription)
        rule = build_rule(
            wanted=wanted,
            channels=granted(self.rights, channels, ()) if wanted else channels,
            symbols=named.get("symbols"),
            timeframes=named.get("timeframes"),
            venues=named.get("venues"),
        )
        relay, now = self._gateway.relay, self._gateway.now()
        data, snapshot = relay.change(self._client, rule, now)
        if call.id:
            relay.reply(self._client, [Record(self._codec.result(call.id, data))], now)
        relay.reply(self._client, snapshot, now)
        return b""

    def _begin_stream(self, id_: str, arguments: Sequence[Any]) -> None:
        if id_ in self._streams or len(self._streams) >= MOST_STREAMS:
            raise RequestError(f"a stream has an id of its own, and there are at most {MOST_STREAMS}")
        if len(arguments) > 1:
            raise RequestError("StreamPrices has symbols")
        symbols = _names(arguments[0]) if arguments else None
        rule = build_rule(wanted=True, channels=("MarketData",), symbols=symbols, timeframes=None)
        client = self._join(StreamForm(self._codec, id_), Subscription((), self.rights))
        self._streams[id_] = client
        _, snapshot = self._gateway.relay.change(client, rule, self._gateway.now())
        self._gateway.relay.reply(client, snapshot, self._gateway.now())

    def _end_stream(self, id_: str) -> None:
        client = self._streams.pop(id_, None)
        if client is not None:
            self._gateway.relay.leave(client)
            self._reply(self._codec.done(id_))


def _subscribed(subscription: Subscription) -> list[str]:
    """The channels of a subscription."""
    return sorted({channel for rule in subscription.rules if rule.wanted for channel in rule.channels}) or [
        *DEFAULT_CHANNELS
    ]


def _names(argument: Any) -> list[str] | None:
    """Names in an argument; None for all. `RequestError` when it is no list of texts."""
    if argument is None:
        return None
    if not isinstance(argument, list) or not all(isinstance(name, str) for name in argument):
        raise RequestError("an argument is a list of texts, or null for all")
    return argument
