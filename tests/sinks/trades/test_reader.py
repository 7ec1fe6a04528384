import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flows.model import Trade, TradeBatch
from sinks.trades.merge import add_batches, merge_minutes
from sinks.trades.reader import TradeReader, TradeView
from sinks.trades.store import TradeStore, TradeStoreError
from tests.fakes.trades import BEGIN, trade

ROOT = Path(__file__).parents[3]
END = BEGIN + 3_600_000
FOLLOWER = """
import sys
from pathlib import Path
from sinks.trades.reader import TradeReader
with TradeReader(Path(sys.argv[1])) as reader:
    for _ in sys.stdin:
        reader.catch_up()
        print(*reader.trades("BTCUSDT", 0, 2**42)["id"], flush=True)
"""


def add(store: TradeStore, *trades: Trade, symbol: str = "BTCUSDT") -> None:
    add_batches(store, [TradeBatch("binance", symbol, list(trades))])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TradeStore]:
    with TradeStore(tmp_path / "binance" / "part-00") as store:
        yield store


def ids(view: TradeView, start_ms: int = BEGIN, end_ms: int = END) -> list[int]:
    return view.trades("BTCUSDT", start_ms, end_ms)["id"].to_list()


def test_a_span_holds_its_begin_and_not_its_end(store: TradeStore) -> None:
    add(store, *(trade(number, number * 500) for number in range(10)))
    view = TradeView([store])
    expected = [3, 4, 5, 6]

    assert ids(view, BEGIN + 1_500, BEGIN + 3_500) == expected
    merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=99)
    assert ids(view, BEGIN + 1_500, BEGIN + 3_500) == expected
    assert ids(view, BEGIN + 3_500, BEGIN + 1_500) == []


def test_columns_carry_the_trades(store: TradeStore) -> None:
    add(store, trade(1, 5, 99.5, 0.25, sold=True), trade(2, 6))

    assert TradeView([store]).trades("BTCUSDT", BEGIN, END).to_dicts() == [
        {
            "id": 1,
            "first_id": 1,
            "last_id": 1,
            "time": BEGIN + 5,
            "price": 99.5,
            "quantity": 0.25,
            "buyer_is_maker": True,
        },
        {
            "id": 2,
            "first_id": 2,
            "last_id": 2,
            "time": BEGIN + 6,
            "price": 100.0,
            "quantity": 1.0,
            "buyer_is_maker": False,
        },
    ]


def test_ids_rise_also_where_times_run_back(store: TradeStore) -> None:
    add(store, trade(1, 61_000), trade(2, 59_000), trade(3, 61_500), trade(4, 999))

    assert ids(TradeView([store])) == [1, 2, 3, 4]


def test_frames_are_whole_minutes_of_at_least_so_many_rows(store: TradeStore) -> None:
    add(store, *(trade(number, number * 15_000) for number in range(18)))

    frames = list(TradeView([store]).iterate("BTCUSDT", BEGIN + 15_000, BEGIN + 255_000, rows=5))

    assert [frame["id"].to_list() for frame in frames] == [list(range(1, 8)), list(range(8, 16)), [16]]


def test_a_frame_without_a_trade_in_the_span_is_left_out(store: TradeStore) -> None:
    add(store, trade(1, 0), trade(2, 30_000))

    assert list(TradeView([store]).iterate("BTCUSDT", BEGIN + 5_000, BEGIN + 10_000)) == []


def test_fewer_columns_hold_the_same_trades_in_the_same_order(store: TradeStore) -> None:
    add(store, trade(1, 61_000, 5.0), trade(2, 59_000, 6.0), trade(3, 61_500, 7.0))
    view = TradeView([store])

    assert view.trades("BTCUSDT", BEGIN, END, columns=("price",)).to_dict(as_series=False) == {"price": [5.0, 6.0, 7.0]}
    assert view.trades("BTCUSDT", BEGIN + 60_000, END, columns=("price", "id")).rows() == [(5.0, 1), (7.0, 3)]
    assert view.trades("NONE", BEGIN, END, columns=("price", "time")).columns == ["price", "time"]
    (frame,) = view.iterate("BTCUSDT", BEGIN, BEGIN + 61_001, columns=("buyer_is_maker", "price"), every_fill=True)
    assert frame.rows() == [(False, 5.0, "MARKET"), (False, 6.0, "MARKET")]


def test_only_market_fills_unless_asked(store: TradeStore) -> None:
    liquidation = Trade("BTCUSDT", 2, BEGIN + 1, 0.0, 1.0, False, BEGIN, "INSURANCE_FUND")
    add(store, trade(1, 0), liquidation)
    view = TradeView([store])

    assert ids(view) == [1]
    assert view.count("BTCUSDT") == 1
    assert view.trades("BTCUSDT", BEGIN, END, every_fill=True).select("id", "fill").rows() == [
        (1, "MARKET"),
        (2, "INSURANCE_FUND"),
    ]
    assert view.count("BTCUSDT", every_fill=True) == 2
    assert view.last_id("BTCUSDT") == 2


