"""SignalR's hub protocol: handshake, messages and their framing, as JSON and as MessagePack. Pure.

JSON: UTF-8 text, each message ends with the byte 0x1E. MessagePack: each message follows its length, a number of seven
bits a byte, the low ones first. Several messages may share a frame. Source: dotnet/aspnetcore,
`src/SignalR/docs/specs/HubProtocol.md`.
"""

from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Struct

RECORD_END: Final = b"\x1e"
MESSAGE_BYTES: Final = 32_768
"""Longest message from a client, and longest frame."""
VERSIONS: Final = (0, 1, 2)
"""Versions of the protocol in a handshake: some clients send 0; 2 adds stateful reconnects."""
_LENGTH_BYTES: Final = 5
_INVOCATION, _ITEM, _COMPLETION, _STREAM, _CANCEL, _PING, _CLOSE = range(1, 8)
_ERROR, _VOID, _RESULT = range(1, 4)


class ProtocolError(ValueError):
    """What a client sent is no message; the text is sent to it."""


class Invocation(Struct, frozen=True):
    """A call of a method. Without `id` no answer is wanted."""

    target: str
    arguments: list[Any]
    id: str | None = None
    is_stream: bool = False


class Cancellation(Struct, frozen=True):
    """A stream is not wanted any more."""

    id: str


class Ping(Struct, frozen=True):
    """A sign of life."""


class Close(Struct, frozen=True):
    """The client closes the connection."""


class Ignored(Struct, frozen=True):
    """A message of a type that is not known, or not used."""


Incoming: TypeAlias = Invocation | Cancellation | Ping | Close | Ignored


class Codec(Protocol):
    """One encoding of the protocol."""

    name: str
    """As in the handshake."""
    is_binary: bool

    def decode(self, data: bytes) -> list[Incoming]:
        """The messages of a frame; `ProtocolError` when it is none."""

    def push(self, target: str, *arguments: Any) -> bytes:
        """A call of a method of the client, without an answer."""

    def item(self, id_: str, item: Any) -> bytes:
        """An item of a stream."""

    def result(self, id_: str, result: Any) -> bytes:
        """The answer to a call."""

    def done(self, id_: str) -> bytes:
        """The end of a stream."""

    def failed(self, id_: str, error: str) -> bytes:
        """The answer to a call that failed."""

    def ping(self) -> bytes:
        """A sign of life."""

    def close(self, error: str, *, allow_reconnect: bool) -> bytes:
        """The end of the connection."""


class _Message(Struct, frozen=True, rename="camel"):
    type: int
    target: str | None = None
    arguments: list[Any] | None = None
    invocation_id: str | None = None


class JsonCodec:
    """Messages as JSON."""

    name = "json"
    is_binary = False

    def decode(self, data: bytes) -> list[Incoming]:
        """The messages of a frame; `ProtocolError` when it is none."""
        if not data.endswith(RECORD_END):
            raise ProtocolError("a message does not end with 0x1E")
        return [self._message(record) for record in data[:-1].split(RECORD_END)]

    def _message(self, record: bytes) -> Incoming:
        try:
            message = _JSON_MESSAGE.decode(record)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise ProtocolError(f"not understood: {error}") from error
        return _incoming(message.type, message.target, message.arguments, message.invocation_id)

    def push(self, target: str, *arguments: Any) -> bytes:
        """A call of a method of the client, without an answer."""
        return self._record({"type": _INVOCATION, "target": target, "arguments": arguments})

    def item(self, id_: str, item: Any) -> bytes:
        """An item of a stream."""
        return self._record({"type": _ITEM, "invocationId": id_, "item": item})

    def result(self, id_: str, result: Any) -> bytes:
        """The answer to a call."""
        return self._record({"type": _COMPLETION, "invocationId": id_, "result": result})

    def done(self, id_: str) -> bytes:
        """The end of a stream."""
        return self._record({"type": _COMPLETION, "invocationId": id_})

    def failed(self, id_: str, error: str) -> bytes:
        """The answer to a call that failed."""
        return self._record({"type": _COMPLETION, "invocationId": id_, "error": error})

    def ping(self) -> bytes:
        """A sign of life."""
        return self._record({"type": _PING})

    def close(self, error: str, *, allow_reconnect: bool) -> bytes:
        """The end of the connection."""
        return self._record({"type": _CLOSE, "error": error, "allowReconnect": allow_reconnect})

    @staticmethod
    def _record(message: dict[str, Any]) -> bytes:
        return _JSON.encode(message) + RECORD_END


