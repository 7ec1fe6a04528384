import queue
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from flows.model import Incident, Trade, TradeBatch, Voucher
from flows.settings import Trades
from sinks.trades.compaction import Clocks
from sinks.trades.contradictions import SourceBatch
from sinks.trades.reader import TradeReader, TradeView
from sinks.trades.store import TradeStore, TradeStoreError
from sinks.trades.writer import TradeWriter, open_trade_writer, part_of
from tests.fakes.recordings import pepe_trades
from tests.fakes.trades import BEGIN, trade

ROOT = Path(__file__).parents[3]
END = BEGIN + 3_600_000
FLUSHES_THEN_GOES_ON = """
import sys
from contextlib import suppress
from pathlib import Path
from flows.model import Trade, TradeBatch
from sinks.trades.writer import TradeWriter
writer = TradeWriter(Path(sys.argv[1]), venue="binance", flush_ms=60_000)
for number in range(100_000):
    time = 1_767_225_600_000 + number * 40
    writer.write([TradeBatch("binance", "BTCUSDT", [Trade("BTCUSDT", number, time, 1.5, 2.5, False, time)])])
    if number % 500 == 499:
        assert writer.flush()
        print(number, flush=True)
"""


def batch(*trades: Trade, symbol: str = "BTCUSDT", late: bool = False) -> TradeBatch:
    return TradeBatch("binance", symbol, list(trades), late)


def ids(view: TradeView, symbol: str = "BTCUSDT") -> list[int]:
    return view.trades(symbol, BEGIN, END)["id"].to_list()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[TradeWriter]:
    writer = TradeWriter(tmp_path / "part-00", venue="binance", flush_ms=60_000)
    yield writer
    writer.close()


def test_flushed_trades_can_be_read_in_this_process(writer: TradeWriter) -> None:
    writer.write([batch(trade(1, 0), trade(2, 1_500)), batch(trade(1, 0), symbol="ETHUSDT")])
    writer.write([batch(trade(3, 1_600))])

    assert writer.flush()

    assert (ids(writer.view()), ids(writer.view(), "ETHUSDT")) == ([1, 2, 3], [1])
    assert writer.flush()  # with nothing to do


def test_late_and_repeated_batches_leave_each_trade_once(writer: TradeWriter) -> None:
    first = batch(trade(1, 0, 10.0), trade(4, 900, 40.0))
    for item in (first, batch(trade(2, 10, 20.0), trade(3, 20, 30.0), late=True), first):
        writer.write([item])
        assert writer.flush()

    frame = writer.view().trades("BTCUSDT", BEGIN, END)
    assert frame.select("id", "price").rows() == [(1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0)]


def test_it_writes_by_itself_when_the_time_has_come(tmp_path: Path) -> None:
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=10)
    writer.write([batch(trade(1, 0))])
    with writer._buffer._changed:
        assert writer._buffer._changed.wait_for(lambda: writer._buffer._stored == 1, timeout=60)
    writer.close()


def test_close_writes_what_is_held_and_a_restart_goes_on_in_the_same_second(tmp_path: Path) -> None:
    for number in range(3):
        writer = TradeWriter(tmp_path, venue="binance", flush_ms=60_000)
        writer.write([batch(trade(number, number))])
        writer.close()

    with TradeReader(tmp_path) as reader:
        assert ids(reader) == [0, 1, 2]


def test_a_full_buffer_is_written_before_its_time(tmp_path: Path) -> None:
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=3_600_000, buffer_trades=10)
    for number in range(200):
        writer.write([batch(trade(number, number))])
    writer.close()

    with TradeReader(tmp_path) as reader:
        assert ids(reader) == list(range(200))


@pytest.mark.e2e
def test_a_killed_process_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FLUSHES_THEN_GOES_ON, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(5)][-1]
        process.kill()

    with TradeReader(tmp_path) as reader:
        stored = reader.trades("BTCUSDT", 0, 2 * BEGIN)["id"].to_list()
    assert stored[: flushed + 1] == list(range(flushed + 1))
    assert stored == list(range(len(stored)))


def test_a_day_of_pepe_is_there_once_and_small(tmp_path: Path) -> None:
    trades = pepe_trades()
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=60_000)
    for start in range(0, len(trades), 37):
        writer.write([batch(*trades[start : start + 37], symbol="PEPEUSDT")])
    assert writer.flush(timeout_s=60)
    expected = [(t.id, t.first_id, t.last_id, t.time, t.price, t.quantity, t.buyer_is_maker) for t in trades]
    span = (trades[0].time, trades[-1].time + 1)

    assert writer.view().trades("PEPEUSDT", *span).rows() == expected
    writer.close()

    with TradeStore(tmp_path) as store:
        store.compact()
        assert store.file_bytes() / len(trades) <= 20
    with TradeReader(tmp_path) as reader:
        assert [row for frame in reader.iterate("PEPEUSDT", *span, rows=5_000) for row in frame.rows()] == expected


