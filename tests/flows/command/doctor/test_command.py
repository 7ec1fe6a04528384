import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from flows.command.doctor.command import ports_of
from flows.settings import Hub, Metrics, Mongo, Settings
from flows.supervision.known import remember
from tests.fakes.deployment import free_port

Call = Callable[..., Result]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings whose ports are free and whose stores are off."""
    for name in ("HUB", "API", "METRICS"):
        monkeypatch.setenv(f"MARKETFLOW_{name}__PORT", str(free_port()))
    for name in ("MONGO", "TRADES"):
        monkeypatch.setenv(f"MARKETFLOW_{name}__ENABLED", "false")


@pytest.mark.usefixtures("alone")
def test_every_check_has_its_result_and_nothing_is_changed(call: Call, folder: Path) -> None:
    ended = call("doctor", "--offline", "--json")
    results = json.loads(ended.stdout)
    assert [result["check"].partition(" ")[0] for result in results] == [
        *("python", "packages", "open", "settings", "disk", "disk"),
        *("port", "port", "port", "database", "trade", "recovered"),
    ]
    assert ended.exit_code == any(result["state"] == "fail" for result in results)
    assert all(result["remedy"] for result in results if result["state"] != "ok")
    assert list(folder.iterdir()) == []
    assert "python" in call("doctor", "--offline").stdout


@pytest.mark.usefixtures("alone")
def test_the_folder_is_that_of_the_deployment_that_is_asked(call: Call, folder: Path) -> None:
    remember(folder / "there", {"MARKETFLOW_FEED__ORIGIN": "synthetic"})
    for words in (("--of", "there", "doctor"), ("doctor", "--folder", "there")):
        checks = [one["check"] for one in json.loads(call(*words, "--offline", "--json").stdout)]
        assert [check for check in checks if check.startswith("disk ")] == ["disk there", "disk there/trades"]
    assert "there/recovery" in call("--of", "there", "doctor", "--offline").stdout


def test_wrong_settings_fail_and_the_rest_is_still_checked(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", "many")
    ended = call("doctor", "--json")
    results = json.loads(ended.stdout)
    assert ended.exit_code == 1
    assert [result["check"] for result in results] == ["python", "packages", "open files", "settings"]
    assert results[-1]["state"] == "fail"
    assert "hub.port" in results[-1]["found"]


def test_ports_are_those_that_a_deployment_listens_on() -> None:
    assert [(port.setting, port.number) for port in ports_of(Settings())] == [
        ("hub.port", 8765), ("api.port", 8080), ("metrics.port", 9464), ("mongo.uri", 27017),
    ]  # fmt: skip
    elsewhere = Settings(
        hub=Hub(enabled=False), metrics=Metrics(enabled=False), mongo=Mongo(uri="mongodb://db.example.com")
    )
    assert [port.setting for port in ports_of(elsewhere)] == ["api.port"]
