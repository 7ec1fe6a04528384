"""What is none of a record is named, whatever it is, and the others are read as if it were not there."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import MOST_FILLS
from flows.model import AggregateTrade, Trade
from sinks.trades.codec import END_MS, TradeColumns, encode_columns, minute_of, period_ms
from sinks.trades.reader import TradeReader, TradeView
from sinks.trades.record_checks import BadRecord, RecordError, are_sound, fault_of, place_of, refusal_of
from sinks.trades.store import TradeStore
from tests.fakes.bad_records import CHANGES, changed, delete, put, record_of
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, trade

SYMBOL = "BTCUSDT"
SECONDS = [[trade(number * 3 + place, number * 1_000 + place) for place in range(3)] for number in range(8)]
OTHERS = [one for number, trades in enumerate(SECONDS) if number != 3 for one in trades]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TradeStore]:
    with TradeStore(tmp_path / "part-00") as store:
        for number, trades in enumerate(SECONDS):
            put(store, *record_of(trades, BEGIN + number * 1_000))
        yield store


def ids(view: TradeView, bad: list[BadRecord]) -> list[int]:
    frame = view.trades(SYMBOL, 0, END_MS, on_bad=bad.append)
    found: list[int] = frame["id"].to_list()
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_a_record_that_is_none_is_named_and_the_others_are_read(store: TradeStore, name: str) -> None:
    before = record_of(SECONDS[3], BEGIN + 3_000)
    key, value = CHANGES[name](before)
    delete(store, before[0])
    put(store, key, value)
    with TradeReader(store.path) as follower:
        for view in (TradeView([store]), follower):
            bad: list[BadRecord] = []
            assert ids(view, bad) == [one.id for one in OTHERS]
            [record] = bad
            assert (record.key, record.symbol) == (key, SYMBOL)
            assert record.reason
            with pytest.raises(RecordError) as refused:
                view.trades(SYMBOL, 0, END_MS)
            assert refused.value.record == record
            said = str(refused.value)
            assert record.reason in said
            assert said.endswith(": marketflow verify --repair --against rest replaces it")
            assert "\n" not in said
            with pytest.raises(RecordError):
                list(view.iterate(SYMBOL, 0, END_MS, rows=1))
            assert (view.symbols(), store.strays()) == ([SYMBOL], [])


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("number", [0, 7])
def test_the_first_and_the_last_trade_are_those_that_can_be_read(store: TradeStore, name: str, number: int) -> None:
    before = record_of(SECONDS[number], BEGIN + number * 1_000)
    delete(store, before[0])
    put(store, *CHANGES[name](before))
    view, bad = TradeView([store]), list[BadRecord]()
    readable = [one for place, trades in enumerate(SECONDS) if place != number for one in trades]
    found = view.first_time(SYMBOL, on_bad=bad.append), view.last_time(SYMBOL, on_bad=bad.append)
    assert found == (readable[0].time, readable[-1].time)
    assert view.last_id(SYMBOL, on_bad=bad.append) == view.last_fill(SYMBOL, on_bad=bad.append) == readable[-1].id


@pytest.mark.parametrize("name", CHANGES)
def test_a_symbol_of_which_nothing_can_be_read_has_no_trades(tmp_path: Path, name: str) -> None:
    with TradeStore(tmp_path) as store:
        for number, trades in enumerate(SECONDS[:3]):
            put(store, *CHANGES[name](record_of(trades, BEGIN + number * 1_000)))
        view, bad = TradeView([store]), list[BadRecord]()
        assert ids(view, bad) == []
        assert [view.first_time(SYMBOL, on_bad=bad.append), view.last_id(SYMBOL, on_bad=bad.append)] == [None, None]
        assert {record.key for record in bad} | {record.key for record in store.strays()}


STRAYS = [
    b"", b"\0", b"else", b"trades", b"trades:", b"trades::1767225600000", b"trades:btcusdt:1767225600000",
    b"trades:BTC USDT:1767225600000", b"trades:B\xffT:1767225600000", b"trades:1767225600000", b"trades:BTC:17672256",
    b"trades:ETHUSDT", b"trades:ETHUSDT:now", b"trades;", b"trades:\xe5:1767225600000", b"zzz", b"\xff" * 40,
]  # fmt: skip


def test_what_is_stored_under_no_key_of_a_record_is_named_and_hides_no_symbol(store: TradeStore) -> None:
    put(store, *record_of([structs.replace(SECONDS[0][0], symbol="ETHUSDT")], BEGIN))
    put(store, *record_of([structs.replace(SECONDS[0][0], symbol="AUSDT")], BEGIN))
    for key in STRAYS:
        put(store, key, b"anything")
    assert store.symbols() == ["AUSDT", SYMBOL, "ETHUSDT"]
    strays = {record.key for record in store.strays()}
    of_eth: list[BadRecord] = []
    list(store.records("ETHUSDT", 0, END_MS, on_bad=of_eth.append))
    assert strays | {record.key for record in of_eth} == set(STRAYS)
    assert {record.key for record in of_eth} == {b"trades:ETHUSDT:now"}


@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_whatever_is_stored_the_other_records_are_read_and_it_is_either_one_or_named(data: st.DataObject) -> None:
    key, value = record_of(SECONDS[3], BEGIN + 3_000)
    other = data.draw(st.booleans(), label="the key")
    new_key, new_value = (data.draw(changed(key)), value) if other else (key, data.draw(changed(value)))
    with TemporaryDirectory() as folder, TradeStore(Path(folder) / "part-00") as store:
        for number in (0, 1, 2, 4, 5, 6, 7):
            put(store, *record_of(SECONDS[number], BEGIN + number * 1_000))
        if new_key in {record_of(one, BEGIN + n * 1_000)[0] for n, one in enumerate(SECONDS) if n != 3}:
            return
        put(store, new_key, new_value)
        view, bad = TradeView([store]), list[BadRecord]()
        frame = view.trades(SYMBOL, 0, END_MS, on_bad=bad.append)
        others = {one.id for one in OTHERS}
        rows = {row[0]: row for row in frame.rows()}
        named = {record.key for record in (*bad, *store.strays())}
        place = place_of(new_key)
        if new_key in named:
            assert others == rows.keys()
        elif place is not None and place[0] == SYMBOL:  # it may be one that holds something else
            of_it = [columns for start, columns in store.records(SYMBOL, 0, END_MS) if start == place[1]]
            assert [fault_of(place[1], columns) for columns in of_it] == [""]
            assert others <= rows.keys()
        else:
            assert place is not None
            assert place[0] in view.symbols()
        for one in OTHERS:
            if one.id in rows and new_key in named:
                assert rows[one.id][3:7] == (one.time, one.price, one.quantity, one.buyer_is_maker)


FLOATS = st.sampled_from((1.0, 0.5, 0.0, -1.0, float("nan"), float("inf"), 1e18, 1e17))
CELLS = st.builds(
    AggregateTrade,
    symbol=st.just(SYMBOL),
    id=st.integers(-1, 5),
    time=st.sampled_from((BEGIN - 1, BEGIN, BEGIN + 999, BEGIN + 1_000, BEGIN + 59_999, BEGIN + 60_000)),
    price=FLOATS,
    quantity=FLOATS,
    buyer_is_maker=st.booleans(),
    event_time=st.just(0),
    first_id=st.integers(-1, 3),
    last_id=st.sampled_from((-1, 0, 2, MOST_FILLS - 1, MOST_FILLS + 3)),
    fill=st.sampled_from(("MARKET", "ADL")),
)
ONES = st.builds(
    Trade, st.just(SYMBOL), st.integers(-1, 5), st.sampled_from((BEGIN, BEGIN + 999)), st.sampled_from((1.0, 2.0)),
    st.just(1.0), st.booleans(), st.just(0), st.sampled_from(("MARKET", "MARKET", "NA")),
)  # fmt: skip
PARTS = st.tuples(
    st.sampled_from((BEGIN, BEGIN + 1_000, BEGIN + 500, -1_000)),
    st.lists(st.one_of(ONES, CELLS), min_size=1, max_size=4).map(encode_columns),
)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(PARTS, min_size=1, max_size=4))
def test_many_records_together_are_sound_when_each_is(parts: list[tuple[int, TradeColumns]]) -> None:
    each = [start >= 0 and start % 1_000 == 0 and not fault_of(start, columns) for start, columns in parts]
    assert are_sound([start for start, _ in parts], [columns for _, columns in parts]) == all(each)


@given(st.one_of(ONES, CELLS))
def test_a_trade_is_refused_when_no_record_can_hold_it(one: Trade) -> None:
    start = minute_of(one.time)
    assert bool(refusal_of(one)) == bool(fault_of(start, encode_columns([one])))
    assert start <= one.time < start + period_ms(start)


@pytest.mark.parametrize("time", [-BEGIN - 1, END_MS + 1 - BEGIN, 2**62])
def test_a_trade_of_no_time_that_a_key_can_hold_is_refused(time: int) -> None:
    assert "which no trade has" in refusal_of(trade(1, time))
