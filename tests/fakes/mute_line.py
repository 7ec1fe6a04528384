"""A TCP line to a MongoDB server that can be made mute: what a client sends arrives, and the answer does not."""

import queue
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from struct import unpack_from

import bson

HEADER_BYTES = 16
OP_MSG = 2013
BODY_AT = HEADER_BYTES + 5
"""The command of an OP_MSG stands behind the flags and the kind of its first section."""


class MuteLine:
    """Connections to one server on 127.0.0.1."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.uri = f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}"
        """Where it listens."""
        self.swallowed: queue.SimpleQueue[str] = queue.SimpleQueue()
        """The commands that the server has answered, and whose answers were kept back."""
        self._muted: Collection[str] = ()
        self._waiting: dict[tuple[int, int], str] = {}
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def mute(self, *commands: str) -> None:
        """From now on the answers to these commands do not come, those to all others do."""
        self._muted = commands

    def close(self) -> None:
        """Ends all connections."""
        for one in (self._listener, *self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to_port))
                self._sockets += [client, server]
                number = len(self._sockets)
                for source, target, passes in (
                    (client, server, self._on_request),
                    (server, client, self._on_reply),
                ):
                    threading.Thread(target=_carry, args=(source, target, number, passes), daemon=True).start()

    def _on_request(self, connection: int, message: bytes) -> bool:
        number, opcode = unpack_from("<i4xi", message, 4)
        if opcode == OP_MSG:
            length = unpack_from("<i", message, BODY_AT)[0]
            command = next(iter(bson.decode(message[BODY_AT : BODY_AT + length])))
            if command in self._muted:
                self._waiting[connection, number] = command
        return True

    def _on_reply(self, connection: int, message: bytes) -> bool:
        command = self._waiting.pop((connection, unpack_from("<i", message, 8)[0]), None)
        if command is not None:
            self.swallowed.put(command)
        return command is None


def _carry(source: socket.socket, target: socket.socket, connection: int, passes: Callable[[int, bytes], bool]) -> None:
    """Carries whole messages, those that pass."""
    with suppress(OSError), source.makefile("rb") as stream:
        while len(header := stream.read(HEADER_BYTES)) == HEADER_BYTES:
            message = header + stream.read(unpack_from("<i", header)[0] - HEADER_BYTES)
            if passes(connection, message):
                target.sendall(message)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def mute_line(uri: str) -> Iterator[MuteLine]:
    """A line to the server of an address, which lets everything through at first."""
    line = MuteLine(int(uri.rpartition(":")[2]))
    try:
        yield line
    finally:
        line.close()
