"""A door with a lock in front of a Kafka broker: it takes those who say a name and a password by SASL, PLAIN or SCRAM,
and then hands on every byte. The brokers of the tests know no SASL of their own.

Of Kafka's protocol (https://kafka.apache.org/protocol) it reads the head of a request: size, key, version, number; of
SASL RFC 4616 and RFC 5802.
"""

import base64
import hashlib
import hmac
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
"""Keys of requests: which there are, by which mechanism, and a message of that."""
NO_MECHANISM, REFUSED = 33, 58
"""The protocol's numbers of errors."""
ROUNDS: Final = 4_096


class Answer(NamedTuple):
    """What is said to a client; `said` is None where its words are wrong."""

    said: bytes | None
    is_last: bool


class Plain:
    """One client's words, RFC 4616."""

    def __init__(self, user: str, password: str) -> None:
        self._expected = f"\0{user}\0{password}".encode()

    def answer(self, words: bytes) -> Answer:
        return Answer(b"" if words.endswith(self._expected) else None, is_last=True)


class Scram:
    """One client's words, RFC 5802."""

    def __init__(self, algorithm: str, user: str, password: str) -> None:
        self._algorithm, self._user = algorithm, user
        self._salt = os.urandom(16)
        self._salted = hashlib.pbkdf2_hmac(algorithm, password.encode(), self._salt, ROUNDS)
        self._so_far = b""

    def answer(self, words: bytes) -> Answer:
        fields = dict(field.partition(b"=")[::2] for field in words.split(b","))
        if not self._so_far:
            nonce = fields[b"r"] + base64.b64encode(os.urandom(9))
            said = b"r=%b,s=%b,i=%d" % (nonce, base64.b64encode(self._salt), ROUNDS)
            self._so_far = words.split(b",", 2)[2] + b"," + said
            return Answer(said if fields[b"n"] == self._user.encode() else None, is_last=False)
        signed = self._so_far + b"," + words.rpartition(b",p=")[0]
        key = self._mac(self._salted, b"Client Key")
        signature = self._mac(hashlib.new(self._algorithm, key).digest(), signed)
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        if proof != base64.b64decode(fields[b"p"]):
            return Answer(None, is_last=True)
        verifier = self._mac(self._mac(self._salted, b"Server Key"), signed)
        return Answer(b"v=" + base64.b64encode(verifier), is_last=True)

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._algorithm)


class Door:
    """A port that leads to a broker."""

    def __init__(self, address: str, mechanism: str, user: str, password: str) -> None:
        host, _, port = address.rpartition(":")
        self._behind = host, int(port)
        self._mechanism, self._user, self._password = mechanism, user, password
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self.taken = 0
        """How many connections were let in."""
        self.refused = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client, socket.create_connection(self._behind) as broker:
            self._let_in(client, broker)
            self.taken += 1
            threading.Thread(target=_hand_on, args=(broker, client), daemon=True).start()
            _hand_on(client, broker)

    def _let_in(self, client: socket.socket, broker: socket.socket) -> None:
        """Returns when the client has said the right words; `EOFError` when it has not."""
        family, _, algorithm = self._mechanism.partition("-SHA-")
        words: Plain | Scram = Plain(self._user, self._password)
        if family == "SCRAM":
            words = Scram(f"sha{algorithm}", self._user, self._password)
        while True:
            request = _read(client)
            key, _, number, length = struct.unpack_from(">hhih", request)
            body = request[10 + max(length, 0) :]
            if key == VERSIONS:
                _send(broker, request)
                _send(client, _with_sasl(_read(broker)))
            elif key == HANDSHAKE:
                error = 0 if body[2:].decode() == self._mechanism else NO_MECHANISM
                _send(client, struct.pack(">ihi", number, error, 1) + _text(self._mechanism))
            elif key == AUTHENTICATE:
                answer = words.answer(body[4:])
                if answer.said is None:
                    self.refused += 1
                    _send(client, struct.pack(">ih", number, REFUSED) + _text("Authentication failed") + bytes(4))
                    raise EOFError
                _send(client, struct.pack(">ihhi", number, 0, -1, len(answer.said)) + answer.said)
                if answer.is_last:
                    return
            else:
                raise EOFError  # without a word


def _with_sasl(versions: bytes) -> bytes:
    """The answer of a broker to which requests there are, with those of SASL. Of the forms up to version 2: what is
    newer the brokers of the tests refuse, and clients say it again.
    """
    number, error, count = struct.unpack_from(">ihi", versions)
    if error:
        return versions
    added = struct.pack(">hhhhhh", HANDSHAKE, 1, 1, AUTHENTICATE, 0, 0)
    return struct.pack(">ihi", number, error, count + 2) + added + versions[10:]


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _send(to: socket.socket, message: bytes) -> None:
    to.sendall(struct.pack(">i", len(message)) + message)


def _read(from_: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", _exactly(from_, 4))
    return _exactly(from_, size)


def _exactly(from_: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        some = from_.recv(size - len(found))
        if not some:
            raise EOFError
        found += some
    return found


def _hand_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while some := one.recv(1 << 16):
            other.sendall(some)
    for each in (one, other):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def door(address: str, mechanism: str, user: str, password: str) -> Iterator[Door]:
    """One while entered."""
    one = Door(address, mechanism, user, password)
    try:
        yield one
    finally:
        one.close()
