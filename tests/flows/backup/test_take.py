import shutil
from pathlib import Path

import pytest

from flows.backup.manifest import BackupError, read_manifest
from flows.backup.place import place_of
from flows.backup.restore import restore_backup
from flows.backup.take import PARTIAL, take_backup
from flows.settings import Mongo, Settings, Trades
from sinks.mongo.documents import MARKET_DATA
from sinks.trades.codec import encode_key
from sinks.trades.durable import IdSpan
from sinks.trades.store import TradeStore
from tests.fakes.bad_records import put
from tests.fakes.candles import BEGIN
from tests.flows.backup.conftest import TRADES, Stores, ignored


def test_the_manifest_names_all_that_is_there(full: Stores, tmp_path: Path) -> None:
    to = tmp_path / "b" / "backup"
    manifest = take_backup(full.place, to, version="1.2.3", on_progress=ignored)
    assert manifest == read_manifest(to)
    assert manifest.versions["marketflow"] == "1.2.3"
    counts = {name: len(documents) for name, documents in full.documents().items()}
    assert {name: each.documents for name, each in manifest.collections.items()} == counts
    partition = manifest.partitions["binance/part-00"]
    assert (partition.trades, partition.newest) == (TRADES, {"BTCUSDT": TRADES})
    found = {path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()}
    assert {file.path for file in manifest.files} | {"manifest.json"} == found


@pytest.mark.parametrize("suffix", ["", PARTIAL])
def test_what_is_there_is_not_written_over(suffix: str, full: Stores, tmp_path: Path) -> None:
    there = tmp_path / f"backup{suffix}"
    there.mkdir()
    (there / "kept").touch()
    with pytest.raises(BackupError, match="there already"):
        take_backup(full.place, tmp_path / "backup", version="", on_progress=ignored)
    assert (there / "kept").exists()


def test_a_backup_that_fails_leaves_nothing(full: Stores, tmp_path: Path) -> None:
    assert full.place.trades is not None
    [table] = (full.place.trades / "binance" / "part-00").glob("*.sst")
    table.unlink()
    with pytest.raises(BackupError, match="trade store"):
        take_backup(full.place, tmp_path / "backup", version="", on_progress=ignored)
    assert not list(tmp_path.glob("backup*"))


def test_what_is_written_meanwhile_is_in_its_newest_version(full: Stores, empty: Stores, tmp_path: Path) -> None:
    def amend(what: str, *_: int) -> None:
        if what == MARKET_DATA:
            newest = full.database[MARKET_DATA].find_one({}, sort=[("updated_at", -1)])
            assert newest is not None
            full.database[MARKET_DATA].update_one({"_id": newest["_id"]}, {"$set": {"revision": 77}})
            full.database[MARKET_DATA].insert_one({**newest, "_id": "new", "open_time": 1})

    take_backup(full.place, tmp_path / "backup", version="", on_progress=amend)
    restore_backup(tmp_path / "backup", empty.place, on_progress=ignored)
    assert len(full.documents()[MARKET_DATA]) == 11
    assert sorted(empty.documents()[MARKET_DATA], key=str) == sorted(full.documents()[MARKET_DATA], key=str)


def test_trades_that_the_store_has_lost_are_known_to_the_copy(full: Stores, empty: Stores, tmp_path: Path) -> None:
    assert full.place.trades is not None
    part = full.place.trades / "binance" / "part-00"
    with TradeStore(part) as store:
        store._durable.on_lost({"BTCUSDT": TRADES}, {"BTCUSDT": [span := IdSpan(3, 5, 0, 0)]})
        store._durable.on_sync(store._db.latest_sequence_number())
    take_backup(full.place, tmp_path / "backup", version="", on_progress=ignored)
    restore_backup(tmp_path / "backup", empty.place, on_progress=ignored)
    assert empty.place.trades is not None
    with TradeStore(empty.place.trades / "binance" / "part-00") as copy:
        assert copy.first_lost("BTCUSDT") == span


def test_a_store_that_is_switched_off_is_no_part_of_it(full: Stores, tmp_path: Path) -> None:
    settings = full.place.settings
    only_trades = Settings(mongo=Mongo(enabled=False), trades=settings.trades)
    only_candles = Settings(mongo=settings.mongo, trades=Trades(enabled=False))
    trades = take_backup(place_of(only_trades, tmp_path), tmp_path / "t", version="", on_progress=ignored)
    candles = take_backup(place_of(only_candles, tmp_path), tmp_path / "c", version="", on_progress=ignored)
    assert (trades.collections, set(trades.partitions)) == ({}, {"binance/part-00"})
    assert (set(candles.collections), candles.partitions) == (set(full.documents()), {})


def test_without_a_database_there_is_no_backup(full: Stores, tmp_path: Path) -> None:
    settings = Settings(mongo=Mongo(uri="mongodb://127.0.0.1:9"), trades=full.place.settings.trades)
    with pytest.raises(BackupError, match=r"mongo\.uri"):
        take_backup(place_of(settings, tmp_path / "nowhere"), tmp_path / "b", version="", on_progress=ignored)
    assert not (tmp_path / "nowhere").exists()
    shutil.rmtree(tmp_path / "b", ignore_errors=True)


def test_a_record_that_cannot_be_read_is_in_no_backup(full: Stores, tmp_path: Path) -> None:
    assert full.place.trades is not None
    with TradeStore(full.place.trades / "binance" / "part-00") as store:
        put(store, encode_key("BTCUSDT", BEGIN), b"anything")
    with pytest.raises(BackupError) as refused:
        take_backup(full.place, tmp_path / "backup", version="", on_progress=ignored)
    assert f"trades:BTCUSDT:{BEGIN}" in str(refused.value)
    assert str(refused.value).endswith("marketflow verify --repair --against rest replaces it")
    assert not (tmp_path / "backup").exists()
