"""What the deployments consist of."""

import subprocess
import sys
from pathlib import Path

import pytest

from flows.settings import Settings, SettingsError
from flows.supervision.deployment import demo_environment, demo_greeting, demo_processes, live_processes
from tests.fakes.deployment import ROOT


@pytest.fixture(autouse=True)
def _no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_live_deployment() -> None:
    mongod, flow, api = live_processes(Path("data"))
    assert mongod.argv == (sys.executable, "-m", "sinks.mongod", "--path", "data/mongo", "--port", "27017")
    assert flow.prepare == (sys.executable, "-m", "flows.recovery", "data/recovery")
    assert flow.argv[1:] == ("-m", "bytewax.run", "flows.main", "-r", "data/recovery", "-s", "5", "-b", "0")
    assert api.argv == (sys.executable, "-m", "api")
    assert flow.env == api.env == {"MARKETFLOW_TRADES__PATH": "data/trades"}


def test_the_settings_say_where_trades_and_database_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_TRADES__PATH", "/elsewhere")
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", "mongodb://127.0.0.1:27018")
    mongod, flow, _ = live_processes(Path("data"))
    assert mongod.argv[-1] == "27018"
    assert flow.env == {}


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
    assert [spec.name for spec in live_processes(Path("data"))] == ["flow", "api"]


def test_the_demo_is_all_in_its_folder_and_on_ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_REPLAY__PORT", "9555")
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", "mongodb://127.0.0.1:27017")  # the live one
    exchange, mongod, flow, api = demo_processes(Path("there"), mongo_port=27555)
    assert "9555" in exchange.argv
    assert mongod.argv[-3:] == ("there/mongo", "--port", "27555")
    assert flow.argv[5] == "there/recovery"
    assert flow.prepare is not None
    assert flow.prepare[-1] == "there/recovery"
    assert flow.env == api.env == {
        "MARKETFLOW_FEED__ORIGIN": "synthetic",
        "MARKETFLOW_FEED__WS_URL": "ws://127.0.0.1:9555",
        "MARKETFLOW_FEED__REST_URL": "http://127.0.0.1:9555",
        "MARKETFLOW_FEED__BACKOFF_MIN_S": "0.5",
        "MARKETFLOW_MONGO__URI": "mongodb://127.0.0.1:27555",
        "MARKETFLOW_TRADES__PATH": "there/trades",
    }  # fmt: skip


def test_the_demos_settings_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in demo_environment(Settings()).items():
        monkeypatch.setenv(name, value)
    assert Settings().mongo.uri == "mongodb://127.0.0.1:27117"


def test_the_greeting_names_what_is_there_with_commands_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_API__PORT", "8555")
    text = demo_greeting()
    assert text.startswith("marketflow demo: a synthetic market, no network needed. Ctrl-C ends it.\n\n")
    assert "  the dashboard              http://127.0.0.1:8555/\n" in text
    assert f"env $({sys.executable} -m flows.supervision env) {sys.executable} -m flows.verify\n" in text
    assert "notebook" not in text  # it is not part of a wheel
    assert "flows.supervision env --folder there --mongo-port 27555)" in demo_greeting(Path("there"), mongo_port=27555)


def test_the_interpreter_is_named_as_one_would_type_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(Path.cwd() / ".venv" / "bin" / "python"))
    assert "  prices and candles, live   .venv/bin/python -m websockets ws://127.0.0.1:8765/ws\n" in demo_greeting()


def test_wrong_settings_are_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_API__PORT", "many")
    with pytest.raises(SettingsError, match=r"api\.port"):
        live_processes(Path("data"))


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
