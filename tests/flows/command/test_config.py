import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from flows.settings import Settings

Call = Callable[..., Result]


def shown(call: Call, *arguments: str) -> dict[str, tuple[Any, str]]:
    ended = call("config", "show", "--json", *arguments)
    assert ended.exit_code == 0, ended.stderr
    return {one["setting"]: (one["value"], one["origin"]) for one in json.loads(ended.stdout)}


def test_every_setting_has_its_value_and_its_origin(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "marketflow.toml").write_text('[feed]\nsymbols = ["SOLUSDT"]\n\n[hub]\nport = 9000\n')
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", "9001")
    found = shown(call)
    assert list(found) == [
        f"{section}.{key}"
        for section, in_effect in Settings().in_sections.items()
        for key in type(in_effect).model_fields
    ]
    assert found["feed.symbols"] == (["SOLUSDT"], f"{folder / 'marketflow.toml'}, line 2")
    assert found["hub.port"] == (9001, "MARKETFLOW_HUB__PORT")
    assert found["api.port"] == (8080, "default")
    assert found["trades.path"] == ("data/trades", "default")
    assert list(shown(call, "feed", "hub", "--changed")) == ["feed.symbols", "hub.port"]


def test_what_a_venue_has_from_the_feed_is_named_once(call: Call, folder: Path) -> None:
    (folder / "marketflow.toml").write_text(
        '[feed]\nsymbols = ["BTCUSDT"]\nstreams = ["aggTrade"]\n\n'
        '[venues.binance]\n\n[venues.kraken]\nsymbols = ["BTC-USD"]\n'
    )
    assert list(shown(call, "--changed")) == ["feed.symbols", "feed.streams", "venues.kraken.symbols"]
    assert shown(call, "venues.binance")["venues.binance.symbols"] == (
        ["BTCUSDT"],
        f"{folder / 'marketflow.toml'}, line 2",
    )


def test_who_gets_no_accounts_is_said_by_the_check(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FEED__API_KEY": "k3y", "FEED__API_SECRET": "s3cret", "HUB__TOKEN": "tok3n"}.items():
        monkeypatch.setenv(f"MARKETFLOW_{name}", value)
    ended = call("config", "check")
    assert ended.exit_code == 0
    assert "of the hub: hub.token is set, and hub.account_token is not" in ended.stdout
    assert "of the interface: hub.token is set, and api.account_token is not" in ended.stdout
    monkeypatch.setenv("MARKETFLOW_HUB__ACCOUNT_TOKEN", "0ther")
    monkeypatch.setenv("MARKETFLOW_API__ACCOUNT_TOKEN", "0ther")
    assert "account_token" not in call("config", "check").stdout


def test_folders_and_files_that_cannot_be_used_here_fail_the_check(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").touch()
    keys = {"TRADES__PATH": "", "LAKE__PATH": "", "ALERTS__PATH": "", "LOG__FILE": "/a.log", "BACKFILL__CACHE": ""}
    for key, end in keys.items():
        monkeypatch.setenv(f"MARKETFLOW_{key}", f"file/in{end}")
    monkeypatch.setenv("MARKETFLOW_KAFKA__TLS_CA", "missing.pem")
    monkeypatch.setenv("MARKETFLOW_KAFKA__TLS", "true")
    ended = call("config", "check")
    found = [line.split(": ")[0].strip() for line in ended.stderr.splitlines()[1:]]
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert found == ["trades.path", "lake.path", "alerts.path", "log.file", "backfill.cache", "kafka.tls_ca"]
    assert f"file/in cannot be used: {folder / 'file'} is no folder" in ended.stderr
    (folder / "file").unlink()
    (folder / "missing.pem").touch()
    assert call("config", "check").exit_code == 0


def test_secrets_are_hidden(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "API__TOKEN": "tok3n",
        "HUB__TOKEN": "tok3n",
        "MONGO__URI": "mongodb://me:tok3n@db.example.com:27017",
        "FEED__API_KEY": "tok3n",
        "API__HUB_URLS": "ws://127.0.0.1:1/ws?token=tok3n",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(f"MARKETFLOW_{name}", value)
    found = shown(call)
    assert found["api.token"] == ("***", "MARKETFLOW_API__TOKEN")
    assert found["mongo.uri"][0] == "mongodb://***@db.example.com:27017"
    assert found["feed.api_key"] == ("***", "MARKETFLOW_FEED__API_KEY")
    assert found["api.hub_urls"][0] == ["ws://127.0.0.1:1/ws?token=***"]
    for arguments in (["config", "show"], ["config", "show", "--json"], ["config", "check"]):
        assert "tok3n" not in call(*arguments).output


def test_the_table_has_a_line_for_each(call: Call) -> None:
    lines = call("config", "show", "metrics").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["setting", "value", "origin"],
        ["metrics.enabled", "true", "default"],
        ["metrics.host", "127.0.0.1", "default"],
        ["metrics.port", "9464", "default"],
    ]


def test_an_unknown_section_is_wrong_usage(call: Call) -> None:
    assert call("config", "show", "nonsense").exit_code == 2


def test_settings_that_can_be_used(call: Call, folder: Path) -> None:
    assert call("config", "check").exit_code == 0
    (folder / "marketflow.toml").write_text("[hub]\nport = 9000\n")
    ended = call("config", "check")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert str(folder / "marketflow.toml") in ended.stdout


def test_wrong_settings_are_named_with_their_values(call: Call, folder: Path) -> None:
    (folder / "marketflow.toml").write_text('[hub]\nport = 900000\nnonsense = 1\n[feed]\nsymbols = ["A B"]\n')
    ended = call("config", "check")
    assert (ended.exit_code, ended.stdout) == (1, "")
    for part in ("hub.port", "900000", "hub.nonsense", "feed.symbols", "A B"):
        assert part in ended.stderr


def test_a_file_that_is_not_there_is_wrong(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_CONFIG", "other.toml")
    ended = call("config", "check")
    assert ended.exit_code == 1
    assert "other.toml" in ended.stderr


def test_a_file_is_written_and_not_replaced(call: Call, folder: Path) -> None:
    path = folder / "marketflow.toml"
    assert call("config", "init").exit_code == 0
    assert call("config", "check").exit_code == 0
    path.write_text("# mine\n")
    assert call("config", "init").exit_code == 1
    assert path.read_text() == "# mine\n"
    assert call("config", "init", "--force").exit_code == 0
    assert "#[feed]" in path.read_text()
    assert call("config", "init", "--path", "nowhere/x.toml").exit_code == 1
