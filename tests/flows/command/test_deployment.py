import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import pytest
from typer.testing import Result

from flows.supervision.known import remember

Call = Callable[..., Result]


class Spec(NamedTuple):
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = MappingProxyType({})


class Supervision:
    """What is asked of the supervisor."""

    def __init__(self) -> None:
        self.specs: list[Spec] = []
        self.options: dict[str, Any] = {}
        self.built: tuple[str, Path, int] | None = None
        self.symbols = ""
        self.venues: set[tuple[str, ...]] = set()
        self.settings: list[Any] = []
        """Those that each part is made of."""

    def _build(self, kind: str, folder: Path, mongo_port: int) -> list[Spec]:
        self.built = (kind, folder, mongo_port)
        self.symbols = os.environ.get("MARKETFLOW_FEED__SYMBOLS", "")
        return [Spec("exchange", ("exchange", "--seed", "7")), Spec("flow", ("flow",))]

    def demo_processes(self, settings: Any, folder: Path, *, mongo_port: int, venues: Sequence[str]) -> list[Spec]:
        self.settings.append(settings)
        self.venues.add(tuple(venues))
        return self._build("demo", folder, mongo_port)

    def live_processes(self, settings: Any, folder: Path) -> list[Spec]:
        self.settings.append(settings)
        return self._build("run", folder, 0)

    def demo_environment(
        self, settings: Any, folder: Path, *, mongo_port: int, venues: Sequence[str]
    ) -> dict[str, str]:
        self.settings.append(settings)
        self.venues.add(tuple(venues))
        return {"demo": f"{folder} {mongo_port}"}

    def variables_of(self, settings: Any, env: Mapping[str, str]) -> dict[str, str]:
        self.settings.append(settings)
        return {"all of": str(dict(env))}

    def demo_greeting(self, settings: Any, folder: Path, *, mongo_port: int, venues: Sequence[str]) -> str:
        self.settings.append(settings)
        self.venues.add(tuple(venues))
        return f"{folder} {mongo_port}"

    def become(self, spec: Spec) -> int:
        self.specs = [spec]
        return 78

    def supervise(self, specs: list[Spec], **options: Any) -> int:
        self.specs, self.options = specs, options
        return 143


@pytest.fixture
def supervision(monkeypatch: pytest.MonkeyPatch) -> Supervision:
    asked = Supervision()
    deployment: Any = ModuleType("flows.supervision.deployment")
    supervisor: Any = ModuleType("flows.supervision.supervisor")
    deployment.demo_processes, deployment.live_processes = asked.demo_processes, asked.live_processes
    deployment.become = asked.become
    deployment.demo_environment, deployment.variables_of = asked.demo_environment, asked.variables_of
    deployment.demo_greeting, supervisor.supervise = asked.demo_greeting, asked.supervise
    monkeypatch.setitem(sys.modules, "flows.supervision.deployment", deployment)
    monkeypatch.setitem(sys.modules, "flows.supervision.supervisor", supervisor)
    monkeypatch.setenv("MARKETFLOW_FEED__SYMBOLS", "XRPUSDT")  # so that what a command sets is taken back
    return asked


def test_a_demo_begins_anew_in_its_folder(supervision: Supervision, call: Call) -> None:
    assert call("demo").exit_code == 143
    assert supervision.built == ("demo", Path("data/demo"), 27_117)
    assert supervision.options == {
        "folder": Path("data/demo"), "anew": True, "colour": None, "greeting": "data/demo 27117",
        "variables": {"all of": "{'demo': 'data/demo 27117'}"},
    }  # fmt: skip
    assert supervision.specs == [Spec("exchange", ("exchange", "--seed", "7")), Spec("flow", ("flow",))]


