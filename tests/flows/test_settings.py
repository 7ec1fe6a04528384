from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from flows.settings import SettingsError, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_safe_and_local() -> None:
    settings = load_settings()
    assert settings.feed.symbols == ("BTCUSDT", "ETHUSDT")
    assert (settings.hub.host, settings.hub.port) == ("127.0.0.1", 8765)
    assert settings.mongo.uri == "mongodb://127.0.0.1:27017"


def test_the_environment_overrides_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "marketflow.toml").write_text('[feed]\nsymbols = ["xrpusdt"]\nreorder_ms = 300\n[hub]\nport = 9000\n')
    monkeypatch.setenv("MARKETFLOW_FEED__REORDER_MS", "400")
    settings = load_settings()
    assert (settings.feed.symbols, settings.feed.reorder_ms, settings.hub.port) == (("XRPUSDT",), 400, 9000)


def test_another_file_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("[hub]\nport = 9001\n")
    monkeypatch.setenv("MARKETFLOW_CONFIG", "mine.toml")
    assert load_settings().hub.port == 9001
    monkeypatch.setenv("MARKETFLOW_CONFIG", "gone.toml")
    with pytest.raises(SettingsError, match=r"gone\.toml, which is no file"):
        load_settings()


@pytest.mark.parametrize(
    ("sections", "says"),
    [
        ({"hub": {"prot": 1}}, "hub.prot"),
        ({"hub": {"port": 70_000}}, "hub.port"),
        ({"hub": {"host": "0.0.0.0"}}, "set token"),
        ({"feed": {"venue": "binnace"}}, "feed.venue"),
        ({"feed": {"timeframes": ["1m", "7m"]}}, "7m"),
        ({"feed": {"timeframes": ["2m", "5m"]}}, "5m is no multiple of the shortest timeframe, 2m"),
        ({"feed": {"symbols": ["BTC/USDT"]}}, "BTC/USDT"),
        ({"feed": {"symbols": []}}, "at least one symbol"),
        ({"feed": {"streams": ["trade", "aggTrade"]}}, "not both"),
        ({"feed": {"shard": "3/2"}}, "3/2"),
        ({"feed": {"backoff_min_s": 9, "backoff_max_s": 3}}, "backoff_max_s"),
        ({"books": {"depth": 700}}, "depth 700: venues serve 100, 500, 1000 levels"),
        ({"books": {"first_depth": 50}}, "first_depth 50: venues serve 100, 500, 1000 levels"),
        ({"books": {"first_depth": 1000}}, "first_depth 1000 is more than depth 500"),
        ({"books": {"levels": 600}}, "levels 600 are more than depth 500"),
        ({"tools": {"host": "0.0.0.0"}}, "listen on 127.0.0.1"),
        ({"analysis": {"timeframes": {"7m": 1}}}, "'7m' is no timeframe"),
        ({"analysis": {"trend": -1}}, "analysis.trend"),
        ({"backfill": {"start": "2024-13-01"}}, "backfill.start: Value error, '2024-13-01' is no time: write a day"),
        ({"backfill": {"end": "soon"}}, "backfill.end: Value error, 'soon' is no time"),
        ({"backfill": {"start": "2024-10-27T06:00", "end": "2024-10-27"}}, "end is not after start"),
    ],
)
def test_a_wrong_setting_is_named(sections: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(**sections)
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("told", "hour"),
    [
        ("2024-10-27", 0),
        (date(2024, 10, 27), 0),
        ("2024-10-27T06:00", 6),
        ("2024-10-27T06:00Z", 6),
        ("2024-10-27T06:00+02:00", 4),
        (datetime(2024, 10, 27, 6), 6),  # noqa: DTZ001 - as the file may say it
    ],
)
def test_an_import_begins_with_a_day_or_at_a_time_of_utc(told: Any, hour: int) -> None:
    assert load_settings(backfill={"start": told}).backfill.start == datetime(2024, 10, 27, hour, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "says"),
    [("MARKETFLOW_FEED__SYMBOLZ", "is no setting"), ("MARKETFLOW_FED__SYMBOLS", "sections are feed, rest, mongo")],
)
def test_an_unknown_variable_is_named(name: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=f"{name}.*{says}"):
        load_settings()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "marketflow.toml").write_text("[feed\n")
    with pytest.raises(SettingsError, match=r"marketflow\.toml cannot be read"):
        load_settings()


def test_another_host_with_a_token_is_allowed() -> None:
    assert load_settings(hub={"host": "0.0.0.0", "token": "secret"}).hub.host == "0.0.0.0"


def test_shards_share_the_symbols() -> None:
    symbols = ["A", "B", "C", "D", "E"]
    parts = [load_settings(feed={"symbols": symbols, "shard": f"{i}/2"}).feed.own_symbols for i in (1, 2)]
    assert parts == [("A", "C", "E"), ("B", "D")]
