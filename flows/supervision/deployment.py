"""What the two deployments consist of: the demo, and the live exchange.

Both run by the interpreter that runs this, from the source tree or an installed wheel, and read the settings.
"""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from flows.settings import PREFIX, Settings
from flows.settings.ports import bundled_port
from flows.supervision.spec import DEMO_FOLDER, DEMO_MONGO_PORT, LIVE_FOLDER, MONGO, RECOVERY, TRADES, ProcessSpec

_DEMO_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
"""The demo's exchange lists them besides those that are followed, so that one can be added."""
_DEMO_SEED: Final = "7"
_TRADES: Final = f"{PREFIX}TRADES__PATH"


def live_processes(settings: Settings, folder: Path = LIVE_FOLDER) -> list[ProcessSpec]:
    """Database, flow and interface for the live exchange, with state and stores in `folder` unless the settings name
    another place. The bundled database is part of it where `mongo.uri` is 127.0.0.1 with a port and nothing else.
    """
    own = {_TRADES: str(trades_path(settings, folder))}
    port = bundled_port(settings)
    mongod = [] if port is None else [_mongod(folder, port)]
    return [*mongod, _flow(folder, own), _api(own)]


def become(spec: ProcessSpec) -> int:
    """Becomes a process of a deployment, after its preparation, without a supervisor: whatever started this one starts
    it again. Returns only the exit code of a preparation that failed. `OSError` when it cannot be run.
    """
    environment = {**os.environ, **spec.env}
    code = subprocess.run(spec.prepare, env=environment, check=False).returncode if spec.prepare else 0  # noqa: S603 - its own
    if code == 0:
        os.execve(spec.argv[0], spec.argv, environment)  # noqa: S606 - the same
    return code


def trades_path(settings: Settings, folder: Path) -> Path:
    """Where a deployment that is started with this folder has its trades: in it, unless the settings name a place."""
    return settings.trades.path if "path" in settings.trades.model_fields_set else folder / TRADES


def demo_processes(
    settings: Settings, folder: Path = DEMO_FOLDER, *, mongo_port: int = DEMO_MONGO_PORT
) -> list[ProcessSpec]:
    """The same against the replay exchange with a synthetic market, everything in `folder`. Ports are those of the
    settings, but for the database, which is never that of the live exchange.

    A restarted exchange goes on with the same market, which began at this call.
    """
    env = demo_environment(settings, folder, mongo_port=mongo_port)
    symbols = dict.fromkeys((*settings.feed.symbols, *_DEMO_SYMBOLS))
    exchange = _module(
        "sources.replay", "--synthetic", "--seed", _DEMO_SEED, "--symbols", *symbols,
        "--host", "127.0.0.1", "--port", str(settings.replay.port), "--begin", str(time.time_ns() // 1_000_000),
    )  # fmt: skip
    return [
        ProcessSpec("exchange", exchange, env),
        _mongod(folder, mongo_port, env),
        _flow(folder, env),
        _api(env),
    ]


def demo_environment(
    settings: Settings, folder: Path = DEMO_FOLDER, *, mongo_port: int = DEMO_MONGO_PORT
) -> dict[str, str]:
    """The settings by which flow, interface and every other command find the demo, as variables."""
    exchange = f"127.0.0.1:{settings.replay.port}"
    values = {
        "FEED__ORIGIN": "synthetic",
        "FEED__WS_URL": f"ws://{exchange}",
        "FEED__REST_URL": f"http://{exchange}",
        "FEED__BACKOFF_MIN_S": "0.5",
        "MONGO__URI": f"mongodb://127.0.0.1:{mongo_port}",
    }
    return {**{f"{PREFIX}{key}": value for key, value in values.items()}, _TRADES: str(folder / TRADES)}


def variables_of(settings: Settings, env: Mapping[str, str]) -> dict[str, str]:
    """The variables by which other commands find a deployment whose flow has `env`: that, its ports, and its trades by
    their absolute path. No secret is among them.
    """
    ports = {
        "API__PORT": settings.api.port,
        "HUB__PORT": settings.hub.port,
        "METRICS__PORT": settings.metrics.port,
        "REPLAY__PORT": settings.replay.port,
    }
    trades = Path(env.get(_TRADES, settings.trades.path)).absolute()
    return {**env, **{f"{PREFIX}{key}": str(port) for key, port in ports.items()}, _TRADES: str(trades)}


def demo_greeting(settings: Settings, folder: Path = DEMO_FOLDER, *, mongo_port: int = DEMO_MONGO_PORT) -> str:
    """What the demo prints at its start: where everything is, with commands for the shell."""
    here = f"{program()} --of {shlex.quote(str(folder))}"
    page, exchange = f"http://127.0.0.1:{settings.api.port}", f"http://127.0.0.1:{settings.replay.port}"
    rows: Mapping[str, str] = {
        "the dashboard": f"{page}/",
        "the interface": f"{page}/docs",
        "prices and candles, live": f"{here} tail",
        "what is live?": f"{here} status",
        "are the stores right?": f"{here} verify",
        **({"a notebook": f"{here} notebook"} if _has("marimo", "altair") else {}),
        **({"tools for agents": f"{here} mcp"} if _has("mcp") else {}),
        "candles": f"mongodb://127.0.0.1:{mongo_port}  database {settings.mongo.database}, collection market_data",
        "trades": f"{folder / TRADES} (RocksDB)",
        "the exchange itself": f"{exchange}/api/v3/exchangeInfo",
    }
    lines = [f"  {what:<26} {where}\n" for what, where in rows.items()]
    return "marketflow demo: a synthetic market, no network needed. Ctrl-C ends it.\n\n" + "".join(lines) + "\n"


def _has(*packages: str) -> bool:
    return all(find_spec(package) is not None for package in packages)


def program() -> str:
    """The command `marketflow` as one types it here: the script where this process was started by it, else the
    interpreter with its module. A path is relative to the current directory where it lies below it.
    """
    script = Path(sys.argv[0])
    if script.name != "marketflow":
        return f"{_typed(sys.executable)} -m flows"
    return script.name if shutil.which(script.name) == str(script) else _typed(str(script.absolute()))


def _typed(path: str) -> str:
    return shlex.quote(os.path.relpath(path) if path.startswith(f"{Path.cwd()}{os.sep}") else path)


def _module(name: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *arguments)


def _mongod(folder: Path, port: int, env: Mapping[str, str] | None = None) -> ProcessSpec:
    return ProcessSpec("mongod", _module("sinks.mongod", "--path", str(folder / MONGO), "--port", str(port)), env or {})


def _flow(folder: Path, env: Mapping[str, str]) -> ProcessSpec:
    state = str(folder / RECOVERY)
    # saved every 5 s, and nothing older than what is saved is kept
    run = _module("bytewax.run", "flows.main", "-r", state, "-s", "5", "-b", "0")
    return ProcessSpec("flow", run, env, prepare=_module("flows.recovery", state))


def _api(env: Mapping[str, str]) -> ProcessSpec:
    return ProcessSpec("api", _module("api"), env)
