"""Stored trades are moved to other times. At every point, also between two writes, a reader and the next writer find
every trade once and no damage; what is really lost is named.
"""

import shutil
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from rocksdict import Rdict, WriteBatch

from flows.model import Trade, TradeBatch
from sinks.trades.codec import END_MS, MINUTE_MS, SECOND_MS, encode_key
from sinks.trades.database import options_of
from sinks.trades.durable import IdSpan, read_durable
from sinks.trades.merge import add_batches, merge_minutes
from sinks.trades.reader import TradeReader
from sinks.trades.store import Moves, StoreDamagedError, TradeStore
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade

SYMBOL = "BTCUSDT"
Rows = list[tuple[int, int]]
"""Id and time of each stored row."""


class SteppedStore(TradeStore):
    """Calls `on_step` before and after everything that changes its files."""

    def __init__(self, path: Path) -> None:
        self.on_step: Callable[[], None] = lambda: None
        super().__init__(path)

    def write(self, batch: WriteBatch) -> None:
        self.on_step()
        super().write(batch)
        self.on_step()

    def on_moving(self, moves: Iterable[Moves]) -> None:
        super().on_moving(moves)
        self.on_step()

    def sync(self) -> None:
        super().sync()
        self.on_step()


def rows_of(store: TradeStore) -> Rows:
    """Every row of every record, so that a stale copy is seen."""
    return sorted((row[0], row[3]) for _, columns in store.records(SYMBOL, 0, END_MS) for row in columns.rows())


def rows(trades: Iterable[Trade]) -> Rows:
    return sorted((one.id, one.time) for one in trades)


def opened_rows(path: Path, scratch: Path) -> list[Rows]:
    """What a reader finds that opens the store now, and the next writer if this process were killed now."""
    with TradeStore(path, secondary_path=scratch / "reader") as store:
        found = [rows_of(store)]
    copy = scratch / "killed"
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("LOCK"))
    with TradeStore(copy) as store:
        found.append(rows_of(store))
    shutil.rmtree(scratch)
    return found


def losses_without(path: Path, scratch: Path, starts: Iterable[int]) -> tuple[set[int], set[int]]:
    """The ids of records that are taken from a copy, as when the log that had them is gone; and the ids that are named
    for that.
    """
    copy = scratch / "lost"
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns("LOCK"))
    with TradeStore(path, secondary_path=scratch / "reader") as store:
        records = [store.record(encode_key(SYMBOL, start)) for start in starts]
        taken = {row[0] for record in records if record for row in record.rows()}
    with Rdict(str(copy), options_of(cache_bytes=1 << 20)) as database:
        for start in starts:
            database.delete(encode_key(SYMBOL, start))
    with pytest.raises(StoreDamagedError, match="lacks trades of BTCUSDT"):
        TradeReader(copy)
    with TradeStore(copy, accepts_loss=True) as store:
        named = {id_ for loss in store.losses for id_ in range(loss.first_id, loss.last_id + 1)}
    shutil.rmtree(scratch)
    return taken, named


def batch(trades: list[Trade], replaced: tuple[Trade, ...] = (), *, is_vouched: bool = False) -> TradeBatch:
    return TradeBatch(
        "binance", SYMBOL, trades, late=bool(replaced), replaced=replaced, vouched_by="checksum" if is_vouched else ""
    )


def moved(one: Trade, by_ms: int) -> Trade:
    return structs.replace(one, time=one.time + by_ms)


@pytest.mark.slow
@settings(max_examples=examples(12), deadline=None)
@given(data=st.data())
def test_moved_trades_are_never_taken_for_lost_and_lost_ones_always_are(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(0, 4_000), min_size=4, max_size=12), label="steps")
    right = [trade(number, 60_000 + sum(steps[:number])) for number in range(1, len(steps) + 1)]
    shifts = st.sampled_from([0, 0, 0, -2_500, 2_500, -61_000, 300_000])
    stored = {one.id: moved(one, data.draw(shifts, label="wrong by")) for one in right}
    points = count()
    with TemporaryDirectory() as folder, SteppedStore(Path(folder, "store")) as store:
        allowed: list[Rows] = [[]]

        def check() -> None:
            for found in opened_rows(store.path, Path(folder, f"point-{next(points)}")):
                assert found in allowed

        def add(new: TradeBatch, record_ms: int = SECOND_MS) -> None:
            before = allowed[-1]
            allowed[:] = [before, rows(stored.values())]
            add_batches(store, [new], record_ms=record_ms)
            allowed[:] = allowed[-1:]
            assert rows_of(store) in allowed

        store.on_step = check
        add(batch(list(stored.values())))
        for _ in range(data.draw(st.integers(1, 3), label="moves")):
            if data.draw(st.booleans(), label="synced"):
                store.sync()
            if data.draw(st.booleans(), label="merged"):
                merge_minutes(store, SYMBOL, BEGIN, BEGIN + 10 * MINUTE_MS, most_records=1_000)
            known = stored[data.draw(st.sampled_from(right), label="moved").id]
            true = right[known.id - 1] if known != right[known.id - 1] else moved(known, data.draw(shifts))
            stored[known.id] = true
            add(batch([true], (known,)))
        store.sync()
        starts = list(store.starts(SYMBOL, 0, END_MS))
        lost = data.draw(st.lists(st.sampled_from(starts), min_size=1, unique=True), label="lost")
        taken, named = losses_without(store.path, Path(folder, "loss"), lost)
        assert named == taken


