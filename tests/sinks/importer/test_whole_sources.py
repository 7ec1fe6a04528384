"""What a source that is vouched for leaves of a store that has other trades: the same as of an empty one, but for what
it does not contradict.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import count, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, structs

from flows.bounds import BACK_MS
from flows.model import DAY_MS, AggregateTrade, Coverage, Trade, TradeBatch
from sinks.importer.whole_sources import WholeSources
from sinks.trades.codec import END_MS, MINUTE_MS, SECOND_MS
from sinks.trades.disputes import Dispute
from sinks.trades.merge import add_batches
from sinks.trades.store import TradeStore
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, cut, trade

_symbols = (f"S{number}" for number in count())
"""Each example has one of its own in the same store."""
MOST_LACKING = 12
"""Most trades in a row that a file lacks between others."""
Rows = list[tuple[int, int, float]]


class File(Struct, frozen=True):
    """A day's trades."""

    day: int
    trades: list[Trade]
    symbol: str
    is_vouched: bool = True

    @property
    def begin(self) -> int:
        return BEGIN + self.day * DAY_MS

    def batches(self, wholes: WholeSources, pieces: Iterable[Sequence[Trade]]) -> list[TradeBatch]:
        """What the importer writes of it."""
        coverage = Coverage(
            (self.symbol,), self.begin, self.begin + DAY_MS, "a day", vouched="all" if self.is_vouched else ""
        )
        wholes.begin(coverage)
        marked = [wholes.marked(batch(self.symbol, piece)) for piece in pieces if piece]
        return [*marked, *wholes.end(structs.replace(coverage, is_over=True))]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TradeStore]:
    with TradeStore(tmp_path_factory.mktemp("store")) as opened:
        yield opened


def batch(symbol: str, trades: Sequence[Trade]) -> TradeBatch:
    return TradeBatch("binance", symbol, list(trades))


def shifted(trades: Iterable[Trade], by: int) -> list[Trade]:
    return [structs.replace(one, id=one.id + by) for one in trades]


def stored(store: TradeStore, symbol: str) -> Rows:
    """All rows of all records, so that a stale copy is seen."""
    return sorted((row[0], row[3], row[4]) for _, columns in store.records(symbol, 0, END_MS) for row in columns.rows())


def rows(trades: Iterable[Trade]) -> Rows:
    return sorted((one.id, one.time, one.price) for one in trades)


def write(store: TradeStore, writes: Iterable[Sequence[TradeBatch]]) -> list[Dispute]:
    """Writes batches together as they are grouped; returns what was named before each write."""
    disputes: list[Dispute] = []
    for batches in writes:
        add_batches(store, batches, record_ms=MINUTE_MS, before_write=disputes.extend)
    return disputes


@st.composite
def days(draw: st.DrawFn) -> list[list[Trade]]:
    """One to three days of trades more than `BACK_MS` from each other, from early on each day until late."""
    made: list[list[Trade]] = []
    number = 1_000
    for day in range(draw(st.integers(1, 3), label="days")):
        time, trades = day * DAY_MS + draw(st.integers(0, 100_000)), []
        for step in draw(st.lists(st.integers(BACK_MS + 1, 90_000), min_size=1, max_size=25), label="steps"):
            trades.append(trade(number, time, 100.0 + number, sold=bool(number % 2)))
            number, time = number + 1, time + step
        made.append(trades)
    return made


@st.composite
def grouped(draw: st.DrawFn, files: list[File]) -> list[list[TradeBatch]]:
    """The batches of an import of files, cut anywhere, in any groups that are written at once."""
    wholes = WholeSources()
    batches = [batch for file in files for batch in file.batches(wholes, draw(cut(file.trades)))]
    groups = []
    while batches:
        size = draw(st.integers(1, len(batches)))
        groups.append(batches[:size])
        batches = batches[size:]
    return groups


def lacking(draw: st.DrawFn, trades: list[Trade]) -> list[Trade]:
    """A file's trades without runs in between: the first one and the last one stay."""
    holes = st.lists(st.tuples(st.integers(1, 24), st.integers(1, 6)), max_size=2)
    absent = {number for at, count in draw(holes, label="holes") for number in range(at, at + count)}
    return [one for place, one in enumerate(trades) if place not in absent or place in (0, len(trades) - 1)]


