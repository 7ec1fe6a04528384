"""The commands of README.md and docs/ that ask a deployment, and those that a demo prints: each as it stands. All are
parts of one test, so that one worker runs them beside one demo.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.demo import PATIENCE_S, Demo, running_demo
from tests.fakes.deployment import environment_of
from tests.fakes.documented import Kind, Line, lines
from tests.fakes.warm import command_of_the_shell
from tests.marked import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FOLLOWED = "BTCUSDT"
LISTED = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
"""What the pages follow besides."""
TRADES_PER_S = "4"
"""Of each symbol: the commands ask for some, not for many."""
DEFAULTS = {"API": "8080", "HUB": "8765", "REPLAY": "9443"}
"""The ports that the pages name."""
MARKETFLOW = """\
case "$*" in
    *-completion) exec {python} -m flows "$@" ;;
    *) exec {warm} flows "$@" ;;
esac"""
"""The command. Completion looks at the shell that is its parent; whatever the demo prints begins with Python's name."""
TOOLS = ("curl", "jq")
FAULTS = "/control/faults"


def by_order(line: Line) -> tuple[bool, bool]:
    """What does harm comes last, and its end at the very end."""
    return FAULTS in line.text, "-X DELETE" in line.text


def commands(*kinds: Kind) -> list[str]:
    return [line.text for line in sorted(lines(*kinds), key=by_order)]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What begins a command whose modules are imported."""
    with command_of_the_shell(tmp_path_factory.mktemp("warm")) as found:
        yield found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, warm: str) -> Iterator[Demo]:
    """A demo that has stored closed candles, in a checkout of its own with a home of its own."""
    at = tmp_path_factory.mktemp("checkout")
    for path in ROOT.iterdir():
        if path.name not in (".git", ".venv", "data"):
            (at / path.name).symlink_to(path)
    (at / "home").mkdir()
    (at / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "websockets"):
        own = Path(sys.executable).with_name(name)
        (at / ".venv" / "bin" / name).symlink_to(own)
    shims = {"marketflow": MARKETFLOW.format(python=sys.executable, warm=warm), "python": f'exec {sys.executable} "$@"'}
    for name, text in shims.items():
        shim = at / "home" / name
        shim.write_text(f"#!/bin/sh\n{text}\n")
        shim.chmod(0o755)
    (at / "other.toml").write_text("")
    exchange = ("--symbols", *LISTED, "--trades-per-s", TRADES_PER_S)
    with running_demo(at, exchange=exchange, feed__symbols=FOLLOWED) as found:
        found.until_ready()
        found.until(lambda: closed(found))
        yield found
        assert found.end() == 130


def closed(demo: Demo) -> bool:
    """Whether there are closed candles."""
    url = f"http://127.0.0.1:{demo.port('API')}/api/chart/BTCUSDT/5m?limit=3"
    return len((httpx.get(url, timeout=60).json()["data"] or {}).get("candles", ())) == 3


def environment(demo: Demo) -> dict[str, str]:
    home = str(demo.at / "home")
    path = os.pathsep.join((home, os.environ["PATH"]))
    return environment_of({}) | demo.variables | {"HOME": home, "PATH": path, "COLUMNS": "200"}


def typed(demo: Demo, text: str) -> str:
    """The line with the ports of this demo, and with an exit code where HTTP says no."""
    for name, port in DEFAULTS.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{demo.port(name)}")
    return text.replace("curl ", "curl --silent --show-error --fail-with-body ")


def needs_tools(text: str) -> None:
    for tool in TOOLS:
        if tool in text.split() and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def run(text: str, demo: Demo) -> subprocess.CompletedProcess[str]:
    """Runs a line to its end, by a shell that stays: completion asks which one it is."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{text}; exit $?"],
        cwd=demo.at, env=environment(demo), input="y\n", capture_output=True, text=True, check=False,
    )  # fmt: skip


def first_line(text: str, demo: Demo, *, typed: bytes = b"") -> tuple[str, int]:
    """Runs a line until it has written one, and interrupts it; what it wrote, and its exit code."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {text}"],
        cwd=demo.at, env=environment(demo), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(typed)
        process.stdin.flush()
        while not (line := process.stdout.readline()).strip():
            assert line, process.communicate()[1].decode()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(b"y\n", timeout=PATIENCE_S)
        return line.decode(), process.returncode
    finally:
        process.kill()
        process.communicate()


def test_each_command_does_what_it_says(demo: Demo, subtests: pytest.Subtests) -> None:
    for text in commands(Kind.RUNS):
        with subtests.test(text):
            runs(text, demo)
    for text in commands(Kind.FOLLOWS):
        with subtests.test(text):
            goes_on_until_it_is_interrupted(text, demo)
    for name, check in PRINTED.items():
        with subtests.test(f"the demo prints: {name}"):
            demo.until_ready()
            check(demo, printed(demo, name))


def runs(text: str, demo: Demo) -> None:
    needs_tools(text)
    if "status" in text or "health" in text:
        demo.until_ready()
    done = run(typed(demo, text), demo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def goes_on_until_it_is_interrupted(text: str, demo: Demo) -> None:
    demo.until_ready()
    assert first_line(typed(demo, text), demo)[1] in (0, 130, -signal.SIGINT)


def printed(demo: Demo, name: str) -> str:
    """The command of this name that the demo printed at its start."""
    [line] = [line for line in demo.said.partition("\n\n")[2].splitlines() if line.endswith(f" {name}")]
    return line[line.index(sys.executable) :]


def looks(demo: Demo, command: str) -> None:
    done = run(command, demo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "BTCUSDT" in done.stdout


def listens(demo: Demo, command: str) -> None:
    assert "type" in json.loads(first_line(command, demo)[0])


def serves_agents(demo: Demo, command: str) -> None:
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    sent = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}) + "\n"
    answer = json.loads(first_line(command, demo, typed=sent.encode())[0])
    assert (answer["id"], "result" in answer) == (1, True)


def opens_a_notebook(demo: Demo, command: str) -> None:
    line, _ = first_line(f"{command} --headless", demo)
    assert "explore.py" in line


PRINTED = {
    "status": looks,
    "verify": looks,
    "tail": listens,
    "mcp": serves_agents,
    "notebook": opens_a_notebook,
}
"""What the demo prints at its start, with what each does."""
