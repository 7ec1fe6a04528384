"""What writes, merges, deletes and copies beside a record that cannot be read: it goes on, or it says why not."""

import queue
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from flows.model import DAY_MS, Incident, Trade, TradeBatch, Voucher
from sinks.trades.codec import END_MS, MINUTE_MS, SECOND_MS, encode_key
from sinks.trades.compaction import Clocks, TradeCompactor
from sinks.trades.copying import copy_partition
from sinks.trades.merge import add_batches, merge_minutes
from sinks.trades.reader import TradeReader, TradeView
from sinks.trades.record_checks import BadRecord, RecordError
from sinks.trades.store import TradeStore
from sinks.trades.writer import TradeWriter
from tests.fakes.bad_records import CHANGES, delete, put, record_of
from tests.fakes.trades import BEGIN, trade

SYMBOL = "BTCUSDT"
UNREADABLE = ["value empty", "value cut", "column unknown", "price NaN", "times of another day", "id negative"]
"""Changes that leave the key as it is, of each kind one."""


def batch(*trades: Trade, vouched_by: Voucher = "") -> TradeBatch:
    return TradeBatch("binance", SYMBOL, list(trades), vouched_by=vouched_by)


def spoil(store: TradeStore, start: int, trades: list[Trade], name: str = "price NaN") -> bytes:
    """Stores the record of trades, changed."""
    key, value = CHANGES[name](record_of(trades, start))
    put(store, key, value)
    return key


def readable(store: TradeStore) -> tuple[list[int], list[bytes]]:
    """The ids of all trades that can be read, and the keys of what cannot."""
    bad: list[BadRecord] = []
    ids = TradeView([store]).trades(SYMBOL, 0, END_MS, on_bad=bad.append)["id"].to_list()
    return ids, [record.key for record in bad]


# --- new trades ---


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("record_ms", [SECOND_MS, MINUTE_MS])
@pytest.mark.parametrize("voucher", ["", "rest"])
def test_new_trades_take_the_place_of_a_record_that_cannot_be_read(
    tmp_path: Path, name: str, record_ms: int, voucher: Voucher
) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(trade(1, 0), trade(9, 120_000))], record_ms=record_ms)
        key = spoil(store, BEGIN + MINUTE_MS, [trade(3, 60_000), trade(4, 60_100)], name)
        replaced: list[BadRecord] = []
        news = [batch(trade(4, 60_100), trade(5, 60_200), vouched_by=voucher), batch(trade(2, 10))]

        add_batches(store, news, record_ms=record_ms, on_replaced=replaced.append)

        assert readable(store) == ([1, 2, 4, 5, 9], [])
        assert [(record.key, record.symbol, record.start) for record in replaced] == [(key, SYMBOL, BEGIN + MINUTE_MS)]


@pytest.mark.parametrize("voucher", ["", "checksum"])
def test_a_record_that_nothing_is_written_over_stays_as_it_is(tmp_path: Path, voucher: Voucher) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(trade(1, 0))])
        key = spoil(store, BEGIN + 5_000, [trade(3, 5_000)])
        replaced: list[BadRecord] = []
        news = [batch(trade(1, 0), trade(3, 5_000), trade(5, 8_000), vouched_by=voucher)]

        add_batches(store, news, record_ms=MINUTE_MS, on_replaced=replaced.append)

        assert readable(store) == ([1, 3, 5], [key])
        assert replaced == []


def test_a_trade_that_cannot_be_is_refused_and_the_others_of_its_second_are_stored(tmp_path: Path) -> None:
    false = [trade(3, 0, float("nan")), trade(4, 0, -1.0), trade(5, 0, 1.0, 0.0), trade(-6, 0), trade(7, END_MS)]
    with TradeStore(tmp_path) as store, capture_logs() as logs:
        add_batches(store, [batch(trade(1, 0)), batch(*false, vouched_by="rest"), batch(*false, trade(8, 1))])
        assert readable(store) == ([1, 8], [])
    refused = [line["trade"].id for line in logs if line["event"] == "trade_refused"]
    assert sorted(refused) == sorted([one.id for one in false] * 2)


