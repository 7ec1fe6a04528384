from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.model import TradeBatch
from sinks.trades import copying
from sinks.trades.copying import Copied, copy_partition
from sinks.trades.merge import add_batches, merge_minutes
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStore
from tests.fakes.trades import BEGIN, trade


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TradeStore]:
    """Open in this process for writing."""
    with TradeStore(tmp_path / "part-00") as store:
        yield store


def add(store: TradeStore, symbol: str, first: int, last: int) -> None:
    add_batches(store, [TradeBatch("binance", symbol, [trade(number, number * 400) for number in range(first, last)])])


def copied(store: TradeStore, to: Path) -> Copied:
    counts: list[int] = []
    with TradeReader(store.path) as reader:
        [source] = reader.stores
        found = copy_partition(source, to, on_copied=counts.append)
    assert sum(counts) == found.records
    return found


def test_the_copy_has_what_only_the_log_has(store: TradeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "BATCH_BYTES", 500)
    add(store, "BTCUSDT", 0, 500)
    merge_minutes(store, "BTCUSDT", BEGIN, BEGIN + 60_000, most_records=99)
    add(store, "ETHUSDT", 3, 50)
    store.compact()
    add(store, "BTCUSDT", 500, 600)  # in no table yet
    found = copied(store, tmp_path / "copy")
    assert (found.trades, found.newest) == (647, {"BTCUSDT": 599, "ETHUSDT": 49})
    with TradeReader(store.path) as ours, TradeReader(tmp_path / "copy") as theirs:
        assert theirs.symbols() == ["BTCUSDT", "ETHUSDT"]
        for symbol in theirs.symbols():
            rows = theirs.trades(symbol, 0, 2 << 42, every_fill=True)
            assert rows.equals(ours.trades(symbol, 0, 2 << 42, every_fill=True))


def test_it_is_as_of_the_moment_at_which_the_reader_looked(store: TradeStore, tmp_path: Path) -> None:
    add(store, "BTCUSDT", 0, 10)
    with TradeReader(store.path) as reader:
        add(store, "BTCUSDT", 10, 20)
        assert copy_partition(reader.stores[0], tmp_path / "a", on_copied=lambda _: None).newest == {"BTCUSDT": 9}
        reader.catch_up()
        assert copy_partition(reader.stores[0], tmp_path / "b", on_copied=lambda _: None).newest == {"BTCUSDT": 19}


def test_an_empty_store_has_an_empty_copy(store: TradeStore, tmp_path: Path) -> None:
    assert copied(store, tmp_path / "copy") == Copied(0, 0, {})
