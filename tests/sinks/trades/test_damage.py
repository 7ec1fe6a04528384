"""Each file of a store is damaged once, in each way: what is read is right, or it is an error."""

import queue
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from rocksdict import Rdict, WriteBatch

from flows.model import Incident, TradeBatch
from sinks.trades.codec import END_MS, encode_columns, encode_key, encode_record
from sinks.trades.durable import IdSpan
from sinks.trades.reader import TradeReader
from sinks.trades.store import StoreDamagedError, TradeStore, TradeStoreError
from sinks.trades.writer import TradeWriter
from tests.fakes.trades import BEGIN, trade

SECONDS, IN_LOG, EACH = 400, 100, 20
SYMBOL = "BTCUSDT"


def emptied(_: bytes) -> bytes:
    return b""


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    if changed:
        changed[len(changed) // 2] ^= 4
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes] | None] = {
    "cut": halved,
    "emptied": emptied,
    "flipped": flipped,
    "removed": None,
}


def put(store: TradeStore, second: int) -> None:
    trades = [trade(second * EACH + number, second * 1_000) for number in range(EACH)]
    batch = WriteBatch(raw_mode=True)
    batch.put(encode_key(SYMBOL, BEGIN + second * 1_000), encode_record(encode_columns(trades)))
    store.write(batch)
    time = BEGIN + second * 1_000
    store.on_stored(SYMBOL, [IdSpan(trades[0].id, trades[-1].id, time, time)])


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The files of a store as a killed process leaves them, tables and a log, and as one that was closed has them."""
    path = tmp_path_factory.mktemp("closed") / "part-00"
    copy = tmp_path_factory.mktemp("killed") / "part-00"
    with TradeStore(path) as store:
        for second in range(SECONDS - IN_LOG):
            put(store, second)
        store.compact()
        for second in range(SECONDS - IN_LOG, SECONDS):
            put(store, second)
        store.sync()
        shutil.copytree(path, copy)
    return copy, path


@pytest.fixture
def killed_store(stores: tuple[Path, Path]) -> Path:
    return stores[0]


def damage(path: Path, how: str) -> None:
    change = DAMAGES[how]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))


def read_by_reader(path: Path) -> int:
    with TradeReader(path) as reader:
        return reader.count(SYMBOL)


def read_by_owner(path: Path) -> int:
    with TradeStore(path) as store:
        return sum(len(columns) for _, columns in store.records(SYMBOL, 0, END_MS))


def ids_by_owner(path: Path) -> int:
    with TradeStore(path) as store:
        return len(list(store.starts(SYMBOL, 0, END_MS))) * EACH


@pytest.mark.slow
@pytest.mark.parametrize("read", [read_by_reader, read_by_owner])
@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize(
    ("number", "needed"), [(0, {"sst", "log", "CURRENT", "MANIFEST"}), (1, {"sst", "CURRENT", "MANIFEST"})]
)
def test_every_trade_or_an_error_of_one_line(
    stores: tuple[Path, Path], tmp_path: Path, number: int, needed: set[str], how: str, read: Callable[[Path], int]
) -> None:
    refused = set()
    for name in sorted(file.name for file in stores[number].iterdir()):
        path = tmp_path / name / "part-00"
        shutil.copytree(stores[number], path)
        damage(path / name, how)
        try:
            assert read(path) == SECONDS * EACH, name
        except TradeStoreError as error:
            refused.add(name.partition("-")[0].rpartition(".")[2])
            assert str(path) in str(error)
            assert "\n" not in str(error)
    assert refused == needed


def test_an_unharmed_copy_has_every_trade(killed_store: Path, tmp_path: Path) -> None:
    for read in (read_by_reader, read_by_owner, ids_by_owner):
        path = tmp_path / read.__name__ / "part-00"
        shutil.copytree(killed_store, path)
        assert read(path) == SECONDS * EACH


def test_a_refused_store_is_left_as_it_is(killed_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "part-00"
    shutil.copytree(killed_store, path)
    (path / "CURRENT").unlink()
    before = sorted(file.name for file in path.iterdir())
    with pytest.raises(StoreDamagedError, match="CURRENT is missing: move it away"):
        TradeStore(path)
    assert sorted(file.name for file in path.iterdir()) == before


def test_what_a_lost_log_held_is_named_and_the_store_goes_on(killed_store: Path, tmp_path: Path) -> None:
    path = tmp_path / "part-00"
    shutil.copytree(killed_store, path)
    for log in path.glob("*.log"):
        log.unlink()
    incidents: list[Incident] = []
    writer = TradeWriter(path, venue="binance", retention_days=0, on_incident=incidents.append)
    again = [trade(number, number // EACH * 1_000) for number in range((SECONDS - IN_LOG) * EACH, SECONDS * EACH)]
    writer.write([TradeBatch("binance", SYMBOL, again, late=True)])
    writer.close()

    first, last = (SECONDS - IN_LOG) * EACH, SECONDS * EACH - 1
    assert [(one.kind, one.symbol, one.first_id, one.last_id) for one in incidents] == [
        ("store_outage", "", -1, -1),
        ("store_outage", SYMBOL, first, last),
    ]
    assert f"lacks the last {IN_LOG} writes" in incidents[0].cause
    assert read_by_reader(path) == SECONDS * EACH


def test_a_partition_is_found_by_what_is_left_of_it(killed_store: Path, tmp_path: Path) -> None:
    shutil.copytree(killed_store, tmp_path / "part-00")
    (tmp_path / "part-00" / "CURRENT").unlink()
    with pytest.raises(TradeStoreError, match="part-00"):
        TradeReader(tmp_path)


def test_a_changed_bit_in_what_was_written_last_is_told_and_the_store_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "part-00"
    with TradeStore(path) as store:
        for second in range(SECONDS):
            put(store, second)
        store.compact()  # as a table that is made in the background
        store.sync()
    [table] = path.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[100] ^= 4  # in the first block
    table.write_bytes(content)
    with pytest.raises(StoreDamagedError, match="cannot be read: Corruption"):
        TradeReader(path)
    incidents: list[Incident] = []
    writer = TradeWriter(path, venue="binance", retention_days=0, on_incident=incidents.append)
    writer.write([TradeBatch("binance", "ETHUSDT", [trade(1, 5)])])
    assert writer.flush()
    assert writer.view().trades("ETHUSDT", 0, END_MS)["id"].to_list() == [1]
    with pytest.raises(StoreDamagedError, match="Corruption"):
        writer.view().trades(SYMBOL, 0, END_MS)
    writer.close()
    [incident] = incidents
    assert (incident.kind, incident.symbol) == ("store_outage", "")
    assert str(table) in incident.cause
    assert "move it away and start again" in incident.cause


@pytest.mark.slow
def test_what_a_compaction_cannot_read_is_a_store_outage(tmp_path: Path) -> None:
    path = tmp_path / "part-00"
    for life in range(3):
        with TradeStore(path) as store:
            for second in range(life * SECONDS, (life + 1) * SECONDS):
                put(store, second)
            store.sync()
    TradeStore(path).close()
    damage(min(path.glob("*.sst")), "flipped")
    incidents: queue.SimpleQueue[Incident] = queue.SimpleQueue()
    writer = TradeWriter(path, venue="binance", retention_days=0, flush_ms=10, on_incident=incidents.put)
    for number in count(0, 2):  # at both ends of the damaged table, so that a compaction has to read it
        late = [trade(10**9 + number, 1_000), trade(10**9 + number + 1, (SECONDS - 2) * 1_000)]
        fresh = [
            trade(10**6 + number * 10_000 + n, 3 * SECONDS * 1_000 + number, n / 7 + 1, n / 3 + 1)
            for n in range(20_000)
        ]
        writer.write([TradeBatch("binance", SYMBOL, late, late=True), TradeBatch("binance", "ETHUSDT", fresh)])
        writer.flush(timeout_s=0.5)
        if not incidents.empty():
            break
    outage = incidents.get()
    assert (outage.kind, outage.outcome) == ("store_outage", "held back, trying again")
    assert "Corruption" in outage.cause
    assert "Corruption" in writer.outage
    writer.close()


def test_a_reader_that_opens_while_a_writer_does_takes_nothing_for_lost(
    killed_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer replaces the log by a table between the reader's looks at the list of tables and at the logs."""
    path, apart = tmp_path / "part-00", tmp_path / "apart"
    shutil.copytree(killed_store, path)
    apart.mkdir()
    open_store = TradeStore._opened

    def opened_meanwhile(self: TradeStore) -> Rdict:
        if self._secondary_path is None:
            return open_store(self)
        logs = [file.rename(apart / file.name) for file in path.glob("*.log")]
        database = open_store(self)
        for log in logs:
            log.rename(path / log.name)
        TradeStore(path).close()
        return database

    monkeypatch.setattr(TradeStore, "_opened", opened_meanwhile)
    with TradeStore(path, secondary_path=tmp_path / "secondary") as store:
        assert (store.lost_writes, store.losses) == (0, [])
        assert len(list(store.starts(SYMBOL, 0, END_MS))) == SECONDS
