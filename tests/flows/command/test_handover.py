import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from flows.backup.place import database_of, place_of
from flows.command.examples import plain_epilog
from flows.command.handover import HANDED_OVER
from flows.settings import load_settings
from flows.supervision.known import remember
from sinks.mongo.store import CandleStore
from sinks.trades.store import TradeStore
from tests.fakes.candles import candle
from tests.fakes.deployment import free_port

Call = Callable[..., Result]


@pytest.mark.parametrize("name", HANDED_OVER)
def test_help_is_the_modules_own_under_this_name(name: str, call: Call) -> None:
    ended = call(name, "--help")
    assert ended.exit_code == 0
    assert ended.stdout.startswith(f"usage: marketflow {name} [-h]")
    assert plain_epilog(name) in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["verify", "--settle", "x"], 2, "'x' is no number of seconds"),
        (["verify", "--end", "2026-01-01", "--start", "2026-01-02"], 2, "--end is not after --start"),
        (["record", "--venue", "other"], 2, "invalid choice: 'other'"),
        (["replay"], 2, "name tapes, or say --synthetic"),
        (["mcp", "--port", "x"], 2, "'x' is no whole number"),
    ],
)
def test_arguments_and_exit_codes_are_the_modules_own(
    arguments: list[str], code: int, reason: str, call: Call, folder: Path
) -> None:
    ended = call(*arguments)
    assert (ended.exit_code, ended.stdout) == (code, "")
    assert reason in ended.stderr
    assert list(folder.iterdir()) == []


def test_help_needs_no_settings(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", "many")
    assert call("verify", "--help").exit_code == 0


@pytest.mark.slow
def test_stores_are_verified_in_their_folder_with_the_bundled_database_started_for_it(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", f"mongodb://127.0.0.1:{free_port()}")
    place = place_of(load_settings(), folder / "there")
    with database_of(place, is_new=True) as database:
        assert database is not None
        CandleStore(database, retention_days={}).store([candle(0)], timeout_s=60)
    with TradeStore(folder / "there" / "trades" / "binance" / "part-00"):
        pass
    remember(folder / "there", {"MARKETFLOW_FEED__ORIGIN": "synthetic"})
    assert call("verify").exit_code == 2
    for words in (("--of", "there", "verify"), ("verify", "--folder", "there")):
        ended = call(*words, "--json", "report.json")
        assert ended.exit_code in {0, 1}, ended.stderr
        assert list(json.loads((folder / "report.json").read_text())["symbols"]) == ["BTCUSDT"]
