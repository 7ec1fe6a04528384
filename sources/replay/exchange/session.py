"""One client's WebSocket connection: requests, pings, limits. The I/O around the pure parts."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from aiohttp.abc import AbstractStreamWriter

from flows.clock import wall_ms
from flows.websocket import BINARY, TEXT, encode_frame
from sources.replay.exchange.backlog import Backlog
from sources.replay.exchange.keepalive import KeepAlive, Upkeep
from sources.replay.exchange.limits import Limits, RateMeter
from sources.replay.faults.replies import Answer, answer_truly
from sources.replay.market.market import Message
from sources.replay.protocol.conversation import Conversation, FrameEncoding

HIGH_WATER_BYTES = 1_048_576
"""Bytes in a client's write buffer above which a market at speed `max` waits for the client."""

_CLOSE_TIMEOUT_S = 1.0
_CLOSE_REASON_BYTES = 123
_REQUESTS = (WSMsgType.TEXT, WSMsgType.BINARY)
_log = structlog.get_logger(__name__)


class Session:
    """A connected client.

    Frames of market data go to its transport directly, many in one write. What cannot be sent waits in the transport's
    buffer; a write that does not fit into the `backlog` ends the connection.
    """

    def __init__(
        self,
        number: int,
        *,
        conversation: Conversation,
        limits: Limits,
        remote: str,
        ws: web.WebSocketResponse,
        writer: AbstractStreamWriter,
        transport: asyncio.Transport,
        backlog: Backlog,
        answer: Answer = answer_truly,
    ) -> None:
        self.number = number
        """The client's id in state and faults."""
        self._conversation = conversation
        self._limits = limits
        self._remote = remote
        self._ws = ws
        self._writer = writer
        self._transport = transport
        self._backlog = backlog
        self._answer_request = answer
        self._keep_alive = KeepAlive(limits, opened_s=asyncio.get_running_loop().time())
        self._frames: list[bytes] = []
        self._sent = 0
        self._half_open = False
        self._ending: asyncio.Task[bool] | None = None

    # --- as the fanout sees it ---------------------------------------------------------------------------------------

    @property
    def encoding(self) -> FrameEncoding:
        """The encoding of its messages."""
        return self._conversation.encoding

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it."""
        return self._conversation.delivered

    def take(self, frame: bytes) -> None:
        """Buffers a frame until the end of the turn."""
        self._frames.append(frame)

    def flush(self) -> None:
        """Writes the frames of the turn in one call."""
        frames = self._frames
        if not frames:
            self._backlog.note(self.number, self._transport.get_write_buffer_size())
            return
        if self._write(*frames):
            self._sent += len(frames)
        frames.clear()

    async def drained(self) -> None:
        """Returns when the client has room for more, or has disconnected."""
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def report(self) -> dict[str, Any]:
        """The client's part of the state."""
        return {
            "id": self.number,
            "remote": self._remote,
            **self._conversation.report(),
            "half_open": self._half_open,
            "sent": self._sent,
            "buffered_bytes": self._transport.get_write_buffer_size(),
        }

    # --- from the client ---------------------------------------------------------------------------------------------

    async def serve(self, on_request: Callable[["Session"], None]) -> None:
        """Answers the client until the connection ends; `on_request` is called after each of its requests."""
        self._write(*(encode_frame(greeting) for greeting in self._conversation.greet()))
        upkeep = asyncio.create_task(self._keep_up(), name=f"upkeep of client {self.number}")
        try:
            await self._answer(on_request)
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            await self._end()
            self._backlog.forget(self.number)

    async def _answer(self, on_request: Callable[["Session"], None]) -> None:
        loop = asyncio.get_running_loop()
        incoming = RateMeter(most=self._limits.incoming_per_s, window_s=1.0)
        async for message in self._ws:
            if message.type is WSMsgType.ERROR:
                return
            is_counted = self._conversation.counts_requests or message.type not in _REQUESTS
            if is_counted and not incoming.admits(loop.time()):
                self.close(WSCloseCode.POLICY_VIOLATION, "Too many requests")
                return
            self._on_message(message)
            if message.type in _REQUESTS:
                on_request(self)

    def _on_message(self, message: WSMessage) -> None:
        if message.type in _REQUESTS:
            replies = self._answer_request(self._conversation, message.data)
            self._write(*(encode_frame(reply) for reply in replies))
        elif message.type is WSMsgType.PING:
            self._write(encode_frame(bytes(message.data), WSMsgType.PONG))
        elif message.type is WSMsgType.PONG:
            self._keep_alive.on_pong(bytes(message.data))

    # --- to the client -----------------------------------------------------------------------------------------------

    def notify(self, notice: Message) -> None:
        """Sends a message that needs no subscription."""
        self._write(self.encoding.frame(notice))

    def send(self, payload: bytes, *, binary: bool = False, times: int = 1) -> None:
        """Sends a frame as it is."""
        self._write(encode_frame(payload, BINARY if binary else TEXT) * times)

    def close(self, code: int, reason: str | bytes = "") -> None:
        """Begins the closing handshake; a client that does not answer within a second is cut. The reason is cut to the
        length that a close frame allows.
        """
        if self._half_open:
            self._transport.abort()
        elif self._ending is None:
            _log.info("client_closed", client=self.number, code=int(code), reason=reason)
            text = reason.encode() if isinstance(reason, str) else reason
            message = text[:_CLOSE_REASON_BYTES]
            self._ending = asyncio.create_task(self._ws.close(code=code, message=message, drain=False))

    def abort(self) -> None:
        """Resets the connection without a close frame."""
        self._transport.abort()

    def fall_silent(self) -> None:
        """Keeps the connection open and sends nothing on it from now on."""
        self._half_open = True

    async def _end(self) -> None:
        if self._half_open:
            self._transport.abort()
        if self._ending is None:
            await self._ws.close(drain=False)
        else:
            await self._ending

    async def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            match self._keep_alive.due(loop.time()):
                case Upkeep.PING:
                    self._ping(loop.time())
                case Upkeep.CUT:
                    self.close(WSCloseCode.POLICY_VIOLATION, "Pong timeout")
                    return
                case Upkeep.EXPIRE:
                    self.close(WSCloseCode.GOING_AWAY, "Connection expired")
                    return
                case None:
                    await asyncio.sleep(max(0.0, self._keep_alive.next_s - loop.time()))

    def _ping(self, now_s: float) -> None:
        payload = str(wall_ms()).encode()
        self._keep_alive.on_ping(payload, now_s)
        self._write(encode_frame(payload, WSMsgType.PING))

    def _write(self, *frames: bytes) -> bool:
        """Writes frames in one call. Whatever does not fit into the backlog ends the connection."""
        transport = self._transport
        if self._half_open or transport.is_closing() or self._ws.closed:
            return False
        if not self._backlog.admits(self.number, transport.get_write_buffer_size(), sum(map(len, frames))):
            _log.warning("client_cut", client=self.number, reason="reads too slowly")
            transport.abort()
            return False
        transport.write(b"".join(frames))
        self._backlog.note(self.number, transport.get_write_buffer_size())
        return True


async def open_session(
    request: web.Request,
    number: int,
    *,
    conversation: Conversation,
    limits: Limits,
    backlog: Backlog,
    answer: Answer = answer_truly,
) -> tuple[Session, web.WebSocketResponse]:
    """Answers a client's handshake. `ConnectionResetError` when the client has disconnected, aiohttp's
    `HTTPBadRequest` when the request is no WebSocket handshake. No compression: the exchange does not offer it.
    """
    ws = web.WebSocketResponse(
        timeout=_CLOSE_TIMEOUT_S, autoping=False, autoclose=False, compress=False, max_msg_size=limits.message_bytes
    )
    writer = await ws.prepare(request)
    transport = request.transport
    if writer is None or transport is None:
        raise ConnectionResetError("the client went away during the handshake")
    transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
    session = Session(
        number,
        conversation=conversation,
        limits=limits,
        remote=request.remote or "",
        ws=ws,
        writer=writer,
        transport=transport,
        backlog=backlog,
        answer=answer,
    )
    return session, ws
