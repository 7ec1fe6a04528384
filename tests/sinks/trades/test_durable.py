from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import WriteBatch

from sinks.trades.codec import encode_columns, encode_key, encode_record
from sinks.trades.durable import (
    DURABLE_FILE,
    MOST_SPANS,
    Durable,
    DurableState,
    IdSpan,
    damage_before_open,
    read_durable,
    write_durable,
)
from sinks.trades.store import TradeStore
from tests.fakes.trades import BEGIN, trade


def stored(path: Path) -> Path:
    """A small store, synced."""
    with TradeStore(path) as store:
        batch = WriteBatch(raw_mode=True)
        batch.put(encode_key("BTCUSDT", BEGIN), encode_record(encode_columns([trade(7, 0)])))
        store.write(batch)
        store.on_stored("BTCUSDT", [IdSpan(7, 7, BEGIN, BEGIN)])
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


def state_of(path: Path) -> DurableState:
    """A state over files that only have the names of a store's."""
    (path / "CURRENT").write_text("MANIFEST-000001\n")
    (path / "MANIFEST-000001").write_bytes(b"m" * 10)
    (path / "000004.log").write_bytes(b"")
    return DurableState(path, None)


def known(path: Path) -> Durable:
    durable = read_durable(path)
    assert durable is not None
    return durable


def span(first_id: int, last_id: int, begin: int = 0, end: int = 0) -> IdSpan:
    return IdSpan(first_id, last_id, begin, end)


def test_ids_that_follow_are_one_span_and_belong_to_the_logs_of_their_time(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    state.on_stored("A", [span(1, 5, 10, 20), span(6, 9, 18, 30), span(20, 22, 40, 50)])
    assert read_durable(tmp_path) is None
    state.on_sync(1)
    assert known(tmp_path).logged == {"000004.log": {"A": [span(1, 9, 10, 30), span(20, 22, 40, 50)]}}

    (tmp_path / "000008.log").write_bytes(b"")
    state.on_stored("A", [span(23, 30, 50, 60)])  # to the old or to the new log
    state.on_sync(2)
    state.on_stored("B", [span(3, 3)])
    state.on_sync(3)
    (tmp_path / "000004.log").unlink()  # what it held is in a table
    state.on_sync(4)
    found = known(tmp_path)
    assert (found.sequence, found.newest) == (4, {"A": 30, "B": 3})
    assert found.logged == {"000008.log": {"A": [span(23, 30, 50, 60)], "B": [span(3, 3)]}}


def test_what_is_lost_is_remembered_until_it_is_stored_or_deleted(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    state.on_stored("A", [span(1, 99, 10, 90)])
    state.on_lost({"A": 70}, {"A": [span(20, 29, 10, 90)], "B": [span(5, 6)]})
    state.on_sync(1)
    assert known(tmp_path).lost == {"A": [span(20, 29, 10, 90)], "B": [span(5, 6)]}
    assert known(tmp_path).newest == {"A": 70}

    later = DurableState(tmp_path, known(tmp_path))
    later.on_stored("A", [span(22, 23), span(29, 40)])
    later.on_deleted("B", None)
    later.on_sync(2)
    assert known(tmp_path).lost == {"A": [span(20, 21, 10, 90), span(24, 28, 10, 90)]}
    later.on_deleted("A", 25)
    assert known(tmp_path).lost == {"A": [span(25, 28, 10, 90)]}


def test_spans_without_end_are_forgotten_from_the_oldest_on(tmp_path: Path) -> None:
    state = state_of(tmp_path)
    state.on_stored("A", [span(2 * number, 2 * number) for number in range(MOST_SPANS + 10)])
    state.on_sync(1)
    assert [one.first_id for one in known(tmp_path).spans()["A"]] == [2 * n for n in range(10, MOST_SPANS + 10)]
