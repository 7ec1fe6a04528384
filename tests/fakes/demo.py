"""The demo as one starts it, with ports of its own."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from pymongo import MongoClient

from flows.process.proxy import trusted_by
from flows.supervision.known import known
from tests.fakes.deployment import environment_of, free_port
from tests.fakes.waiting import rest_s

PATIENCE_S = 240
"""Longest wait for something that should take seconds: a bound for broken runs, not a measure."""
FOLDER = Path("data/demo")
PORTS = ("hub__port", "api__port", "metrics__port", "replay__port")


class Demo:
    """A running demo in the folder `at`."""

    def __init__(self, at: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.at = at
        self.process = process
        self._log = log

    @property
    def said(self) -> str:
        """Its output so far."""
        return self._log.read_text(errors="replace")

    @property
    def variables(self) -> dict[str, str]:
        """By which other commands find it."""
        return known(self.at / FOLDER)

    def port(self, name: str) -> str:
        """The port of `API`, `HUB`, `METRICS` or `REPLAY`."""
        return self.variables[f"MARKETFLOW_{name}__PORT"]

    def pid_of(self, name: str) -> int:
        """The process that was started last under a name."""
        found: list[str] = []

        def is_said() -> bool:
            found[:] = re.findall(rf"\| {name} is started \(pid (\d+)", self.said)
            return bool(found)

        self.until(is_said)
        return int(found[-1])

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until it is so."""
        begun = time.monotonic()
        deadline = begun + PATIENCE_S
        while not condition():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(rest_s(begun, least_s=0.05))
            begun = time.monotonic()

    def until_ready(self) -> None:
        """Waits until the interface says that everything is there and current."""
        self.until(self.is_ready)

    def is_ready(self) -> bool:
        """Whether the interface says so now."""
        try:
            url = f"http://127.0.0.1:{self.port('API')}/health/ready"
            return httpx.get(url, timeout=10, verify=trusted_by(url)).status_code == 200
        except httpx.TransportError:
            return False

    def mongo(self) -> MongoClient[dict[str, Any]]:
        """A client of its database."""
        return MongoClient(self.variables["MARKETFLOW_MONGO__URI"])

    def ask(self, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command of ours about it, in its folder, to the end."""
        return subprocess.run(
            [sys.executable, "-m", "flows", "--of", str(FOLDER), *words],
            cwd=self.at, env=environment_of({}), input=typed, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def end(self, number: int = signal.SIGINT) -> int:
        """Sends a signal and gives the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


_WITH_EXCHANGE = """
import sys
from pathlib import Path
from flows.settings import load_settings
from flows.supervision.deployment import demo_environment, demo_greeting, demo_processes, variables_of
from flows.supervision.supervisor import supervise
folder, port, options = Path(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])
settings = load_settings()
specs = demo_processes(settings, folder, mongo_port=port, venues=("binance",))
specs = [spec._replace(argv=spec.argv + options) if spec.name == "exchange" else spec for spec in specs]
variables = variables_of(settings, demo_environment(settings, folder, mongo_port=port, venues=("binance",)))
greeting = demo_greeting(settings, folder, mongo_port=port, venues=("binance",))
sys.exit(supervise(specs, folder=folder, anew=True, greeting=greeting, variables=variables))
"""
"""The same as the command, with an exchange that has options of which the command knows nothing."""


@contextmanager
def running_demo(
    at: Path, *options: str, venues: Sequence[str] = ("binance",), exchange: Sequence[str] = (), **settings: object
) -> Iterator[Demo]:
    """Starts it in the folder `at`, with options of the command, or else with those of its exchange (of one venue);
    kills it at the end, which ends its processes. Yields once its folder is known.
    """
    chosen = {name: free_port() for name in PORTS} | settings
    log = at / "demo.log"
    port = str(free_port())
    command = [sys.executable, "-m", "flows", "demo", "--mongo-port", port, "--venues", ",".join(venues), *options]
    if exchange:
        command = [sys.executable, "-c", _WITH_EXCHANGE, str(FOLDER), port, *exchange]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=at, stdout=out, stderr=out, env=environment_of(chosen))
    demo = Demo(at, process, log)
    try:
        demo.until(lambda: "is started (pid " in demo.said)
        yield demo
    finally:
        process.kill()
        process.wait()