def test_a_store_that_is_lost_is_opened_again(tmp_path: Path) -> None:
    incidents: queue.Queue[Incident] = queue.Queue()
    writer = TradeWriter(
        tmp_path, venue="binance", flush_ms=10, first_retry_s=0.001, buffer_trades=3, on_incident=incidents.put
    )
    writer.write([batch(trade(1, 0))])
    assert writer.flush()
    with capture_logs() as logs:
        writer._store.close()
        writer.write([batch(trade(2, 1), trade(3, 2))])
        begun = incidents.get(timeout=60)
        ended = incidents.get(timeout=60)
    assert writer.flush()

    assert ids(writer.view()) == [1, 2, 3]
    assert (begun.kind, begun.venue, begun.symbol, begun.begin) == ("store_outage", "binance", "", BEGIN)
    assert "cannot be" in begun.cause
    assert "storing what was held" in ended.outcome
    assert [line["log_level"] for line in logs if line["event"] == "store_unavailable"] == ["error"]
    writer.close()


def test_a_store_that_is_behind_is_waited_for_and_is_no_outage(tmp_path: Path) -> None:
    incidents: list[Incident] = []
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=10, on_incident=incidents.append)
    stalls = ["level0_slowdown_writes_trigger", "level0_stop_writes_trigger"]
    for number in range(2):
        writer._store._db.put(b"other%d" % number, b"")
        writer._store._db.flush()
    writer._store._db.set_options({**dict.fromkeys(stalls, "1"), "level0_file_num_compaction_trigger": "1000"})
    writer.write([batch(trade(1, 0))])
    assert not writer.flush(timeout_s=0.2)

    writer._store._db.set_options(dict.fromkeys(stalls, "1000"))

    assert writer.flush(timeout_s=60)
    writer.close()
    assert incidents == []


def test_a_listener_that_fails_does_not_end_the_writer(tmp_path: Path) -> None:
    def refuse(incident: Incident) -> None:
        raise RuntimeError(incident.kind)

    writer = TradeWriter(tmp_path, venue="binance", flush_ms=10, first_retry_s=0.001, on_incident=refuse)
    with capture_logs() as logs:
        writer._store.close()
        writer.write([batch(trade(1, 0))])
        assert writer.flush(timeout_s=60)

    assert "incident_not_delivered" in [line["event"] for line in logs]
    assert ids(writer.view()) == [1]
    writer.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a disk of 8 MB cannot be mounted here: " + mounted.stderr.decode().strip())
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4_096)):
            pass


@pytest.mark.e2e
def test_a_full_disk_is_reported_and_outlived(small_disk: Path) -> None:
    incidents: queue.Queue[Incident] = queue.Queue()
    writer = TradeWriter(
        small_disk / "part-00",
        venue="binance",
        flush_ms=20,
        buffer_trades=1_000,
        first_retry_s=0.02,
        on_incident=incidents.put,
    )
    writer.write([batch(trade(1, 0))])
    assert writer.flush()
    ballast = small_disk / "ballast"
    fill(ballast)
    writer.write([batch(*(trade(number, number) for number in range(2, 1_202)))])
    begun = incidents.get(timeout=60)
    assert "No space left" in writer.outage
    writer.write([batch(*(trade(number, number) for number in range(1_202, 1_302)))])  # no room for these
    ballast.unlink()
    ended, lost = incidents.get(timeout=60), incidents.get(timeout=60)
    writer.write([batch(trade(1_302, 1_302))])
    assert writer.flush(timeout_s=60)
    assert writer.outage == ""

    assert "No space left" in begun.cause
    assert "storing what was held" in ended.outcome
    assert lost == Incident(
        "store_outage",
        "binance",
        "BTCUSDT",
        BEGIN + 1_202,
        BEGIN + 1_301,
        cause="the store took no trades, and the buffer no more of them",
        outcome="100 trades are not stored",
        first_id=1_202,
        last_id=1_301,
    )
    assert ids(writer.view()) == [*range(1, 1_202), 1_302]
    writer.close()
    with TradeReader(small_disk) as reader:
        assert ids(reader) == [*range(1, 1_202), 1_302]


