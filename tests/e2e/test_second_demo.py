"""A demo beside one that runs: in its folder, on its ports, on others; a terminal that closes; ports that are taken."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.demo import FOLDER, PATIENCE_S, PORTS, Demo, running_demo
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
        assert demo.said.startswith("marketflow demo: a synthetic market at binance, no network needed.")

        same_folder = started(demo, first)
        assert same_folder.returncode == 1
        assert f"already running here (pid {demo.process.pid}, since " in same_folder.stderr

        same_ports = started(demo, other, "--mongo-port", mongo_port(demo))
        assert same_ports.returncode == 78
        assert re.fullmatch(r"marketflow: replay\.port: port \d+ of 127.0.0.1 is taken: .*\n", same_ports.stderr)
        assert same_ports.stdout == ""

        (tmp_path / "third").mkdir()
        with running_demo(tmp_path / "third") as third:  # on ports of its own
            third.until_ready()
            assert third.end() == 130

        assert demo.is_ready()
        assert [demo.pid_of(name) for name in NAMES] == pids
        assert demo.end(signal.SIGHUP) == 129
        until(lambda: all(map(is_gone, pids)))


@pytest.mark.parametrize("taken", ["hub__port", "api__port", "replay__port", "mongo"])
def test_a_port_that_is_taken_is_named_before_anything_is_started(taken: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ports = {name: free_port() for name in PORTS} | ({taken: port} if taken in PORTS else {})
        mongo = str(port if taken == "mongo" else free_port())
        done = subprocess.run(
            [sys.executable, "-m", "flows", "demo", "--mongo-port", mongo],
            cwd=tmp_path, env=environment_of(ports), capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
    key = "--mongo-port" if taken == "mongo" else taken.replace("__", ".")
    remedy = f"end what listens there, or choose another by {key}"
    assert done.stderr == f"marketflow: {key}: port {port} of 127.0.0.1 is taken: {remedy}\n"
    assert (done.returncode, done.stdout) == (78, "")
    assert not (tmp_path / FOLDER).exists()


@pytest.mark.parametrize(
    ("taken", "command"),
    [
        ("hub__port", ("flows", "run", "--only", "flow")),
        ("api__port", ("flows", "run", "--only", "api")),
        ("replay__port", ("sources.replay", "--synthetic")),
    ],
)
def test_a_process_whose_port_is_taken_after_that_says_so_itself(
    taken: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {name: free_port() for name in PORTS} | {taken: other.getsockname()[1]}
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path, env=environment_of(ports | {"mongo__enabled": "false"}),
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip
    assert done.returncode == 78, done.stdout + done.stderr
    assert taken.replace("__", ".") in done.stderr.splitlines()[-1]
