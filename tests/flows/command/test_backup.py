from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from typer.testing import Result

from flows.backup.manifest import read_manifest
from flows.command import backup
from flows.command.backup import ProgressLine
from tests.fakes.interface import Deployment, stored_candles

Call = Callable[..., Result]


@pytest.fixture
def deployment(mongod_uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Stores as of `marketflow run --folder there`, in the test's own database."""
    made = Deployment(folder / "there", mongod_uri)
    made.store(stored_candles())
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", mongod_uri)
    monkeypatch.setenv("MARKETFLOW_MONGO__DATABASE", made.database)
    return made


def test_a_backup_is_made_and_restored_elsewhere(
    deployment: Deployment, call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = call("backup", "copy", "--folder", "there")
    assert (made.exit_code, made.stdout) == (0, "")
    assert read_manifest(folder / "copy").collections["market_data"].documents == 10
    refused = call("restore", "copy", "--folder", "elsewhere")
    assert refused.exit_code == 1
    assert deployment.database in refused.stderr
    monkeypatch.setenv("MARKETFLOW_MONGO__DATABASE", f"{deployment.database}_copy")
    assert call("restore", "copy", "--folder", "elsewhere").exit_code == 0
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        ours, theirs = client[deployment.database], client[f"{deployment.database}_copy"]
        assert list(theirs["market_data"].find()) == list(ours["market_data"].find())
        client.drop_database(theirs)


@pytest.mark.usefixtures("deployment")
def test_what_cannot_be_done_is_a_line_and_an_exit_code(call: Call, folder: Path) -> None:
    (folder / "copy").mkdir()
    for arguments in (["backup", "copy"], ["restore", "copy"], ["restore", "nowhere"]):
        ended = call(*arguments)
        assert (ended.exit_code, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        assert arguments[1] in ended.stderr


def test_without_a_terminal_progress_is_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "LINE_EVERY_S", 0.0)
    with ProgressLine() as progress:
        progress.show("candles", 1_000, 4_000)
        progress.show("records", 7, 0)
    assert capsys.readouterr().err == "marketflow: candles: 1,000 of 4,000\nmarketflow: records: 7\n"
