import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from flows.command.doctor.stores import check_recovery, check_trades
from flows.model import Trade, TradeBatch
from flows.recovered import TRADES_STEP
from flows.recovery import prepare
from flows.settings import Settings, Trades
from sinks.trades.codec import encode_key
from sinks.trades.store import TradeStore
from sinks.trades.writer import TradeWriter
from tests.fakes.bad_records import put

MINUTE = 1_767_225_660_000
"""2026-01-01 00:01."""


def settings(path: Path, **trades: Any) -> Settings:
    return Settings(trades=Trades(path=path, **trades))


def stored(path: Path) -> Path:
    partition = path / "binance" / "part-00"
    writer = TradeWriter(partition, venue="binance", retention_days=0)
    writer.write([TradeBatch("binance", "BTCUSDT", [Trade("BTCUSDT", 1, MINUTE, 100.0, 0.5, True, MINUTE)])])
    writer.close()
    return partition


def test_a_store_has_its_last_writes(tmp_path: Path) -> None:
    stored(tmp_path)
    [found] = check_trades(settings(tmp_path))
    assert (found.state, found.remedy) == ("ok", "")
    assert "BTCUSDT 2026-01-01T00:01:00Z" in found.found


def test_a_damaged_store_has_its_remedy(tmp_path: Path) -> None:
    (stored(tmp_path) / "CURRENT").write_text("MANIFEST-999999\n")
    [found] = check_trades(settings(tmp_path))
    assert found.state == "fail"
    assert found.remedy


def test_no_store_and_no_state_is_no_error_and_none_is_made(tmp_path: Path) -> None:
    [absent] = check_trades(settings(tmp_path / "trades"))
    [off] = check_trades(settings(tmp_path, enabled=False))
    assert (absent.state, off.state) == ("ok", "ok")
    assert check_recovery(tmp_path / "recovery").state == "ok"
    assert list(tmp_path.iterdir()) == []


def test_recovered_state_is_read(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert check_recovery(tmp_path).state == "ok"
    [file] = tmp_path.glob("part-*.sqlite3")
    file.write_bytes(b"nothing of sqlite" * 100)
    found = check_recovery(tmp_path)
    assert found.state == "fail"
    assert found.remedy


def test_why_a_state_of_another_version_is_refused_is_no_remedy(tmp_path: Path) -> None:
    prepare(tmp_path)
    [file] = tmp_path.glob("part-*.sqlite3")
    key, machines = "binance:BTCUSDT", ((-1, "of another version"), (), ())
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, 0, ?)",
            (TRADES_STEP, key, pickle.dumps((key, machines))),
        )
    found = check_recovery(tmp_path)
    assert found.state == "fail"
    assert f"{key} has version -1" in found.found
    assert found.remedy.startswith(f"move {tmp_path} away")


def test_a_record_that_cannot_be_read_has_its_remedy(tmp_path: Path) -> None:
    with TradeStore(stored(tmp_path)) as store:
        put(store, encode_key("BTCUSDT", MINUTE), b"")
    [found] = check_trades(settings(tmp_path))
    assert (found.state, found.remedy) == ("fail", "marketflow verify --repair --against rest replaces it")
