import os
import socket
import subprocess
import sys

import pytest

from flows.command.doctor.listeners import Listener, is_ours, listener_on
from tests.fakes.deployment import ROOT


@pytest.mark.parametrize("address", [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_the_process_that_listens_is_found(address: tuple[str, socket.AddressFamily]) -> None:
    host, family = address
    with socket.create_server((host, 0), family=family) as server:
        port = server.getsockname()[1]
        found = listener_on(port)
        assert found is not None
        assert (found.pid, is_ours(found)) == (os.getpid(), False)
    assert listener_on(port) is None


def test_a_process_of_ours_is_known_by_its_command() -> None:
    command = [sys.executable, "-m", "sources.replay", "--synthetic", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as exchange:
        try:
            assert exchange.stdout is not None
            found = listener_on(int(exchange.stdout.readline().rpartition(":")[2]))
        finally:
            exchange.terminate()
    assert found is not None
    assert (found.pid, is_ours(found)) == (exchange.pid, True)


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("/venv/bin/python -m api", True),
        ("/venv/bin/python -m bytewax.run flows.main -r data/recovery", True),
        ("/venv/lib/fiftyone/db/bin/mongod --port 27017", True),
        ("/usr/bin/mongod --port 27017", False),
        ("python -m http.server 8080", False),
    ],
)
def test_whose_a_command_is(command: str, *, ours: bool) -> None:
    assert is_ours(Listener(1, command, command)) is ours
