from pathlib import Path

import pytest
from rocksdict import WriteBatch

from sinks.trades.codec import TradeColumns, encode_columns, encode_key, encode_record
from sinks.trades.store import TradeStore, TradeStoreError
from tests.fakes.trades import trade

SECOND = 1_767_225_600_000


def columns(number: int, start_ms: int = SECOND) -> TradeColumns:
    return encode_columns([trade(number, start_ms - SECOND)])


def put(store: TradeStore, symbol: str, start_ms: int, number: int) -> None:
    batch = WriteBatch(raw_mode=True)
    batch.put(encode_key(symbol, start_ms), encode_record(columns(number, start_ms)))
    store.write(batch)


def test_records_of_a_span_oldest_first(tmp_path: Path) -> None:
    with TradeStore(tmp_path / "new" / "part-00") as store:
        for number in (3, 1, 2, 4):
            put(store, "BTC", SECOND + number * 1_000, number)
        put(store, "BTCUSDT", SECOND, 9)

        assert list(store.records("BTC", SECOND + 2_000, SECOND + 4_000)) == [
            (SECOND + 2_000, columns(2, SECOND + 2_000)),
            (SECOND + 3_000, columns(3, SECOND + 3_000)),
        ]
        assert list(store.starts("BTC", -1, 10**15)) == [SECOND + n * 1_000 for n in (1, 2, 3, 4)]
        assert store.record(encode_key("BTCUSDT", SECOND)) == columns(9)
        assert store.record(encode_key("BTCUSDT", SECOND + 1)) is None


def test_symbols_that_begin_alike_are_kept_apart(tmp_path: Path) -> None:
    names = ["BTC", "BTC1", "BTCUSDT", "1000BTC", "1000", "BTC_240628", "币安人生USDT"]
    with TradeStore(tmp_path) as store:
        for number, symbol in enumerate(names):
            put(store, symbol, SECOND + number * 1_000, number)
            put(store, symbol, SECOND + 60_000, number)

        assert sorted(store.symbols()) == sorted(names)
        for number, symbol in enumerate(names):
            assert store.bounds(symbol) == (SECOND + number * 1_000, SECOND + 60_000)
        assert store.bounds("ETH") is None


def test_an_empty_store_has_no_newest(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        assert store.symbols() == []


def test_deletion_ends_before_its_time_and_at_its_symbol(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        for number in range(3):
            put(store, "B", SECOND + number * 1_000, number)
        put(store, "A", SECOND, 8)
        put(store, "C", SECOND, 9)

        store.delete_before("B", SECOND + 2_000)

        assert list(store.starts("B", 0, SECOND * 2)) == [SECOND + 2_000]
        assert store.symbols() == ["A", "B", "C"]


def test_a_read_that_has_begun_is_not_disturbed_by_deletion(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        for number in range(3):
            put(store, "B", SECOND + number * 1_000, number)
        records = store.records("B", 0, SECOND * 2)
        read = [next(records)]

        store.delete_before("B", SECOND * 2)
        read.extend(records)

        assert [found for _, found in read] == [columns(n, SECOND + n * 1_000) for n in range(3)]
        assert store.bounds("B") is None


def test_a_second_writer_is_refused_by_name(tmp_path: Path) -> None:
    with TradeStore(tmp_path), pytest.raises(TradeStoreError, match=str(tmp_path)):
        TradeStore(tmp_path)


def test_reopening_brings_a_lost_store_back(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        put(store, "B", SECOND, 1)
        store.close()
        with pytest.raises(TradeStoreError, match="cannot be written"):
            put(store, "B", SECOND, 2)
        with pytest.raises(TradeStoreError, match="cannot be synced"):
            store.sync()
        with pytest.raises(TradeStoreError, match="it is closed"):
            store.symbols()

        store.reopen()

        assert list(store.records("B", 0, SECOND * 2)) == [(SECOND, columns(1))]


def test_a_secondary_sees_what_was_written_when_it_caught_up(tmp_path: Path) -> None:
    with TradeStore(tmp_path / "store") as store:
        put(store, "B", SECOND, 1)
        with TradeStore(tmp_path / "store", secondary_path=tmp_path / "own") as follower:
            put(store, "B", SECOND + 1_000, 2)
            assert follower.bounds("B") == (SECOND, SECOND)

            follower.catch_up()

            assert list(follower.records("B", 0, SECOND * 2)) == [
                (SECOND, columns(1)),
                (SECOND + 1_000, columns(2, SECOND + 1_000)),
            ]