def test_the_summary_says_how_much_was_stored(tmp_path: Path) -> None:
    with capture_logs() as logs:
        writer = TradeWriter(tmp_path, venue="binance", flush_ms=60_000)
        writer.write([batch(trade(1, 0), trade(2, 1)), batch(trade(1, 0), symbol="ETHUSDT")])
        writer.close()

    assert [(line["symbol"], line["trades"]) for line in logs if line["event"] == "trades_stored"] == [
        ("BTCUSDT", 2),
        ("ETHUSDT", 1),
    ]


def test_the_settings_say_where_and_how(tmp_path: Path) -> None:
    settings = Trades(path=tmp_path / "trades", flush_ms=10)
    writer = open_trade_writer(settings, venue="binance", partition="part-03", on_incident=lambda _: None)
    writer.write([batch(trade(1, 0))])
    writer.close()

    with TradeReader(tmp_path / "trades" / "binance") as reader:
        assert ids(reader) == [1]
    assert (tmp_path / "trades" / "binance" / "part-03" / "CURRENT").is_file()


@pytest.mark.parametrize(
    ("clocks", "kept"),
    [
        (Clocks(lambda: END), [2]),
        (Clocks(lambda: END, lambda: END), [2]),
        (Clocks(lambda: END, lambda: BEGIN), [1, 2]),
        (Clocks(lambda: BEGIN), [1, 2]),
        (Clocks(lambda: None, lambda: END), [1, 2]),
        (None, [1, 2]),
    ],
    ids=["sure", "both sure", "the wall clock is earlier", "the exchange is earlier", "not sure yet", "no clock"],
)
def test_the_clocks_say_what_is_old(tmp_path: Path, clocks: Clocks | None, kept: list[int]) -> None:
    writer = open_trade_writer(
        Trades(path=tmp_path, retention_days=0.01),
        venue="binance",
        partition="part-00",
        on_incident=lambda _: None,
        clocks=clocks,
    )
    writer.write([batch(trade(1, 0), trade(2, 3_000_000))])
    assert writer.flush()
    writer._compactor.expire()
    assert ids(writer.view()) == kept
    writer.close()


@pytest.mark.usefixtures("writer")
def test_a_store_that_cannot_be_opened_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(TradeStoreError, match="part-00"):
        TradeWriter(tmp_path / "part-00", venue="binance")


def test_an_instrument_has_the_same_partition_in_every_process() -> None:
    assert part_of("binance:BTCUSDT", 8) == zlib.crc32(b"binance:BTCUSDT") % 8
    assert {part_of(f"binance:COIN{number}USDT", 4) for number in range(50)} == {0, 1, 2, 3}
    assert part_of("binance:BTCUSDT", 1) == 0


@pytest.mark.parametrize(
    ("voucher", "words"),
    [("", "nothing vouches"), ("checksum", "a checksum of the exchange"), ("rest", "its REST side")],
)
def test_a_dispute_is_told_with_what_vouches_for_the_new_trades(tmp_path: Path, voucher: Voucher, words: str) -> None:
    incidents: queue.Queue[Incident] = queue.Queue()
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=1, on_incident=incidents.put)
    writer.write([batch(trade(1, 0, 10.0))])
    assert writer.flush()
    writer.write([TradeBatch("binance", "BTCUSDT", [trade(1, 0, 20.0)], late=True, vouched_by=voucher)])
    told = incidents.get(timeout=60)
    writer.close()
    assert (told.kind, told.first_id, told.last_id) == ("mismatch", 1, 1)
    assert words in told.outcome


def test_stored_trades_are_replaced_and_dropped_when_the_ledger_has_named_them(tmp_path: Path) -> None:
    incidents: queue.Queue[Incident] = queue.Queue()
    seen: queue.Queue[list[int]] = queue.Queue()
    answers = iter([False, True])

    def are_incidents_stored() -> bool:
        seen.put(ids(opened.view()))
        return next(answers)

    opened = TradeWriter(
        tmp_path, venue="binance", flush_ms=1, on_incident=incidents.put, are_incidents_stored=are_incidents_stored
    )
    opened.write([batch(trade(1, 0, 10.0), trade(7, 10_000, 20.0))])
    assert opened.flush()
    opened.write(
        [SourceBatch("binance", "BTCUSDT", [trade(1, 0, 30.0), trade(2, 60_000)], late=True, vouched_by="checksum")]
    )
    assert opened.flush(timeout_s=60)
    kept = ids(opened.view())
    opened.close()
    assert (kept, [seen.get_nowait(), seen.get_nowait()], seen.empty()) == ([1, 2], [[1, 7], [1, 7]], True)
    named = [one for one in (incidents.get_nowait() for _ in range(incidents.qsize())) if one.kind == "mismatch"]
    assert [(one.first_id, one.last_id, one.cause[:8]) for one in named] == [(1, 7, "2 trades")]