class MessagePackCodec:
    """Messages as MessagePack."""

    name = "messagepack"
    is_binary = True

    def decode(self, data: bytes) -> list[Incoming]:
        """The messages of a frame; `ProtocolError` when it is none."""
        messages, place = [], 0
        while place < len(data):
            length, place = _length(data, place)
            if place + length > len(data):
                raise ProtocolError("a message is cut off")
            messages.append(self._message(data[place : place + length]))
            place += length
        return messages

    def _message(self, body: bytes) -> Incoming:
        try:
            fields = _MSGPACK_ARRAY.decode(body)
            kind = fields[0] if fields else None
            if kind in (_INVOCATION, _STREAM):
                _, _, id_, target, arguments, *_ = fields
                return _incoming(kind, *msgspec.convert((target, arguments, id_), _Call))
            return _incoming(msgspec.convert(kind, int), None, None, fields[2] if kind == _CANCEL else None)
        except (msgspec.DecodeError, RecursionError, UnicodeError, ValueError, IndexError) as error:
            raise ProtocolError(f"not understood: {error}") from error

    def push(self, target: str, *arguments: Any) -> bytes:
        """A call of a method of the client, without an answer."""
        return self._framed([_INVOCATION, {}, None, target, arguments, []])

    def item(self, id_: str, item: Any) -> bytes:
        """An item of a stream."""
        return self._framed([_ITEM, {}, id_, item])

    def result(self, id_: str, result: Any) -> bytes:
        """The answer to a call."""
        return self._framed([_COMPLETION, {}, id_, _RESULT, result])

    def done(self, id_: str) -> bytes:
        """The end of a stream."""
        return self._framed([_COMPLETION, {}, id_, _VOID])

    def failed(self, id_: str, error: str) -> bytes:
        """The answer to a call that failed."""
        return self._framed([_COMPLETION, {}, id_, _ERROR, error])

    def ping(self) -> bytes:
        """A sign of life."""
        return self._framed([_PING])

    def close(self, error: str, *, allow_reconnect: bool) -> bytes:
        """The end of the connection."""
        return self._framed([_CLOSE, error, allow_reconnect])

    @staticmethod
    def _framed(message: list[Any]) -> bytes:
        body = _MSGPACK.encode(message)
        return encoded_length(len(body)) + body


class _Call(NamedTuple):
    target: str
    arguments: list[Any]
    id: str | None


def _incoming(kind: int, target: str | None, arguments: list[Any] | None, id_: object) -> Incoming:
    if kind in (_INVOCATION, _STREAM):
        if target is None or arguments is None or (kind == _STREAM and not id_):
            raise ProtocolError("a call needs target and arguments, and one of a stream its id")
        return Invocation(target, arguments, id_ if isinstance(id_, str) and id_ else None, kind == _STREAM)
    if kind == _CANCEL:
        if not isinstance(id_, str):
            raise ProtocolError("a cancellation needs its id")
        return Cancellation(id_)
    if kind == _PING:
        return Ping()
    return Close() if kind == _CLOSE else Ignored()


def encoded_length(length: int) -> bytes:
    """A length as it stands before a message."""
    encoded = bytearray()
    while length >> 7:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)


def _length(data: bytes, place: int) -> tuple[int, int]:
    """The length at a place, and the place after it."""
    length = 0
    for number, byte in enumerate(data[place : place + _LENGTH_BYTES]):
        length |= (byte & 0x7F) << 7 * number
        if not byte & 0x80:
            return length, place + number + 1
    raise ProtocolError("a length is cut off or too long")


class _Handshake(Struct, frozen=True):
    protocol: str
    version: int


HANDSHAKE_OK: Final = b"{}" + RECORD_END
"""The answer to a handshake."""


def read_handshake(data: bytes) -> tuple[Codec, bytes]:
    """The codec of a handshake, and what follows it in the same frame; `ProtocolError` when it is refused."""
    record, end, rest = data.partition(RECORD_END)
    if not end:
        raise ProtocolError("the first message is no handshake: it does not end with 0x1E")
    try:
        handshake = msgspec.json.decode(record, type=_Handshake)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ProtocolError(f"the first message is no handshake: {error}") from error
    codec = CODECS.get(handshake.protocol)
    if codec is None:
        raise ProtocolError(f"unknown protocol; known are {', '.join(CODECS)}")
    if handshake.version not in VERSIONS:
        raise ProtocolError(f"version {handshake.version} of the protocol is not supported")
    return codec, rest


def handshake_refusal(reason: str) -> bytes:
    """The answer to a handshake that is refused."""
    return _JSON.encode({"error": reason}) + RECORD_END


_JSON = msgspec.json.Encoder(decimal_format="number")
_MSGPACK = msgspec.msgpack.Encoder(decimal_format="number")
_JSON_MESSAGE = msgspec.json.Decoder(_Message)
_MSGPACK_ARRAY = msgspec.msgpack.Decoder(list[Any])
CODECS: Final[dict[str, Codec]] = {codec.name: codec for codec in (JsonCodec(), MessagePackCodec())}
"""By the name in the handshake."""
