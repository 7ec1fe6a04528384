"""A venue that no client outruns: frames that were made beforehand, written as fast as the socket takes them.

    python -m tests.benchmarks.blast FILE

prints its port. Every connection gets the whole file once it has subscribed, one connection after the other. The file
holds what goes over the wire, see `wire_of`.
"""

import json
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import BinaryIO

from websockets.utils import accept_key

from flows.websocket import encode_frame

_KEY = b"sec-websocket-key"
_UPGRADED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
_SHORT = 126


def wire_of(frames: Iterable[bytes]) -> bytes:
    """Text messages as a server sends them, each in one frame."""
    return b"".join(map(encode_frame, frames))


@contextmanager
def running_blast(path: Path) -> Iterator[str]:
    """The sender as a process of its own; yields its `host:port`."""
    with Popen([sys.executable, "-m", "tests.benchmarks.blast", str(path)], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def serve(wire: bytes) -> None:
    """Serves until it is ended."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)  # noqa: T201 - for whoever has started it
        while True:
            connection, _ = server.accept()
            with connection:
                _serve_one(connection, wire)


def _serve_one(connection: socket.socket, wire: bytes) -> None:
    """Answers the opening and one request, sends everything, and leaves when the client wants to."""
    with connection.makefile("rb") as reader:
        lines = list(iter(lambda: reader.readline().strip(), b""))
        key = next(value for name, _, value in (line.partition(b": ") for line in lines) if name.lower() == _KEY)
        accept = accept_key(key.decode()).encode()
        connection.sendall(_UPGRADED + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        request = json.loads(_message(reader))
        connection.sendall(encode_frame(json.dumps({"result": None, "id": request["id"]}).encode()))
        with suppress(ConnectionError):
            connection.sendall(wire)
            reader.read(1)


def _message(reader: BinaryIO) -> bytes:
    """The payload of a client's frame, which is masked."""
    _, length = reader.read(2)
    length &= 0x7F
    if length >= _SHORT:
        length = int.from_bytes(reader.read(2 if length == _SHORT else 8))
    mask = reader.read(4)
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(reader.read(length)))


if __name__ == "__main__":
    serve(Path(sys.argv[1]).read_bytes())
