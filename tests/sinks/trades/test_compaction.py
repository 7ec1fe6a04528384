import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from flows.model import DAY_MS, Incident, TradeBatch
from sinks.trades.begins import FirstTrade, TradeBegins
from sinks.trades.compaction import UNSURE_MS, Clocks, TradeCompactor
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeView
from sinks.trades.store import TradeStore
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade

ROOT = Path(__file__).parents[3]
HOUR_MS = 3_600_000
MINUTES = 40
ONE_MINUTE_AT_A_TIME = """
import sys
from pathlib import Path
from sinks.trades.store import TradeStore
from sinks.trades.compaction import TradeCompactor
compactor = TradeCompactor(TradeStore(Path(sys.argv[1])), retention_days=0, merge_after_minutes=60)
while compactor.merge(most_records=1):
    print("merged", flush=True)
"""


def compactor_of(
    store: TradeStore,
    *,
    retention_days: float = 0,
    now: int | None = 30 * DAY_MS,
    wall: int | None = None,
    report: Callable[[Incident], None] = lambda _: None,
    local: Callable[[], int] = lambda: 0,
) -> TradeCompactor:
    """Upkeep at a time after `BEGIN` by the exchange, None where that is not sure, and by the wall clock."""
    return TradeCompactor(
        store,
        retention_days=retention_days,
        merge_after_minutes=60,
        venue="binance",
        clocks=Clocks(
            venue_now=lambda: None if now is None else BEGIN + now,
            wall_bound=None if wall is None else lambda: BEGIN + wall,
        ),
        on_incident=report,
        local_ms=local,
    )


def add(store: TradeStore, compactor: TradeCompactor | None, *trades: tuple[int, int], symbol: str = "BTCUSDT") -> None:
    """Stores trades, each given as id and time after `BEGIN`."""
    seconds = add_batches(store, [TradeBatch("binance", symbol, [trade(id_, time) for id_, time in trades])])
    if compactor:
        compactor.on_written(seconds)


def starts(store: TradeStore, symbol: str = "BTCUSDT") -> list[int]:
    return [start - BEGIN for start in store.starts(symbol, 0, BEGIN * 2)]


def ids(store: TradeStore) -> list[int]:
    return TradeView([store]).trades("BTCUSDT", 0, BEGIN * 2)["id"].to_list()


