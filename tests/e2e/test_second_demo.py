"""A demo beside one that runs: in its folder, on its ports, on others; a terminal that closes; ports that are taken."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.demo import PATIENCE_S, PORTS, Demo, running_demo
from tests.fakes.deployment import environment_of, free_port
from tests.flows.supervision.supervised import is_gone, until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NAMES = ("exchange", "mongod", "flow", "api")


def started(demo: Demo, at: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A second demo on the ports of this one, until it gives up."""
    variables = {name: value for name, value in demo.variables.items() if name.endswith("__PORT")}
    return subprocess.run(
        [sys.executable, "-m", "flows", "demo", *options],
        cwd=at, env=environment_of({}) | variables, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip


def mongo_port(demo: Demo) -> str:
    return demo.variables["MARKETFLOW_MONGO__URI"].rpartition(":")[2]


def test_a_second_demo_says_what_is_in_its_way_and_leaves_the_first_alone(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    with running_demo(first) as demo:
        demo.until_ready()
        pids = [demo.pid_of(name) for name in NAMES]

        same_folder = started(demo, first)
        assert same_folder.returncode == 1
        assert f"already running here (pid {demo.process.pid}, since " in same_folder.stderr

        same_ports = started(demo, other, "--mongo-port", mongo_port(demo))
        assert same_ports.returncode == 78
        # by the process that is the first to find its own taken
        named = r"(hub\.port|api\.port|replay\.port|port \d+ is taken)"
        assert re.search(rf"\| .*{named}", same_ports.stdout), same_ports.stdout
        assert "it cannot run as it is configured" in same_ports.stdout

        (tmp_path / "third").mkdir()
        with running_demo(tmp_path / "third") as third:  # on ports of its own
            third.until_ready()
            assert third.end() == 130

        assert demo.is_ready()
        assert [demo.pid_of(name) for name in NAMES] == pids
        assert demo.end(signal.SIGHUP) == 129
        until(lambda: all(map(is_gone, pids)))


@pytest.mark.parametrize("taken", ["hub__port", "api__port", "replay__port", "mongo"])
def test_a_port_that_is_taken_is_named(taken: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {name: free_port() for name in PORTS} | ({taken: port} if taken in PORTS else {})
        mongo = str(port if taken == "mongo" else free_port())
        done = subprocess.run(
            [sys.executable, "-m", "flows", "demo", "--mongo-port", mongo],
            cwd=tmp_path, env=environment_of(ports), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
    assert done.returncode == 78, done.stdout
    assert re.search(rf"\\| .*({taken.replace('__', '[.]')}|port {port}\\b)", done.stdout), done.stdout
