import subprocess
import sys
from pathlib import Path

from flows.model import DAY_MS, TradeBatch
from sinks.trade_merge import add_batches
from sinks.trade_reader import TradeView
from sinks.trade_store import TradeStore
from sinks.trade_upkeep import TradeUpkeep
from tests.fakes.trades import BEGIN, trade

ROOT = Path(__file__).parents[2]
HOUR_MS = 3_600_000
MINUTES = 40
ONE_MINUTE_AT_A_TIME = """
import sys
from pathlib import Path
from sinks.trade_store import TradeStore
from sinks.trade_upkeep import TradeUpkeep
upkeep = TradeUpkeep(TradeStore(Path(sys.argv[1])), retention_days=0, merge_after_minutes=60)
while upkeep.merge(most_records=1):
    print("merged", flush=True)
"""


def upkeep_of(store: TradeStore, *, retention_days: float = 0) -> TradeUpkeep:
    return TradeUpkeep(store, retention_days=retention_days, merge_after_minutes=60)


def add(store: TradeStore, upkeep: TradeUpkeep | None, *trades: tuple[int, int], symbol: str = "BTCUSDT") -> None:
    """Stores trades, each given as id and time after `BEGIN`."""
    seconds = add_batches(store, [TradeBatch("binance", symbol, [trade(id_, time) for id_, time in trades])])
    if upkeep:
        upkeep.on_written(seconds)


def starts(store: TradeStore, symbol: str = "BTCUSDT") -> list[int]:
    return [start - BEGIN for start in store.starts(symbol, 0, BEGIN * 2)]


def ids(store: TradeStore) -> list[int]:
    return TradeView([store]).trades("BTCUSDT", 0, BEGIN * 2)["id"].to_list()


def test_only_what_is_old_in_the_feeds_time_is_merged(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        upkeep = upkeep_of(store)
        add(store, upkeep, (1, 5_000), (2, 10_000), (3, 70_000), (4, 80_000))
        assert upkeep.merge(most_records=99) == 0

        add(store, upkeep, (5, HOUR_MS + 70_000), symbol="ETHUSDT")

        assert upkeep.merge(most_records=99) == 2
        assert starts(store) == [0, 70_000, 80_000]
        assert upkeep.merge(most_records=99) == 0  # nothing is looked at twice


def test_a_restart_goes_by_the_newest_trade_that_is_stored(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add(store, None, (1, 5_000), (2, 10_000), (3, 2 * HOUR_MS))

        upkeep_of(store).merge(most_records=99)

        assert starts(store) == [0, 2 * HOUR_MS]


def test_a_late_second_is_merged_although_its_minute_was_done(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        upkeep = upkeep_of(store)
        add(store, upkeep, (1, 5_000), (3, 50_000), (4, 100_000), (5, 2 * HOUR_MS))
        upkeep.merge(most_records=99)

        add(store, upkeep, (2, 20_000))
        assert starts(store) == [0, 20_000, 60_000, 2 * HOUR_MS]
        upkeep.merge(most_records=99)

        assert starts(store) == [0, 60_000, 2 * HOUR_MS]
        assert ids(store) == [1, 2, 3, 4, 5]


def test_a_backlog_is_worked_off_in_bounded_rounds(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        upkeep = upkeep_of(store)
        add(store, upkeep, *((n, n * 30_000) for n in range(10)), (10, 3 * HOUR_MS))
        add(store, upkeep, *((n, n * 30_000) for n in range(10)), symbol="ETHUSDT")

        assert [upkeep.merge(most_records=8) for _ in range(4)] == [8, 8, 4, 0]

        assert starts(store) == [0, 60_000, 120_000, 180_000, 240_000, 3 * HOUR_MS]
        assert starts(store, "ETHUSDT") == [0, 60_000, 120_000, 180_000, 240_000]


def test_what_is_past_its_time_goes_in_whole_minutes_and_the_rest_stays(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        upkeep = upkeep_of(store, retention_days=7)
        add(store, upkeep, (1, 0), (2, 59_000), (3, 60_000), (4, 90_000))
        add(store, upkeep, (1, 0), symbol="DELISTED")
        add(store, upkeep, (5, 7 * DAY_MS + 80_000))

        assert upkeep.expire() == ["BTCUSDT", "DELISTED"]

        assert ids(store) == [3, 4, 5]
        assert store.symbols() == ["BTCUSDT"]


def test_nothing_expires_more_than_once_an_hour_nor_without_a_retention(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        upkeep, keeper = upkeep_of(store, retention_days=1), upkeep_of(store)
        assert upkeep.expire() == []
        add(store, upkeep, (1, 0), (2, 9 * DAY_MS))

        assert upkeep.expire() == []
        assert keeper.expire() == []
        assert ids(store) == [1, 2]


def test_it_stops_at_once_and_also_when_it_never_began(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        upkeep_of(store).stop()
        running = upkeep_of(store)
        running.start()
        running.stop()


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
        upkeep = upkeep_of(store)
        upkeep.merge(most_records=10_000)
        assert ids(store) == list(range(count + 1))
        assert starts(store) == [*range(0, MINUTES * 60_000, 60_000), 4 * HOUR_MS]
