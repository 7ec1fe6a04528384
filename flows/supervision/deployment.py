"""What the two deployments consist of: the demo, and the live exchange.

Both run by the interpreter that runs this, from the source tree or an installed wheel, and read the settings.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

from flows.settings import PREFIX, Settings, VenueName
from flows.settings.feed import PAIRS
from flows.settings.ports import Listener, bundled_port, listeners
from flows.supervision.spec import (
    DEMO_FOLDER,
    DEMO_MONGO_PORT,
    DEMO_VENUES,
    LIVE_FOLDER,
    MONGO,
    RECOVERY,
    TRADES,
    ProcessSpec,
)

_DEMO_SYMBOLS: Final = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
"""The demo's exchange lists them besides those that are followed, so that one can be added."""
_DEMO_SEED: Final = "7"
_DOLLARS: Final = re.compile(r"(.+?)-?USD[TC]?")
_TRADES: Final = f"{PREFIX}TRADES__PATH"


def live_processes(settings: Settings, folder: Path = LIVE_FOLDER) -> list[ProcessSpec]:
    """Database, flow and interface for the live exchange, with state and stores in `folder` unless the settings name
    another place. The bundled database is part of it where `mongo.uri` is 127.0.0.1 with a port and nothing else.
    """
    own = {_TRADES: str(trades_path(settings, folder))}
    port = bundled_port(settings)
    mongod = [] if port is None else [_mongod(folder, Listener("mongo.uri", "127.0.0.1", port))]
    needs = tuple(spec.name for spec in mongod)
    return [*mongod, _flow(folder, own, settings, needs=needs), _api(own, settings, needs=needs)]


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
    settings: Settings,
    folder: Path = DEMO_FOLDER,
    *,
    mongo_port: int = DEMO_MONGO_PORT,
    venues: Sequence[str] = DEMO_VENUES,
) -> list[ProcessSpec]:
    """The same against the replay exchange with a synthetic market, everything in `folder`. Ports are those of the
    settings, but for the database, which is never that of the live exchange. One process serves all `venues`.

    A restarted exchange goes on with the same market, which began at this call.
    """
    env = demo_environment(settings, folder, mongo_port=mongo_port, venues=venues)
    first, *beside = venues
    pairs = [symbol for venue in beside for symbol in (*_followed(settings, venue), *_in_dollars(_DEMO_SYMBOLS))]
    symbols = dict.fromkeys((*_followed(settings, first), *_DEMO_SYMBOLS, *pairs))
    exchange = _module(
        "sources.replay", "--synthetic", "--seed", _DEMO_SEED, *(("--beside", *beside) if beside else ()),
        "--symbols", *symbols, "--host", "127.0.0.1", "--port", str(settings.replay.port),
        "--begin", str(time.time_ns() // 1_000_000),
    )  # fmt: skip
    return [
        ProcessSpec("exchange", exchange, env, listens=(Listener("replay.port", "127.0.0.1", settings.replay.port),)),
        _mongod(folder, Listener("--mongo-port", "127.0.0.1", mongo_port), env),
        _flow(folder, env, settings, needs=("exchange", "mongod")),
        _api(env, settings, needs=("mongod",)),
    ]


def demo_environment(
    settings: Settings,
    folder: Path = DEMO_FOLDER,
    *,
    mongo_port: int = DEMO_MONGO_PORT,
    venues: Sequence[str] = DEMO_VENUES,
) -> dict[str, str]:
    """The settings by which flow, interface and every other command find the demo, as variables."""
    values = {
        "FEED__VENUE": venues[0],
        **_addresses("FEED", settings, ""),
        "FEED__BACKOFF_MIN_S": "0.5",
        "FEED__BACKOFF_MAX_S": "4",  # an exchange on this machine that comes late needs no mercy
        "MONGO__URI": f"mongodb://127.0.0.1:{mongo_port}",
    }
    if settings.alerts.enabled is None:
        values["ALERTS__ENABLED"] = "true"  # so that rules can be tried on the page and over REST
    for number, venue in enumerate(venues if len(venues) > 1 or settings.venues else ()):
        section = _section(venue)
        values |= _addresses(section, settings, f"/{venue}" if number else "") | {f"{section}__ENABLED": "true"}
        if number:
            values[f"{section}__SYMBOLS"] = ",".join(_followed(settings, venue))
    values |= {f"{_section(venue)}__ENABLED": "false" for venue in settings.venues if venue not in venues}
    return {**{f"{PREFIX}{key}": value for key, value in values.items()}, _TRADES: str(folder / TRADES)}


def _section(venue: str) -> str:
    return f"VENUES__{venue.replace('-', '_').upper()}"


def _addresses(section: str, settings: Settings, path: str) -> dict[str, str]:
    """Of a venue that the demo's exchange serves below `path`."""
    address = f"127.0.0.1:{settings.replay.port}{path}"
    return {
        f"{section}__ORIGIN": "synthetic",
        f"{section}__WS_URL": f"ws://{address}",
        f"{section}__REST_URL": f"http://{address}",
    }


def _followed(settings: Settings, venue: str) -> tuple[str, ...]:
    """The symbols of a venue: those that the settings name for it, or else those of `[feed]`, in dollars where the
    venue's names are pairs.
    """
    own = settings.venues.get(cast(VenueName, venue))
    if own is not None and own.symbols != settings.feed.symbols:
        return own.symbols
    if venue not in PAIRS:
        return settings.feed.symbols
    return _in_dollars(settings.feed.symbols) or PAIRS[venue]


def _in_dollars(symbols: Iterable[str]) -> tuple[str, ...]:
    """The pairs with the dollar of symbols that are quoted in one of its coins."""
    return tuple(f"{found[1]}-USD" for symbol in symbols if (found := _DOLLARS.fullmatch(symbol)))


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


def demo_greeting(
    settings: Settings,
    folder: Path = DEMO_FOLDER,
    *,
    mongo_port: int = DEMO_MONGO_PORT,
    venues: Sequence[str] = DEMO_VENUES,
) -> str:
    """What the demo prints at its start: where everything is, with commands for the shell."""
    here = f"{program()} --of {shlex.quote(str(folder))}"
    page, exchange = f"http://127.0.0.1:{settings.api.port}", f"http://127.0.0.1:{settings.replay.port}"
    rows: Mapping[str, str] = {
        "the dashboard": f"{page}/",
        "the interface": f"{page}/docs",
        **({"one asset on all venues": f"{page}/api/compare/BTC"} if len(venues) > 1 else {}),
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
    market = f"a synthetic market at {', '.join(venues)}"
    return f"marketflow demo: {market}, no network needed. Ctrl-C ends it.\n\n" + "".join(lines) + "\n"


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


def _mongod(folder: Path, at: Listener, env: Mapping[str, str] | None = None) -> ProcessSpec:
    argv = _module("sinks.mongod", "--path", str(folder / MONGO), "--port", str(at.port))
    return ProcessSpec("mongod", argv, env or {}, listens=(at,))


def _flow(folder: Path, env: Mapping[str, str], settings: Settings, *, needs: tuple[str, ...]) -> ProcessSpec:
    if settings.shares_shards:  # it prepares the states of its shards, which have no hub
        return ProcessSpec("flow", _module("flows.shards", str(folder)), env, needs=needs)
    state = str(folder / RECOVERY)
    # saved every 5 s, and nothing older than what is saved is kept
    run = _module("bytewax.run", "flows.main", "-r", state, "-s", "5", "-b", "0")
    prepare = _module("flows.recovery", state)
    return ProcessSpec("flow", run, env, prepare=prepare, listens=_needed(settings, "hub.port"), needs=needs)


def _api(env: Mapping[str, str], settings: Settings, *, needs: tuple[str, ...]) -> ProcessSpec:
    return ProcessSpec("api", _module("api"), env, listens=_needed(settings, "api.port"), needs=needs)


def _needed(settings: Settings, key: str) -> tuple[Listener, ...]:
    """The one with this setting, where it is served. One for metrics that is taken only costs a warning."""
    return tuple(one for one in listeners(settings) if one.key == key)