def test_a_writer_tells_what_it_has_replaced_and_goes_on(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        key = spoil(store, BEGIN + 5_000, [trade(3, 5_000)])
    incidents: queue.Queue[Incident] = queue.Queue()
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=1, retention_days=0, on_incident=incidents.put)
    writer.write([batch(trade(4, 5_100)), batch(trade(5, 9_000))])
    told = incidents.get(timeout=60)
    assert writer.flush(timeout_s=60)
    assert writer.outage == ""
    assert writer.view().trades(SYMBOL, 0, END_MS)["id"].to_list() == [4, 5]
    writer.close()
    assert (told.kind, told.symbol, told.begin, told.end) == ("store_outage", SYMBOL, BEGIN + 5_000, BEGIN + 5_999)
    assert (told.first_id, told.last_id) == (-1, -1)
    assert key.decode() in told.cause
    assert "marketflow verify --repair --against rest" in told.outcome


# --- at the start ---


def killed_with(path: Path, name: str) -> bytes:
    """A store as a killed process leaves it: a synced log of twenty trades, one of whose seconds cannot be read."""
    with TradeStore(path.with_name("running")) as store:
        trades = [trade(number, number * 500) for number in range(20)]
        add_batches(store, [batch(*trades)])
        key = spoil(store, BEGIN + 5_000, trades[10:12], name)
        store.sync()
        shutil.copytree(store.path, path)
    return key


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_record_in_what_was_written_last_keeps_nobody_from_opening_the_store(tmp_path: Path, name: str) -> None:
    path = tmp_path / "part-00"
    others = [number for number in range(20) if number not in (10, 11)]
    with TradeStore(path) as open_store:
        add_batches(open_store, [batch(*(trade(number, number * 500) for number in range(20)))])
        open_store.sync()
        key = spoil(open_store, BEGIN + 5_000, [trade(10, 5_000), trade(11, 5_500)], name)
        with TradeReader(path) as follower:
            bad: list[BadRecord] = []
            assert follower.trades(SYMBOL, 0, END_MS, on_bad=bad.append)["id"].to_list() == others
            assert [record.key for record in bad] == [key]
            with pytest.raises(RecordError):
                follower.trades(SYMBOL, 0, END_MS)


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_flow_opens_it_and_names_what_it_lacks(tmp_path: Path, name: str) -> None:
    path = tmp_path / "part-00"
    key = killed_with(path, name)
    incidents: list[Incident] = []
    writer = TradeWriter(path, venue="binance", retention_days=0, on_incident=incidents.append)
    writer.close()
    assert [(one.kind, one.first_id, one.last_id) for one in incidents if one.symbol] == [("store_outage", 10, 11)]
    assert any(key.decode() in one.cause for one in incidents)
    with TradeReader(path) as reader:
        assert reader.before_lost(SYMBOL) == (9, BEGIN)  # from where the flow fetches it again


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_repair_opens_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / "part-00"
    key = killed_with(path, name)
    with TradeStore(path) as store:
        assert readable(store)[1] == [key]


# --- upkeep ---


def test_a_minute_with_such_a_record_is_left_and_the_others_are_merged(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*(trade(number, number * 20_000) for number in range(9)))])
        key = spoil(store, BEGIN + 80_000, [trade(4, 80_000)])
        bad: list[BadRecord] = []

        merge_minutes(store, SYMBOL, BEGIN, BEGIN + 3 * MINUTE_MS, most_records=99, on_bad=bad.append)

        starts = [start - BEGIN for start in store.starts(SYMBOL, 0, END_MS)]
        assert starts == [0, 60_000, 80_000, 100_000, 120_000]
        assert readable(store) == ([0, 1, 2, 3, 5, 6, 7, 8], [key])
        assert [record.key for record in bad] == [key]


