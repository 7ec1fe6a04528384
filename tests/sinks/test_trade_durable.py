from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import WriteBatch

from sinks.trade_codec import encode_columns, encode_key, encode_record
from sinks.trade_durable import DURABLE_FILE, damage_before_open, read_durable, write_durable
from sinks.trade_store import TradeStore
from tests.fakes.trades import BEGIN, trade


def stored(path: Path) -> Path:
    """A small store, synced."""
    with TradeStore(path) as store:
        batch = WriteBatch(raw_mode=True)
        batch.put(encode_key("BTCUSDT", BEGIN), encode_record(encode_columns([trade(7, 0)])))
        store.write(batch)
        store.on_stored("BTCUSDT", 7)
        store.sync()
    return path


def test_what_a_sync_has_made_durable_is_written_down(tmp_path: Path) -> None:
    durable = read_durable(stored(tmp_path / "part-00"))
    assert durable is not None
    assert (durable.sequence, durable.newest) == (1, {"BTCUSDT": 7})
    assert durable.manifest_bytes == (tmp_path / "part-00" / durable.manifest).stat().st_size


def test_nothing_is_known_of_a_store_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    assert read_durable(tmp_path / "none") is None
    assert read_durable(tmp_path / "file") is None
    assert damage_before_open(tmp_path / "none", None) == ""


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = stored(tmp_path / "part-00")
    before = read_durable(path)
    (path / f"{DURABLE_FILE}.new").mkdir()
    write_durable(path, sequence=9, newest={})
    assert read_durable(path) == before


@given(place=st.integers(0, 200), bit=st.integers(0, 7))
def test_a_changed_file_claims_nothing(tmp_path_factory: pytest.TempPathFactory, place: int, bit: int) -> None:
    path = tmp_path_factory.mktemp("durable")
    (path / "CURRENT").write_text("MANIFEST-000001\n")
    (path / "MANIFEST-000001").write_bytes(b"m" * 10)
    write_durable(path, sequence=5, newest={"BTCUSDT": 3})
    content = bytearray((path / DURABLE_FILE).read_bytes())
    content[place % len(content)] ^= 1 << bit
    (path / DURABLE_FILE).write_bytes(content)
    found = read_durable(path)
    # the checksum's own digits may change their case and nothing else
    assert found is None or found.sequence == 5


def test_a_creation_that_was_interrupted_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST-000001").write_bytes(b"")
    (tmp_path / "000001.log").write_bytes(b"")
    assert damage_before_open(tmp_path, None) == ""


@pytest.mark.parametrize("name", ["000009.sst", "000009.log"])
def test_data_without_its_directory_file_is_damage(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"data")
    assert damage_before_open(tmp_path, None) == "its file CURRENT is missing"
