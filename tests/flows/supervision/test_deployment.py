"""What the deployments consist of."""

import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from flows.settings import Settings, load_settings
from flows.supervision.deployment import (
    demo_environment,
    demo_greeting,
    demo_processes,
    live_processes,
    program,
    variables_of,
)
from flows.supervision.spec import DEMO_VENUES
from tests.fakes.deployment import ROOT


@pytest.fixture(autouse=True)
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_live_deployment() -> None:
    mongod, flow, api = live_processes(load_settings(), Path("data"))
    assert mongod.argv == (sys.executable, "-m", "sinks.mongod", "--path", "data/mongo", "--port", "27017")
    assert flow.prepare == (sys.executable, "-m", "flows.recovery", "data/recovery")
    assert flow.argv[1:] == ("-m", "bytewax.run", "flows.main", "-r", "data/recovery", "-s", "5", "-b", "0")
    assert api.argv == (sys.executable, "-m", "api")
    assert flow.env == api.env == {"MARKETFLOW_TRADES__PATH": "data/trades"}
    assert (mongod.needs, flow.needs, api.needs) == ((), ("mongod",), ("mongod",))


def test_no_command_line_of_a_deployment_has_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every user of the machine sees command lines, and no one else the environment of a process."""
    names = (
        "FEED__API_KEY",
        "FEED__API_SECRET",
        "HUB__TOKEN",
        "HUB__ACCOUNT_TOKEN",
        "API__TOKEN",
        "API__ACCOUNT_TOKEN",
    )
    for name in names:
        monkeypatch.setenv(f"MARKETFLOW_{name}", f"s3cret-{name}")
    settings = load_settings()
    specs = [*live_processes(settings), *demo_processes(settings)]
    assert "s3cret" not in str([(spec.argv, spec.prepare, spec.env) for spec in specs])
    assert "s3cret" not in str(variables_of(settings, {}))


def test_the_ports_that_must_be_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", "8555")
    monkeypatch.setenv("MARKETFLOW_API__HOST", "::1")
    hub, api = ("hub.port", "127.0.0.1", 8555), ("api.port", "::1", 8080)
    live = [("mongo.uri", "127.0.0.1", 27017), hub, api]
    assert [one for spec in live_processes(load_settings()) for one in spec.listens] == live
    demo = [("replay.port", "127.0.0.1", 9443), ("--mongo-port", "127.0.0.1", 27555), hub, api]
    assert [one for spec in demo_processes(load_settings(), mongo_port=27555) for one in spec.listens] == demo
    monkeypatch.setenv("MARKETFLOW_HUB__ENABLED", "false")
    assert live_processes(load_settings())[1].listens == ()


def test_the_settings_say_where_trades_and_database_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_TRADES__PATH", "/elsewhere")
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", "mongodb://127.0.0.1:27018")
    mongod, flow, _ = live_processes(load_settings(), Path("data"))
    assert mongod.argv[-1] == "27018"
    assert flow.env == {"MARKETFLOW_TRADES__PATH": "/elsewhere"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MARKETFLOW_MONGO__URI", "mongodb://db.example:27017"),
        ("MARKETFLOW_MONGO__URI", "mongodb://localhost:27017"),
        ("MARKETFLOW_MONGO__ENABLED", "false"),
    ],
)
def test_the_users_own_database_is_not_started(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    specs = live_processes(load_settings(), Path("data"))
    assert [(spec.name, spec.needs) for spec in specs] == [("flow", ()), ("api", ())]


def test_the_demo_is_all_in_its_folder_and_on_ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_REPLAY__PORT", "9555")
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", "mongodb://127.0.0.1:27017")  # the live one
    exchange, mongod, flow, api = demo_processes(load_settings(), Path("there"), mongo_port=27555, venues=("binance",))
    assert "9555" in exchange.argv
    assert mongod.argv[-3:] == ("there/mongo", "--port", "27555")
    assert flow.argv[5] == "there/recovery"
    assert flow.prepare is not None
    assert flow.prepare[-1] == "there/recovery"
    assert "--beside" not in exchange.argv
    assert [spec.needs for spec in (exchange, mongod, flow, api)] == [(), (), ("exchange", "mongod"), ("mongod",)]
    assert flow.env == api.env == {
        "MARKETFLOW_FEED__VENUE": "binance",
        "MARKETFLOW_FEED__ORIGIN": "synthetic",
        "MARKETFLOW_FEED__WS_URL": "ws://127.0.0.1:9555",
        "MARKETFLOW_FEED__REST_URL": "http://127.0.0.1:9555",
        "MARKETFLOW_FEED__BACKOFF_MIN_S": "0.5",
        "MARKETFLOW_FEED__BACKOFF_MAX_S": "4",
        "MARKETFLOW_MONGO__URI": "mongodb://127.0.0.1:27555",
        "MARKETFLOW_TRADES__PATH": "there/trades",
        "MARKETFLOW_ALERTS__ENABLED": "true",
    }  # fmt: skip


def test_the_demos_exchange_lists_what_is_followed_and_one_that_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_FEED__SYMBOLS", "XRPUSDT,BTCUSDT")
    exchange = demo_processes(load_settings(), venues=("binance",))[0].argv
    begin, end = exchange.index("--symbols") + 1, exchange.index("--host")
    assert exchange[begin:end] == ("XRPUSDT", "BTCUSDT", "ETHUSDT", "SOLUSDT")


def test_one_exchange_serves_all_venues_of_the_demo_and_lists_what_each_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MARKETFLOW_FEED__SYMBOLS", "XRPUSDT,ETHBTC")
    monkeypatch.setenv("MARKETFLOW_VENUES__COINBASE__SYMBOLS", "DOGE-EUR")
    settings = load_settings()
    exchange = demo_processes(settings)[0].argv
    begin, middle, end = (exchange.index(name) for name in ("--beside", "--symbols", "--host"))
    assert exchange[begin + 1 : middle] == ("kraken", "coinbase")
    binance = ("XRPUSDT", "ETHBTC", "BTCUSDT", "ETHUSDT", "SOLUSDT")
    assert exchange[middle + 1 : end] == (*binance, "XRP-USD", "BTC-USD", "ETH-USD", "SOL-USD", "DOGE-EUR")
    for name, value in demo_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert {name: feed.symbols for name, feed in load_settings().by_venue.items()} == {
        "binance": ("XRPUSDT", "ETHBTC"), "coinbase": ("DOGE-EUR",), "kraken": ("XRP-USD",),
    }  # fmt: skip


def test_the_demos_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_REPLAY__PORT", "9555")
    for name, value in demo_environment(load_settings()).items():
        monkeypatch.setenv(name, value)
    demo = load_settings()
    assert demo.mongo.uri == "mongodb://127.0.0.1:27117"
    assert [(name, one.origin, one.ws_url, one.rest_url) for name, one in demo.by_venue.items()] == [
        ("binance", "synthetic", "ws://127.0.0.1:9555", "http://127.0.0.1:9555"),
        ("kraken", "synthetic", "ws://127.0.0.1:9555/kraken", "http://127.0.0.1:9555/kraken"),
        ("coinbase", "synthetic", "ws://127.0.0.1:9555/coinbase", "http://127.0.0.1:9555/coinbase"),
    ]
    assert {one.backoff_min_s for one in demo.by_venue.values()} == {0.5}
    assert demo.alerts.enabled


def test_the_demo_has_no_alerts_where_the_settings_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_ALERTS__ENABLED", "false")
    assert not [name for name in demo_environment(load_settings()) if "ALERTS" in name]


@pytest.mark.parametrize("venues", [("binance",), DEMO_VENUES])
def test_the_demo_follows_no_other_venue_of_the_settings(
    venues: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKETFLOW_FEED__VENUE", "kraken")
    monkeypatch.setenv("MARKETFLOW_VENUES__KRAKEN__ORIGIN", "live")
    monkeypatch.setenv("MARKETFLOW_VENUES__BINANCE_USDM__ENABLED", "true")
    for name, value in demo_environment(load_settings(), venues=venues).items():
        monkeypatch.setenv(name, value)
    followed = load_settings().by_venue
    assert set(followed) == set(venues)
    assert next(iter(followed)) == "binance"
    assert {one.origin for one in followed.values()} == {"synthetic"}


def test_the_greeting_names_what_is_there_with_commands_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_API__PORT", "8555")
    text = demo_greeting(load_settings())
    where = "a synthetic market at binance, kraken, coinbase"
    assert text.startswith(f"marketflow demo: {where}, no network needed. Ctrl-C ends it.\n\n")
    assert "  one asset on all venues    http://127.0.0.1:8555/api/compare/BTC\n" in text
    assert "/api/compare" not in demo_greeting(load_settings(), venues=("binance",))
    assert "  the dashboard              http://127.0.0.1:8555/\n" in text
    assert f"  are the stores right?      {program()} --of data/demo verify\n" in text
    assert "mongodb://127.0.0.1:27555 " in demo_greeting(load_settings(), mongo_port=27555)


def test_commands_fit_a_folder_with_a_space() -> None:
    [line] = [line for line in demo_greeting(load_settings(), Path("my demo")).splitlines() if line.endswith(" verify")]
    assert shlex.split(line)[-3:] == ["--of", "my demo", "verify"]


def test_the_greeting_names_only_what_is_installed() -> None:
    text = demo_greeting(load_settings())
    assert (" notebook\n" in text) == (find_spec("marimo") is not None and find_spec("altair") is not None)
    assert (" mcp\n" in text) == (find_spec("mcp") is not None)


def test_the_command_is_named_as_one_would_type_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / ".venv" / "bin"
    monkeypatch.setattr(sys, "executable", str(here / "python"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "flows" / "__main__.py")])
    assert program() == ".venv/bin/python -m flows"
    here.mkdir(parents=True)
    script = here / "marketflow"
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program() == ".venv/bin/marketflow"
    monkeypatch.setenv("PATH", str(here))
    assert program() == "marketflow"


def test_other_commands_find_a_deployment_from_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_API__PORT", "8555")
    demo = variables_of(Settings(), demo_environment(Settings(), Path("there"), mongo_port=27555))
    assert demo["MARKETFLOW_API__PORT"] == "8555"
    assert demo["MARKETFLOW_MONGO__URI"] == "mongodb://127.0.0.1:27555"
    assert demo["MARKETFLOW_TRADES__PATH"] == str(Path.cwd() / "there" / "trades")
    monkeypatch.setenv("MARKETFLOW_TRADES__PATH", "elsewhere")
    assert variables_of(Settings(), {})["MARKETFLOW_TRADES__PATH"] == str(Path.cwd() / "elsewhere")


BECOMES = """
import os, sys
from flows.supervision.deployment import become
from flows.supervision.spec import ProcessSpec
shows = "import os; print(os.getpid(), os.environ['CHOSEN'])"
print(os.getpid(), flush=True)
prepare = (sys.executable, "-c", f"import os; print(os.environ['CHOSEN'], flush=True); raise SystemExit({sys.argv[1]})")
sys.exit(become(ProcessSpec("one", (sys.executable, "-c", shows), {"CHOSEN": "x"}, prepare=prepare)))
"""


def test_a_process_takes_the_place_of_the_command_after_its_preparation() -> None:
    ran = subprocess.run([sys.executable, "-c", BECOMES, "0"], cwd=ROOT, capture_output=True, text=True, check=False)
    before, prepared, after = ran.stdout.splitlines()
    assert (prepared, after, ran.returncode) == ("x", f"{before} x", 0)


def test_after_a_preparation_that_failed_nothing_is_started() -> None:
    ran = subprocess.run([sys.executable, "-c", BECOMES, "78"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (len(ran.stdout.splitlines()), ran.returncode) == (2, 78)