def test_upkeep_goes_on_and_tells_once(tmp_path: Path) -> None:
    told: list[Incident] = []
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*(trade(number, number * 20_000) for number in range(9)), trade(99, DAY_MS))])
        add_batches(store, [TradeBatch("binance", "ETHUSDT", [trade(1, 0), trade(2, 5_000), trade(3, DAY_MS)])])
        spoil(store, BEGIN + 80_000, [trade(4, 80_000)])
        compactor = TradeCompactor(
            store, retention_days=0, merge_after_minutes=60, venue="binance", on_incident=told.append
        )
        for _ in range(3):
            compactor.round()
        assert [start - BEGIN for start in store.starts("ETHUSDT", 0, END_MS)] == [0, DAY_MS]
    [one] = told
    assert (one.kind, one.symbol, one.begin) == ("store_outage", SYMBOL, BEGIN + 80_000)


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("place", ["first", "last expired", "first kept", "newest"])
def test_what_is_old_is_deleted_whatever_it_is(tmp_path: Path, name: str, place: str) -> None:
    times = {"first": 0, "middle": 60_000, "last expired": 2 * 60_000, "first kept": 8 * DAY_MS, "newest": 9 * DAY_MS}
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*(trade(number, time) for number, time in enumerate(times.values(), 1)))])
        delete(store, encode_key(SYMBOL, BEGIN + times[place]))
        key = spoil(store, BEGIN + times[place], [trade(1, times[place])], name)
        compactor = TradeCompactor(
            store, retention_days=7, merge_after_minutes=60, clocks=Clocks(lambda: BEGIN + 30 * DAY_MS)
        )
        assert compactor.expire() == [SYMBOL]
        kept = [number for number, of in enumerate(times, 1) if of in ("first kept", "newest") and of != place]
        assert readable(store) == (kept, [key] if place in ("first kept", "newest") else [])


# --- copies ---


@pytest.mark.parametrize("name", CHANGES)
def test_a_store_with_such_a_record_is_not_copied(tmp_path: Path, name: str) -> None:
    with TradeStore(tmp_path / "part-00") as store:
        add_batches(store, [batch(trade(1, 0), trade(2, 80_000))])
        key = spoil(store, BEGIN + 2_000, [trade(3, 2_000)], name)
        with TradeReader(store.path) as reader, pytest.raises(RecordError) as refused:
            copy_partition(reader.stores[0], tmp_path / "copy", on_copied=lambda _: None)
        assert refused.value.record.key == key


def test_what_has_no_key_of_a_record_is_not_left_out_of_a_copy(tmp_path: Path) -> None:
    with TradeStore(tmp_path / "part-00") as store:
        add_batches(store, [batch(trade(1, 0))])
        put(store, b"something else", b"")
        with TradeReader(store.path) as reader, pytest.raises(RecordError):
            copy_partition(reader.stores[0], tmp_path / "copy", on_copied=lambda _: None)


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("spoilt", [0, 2, 4])
def test_an_import_finds_the_ids_of_its_trades_around_such_a_record(tmp_path: Path, name: str, spoilt: int) -> None:
    """Trades that a wrong time has carried far away are found by their neighbours."""
    trades = [trade(number, number * 600_000) for number in range(5)]
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*trades)], record_ms=MINUTE_MS)
        astray = trade(9, 600_000 + 30_000)
        add_batches(store, [batch(astray)], record_ms=MINUTE_MS)
        key = spoil(store, trades[spoilt].time, [trades[spoilt]], name)
        news = [trade(number, number * 600_000) for number in range(8, 11)]
        add_batches(store, [batch(*news, vouched_by="checksum")], record_ms=MINUTE_MS)
        ids, bad = readable(store)
        assert bad == [key]
        assert sorted(ids) == sorted({0, 1, 2, 3, 4, 8, 9, 10} - {spoilt})
        assert len(ids) == len(set(ids))