def test_what_is_known_of_a_symbol(store: TradeStore) -> None:
    add(store, trade(7, 400), trade(8, 59_999), trade(9, 60_200), trade(10, 59_998))
    add(store, trade(1, 0), symbol="ETHUSDT")
    view = TradeView([store])

    assert view.symbols() == ["BTCUSDT", "ETHUSDT"]
    assert view.last_id("BTCUSDT") == 10
    assert (view.first_time("BTCUSDT"), view.last_time("BTCUSDT")) == (BEGIN + 400, BEGIN + 60_200)
    assert view.count("BTCUSDT") == 4
    assert view.count("BTCUSDT", BEGIN + 59_999, BEGIN + 60_200) == 1
    firsts = {400: 400, 401: 59_998, 59_999: 59_999, 60_000: 60_200, 60_200: 60_200, 60_201: None}
    for start, first in firsts.items():
        assert view.first_time("BTCUSDT", BEGIN + start) == (None if first is None else BEGIN + first)
    lasts = {60_201: 60_200, 60_200: 59_999, 60_000: 59_999, 59_999: 59_998, 59_998: 400, 401: 400, 400: None}
    for end, last in lasts.items():
        assert view.last_time("BTCUSDT", BEGIN + end) == (None if last is None else BEGIN + last)


def test_a_symbol_that_is_not_stored_has_nothing(store: TradeStore) -> None:
    view = TradeView([store])

    assert view.trades("NONE", BEGIN, END).columns == [
        "id",
        "first_id",
        "last_id",
        "time",
        "price",
        "quantity",
        "buyer_is_maker",
    ]
    assert (view.last_id("NONE"), view.first_time("NONE"), view.last_time("NONE")) == (None, None, None)
    assert (view.count("NONE"), list(view.iterate("NONE", BEGIN, END))) == (0, [])


def test_a_symbol_in_several_partitions_is_read_as_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        stores = [stack.enter_context(TradeStore(tmp_path / "binance" / f"part-{part:02d}")) for part in range(2)]
        add(stores[0], *(trade(number, number * 1_000) for number in range(0, 100, 3)))
        add(stores[1], *(trade(number, number * 1_000) for number in range(100) if number % 3 or number < 10))

        with TradeReader(tmp_path / "binance") as reader:
            assert ids(reader) == list(range(100))
            assert (reader.last_id("BTCUSDT"), reader.first_time("BTCUSDT")) == (99, BEGIN)


def test_a_reader_follows_and_leaves_nothing_behind(store: TradeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = store.path.parents[1] / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    add(store, trade(1, 0))
    with TradeReader(store.path.parent) as reader, TradeReader(store.path) as other:
        add(store, trade(2, 1_000))
        assert ids(reader) == [1]
        reader.catch_up()
        assert (ids(reader), ids(other)) == ([1, 2], [1])
        with TradeStore(store.path.parent / "part-01") as second:
            add(second, trade(3, 2_000))
            reader.catch_up()
            assert ids(reader) == [1, 2, 3]

    assert list(scratch.iterdir()) == []


def test_a_read_goes_on_while_the_store_is_merged_and_emptied(store: TradeStore) -> None:
    add(store, *(trade(number, number * 10_000) for number in range(60)))
    with TradeReader(store.path) as reader:
        frames = reader.iterate("BTCUSDT", BEGIN, END, rows=1)
        read = next(frames)["id"].to_list()

        merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=999)
        store.delete_before("BTCUSDT", BEGIN + 600_000)
        add(store, trade(60, 600_000))
        reader.catch_up()
        for frame in frames:
            read.extend(frame["id"].to_list())

        assert read == list(range(60))
        assert ids(reader) == [60]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path / "nowhere")):
        TradeReader(tmp_path / "nowhere")


def test_a_broken_partition_is_named(tmp_path: Path) -> None:
    (tmp_path / "part-00").mkdir()
    (tmp_path / "part-00" / "CURRENT").write_text("MANIFEST-000009\n")

    with pytest.raises(TradeStoreError, match=str(tmp_path / "part-00")):
        TradeReader(tmp_path)


def test_a_venue_without_a_trade_so_far_is_empty(tmp_path: Path) -> None:
    with TradeReader(tmp_path) as reader:
        assert reader.symbols() == []


@pytest.mark.e2e
def test_another_process_reads_while_this_one_writes(store: TradeStore) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, str(store.path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(20):
            add(store, trade(number, number * 20_000))
            if number % 7 == 6:
                merge_minutes(store, "BTCUSDT", BEGIN, BEGIN + number * 20_000, most_records=99)
            process.stdin.write(b"\n")
            process.stdin.flush()
            assert [int(word) for word in process.stdout.readline().split()] == list(range(number + 1))
        process.stdin.close()
    assert process.returncode == 0
