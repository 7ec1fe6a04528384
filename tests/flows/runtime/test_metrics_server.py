import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge

from flows.runtime.metrics_server import MOST_HEADER_BYTES, MetricsServer, environment_of

PATIENCE_S = 30
HALF = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@contextmanager
def serving(*, request_s: float = 60, most_connections: int = 32, size: int = 1) -> Iterator[MetricsServer]:
    registry = CollectorRegistry()
    gauge = Gauge("answer", "A number", ["one"], registry=registry)
    for number in range(size):
        gauge.labels(f"{number}").set(42)
    server = MetricsServer(registry, host="127.0.0.1", port=0, request_s=request_s, most_connections=most_connections)
    try:
        yield server
    finally:
        server.close()


def fetched(server: MetricsServer, path: str = "/metrics", **headers: str) -> bytes:
    request = Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    with urlopen(request, timeout=PATIENCE_S) as answer:
        body: bytes = answer.read()
        return gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body


def all_from(peer: socket.socket) -> bytes:
    peer.settimeout(PATIENCE_S)
    found = b""
    try:
        while more := peer.recv(65_536):
            found += more
    except ConnectionError:
        return b"reset"
    return found


def test_metrics_are_served_as_prometheus_asks_for_them() -> None:
    with serving() as server:
        assert b'answer{one="0"} 42.0' in fetched(server)
        assert fetched(server, **{"Accept-Encoding": "gzip"}) == fetched(server)
        assert b"# EOF" in fetched(server, Accept="application/openmetrics-text; version=1.0.0")
        assert b"answer" not in fetched(server, "/metrics?name[]=other")
        with pytest.raises(HTTPError, match="405") as refused:
            urlopen(f"http://127.0.0.1:{server.port}/metrics", data=b"x", timeout=PATIENCE_S)
        refused.value.close()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"", HALF, b"G"])
def test_half_sent_requests_end_in_time_and_hold_up_nobody(sent: bytes) -> None:
    with serving(request_s=1, most_connections=500) as server, ExitStack() as stack:
        peers = []
        for _ in range(200):
            peers.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port))))
            peers[-1].sendall(sent)
        assert b"answer" in fetched(server)
        assert {all_from(peer) for peer in peers} <= {b"", b"reset"}
        assert b"answer" in fetched(server)


def test_of_too_many_the_oldest_ends() -> None:
    with serving(most_connections=5) as server, ExitStack() as stack:
        peers = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(50)]
        assert b"answer" in fetched(server)
        assert all_from(peers[0]) in {b"", b"reset"}
        assert len(server._open) <= 5


@pytest.mark.slow
def test_who_does_not_read_the_answer_is_cut() -> None:
    with serving(request_s=1, size=100_000) as server, socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        peer.connect(("127.0.0.1", server.port))
        peer.sendall(HALF + b"\r\n")
        until = time.monotonic() + PATIENCE_S
        while not server._open and time.monotonic() < until:
            time.sleep(0.01)
        while server._open and time.monotonic() < until:
            time.sleep(0.01)
        assert not server._open


@pytest.mark.parametrize(
    "sent", [b"nonsense\r\n\r\n", b"\x00\xff\r\n\r\n", b"GET http://x/ HTTP/1.1\r\n\r\n", b"\r\n\r\n"]
)
def test_what_is_no_request_is_refused(sent: bytes) -> None:
    with serving() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as peer:
            peer.sendall(sent)
            assert all_from(peer).startswith(b"HTTP/1.1 400")
        assert b"answer" in fetched(server)


def test_a_header_without_an_end_is_cut() -> None:
    with serving() as server, socket.create_connection(("127.0.0.1", server.port)) as peer:
        peer.sendall(b"x" * (2 * MOST_HEADER_BYTES))
        assert all_from(peer) in {b"", b"reset"}


@given(st.binary(max_size=300))
def test_no_head_is_too_much(head: bytes) -> None:
    found = environment_of(head + b"\r\n\r\n")
    assert found is None or found["PATH_INFO"].startswith("/")
