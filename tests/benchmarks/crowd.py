"""Clients of the hub, the gateway and SignalR in processes of their own: a crowd that reads and does nothing else, and
one that looks at each message's delay.
"""

import multiprocessing
import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import msgspec

_SPAWN = multiprocessing.get_context("spawn")
_ENDED = b""
_SUBSCRIBE = b'{"type":1,"target":"Subscribe","arguments":[["MarketData"],null,null,null]}'
_GREETING = b'{"protocol":"json","version":1}\x1e' + _SUBSCRIBE + b"\x1e"
_SIGNALR = b"/hubs/marketdata"


def shake_hands(port: int, *, query: str = "", receive_bytes: int = 0, signalr: bool = False) -> socket.socket:
    """An open WebSocket at `/ws`, as a plain socket, or one that has subscribed by SignalR; `receive_bytes` limits what
    the kernel holds for it.
    """
    line = socket.socket()
    if receive_bytes:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    line.connect(("127.0.0.1", port))
    line.sendall(
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        % (_SIGNALR if signalr else b"/ws" + query.encode())
    )
    while b"\r\n\r\n" not in line.recv(4_096):
        pass
    if signalr:  # masked with zeros
        line.sendall(b"\x81\xfe" + len(_GREETING).to_bytes(2) + bytes(4) + _GREETING)
    return line


@contextmanager
def drained(port: int, *, clients: int, signalr: bool = False) -> Iterator[None]:
    """So many clients that read everything."""
    with _process(_drain, port, clients, signalr):
        yield


@contextmanager
def measured(port: int, *, signalr: bool = False) -> Iterator[list[tuple[float, float]]]:
    """One client; after the block the list holds `(data.price, seconds of the monotonic clock at its arrival)` of all
    the `MarketData` that it got.
    """
    arrivals: list[tuple[float, float]] = []
    with _process(_measure, port, signalr) as end:
        yield arrivals
        end.send(None)
        arrivals += end.recv()


@contextmanager
def _process(work: Any, *args: Any) -> Iterator["Connection[Any, Any]"]:
    ours, theirs = _SPAWN.Pipe()
    process: BaseProcess = _SPAWN.Process(target=work, args=(theirs, *args), daemon=True)
    process.start()
    ours.recv()  # it is connected
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _drain(parent: "Connection[Any, Any]", port: int, clients: int, signalr: bool) -> None:
    selector = selectors.DefaultSelector()
    for _ in range(clients):
        line = shake_hands(port, signalr=signalr)
        line.setblocking(False)
        selector.register(line, selectors.EVENT_READ)
    parent.send(None)
    while True:
        for key, _ in selector.select():
            with suppress(OSError):
                key.fileobj.recv(1 << 18)  # type: ignore[union-attr]


class _News(msgspec.Struct):
    price: float = 0.0


class _Message(msgspec.Struct):
    type: str
    data: _News = msgspec.field(default_factory=_News)


class _Call(msgspec.Struct):
    target: str = ""
    arguments: list[_News] = []


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_call = msgspec.json.Decoder(_Call).decode


def _prices_of_hub(payload: bytes) -> list[float]:
    message = _decode_message(payload)
    return [message.data.price] if message.type == "MarketData" else []


def _prices_of_signalr(payload: bytes) -> list[float]:
    calls = map(_decode_call, payload.split(b"\x1e")[:-1])
    return [call.arguments[0].price for call in calls if call.target == "PriceUpdate"]


def _measure(parent: "Connection[Any, Any]", port: int, signalr: bool) -> None:
    line, prices_of = shake_hands(port, signalr=signalr), _prices_of_signalr if signalr else _prices_of_hub
    selector = selectors.DefaultSelector()
    selector.register(line, selectors.EVENT_READ)
    selector.register(parent, selectors.EVENT_READ)
    parent.send(None)
    unread = bytearray()
    arrivals: list[tuple[float, float]] = []
    while True:
        ready = [key.fileobj for key, _ in selector.select()]
        if parent in ready:
            parent.send(arrivals)
            return
        received, now_s = line.recv(1 << 18), time.monotonic()
        if received == _ENDED:
            selector.unregister(line)
        unread += received
        for payload in frames_of(unread):
            arrivals += [(price, now_s) for price in prices_of(payload)]


def frames_of(unread: bytearray) -> Iterator[bytes]:
    """The whole frames of a server, which are taken away from what is unread."""
    while len(unread) >= 2:
        size, head = unread[1], 2
        if size == 126:
            size, head = int.from_bytes(unread[2:4]), 4
        elif size == 127:
            size, head = int.from_bytes(unread[2:10]), 10
        if len(unread) < head + size:
            return
        yield bytes(unread[head : head + size])
        del unread[: head + size]