@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_a_store_of_shifted_ids_becomes_that_of_the_right_files(store: TradeStore, data: st.DataObject) -> None:
    true = data.draw(days())
    shift = data.draw(st.integers(-40, 40), label="shift")
    files = [File(day, data.draw(st.composite(lacking)(trades)), "") for day, trades in enumerate(true)]
    wrong = shifted([one for trades in true for one in trades], shift)
    right = {one.id: one for file in files for one in file.trades}
    stored_as = data.draw(st.sampled_from([SECOND_MS, MINUTE_MS]), label="stored as")
    found: list[Rows] = []
    for symbol in islice(_symbols, 2):
        of_symbol = [structs.replace(file, symbol=symbol) for file in files]
        add_batches(store, [batch(symbol, wrong)], record_ms=stored_as)
        named = write(store, data.draw(grouped(of_symbol)))
        found.append(stored(store, symbol))
        ids = {number for dispute in named for number in range(dispute.first_id, dispute.last_id + 1)}
        assert {row[0] for row in rows(wrong) if row not in found[-1]} <= ids
        written = store._db.latest_sequence_number()
        assert write(store, data.draw(grouped(of_symbol))) == []
        assert store._db.latest_sequence_number() == written
    assert found[0] == found[1]
    assert set(found[0]) >= set(rows(right.values()))
    left = [row for row in found[0] if row[0] not in right]
    assert not left or abs(shift) <= MOST_LACKING
    for number, time, _ in left:  # what has a time that it can have beside those of the file
        before, behind = max(one for one in right if one < number), min(one for one in right if one > number)
        assert right[before].time - BACK_MS <= time <= right[behind].time + BACK_MS


@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_a_store_of_true_trades_keeps_those_that_the_files_lack(store: TradeStore, data: st.DataObject) -> None:
    true, symbol = data.draw(days()), next(_symbols)
    known = [one for trades in true for one in trades if data.draw(st.booleans())]
    files = [File(day, data.draw(st.composite(lacking)(trades)), symbol) for day, trades in enumerate(true)]
    read = [
        structs.replace(file, is_vouched=data.draw(st.booleans(), label="vouched"))
        for file in files
        if data.draw(st.booleans(), label="read")
    ]
    if known:
        add_batches(store, [batch(symbol, known)], record_ms=SECOND_MS)
    assert write(store, data.draw(grouped(read))) == []
    assert stored(store, symbol) == sorted(set(rows([*known, *(one for file in read for one in file.trades)])))


@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_files_that_nothing_vouches_for_drop_nothing(store: TradeStore, data: st.DataObject) -> None:
    true, symbol = data.draw(days()), next(_symbols)
    files = [File(day, trades, symbol) for day, trades in enumerate(true)]
    shift = data.draw(st.integers(-40, 40), label="shift")
    wrong = [structs.replace(file, trades=shifted(file.trades, shift), is_vouched=False) for file in files]
    right = [one for trades in true for one in trades]
    write(store, data.draw(grouped(files)))
    write(store, data.draw(grouped(wrong)))
    assert set(stored(store, symbol)) >= set(rows(right))
    write(store, data.draw(grouped(files)))
    assert stored(store, symbol) == rows(right)


def test_single_fills_stay_beside_aggregates_whose_ids_are_others(store: TradeStore) -> None:
    fills, symbol = [trade(number, number * 6_000) for number in range(20)], next(_symbols)
    aggregates: list[Trade] = [
        AggregateTrade(**structs.asdict(trade(number, first * 6_000)), first_id=first, last_id=last)
        for number, (first, last) in enumerate([(0, 0), (1, 9), (10, 19)])
    ]
    add_batches(store, [batch(symbol, fills[len(aggregates) :])], record_ms=SECOND_MS)
    for one in File(0, aggregates, symbol).batches(WholeSources(), [aggregates]):
        add_batches(store, [one], record_ms=MINUTE_MS)
    assert stored(store, symbol) == rows([*aggregates, *fills[len(aggregates) :]])