def wrong_and_right() -> tuple[list[Trade], list[Trade]]:
    """Every third of 60 trades is 2.5 s early, so that no second has consecutive ids."""
    right = [trade(number, 60_000 + number * 400) for number in range(1, 61)]
    return [moved(one, -2_500) if one.id % 3 == 0 else one for one in right], right


@pytest.mark.parametrize("is_vouched", [False, True])
@pytest.mark.parametrize("record_ms", [SECOND_MS, MINUTE_MS])
def test_many_trades_are_moved(tmp_path: Path, record_ms: int, *, is_vouched: bool) -> None:
    wrong, right = wrong_and_right()
    with SteppedStore(tmp_path / "store") as store:
        for one in wrong:
            add_batches(store, [batch([one])])
        store.sync()
        if is_vouched:
            add_batches(store, [batch(right, is_vouched=True)], record_ms=MINUTE_MS)
        else:
            pairs = [(new, old) for new, old in zip(right, wrong, strict=True) if new != old]
            add_batches(store, [batch([new], (old,)) for new, old in pairs], record_ms=record_ms)
        assert opened_rows(store.path, tmp_path / "unsynced") == [rows(right)] * 2
        store.sync()
        assert opened_rows(store.path, tmp_path / "synced") == [rows(right)] * 2
        start = next(store.starts(SYMBOL, BEGIN + 70_000 if record_ms == SECOND_MS and not is_vouched else 0, END_MS))
        taken, named = losses_without(store.path, tmp_path / "loss", [start])
        assert named == taken


def test_a_trade_that_is_moved_nowhere_is_not_missed(tmp_path: Path) -> None:
    right = [trade(number, 60_000 + number * 400) for number in (1, 2, 4)]
    with TradeStore(tmp_path / "store") as store:
        wrong = trade(3, 61_300)
        add_batches(store, [batch([*right[:2], wrong, right[2]])])
        store.sync()
        add_batches(store, [batch(right[2:], (wrong,))])  # the exchange has no trade 3
        assert opened_rows(store.path, tmp_path / "unsynced") == [rows(right)] * 2
        store.sync()
        assert opened_rows(store.path, tmp_path / "synced") == [rows(right)] * 2


def test_a_wrong_trade_and_the_right_one_may_come_together_and_again(tmp_path: Path) -> None:
    right = trade(2, 70_000)
    wrong = moved(right, -9_500)
    pair = [batch([trade(1, 60_000), wrong, trade(3, 60_900)]), batch([right], (wrong,))]
    with TradeStore(tmp_path / "store") as store:
        for point in range(3):
            add_batches(store, pair[:1] if point == 1 else pair)  # the second write is one that is repeated and cut
            store.sync()
            for found in opened_rows(store.path, tmp_path / f"point-{point}"):
                assert set(found) >= set(rows([trade(1, 60_000), right, trade(3, 60_900)]))
        assert rows_of(store) == rows([trade(1, 60_000), right, trade(3, 60_900)])


def test_a_move_that_only_the_older_of_two_logs_knows_is_recorded_there(tmp_path: Path) -> None:
    right = trade(2, 70_000)
    wrong = moved(right, -9_500)
    with TradeStore(tmp_path / "store") as store:
        add_batches(store, [batch([trade(1, 60_000), wrong, trade(3, 60_900)])])
        store.sync()
        [log] = sorted(file.name for file in store.path.glob("*.log"))
        add_batches(store, [batch([right], (wrong,))])
        durable = read_durable(store.path)
        assert durable is not None
        assert durable.logged == {log: {SYMBOL: [IdSpan(1, 3, BEGIN + 60_000, BEGIN + 70_000)]}}


def test_what_is_deleted_for_its_age_may_have_later_ids(tmp_path: Path) -> None:
    kept = [trade(2, 120_500), trade(4, 121_000)]
    with TradeStore(tmp_path / "store") as store:
        add_batches(store, [batch([trade(1, 60_000), kept[0], trade(3, 119_900), kept[1]])])
        store.sync()
        store.delete_before(SYMBOL, BEGIN + 120_000)
        assert opened_rows(store.path, tmp_path / "scratch") == [rows(kept)] * 2


def test_a_wrong_trade_may_come_together_with_one_that_is_vouched_for(tmp_path: Path) -> None:
    right = [trade(number, 60_000 + number * 1_000) for number in (1, 2, 3)]
    wrong = trade(2, 3_000)
    with TradeStore(tmp_path / "store") as store:
        add_batches(store, [batch([wrong])], record_ms=MINUTE_MS)
        add_batches(store, [batch([wrong]), batch(right, is_vouched=True)], record_ms=MINUTE_MS)
        store.sync()
        assert opened_rows(store.path, tmp_path / "scratch") == [rows(right)] * 2