def test_only_what_is_old_by_the_symbols_own_time_is_merged(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        compactor = compactor_of(store)
        add(store, compactor, (1, 5_000), (2, 10_000), (3, 70_000), (4, 80_000))
        add(store, compactor, (5, HOUR_MS + 70_000), symbol="ETHUSDT")
        assert compactor.merge(most_records=99) == 0

        add(store, compactor, (5, HOUR_MS + 70_000))

        assert compactor.merge(most_records=99) == 2
        assert starts(store) == [0, 70_000, 80_000, HOUR_MS + 70_000]
        assert compactor.merge(most_records=99) == 0  # nothing is looked at twice


def test_a_restart_goes_by_the_newest_trade_that_is_stored(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add(store, None, (1, 5_000), (2, 10_000), (3, 2 * HOUR_MS))

        compactor_of(store).merge(most_records=99)

        assert starts(store) == [0, 2 * HOUR_MS]


def test_a_late_second_is_merged_although_its_minute_was_done(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        compactor = compactor_of(store)
        add(store, compactor, (1, 5_000), (3, 50_000), (4, 100_000), (5, 2 * HOUR_MS))
        compactor.merge(most_records=99)

        add(store, compactor, (2, 20_000))
        assert starts(store) == [0, 20_000, 60_000, 2 * HOUR_MS]
        compactor.merge(most_records=99)

        assert starts(store) == [0, 60_000, 2 * HOUR_MS]
        assert ids(store) == [1, 2, 3, 4, 5]


def test_a_backlog_is_worked_off_in_bounded_rounds(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        compactor = compactor_of(store)
        add(store, compactor, *((n, n * 30_000) for n in range(10)), (10, 3 * HOUR_MS))
        add(store, compactor, *((n, n * 30_000) for n in range(10)), (10, 3 * HOUR_MS), symbol="ETHUSDT")

        assert [compactor.merge(most_records=8) for _ in range(4)] == [8, 8, 4, 0]

        assert starts(store) == [0, 60_000, 120_000, 180_000, 240_000, 3 * HOUR_MS]
        assert starts(store, "ETHUSDT") == [0, 60_000, 120_000, 180_000, 240_000, 3 * HOUR_MS]


def test_what_is_past_its_time_goes_in_whole_minutes_and_the_rest_stays(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store, capture_logs() as logs:
        compactor = compactor_of(store, retention_days=7)
        add(store, compactor, (1, 0), (2, 59_000), (3, 60_000), (4, 90_000), (5, 7 * DAY_MS + 80_000))

        assert compactor.expire() == ["BTCUSDT"]

        assert ids(store) == [3, 4, 5]
    assert [line for line in logs if line["event"] == "old_trades_deleted"] == [
        {
            "event": "old_trades_deleted",
            "log_level": "info",
            "venue": "binance",
            "symbol": "BTCUSDT",
            "records": 2,
            "first_id": 1,
            "last_id": 2,
            "begin": "2026-01-01T00:00:00+00:00",
            "until": "2026-01-01T00:01:00+00:00",
        }
    ]


def test_what_was_deleted_for_its_age_is_noted_beside_the_first_trade(tmp_path: Path) -> None:
    begins = TradeBegins(tmp_path)
    begins.write("BTCUSDT", FirstTrade(1, BEGIN))
    with TradeStore(tmp_path / "part-00") as store:
        compactor = compactor_of(store, retention_days=7)
        add(store, compactor, (1, 0), (2, 59_000), (3, 60_000), (4, 7 * DAY_MS + 80_000))

        assert compactor.expire() == ["BTCUSDT"]

        assert ids(store) == [3, 4]
    assert begins.read("BTCUSDT") == FirstTrade(1, BEGIN, BEGIN + 60_000)


def test_a_symbol_is_never_judged_by_the_time_of_another(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        compactor = compactor_of(store, retention_days=7)
        add(store, compactor, (1, 0), (2, DAY_MS))
        add(store, compactor, (1, 0), (2, 29 * DAY_MS), symbol="ETHUSDT")

        assert compactor.expire() == ["ETHUSDT"]

        assert (starts(store), starts(store, "ETHUSDT")) == ([0, DAY_MS], [29 * DAY_MS])


@pytest.mark.parametrize("ahead", [11 * DAY_MS, 400 * DAY_MS, 10**13], ids=["11 days", "400 days", "beyond all keys"])
def test_one_trade_ahead_of_the_clock_deletes_nothing(tmp_path: Path, ahead: int) -> None:
    with TradeStore(tmp_path) as store:
        add(store, None, (1, 0), (2, 60_000), (3, ahead))
        compactor = compactor_of(store, retention_days=7, now=10 * DAY_MS)  # as after a restart
        add(store, compactor, (4, ahead + 1), symbol="ETHUSDT")

        assert compactor.expire() == []

        assert starts(store)[:2] == [0, 60_000]


def test_of_two_clocks_the_earlier_one_counts(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        for now, wall in ((1 * DAY_MS, 20 * DAY_MS), (20 * DAY_MS, 1 * DAY_MS)):
            compactor = compactor_of(store, retention_days=7, now=now, wall=wall)
            add(store, compactor, (1, 0), (2, 9 * DAY_MS))
            assert compactor.expire() == []

        assert compactor_of(store, retention_days=7, now=20 * DAY_MS, wall=20 * DAY_MS).expire() == ["BTCUSDT"]


def test_nothing_is_deleted_while_the_clock_is_unsure_and_that_is_said_after_an_hour(tmp_path: Path) -> None:
    incidents: list[Incident] = []
    hours = iter((0, UNSURE_MS - 1, UNSURE_MS, 2 * UNSURE_MS))
    with TradeStore(tmp_path) as store:
        compactor = compactor_of(store, retention_days=7, now=None, report=incidents.append, local=lambda: next(hours))
        add(store, compactor, (1, 0), (2, 9 * DAY_MS))
        assert [compactor.expire() for _ in range(2)] == [[], []]
        assert incidents == []

        assert [compactor.expire() for _ in range(2)] == [[], []]

        assert ids(store) == [1, 2]
    assert [(incident.kind, incident.venue, incident.cause) for incident in incidents] == [
        ("retention", "binance", "the exchange's time is not sure")
    ]


def test_clocks_that_are_days_apart_and_live_trades_of_the_future_are_incidents(tmp_path: Path) -> None:
    incidents: list[Incident] = []
    with TradeStore(tmp_path) as store:
        compactor = compactor_of(store, retention_days=7, now=DAY_MS, wall=9 * DAY_MS, report=incidents.append)
        add(store, compactor, (1, 0), (2, 2 * DAY_MS))
        compactor.expire()

        replayed = compactor_of(store, retention_days=7, now=DAY_MS, report=incidents.append)
        replayed.expire()  # begins again behind what it has stored: nothing unusual

    assert [(incident.symbol, incident.cause) for incident in incidents] == [
        ("", "the exchange's time is 2026-01-02T00:00:00+00:00, and the wall clock's 2026-01-10T00:00:00+00:00"),
        ("BTCUSDT", "trades of 2026-01-03T00:00:00+00:00 are stored, and it is 2026-01-02T00:00:00+00:00"),
    ]


@settings(max_examples=examples(10), deadline=None)
@given(
    own=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    others=st.lists(st.integers(-20, 4_000), max_size=4),
    ahead=st.lists(st.integers(1, 4_000), max_size=3),
    retention=st.integers(1, 9),
    now=st.integers(0, 25),
    wall=st.none() | st.integers(0, 25),
)
def test_what_a_symbol_keeps_follows_from_its_own_records_up_to_the_clock(
    own: list[int], others: list[int], ahead: list[int], retention: int, now: int, wall: int | None
) -> None:
    bound = now if wall is None else min(now, wall)
    past = [day for day in own if day <= bound]
    future = {day for day in own if day > bound} | {bound + days for days in ahead}
    kept = {day for day in past if day >= max(past) - retention} | future
    with tempfile.TemporaryDirectory() as path, TradeStore(Path(path)) as store:
        compactor = compactor_of(
            store, retention_days=retention, now=now * DAY_MS, wall=None if wall is None else wall * DAY_MS
        )
        add(store, compactor, *((day, day * DAY_MS) for day in {*own, *future}))
        if others:
            add(store, compactor, *((number, day * DAY_MS) for number, day in enumerate(others)), symbol="ETHUSDT")

        compactor.expire()

        assert [start // DAY_MS for start in starts(store)] == sorted(kept)


def test_nothing_expires_more_than_once_an_hour_nor_without_a_retention(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        compactor, keeper = compactor_of(store, retention_days=1), compactor_of(store)
        assert compactor.expire() == []
        add(store, compactor, (1, 0), (2, 9 * DAY_MS))

        assert compactor.expire() == []
        assert keeper.expire() == []
        assert ids(store) == [1, 2]


def test_it_stops_at_once_and_also_when_it_never_began(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        compactor_of(store).stop()
        running = compactor_of(store)
        running.start()
        running.stop()


@pytest.mark.e2e
def test_a_process_killed_while_it_merges_loses_nothing(tmp_path: Path) -> None:
    count = MINUTES * 30
    with TradeStore(tmp_path) as store:
        add(store, None, *((n, n * 2_000) for n in range(count)), (count, 4 * HOUR_MS))
    process = subprocess.Popen(
        [sys.executable, "-c", ONE_MINUTE_AT_A_TIME, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        for _ in range(5):
            assert process.stdout.readline() == b"merged\n"
        process.kill()

    with TradeStore(tmp_path) as store:
        assert ids(store) == list(range(count + 1))
        compactor = compactor_of(store)
        compactor.merge(most_records=10_000)
        assert ids(store) == list(range(count + 1))
        assert starts(store) == [*range(0, MINUTES * 60_000, 60_000), 4 * HOUR_MS]


def test_a_changed_bit_that_upkeep_finds_is_told_once_until_it_is_over(tmp_path: Path) -> None:
    path, told = tmp_path / "part-00", list[Incident]()
    with TradeStore(path) as store:
        add(store, None, *((n, n * 1_000) for n in range(100)), (100, 3 * HOUR_MS))
        store.compact()
    TradeStore(path).close()  # from then on nothing of it is in the log, and compared at the next start
    [table] = path.glob("*.sst")
    whole = table.read_bytes()
    table.write_bytes(whole[:60] + bytes([whole[60] ^ 4]) + whole[61:])
    with TradeStore(path) as store, capture_logs():
        compactor = compactor_of(store, report=told.append)
        compactor.round()
        compactor.round()
        [one] = told
        assert (one.kind, one.venue, one.symbol) == ("store_outage", "binance", "")
        assert one.cause.startswith(f"the upkeep of stored trades failed: the trade store {path} cannot be read")
        assert "Corruption" in one.cause
        assert "move it away and start again" in one.cause
    table.write_bytes(whole)
    with TradeStore(path) as store:
        again = compactor_of(store, report=told.append)
        again.round()
        assert len(told) == 1
        store.close()
        again.round()  # whatever keeps it from its work
        store.reopen()
        again.round()
    assert [incident.cause.partition(":")[0] for incident in told[1:]] == [
        "the upkeep of stored trades failed",
        "the upkeep of stored trades works again",
    ]
