"""A small client of the SignalR hub that speaks the protocol itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect

from api.routes.protocols.signalr import PATH
from api.signalr.protocol import (
    Ack,
    Cancellation,
    Close,
    Ignored,
    Incoming,
    Invocation,
    Ping,
    Sequence,
    encoded_length,
)
from tests.fakes.hubs import PATIENCE_S
from tests.fakes.interface import Interface


def as_json(message: Incoming) -> bytes:
    """As a JavaScript client writes it."""
    body: dict[str, Any]
    match message:
        case Invocation():
            body = {"type": 4 if message.is_stream else 1, "target": message.target, "arguments": message.arguments}
            body |= {"invocationId": message.id} if message.id else {}
        case Cancellation():
            body = {"type": 5, "invocationId": message.id}
        case Ack() | Sequence():
            body = {"type": 8 if isinstance(message, Ack) else 9, "sequenceId": message.number}
        case Ignored():
            body = {"type": 3 if message.is_counted else 99, "invocationId": "0"}
        case _:
            body = {"type": {Ping: 6, Close: 7}[type(message)], "more": 1}
    return json.dumps(body).encode() + b"\x1e"


def packed(message: Incoming) -> bytes:
    body: Any
    match message:
        case Invocation():
            body = [4 if message.is_stream else 1, {}, message.id, message.target, message.arguments, []]
        case Cancellation():
            body = [5, {"header": "x"}, message.id]
        case Ack() | Sequence():
            body = [8 if isinstance(message, Ack) else 9, message.number]
        case Ignored():
            body = [3, {}, "0", 2] if message.is_counted else [99, {}, 1]
        case _:
            body = {Ping: [6], Close: [7, None]}[type(message)]
    return _framed(body)


def _framed(body: list[Any]) -> bytes:
    data: bytes = msgpack.packb(body)
    return encoded_length(len(data)) + data


def records_of(data: bytes, *, packed: bool) -> list[dict[str, Any]]:
    """The messages of a server's frame, named as in JSON."""
    if not packed:
        return [json.loads(record) for record in data.split(b"\x1e")[:-1]]
    messages = []
    while data:
        length = shift = 0
        while True:
            length, shift, byte, data = length | (data[0] & 127) << shift, shift + 7, data[0], data[1:]
            if byte < 128:
                break
        messages.append(_named(msgpack.unpackb(data[:length])))
        data = data[length:]
    return messages


def _named(fields: list[Any]) -> dict[str, Any]:
    match fields:
        case [1, _, _, target, arguments, *_]:
            return {"type": 1, "target": target, "arguments": arguments}
        case [2, _, id_, item]:
            return {"type": 2, "invocationId": id_, "item": item}
        case [3, _, id_, kind, *value]:
            return {"type": 3, "invocationId": id_} | (
                {} if kind == 2 else {("", "error", "", "result")[kind]: value[0]}
            )
        case [8 | 9 as kind, number]:
            return {"type": kind, "sequenceId": number}
        case [7, error, allow_reconnect]:
            return {"type": 7, "error": error, "allowReconnect": allow_reconnect}
        case [kind, *_]:
            return {"type": kind}
    raise AssertionError(fields)


class Peer:
    """A client of one of the two encodings."""

    def __init__(self, line: ClientConnection, *, packed: bool) -> None:
        self.line = line
        self.packed = packed
        self.heard: list[dict[str, Any]] = []
        self.calls = 0

    async def send(self, *messages: dict[str, Any]) -> None:
        """Messages, as they stand in JSON, in one frame."""
        if not self.packed:
            await self.line.send("".join(json.dumps(message) + "\x1e" for message in messages))
            return
        data = b""
        for message in messages:
            if message["type"] in (1, 4):
                fields = [message["type"], {}, message.get("invocationId"), message["target"], message["arguments"]]
            else:
                fields = [message["type"], {}, message["invocationId"]]
            data += _framed(fields)
        await self.line.send(data)

    async def hear(self) -> dict[str, Any]:
        """The next message but pings and acknowledgements."""
        while not self.heard:
            async with asyncio.timeout(PATIENCE_S):
                data = await self.line.recv()
            frame = data.encode() if isinstance(data, str) else data
            self.heard = [message for message in records_of(frame, packed=self.packed) if message["type"] not in (6, 8)]
        return self.heard.pop(0)

    async def call(self, target: str, *arguments: Any) -> dict[str, Any]:
        """The completion of a call, which nothing comes before."""
        self.calls += 1
        id_ = str(self.calls)
        await self.send({"type": 1, "target": target, "arguments": list(arguments), "invocationId": id_})
        message = await self.hear()
        assert (message["type"], message["invocationId"]) == (3, id_), message
        return message


@asynccontextmanager
async def peer(
    served: Interface, query: str = "", *, packed: bool = False, version: int = 1, **options: Any
) -> AsyncIterator[Peer]:
    """A client behind its handshake."""
    async with connection(served, query, **options) as line:
        made = Peer(line, packed=packed)
        await line.send(json.dumps({"protocol": "messagepack" if packed else "json", "version": version}) + "\x1e")
        answer = await line.recv()
        assert answer in ("{}\x1e", b"{}\x1e")
        yield made


def connection(served: Interface, query: str = "", **options: Any) -> connect:
    """A WebSocket to the hub; to be entered."""
    url = served.url.replace("http", "ws", 1) + PATH + query
    return connect(url, open_timeout=PATIENCE_S, ping_interval=None, **options)
