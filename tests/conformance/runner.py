"""Runs foreign clients against a replay exchange, each in a process of its own, and says what each got right."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flows.clock import wall_ms
from tests.marked import ROOT

ENVIRONMENTS: Final = ROOT / ".venv-clients"
CLIENT_S: Final = 420.0
"""Longest that a client's process may last."""
SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
SEED: Final = 7
BEGAN_MS: Final = 240_000
"""How long before its start a market began: there are trades to page through."""


@dataclass(frozen=True)
class Client:
    """A foreign client for a market: the module of its cases, and the environment that it is installed in."""

    name: str
    module: str
    market: str
    environment: str = "clients"


CLIENTS: Final = (
    Client("ccxt.pro spot", "ccxt_pro", "spot"),
    Client("ccxt.pro usdm", "ccxt_pro", "usdm"),
    Client("python-binance spot", "python_binance", "spot"),
    Client("python-binance usdm", "python_binance", "usdm"),
    Client("binance-sdk spot", "binance_sdk", "spot"),
    Client("binance-sdk usdm", "binance_sdk", "usdm"),
    Client("binance-connector spot", "binance_connector", "spot", "spot-connector"),
    Client("binance-connector usdm", "binance_connector", "usdm", "usdm-connector"),
    Client("cryptofeed spot", "cryptofeed_client", "spot"),
    Client("cryptofeed usdm", "cryptofeed_client", "usdm"),
    Client("unicorn spot", "unicorn", "spot"),
    Client("unicorn usdm", "unicorn", "usdm"),
    Client("nautilus spot", "nautilus", "spot"),
    Client("nautilus usdm", "nautilus", "usdm"),
    Client("npm binance spot", "npm_binance.cjs", "spot", "node"),
    Client("npm binance usdm", "npm_binance.cjs", "usdm", "node"),
    Client("npm node-binance-api spot", "npm_node_binance_api.cjs", "spot", "node"),
    Client("npm node-binance-api usdm", "npm_node_binance_api.cjs", "usdm", "node"),
)


@dataclass(frozen=True)
class Result:
    """What a client got right. `known` are failures of its own, each with a reason; `skipped` is why it did not run."""

    client: str
    passed: int = 0
    cases: int = 0
    failed: Sequence[tuple[str, str]] = ()
    known: Sequence[tuple[str, str]] = ()
    surprising: Sequence[str] = ()
    """Cases that a reason says must fail, and that passed."""
    seconds: float = 0.0
    skipped: str = ""

    @property
    def is_right(self) -> bool:
        """Whether all went as the client's module says."""
        return not self.failed and not self.surprising


def result_of(client: str, rows: Iterable[dict[str, Any]], *, end: str, seconds: float = 0.0) -> Result:
    """The result of a report; `end` says how the process ended. A case without an outcome failed with it."""
    names: list[str] = []
    outcomes: dict[str, dict[str, Any]] = {}
    ended = False
    for row in rows:
        names += row.get("cases", ())
        ended = ended or "ended" in row
        if "case" in row:
            outcomes[row["case"]] = row
    if not names:
        return Result(client, cases=1, failed=[("start", end)], seconds=seconds)
    missing = [(name, f"not reached: {end}") for name in names if name not in outcomes]
    if not (ended or missing):
        missing = [("end", end)]
    rows = [outcomes[name] for name in names if name in outcomes]
    return Result(
        client,
        passed=sum(not row["reason"] for row in rows),
        cases=len(names),
        failed=[(row["case"], row["reason"]) for row in rows if row["reason"] and not row["fails"]] + missing,
        known=[(row["case"], row["fails"]) for row in rows if row["reason"] and row["fails"]],
        surprising=[row["case"] for row in rows if not row["reason"] and row["fails"]],
        seconds=seconds,
    )


def table(results: Sequence[Result]) -> str:
    """The results as a table, and below it every failure with its reason."""
    width = max((len(result.client) for result in results), default=0)
    lines = [f"{'client':<{width}}  passed  known     s"]
    for result in results:
        shown = f"not run: {result.skipped}" if result.skipped else f"{f'{result.passed}/{result.cases}':>6}"
        more = "" if result.skipped else f"  {len(result.known):>5}  {result.seconds:>4.0f}"
        lines.append(f"{result.client:<{width}}  {shown}{more}".rstrip())
    for result in results:
        lines += [f"{result.client}: {name} FAILED: {reason}" for name, reason in result.failed]
        lines += [f"{result.client}: {name} passes now: take its reason away" for name in result.surprising]
        lines += [f"{result.client}: {name} fails as known: {reason}" for name, reason in result.known]
    return "\n".join(lines)


@contextmanager
def _exchange(market: str, python: Path, folder: Path) -> Iterator[str]:
    """A replay exchange with a synthetic market on a free port; its address."""
    command = ["-m", "sources.replay", "--synthetic", "--seed", str(SEED), "--market", market, "--port", "0"]
    command += ["--begin", str(wall_ms() - BEGAN_MS)]
    with (
        (folder / f"exchange-{market}.log").open("wb") as log,
        subprocess.Popen(
            [str(python), *command, "--symbols", *SYMBOLS], cwd=ROOT, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            assert process.stdout is not None
            address = process.stdout.readline().decode().strip()
            if not address:
                raise RuntimeError(f"the exchange did not start: {log.name}")
            yield address
        finally:
            process.terminate()


def run_client(
    client: Client, address: str, folder: Path, *, client_s: float = CLIENT_S, environments: Path = ENVIRONMENTS
) -> Result:
    """Runs the cases of a client in its environment, for `client_s` at most."""
    program = _program(client, environments)
    if isinstance(program, str):
        return Result(client.name, skipped=program)
    report = folder / f"{client.module.partition('.')[0]}-{client.market}.jsonl"
    output = report.with_suffix(".log")
    report.write_text("")
    began = time.monotonic()
    with output.open("wb") as log:
        command = [*program, client.market, address, report]
        process = subprocess.Popen(
            command,
            cwd=folder if client.environment == "node" else ROOT,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            code = process.wait(client_s)
            end = "" if code == 0 else f"the process ended with {code}: {_last_line(output)}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            end = f"it was ended after {client_s:.0f} s"
    rows = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines()]
    return result_of(client.name, rows, end=end or "the process ended", seconds=time.monotonic() - began)


def _program(client: Client, environments: Path) -> list[str | Path] | str:
    """The command, without market, address and report; or why there is none."""
    environment = environments / client.environment
    if not environment.exists():
        return f"no environment {client.environment} (make conformance)"
    if client.environment != "node":
        return [environment / "bin" / "python", "-m", "tests.conformance.child", client.module]
    node = shutil.which("node")
    return [node, ROOT / "tests" / "conformance" / "clients" / client.module] if node else "no node here"


def _environment() -> dict[str, str]:
    """The variables of a client's process: no proxy and no path of ours."""
    left_out = ("_proxy", "pythonpath", "pythondontwritebytecode", "virtual_env")
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith(left_out)}
    return {**kept, "NODE_PATH": str(ENVIRONMENTS / "node" / "node_modules")}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "without a word")


def run_all(clients: Sequence[Client], python: Path, folder: Path | None = None) -> Iterator[Result]:
    """Runs clients one after the other, each against an exchange of its own; reports and logs stay in `folder`."""
    with ExitStack() as stack:
        where = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conformance-")))
        where.mkdir(parents=True, exist_ok=True)
        for client in clients:
            with _exchange(client.market, python, where) as address:
                result = run_client(client, address, where)
            yield result
