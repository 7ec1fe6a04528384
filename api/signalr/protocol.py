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
_INVOCATION, _ITEM, _COMPLETION, _STREAM, _CANCEL, _PING, _CLOSE, _ACK, _SEQUENCE = range(1, 10)
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


class Ack(Struct, frozen=True):
    """The client has all counted messages up to this number."""

    number: int


class Sequence(Struct, frozen=True):
    """The number of the counted message that comes next, after a reconnect."""

    number: int


class Ignored(Struct, frozen=True):
    """A message of a type that is not known, or not used."""

    is_counted: bool = False
    """Whether a stateful reconnect numbers it, as items and completions of the client's own streams."""


Incoming: TypeAlias = Invocation | Cancellation | Ping | Close | Ack | Sequence | Ignored


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

    def ack(self, number: int) -> bytes:
        """All counted messages up to this number have come."""

    def sequence(self, number: int) -> bytes:
        """The number of the counted message that comes next."""

    def count(self, records: bytes) -> int:
        """The number of finished messages."""


class _Message(Struct, frozen=True, rename="camel"):
    type: int
    target: str | None = None
    arguments: list[Any] | None = None
    invocation_id: str | None = None
    sequence_id: int | None = None


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
        id_ = message.sequence_id if message.type in (_ACK, _SEQUENCE) else message.invocation_id
        return _incoming(message.type, message.target, message.arguments, id_)

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

    def ack(self, number: int) -> bytes:
        """All counted messages up to this number have come."""
        return self._record({"type": _ACK, "sequenceId": number})

    def sequence(self, number: int) -> bytes:
        """The number of the counted message that comes next."""
        return self._record({"type": _SEQUENCE, "sequenceId": number})

    def count(self, records: bytes) -> int:
        """The number of finished messages: within one the byte is escaped."""
        return records.count(RECORD_END)

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
            kind = msgspec.convert(kind, int)
            at = {_CANCEL: 2, _ACK: 1, _SEQUENCE: 1}.get(kind)
            return _incoming(kind, None, None, None if at is None else fields[at])
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

    def ack(self, number: int) -> bytes:
        """All counted messages up to this number have come."""
        return self._framed([_ACK, number])

    def sequence(self, number: int) -> bytes:
        """The number of the counted message that comes next."""
        return self._framed([_SEQUENCE, number])

    def count(self, records: bytes) -> int:
        """The number of finished messages."""
        count = place = 0
        while place < len(records):
            length, place = _length(records, place)
            place += length
            count += 1
        return count

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
    if kind in (_ACK, _SEQUENCE):
        if not isinstance(id_, int) or isinstance(id_, bool) or id_ < 0:
            raise ProtocolError("Ack and Sequence need the number of a message")
        return Ack(id_) if kind == _ACK else Sequence(id_)
    if kind == _PING:
        return Ping()
    return Close() if kind == _CLOSE else Ignored(is_counted=kind in (_ITEM, _COMPLETION))


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


class Handshake(NamedTuple):
    """What a handshake has agreed on."""

    codec: Codec
    version: int
    rest: bytes
    """What follows it in the same frame."""


def read_handshake(data: bytes) -> Handshake:
    """The first message; `ProtocolError` when it is refused."""
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
    return Handshake(codec, handshake.version, rest)


def handshake_refusal(reason: str) -> bytes:
    """The answer to a handshake that is refused."""
    return _JSON.encode({"error": reason}) + RECORD_END


_JSON = msgspec.json.Encoder(decimal_format="number")
_MSGPACK = msgspec.msgpack.Encoder(decimal_format="number")
_JSON_MESSAGE = msgspec.json.Decoder(_Message)
_MSGPACK_ARRAY = msgspec.msgpack.Decoder(list[Any])
CODECS: Final[dict[str, Codec]] = {codec.name: codec for codec in (JsonCodec(), MessagePackCodec())}
"""By the name in the handshake."""
