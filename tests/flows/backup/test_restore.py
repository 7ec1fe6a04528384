import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.backup.manifest import FILE, BackupError, Manifest
from flows.backup.place import place_of
from flows.backup.restore import restore_backup
from flows.recovery import prepare
from flows.settings import Mongo, Settings, Trades
from flows.supervision.lock import claim
from sinks.mongo.documents import MARKET_DATA
from sinks.mongo.dump import TEMPORARY
from sinks.mongo.identity import read_identity
from tests.flows.backup.conftest import TRADES, Stores, ignored

Backup = tuple[Path, Manifest]


def test_the_stores_are_what_they_were(backup: Backup, full: Stores, empty: Stores) -> None:
    restore_backup(backup[0], empty.place, on_progress=ignored)
    assert empty.documents() == full.documents()
    assert empty.indexes() == full.indexes()
    assert empty.trades()["BTCUSDT"].equals(full.trades()["BTCUSDT"])
    assert empty.trades()["BTCUSDT"].height == TRADES


def test_the_copy_is_another_database(backup: Backup, full: Stores, empty: Stores) -> None:
    restore_backup(backup[0], empty.place, on_progress=ignored)
    assert read_identity(empty.database, timeout_s=60) != read_identity(full.database, timeout_s=60)


def test_what_an_earlier_attempt_has_left_is_no_obstacle(backup: Backup, full: Stores, empty: Stores) -> None:
    assert empty.place.trades is not None
    empty.database[f"{TEMPORARY}{MARKET_DATA}"].insert_one({"left": True})
    left = empty.place.trades.with_name("trades.restoring")
    left.mkdir(parents=True)
    (left / "left").touch()
    restore_backup(backup[0], empty.place, on_progress=ignored)
    assert empty.documents() == full.documents()
    assert not left.exists()


def _documents(stores: Stores) -> None:
    stores.database[MARKET_DATA].insert_one({"mine": True})


def _trades(stores: Stores) -> None:
    assert stores.place.trades is not None
    (stores.place.trades / "binance").mkdir(parents=True)


def _state(stores: Stores) -> None:
    prepare(stores.place.folder / "recovery")


@pytest.mark.parametrize("put", [_documents, _trades, _state])
def test_nothing_is_restored_where_something_is(put: Callable[[Stores], None], backup: Backup, empty: Stores) -> None:
    put(empty)
    before = empty.documents()
    with pytest.raises(BackupError, match="move it away"):
        restore_backup(backup[0], empty.place, on_progress=ignored)
    assert empty.documents() == before


def test_nor_where_a_deployment_runs(backup: Backup, empty: Stores) -> None:
    with claim(empty.place.folder), pytest.raises(BackupError, match="already running"):
        restore_backup(backup[0], empty.place, on_progress=ignored)
    assert empty.is_empty


@pytest.mark.parametrize("change", ["flip", "cut", "remove"])
def test_a_damaged_backup_is_refused_whichever_file_it_is(change: str, backup: Backup, empty: Stores) -> None:
    folder, manifest = backup
    for file in manifest.files:
        path = folder / file.path
        before = path.read_bytes()
        if change == "flip" and before:
            path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
        elif change == "cut" and before:
            path.write_bytes(before[:-1])
        else:
            path.unlink()
        with pytest.raises(BackupError, match="use another backup"):
            restore_backup(folder, empty.place, on_progress=ignored)
        path.write_bytes(before)
    assert empty.is_empty
    restore_backup(folder, empty.place, on_progress=ignored)


def test_a_restore_that_fails_leaves_nothing(backup: Backup, empty: Stores) -> None:
    folder, _ = backup

    def twice_unique(manifest: dict[str, Any]) -> None:
        index = {"name": "venue", "key": {"venue": 1}, "unique": True}
        manifest["collections"][MARKET_DATA]["indexes"].append(index)
        manifest["collections"] = dict(sorted(manifest["collections"].items()))

    manifest = json.loads((folder / FILE).read_text())
    twice_unique(manifest)
    (folder / FILE).write_text(json.dumps(manifest))
    with pytest.raises(BackupError, match="was not restored"):
        restore_backup(folder, empty.place, on_progress=ignored)
    assert empty.is_empty
    assert empty.database.list_collection_names() == []


def test_a_restore_that_is_broken_off_at_its_last_step_leaves_nothing(
    backup: Backup, empty: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rename(_: Path, __: Path) -> None:
        assert empty.database[MARKET_DATA].find_one() is not None
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        restore_backup(backup[0], empty.place, on_progress=ignored)
    assert empty.is_empty
    assert empty.database.list_collection_names() == []


def test_a_store_that_is_switched_off_cannot_take_its_part(backup: Backup, empty: Stores, tmp_path: Path) -> None:
    settings = empty.place.settings
    for wrong in (
        Settings(mongo=Mongo(enabled=False), trades=settings.trades),
        Settings(mongo=settings.mongo, trades=Trades(enabled=False)),
    ):
        with pytest.raises(BackupError, match="switch it on"):
            restore_backup(backup[0], place_of(wrong, tmp_path / "empty"), on_progress=ignored)
    assert empty.is_empty
