"""A process is killed while its store has two logs, one of them of a table that was not ready yet. Each is damaged in
each way: what was durable is read, or its ids are named.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from flows.model import Incident, TradeBatch
from sinks.trades.durable import read_durable
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeReader, TradeView
from sinks.trades.store import StoreDamagedError, TradeStore, check_store
from sinks.trades.writer import TradeWriter
from tests.fakes.trades import BEGIN, trade

ROOT = Path(__file__).parents[3]
SYMBOLS = ("BTCUSDT", "ETHUSDT")
EACH = 2_500
UNKNOWN = 700
"""An id that was never stored: holes that were there before are no damage."""
KILLED_WITH_TWO_LOGS = """
import os, signal, sys
from itertools import count
from pathlib import Path
from sinks.trades.merge import add_batches
from sinks.trades.store import TradeStore
from tests.sinks.trades.test_logs import batches_of
path = Path(sys.argv[1])
store = TradeStore(path)
for number in count():
    with store.lock:
        add_batches(store, batches_of(number))
    store.sync()
    print(number, flush=True)
    if len([log for log in path.glob("*.log") if log.stat().st_size]) > 1:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@cache
def batches_of(number: int) -> list[TradeBatch]:
    """The trades of one synced write, a second of them for each symbol."""
    ids = range(number * EACH, (number + 1) * EACH)
    trades = [trade(id_, number * 1_000, 100 + id_ % 977 / 7, id_ % 1_009 / 3 + 1) for id_ in ids if id_ != UNKNOWN]
    return [TradeBatch("binance", symbol, trades) for symbol in SYMBOLS]


def logs_of(path: Path) -> list[Path]:
    return sorted(log for log in path.glob("*.log") if log.stat().st_size)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """The files that it leaves, and how many writes were durable."""
    while True:  # the table may have been ready at the last moment
        path = tmp_path_factory.mktemp("killed") / "part-00"
        done = subprocess.run(
            [sys.executable, "-c", KILLED_WITH_TWO_LOGS, str(path)], cwd=ROOT, capture_output=True, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        if len(logs_of(path)) == 2:
            return path, len(done.stdout.split())


def emptied(log: Path) -> None:
    log.write_bytes(b"")


def halved(log: Path) -> None:
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def flipped(log: Path) -> None:
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 4
    log.write_bytes(content)


def stored_ids(store: TradeStore, symbol: str) -> set[int]:
    return set(TradeView([store]).trades(symbol, 0, BEGIN * 2)["id"].to_list())


def named_ids(incidents: list[Incident], symbol: str) -> set[int]:
    return {id_ for one in incidents if one.symbol == symbol for id_ in range(one.first_id, one.last_id + 1)}


@pytest.mark.e2e
@pytest.mark.parametrize("how", [Path.unlink, emptied, halved, flipped])
@pytest.mark.parametrize("place", [0, 1])
def test_what_a_damaged_log_held_is_named_by_its_ids(
    killed: tuple[Path, int], tmp_path: Path, place: int, how: Callable[[Path], None]
) -> None:
    path, writes = tmp_path / "part-00", killed[1]
    shutil.copytree(killed[0], path)
    how(logs_of(path)[place])
    check_store(path)  # the flow may start
    with pytest.raises(StoreDamagedError, match=r"lacks .*: start the flow, which opens it, names what is lost"):
        TradeReader(path)

    incidents: list[Incident] = []
    writer = TradeWriter(path, venue="binance", retention_days=0, on_incident=incidents.append)
    durable = set(range(writes * EACH)) - {UNKNOWN}
    for symbol in SYMBOLS:
        there = stored_ids(writer._store, symbol)
        assert named_ids(incidents, symbol) == durable - there != set()
        assert there - durable == set()
    assert {one.kind for one in incidents} == {"store_outage"}
    with TradeReader(path) as reader:
        for symbol in SYMBOLS:
            first = min(durable - stored_ids(writer._store, symbol))
            before = reader.before_lost(symbol)
            assert before is not None
            assert before[0] == first - 1
            assert before[1] <= BEGIN + first // EACH * 1_000

    for number in range(writes):
        writer.write([TradeBatch("binance", b.symbol, b.trades, late=True) for b in batches_of(number)])
    writer.close()
    with TradeReader(path) as reader:
        for symbol in SYMBOLS:
            assert set(reader.trades(symbol, 0, BEGIN * 2)["id"].to_list()) == durable
            assert reader.before_lost(symbol) is None


@pytest.mark.e2e
def test_without_damage_nothing_is_named(killed: tuple[Path, int], tmp_path: Path) -> None:
    path = tmp_path / "part-00"
    shutil.copytree(killed[0], path)
    incidents: list[Incident] = []
    with TradeReader(path) as reader:
        assert reader.before_lost(SYMBOLS[0]) is None
    TradeWriter(path, venue="binance", retention_days=0, on_incident=incidents.append).close()
    assert incidents == []


@pytest.mark.e2e
def test_what_was_deleted_for_its_age_is_not_lost(killed: tuple[Path, int], tmp_path: Path) -> None:
    path, writes = tmp_path / "part-00", killed[1]
    shutil.copytree(killed[0], path)
    with TradeStore(path) as store:
        for number in range(writes, 2 * writes):
            with store.lock:
                add_batches(store, batches_of(number))
        store.sync()
        store.delete_before(SYMBOLS[0], BEGIN + (writes + writes // 2) * 1_000)
        store.delete_before(SYMBOLS[1], BEGIN * 2)
        copy = tmp_path / "copy" / "part-00"
        shutil.copytree(path, copy)  # before the next sync
    durable = read_durable(copy)
    assert durable is not None
    assert [span.first_id for span in durable.spans()[SYMBOLS[0]]] == [(writes + writes // 2) * EACH]
    with TradeStore(copy) as store:
        assert store.losses == []
        assert min(stored_ids(store, SYMBOLS[0])) == (writes + writes // 2) * EACH
        assert stored_ids(store, SYMBOLS[1]) == set()