def test_a_demo_empties_no_folder_of_something_else(supervision: Supervision, call: Call, folder: Path) -> None:
    (folder / "letters").mkdir()
    (folder / "letters" / "one.txt").write_text("kept")
    refused = call("demo", "--folder", "letters")
    assert (refused.exit_code, supervision.options) == (1, {})
    assert "letters holds something else than a demo" in refused.stderr
    remember(folder / "letters", {"MARKETFLOW_FEED__ORIGIN": "synthetic"})
    assert call("demo", "--folder", "letters").exit_code == 143


def test_options_of_a_demo_are_the_exchanges(supervision: Supervision, call: Call) -> None:
    call("demo", "--speed", "max", "--seed", "0", "--symbols", "btcusdt, ETHUSDT", "--folder", "d", "--mongo-port", "9")
    chosen = ("--speed", "max", "--seed", "0")
    assert supervision.specs == [Spec("exchange", ("exchange", "--seed", "7", *chosen)), Spec("flow", ("flow",))]
    assert supervision.built == ("demo", Path("d"), 9)
    assert supervision.symbols == "BTCUSDT,ETHUSDT"


@pytest.mark.parametrize(
    ("options", "venues"),
    [
        ((), ("binance", "kraken", "coinbase")),
        (("--venues", "binance"), ("binance",)),
        (("--venues", "Coinbase, binance,"), ("binance", "coinbase")),
    ],
)
def test_a_demo_shows_its_market_at_these_venues(
    options: tuple[str, ...], venues: tuple[str, ...], supervision: Supervision, call: Call
) -> None:
    assert call("demo", *options).exit_code == 143
    assert supervision.venues == {venues}


@pytest.mark.parametrize("venues", ["kraken", "binance,okx", ","])
def test_a_demo_refuses_venues_that_it_has_not(venues: str, supervision: Supervision, call: Call) -> None:
    refused = call("demo", "--venues", venues)
    assert (refused.exit_code, supervision.options) == (2, {})
    assert "write binance, or beside it kraken and coinbase" in " ".join(refused.stderr.split())


def test_a_live_deployment_keeps_its_folder(supervision: Supervision, call: Call) -> None:
    assert call("run", "--folder", "d", "--no-colour", "--symbols", "SOLUSDT").exit_code == 143
    assert supervision.built == ("run", Path("d"), 0)
    assert supervision.options == {
        "folder": Path("d"), "anew": False, "colour": False, "variables": {"all of": "{}"},
    }  # fmt: skip
    assert supervision.symbols == "SOLUSDT"


@pytest.mark.parametrize(("command", "parts"), [("demo", 4), ("run", 2)])
def test_the_settings_are_read_once(command: str, parts: int, supervision: Supervision, call: Call) -> None:
    assert call(command).exit_code == 143
    assert len(supervision.settings) == parts
    assert {id(one) for one in supervision.settings} == {id(supervision.settings[0])}


@pytest.mark.parametrize("command", ["demo", "run"])
def test_wrong_settings_are_refused_before_anything_starts(
    command: str, supervision: Supervision, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKETFLOW_API__PORT", "many")
    refused = call(command)
    assert (refused.exit_code, supervision.options) == (78, {})
    assert "api.port: write a whole number" in refused.output


def test_one_process_alone_has_no_supervisor(supervision: Supervision, call: Call) -> None:
    assert call("run", "--only", "flow", "--folder", "d").exit_code == 78
    assert (supervision.specs, supervision.options) == ([Spec("flow", ("flow",))], {})
    refused = call("run", "--only", "grafana")
    assert refused.exit_code == 2
    assert "there is no 'grafana' here: write exchange, flow" in " ".join(refused.output.split())


@pytest.mark.parametrize(
    "options", [["--speed", "0"], ["--speed", "fast"], ["--symbols", "A B"], ["--mongo-port", "0"]]
)
def test_a_wrong_option_starts_nothing(options: list[str], supervision: Supervision, call: Call) -> None:
    assert call("demo", *options).exit_code == 2
    assert supervision.built is None
