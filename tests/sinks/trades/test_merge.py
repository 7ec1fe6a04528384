from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import AggregateTrade, Trade, TradeBatch
from sinks.trades.codec import END_MS, MINUTE_MS, SECOND_MS, decode_frame, encode_key
from sinks.trades.disputes import Dispute
from sinks.trades.merge import add_batches, merge_minutes
from sinks.trades.reader import TradeView
from sinks.trades.store import TradeStore
from tests.fakes.examples import examples
from tests.fakes.trades import BEGIN, cut, trade, trade_runs

END = BEGIN + 2 * 3_600_000


def batch(*trades: Trade, late: bool = False) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", list(trades), late)


def rows(store: TradeStore) -> list[tuple[int, int, float]]:
    return TradeView([store]).trades("BTCUSDT", BEGIN, END).select("id", "time", "price").rows()


def starts(store: TradeStore) -> list[int]:
    return [start - BEGIN for start in store.starts("BTCUSDT", 0, END)]


def test_trades_go_to_the_seconds_of_their_own_times(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        # Futures' times may run back a little while the ids rise.
        seconds = add_batches(store, [batch(trade(1, 999), trade(2, 1_000), trade(3, 998)), batch(trade(4, 2_000))])

        assert seconds == [("BTCUSDT", BEGIN), ("BTCUSDT", BEGIN + 1_000), ("BTCUSDT", BEGIN + 2_000)]
        record = store.record(encode_key("BTCUSDT", BEGIN))
        assert record is not None
        assert decode_frame([record])["id"].to_list() == [1, 3]


def test_old_trades_go_to_their_minutes_at_once_also_beside_seconds_that_are_there(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        trades = [trade(number, number * 7_000) for number in range(1, 20)]
        add_batches(store, [batch(*trades[2:4])])
        add_batches(store, [batch(*trades[:9])], record_ms=MINUTE_MS)
        assert add_batches(store, [batch(*trades[6:])], record_ms=MINUTE_MS) == [
            ("BTCUSDT", BEGIN), ("BTCUSDT", BEGIN + MINUTE_MS), ("BTCUSDT", BEGIN + 2 * MINUTE_MS),
        ]  # fmt: skip

        assert starts(store) == [0, 60_000, 120_000]
        assert rows(store) == [(t.id, t.time, t.price) for t in trades]
        merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=100)
        assert starts(store) == [0, 60_000, 120_000]
        assert rows(store) == [(t.id, t.time, t.price) for t in trades]


def test_a_second_that_is_rewritten_keeps_what_it_had(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(trade(1, 0, 10.0), trade(3, 2, 30.0))])
        add_batches(store, [batch(trade(2, 1, 20.0), late=True), batch(trade(3, 2, 99.0), trade(4, 3, 40.0))])

        assert rows(store) == [(n, BEGIN + n - 1, n * 10.0) for n in (1, 2, 3, 4)]


def vouched(*trades: Trade) -> TradeBatch:
    return structs.replace(batch(*trades), vouched_by="rest")


@settings(max_examples=examples(20), deadline=None)
@given(data=st.data())
def test_what_is_vouched_for_takes_the_place_of_whatever_was_stored_of_the_same_ids(data: st.DataObject) -> None:
    right = [
        trade(number, time, 10.0 + number)
        for number, time in enumerate(sorted(data.draw(st.lists(st.integers(0, 200_000), min_size=1, max_size=20))), 1)
    ]
    wrong = []
    for one in right:
        change = data.draw(st.sampled_from(["same", "absent", "price", "side", "time"]), label=str(one.id))
        match change:
            case "same":
                wrong.append(one)
            case "price":
                wrong.append(structs.replace(one, price=one.price * 10))
            case "side":
                wrong.append(structs.replace(one, buyer_is_maker=not one.buyer_is_maker))
            case "time":
                wrong.append(structs.replace(one, time=data.draw(st.integers(right[0].time, right[-1].time))))
    with TemporaryDirectory() as folder, TradeStore(Path(folder)) as store:
        if wrong:
            stored_as = data.draw(st.sampled_from([SECOND_MS, MINUTE_MS]), label="stored as")
            add_batches(store, [batch(*wrong)], record_ms=stored_as)
        disputes: list[Dispute] = []
        add_batches(store, [vouched(*right)], record_ms=MINUTE_MS, before_write=disputes.extend)

        expected = [(one.id, one.time, one.price, one.buyer_is_maker) for one in right]
        found = TradeView([store]).trades("BTCUSDT", BEGIN, END).select("id", "time", "price", "buyer_is_maker")
        assert sorted(found.rows()) == expected
        changed = [one for one in wrong if one not in right]
        assert [(one.symbol, one.trades, one.vouched_by) for one in disputes] == (
            [("BTCUSDT", len(changed), "rest")] if changed else []
        )
        written = store._db.latest_sequence_number()
        add_batches(store, [vouched(*right)], record_ms=MINUTE_MS, before_write=disputes.extend)
        assert store._db.latest_sequence_number() == written
        assert len(disputes) == bool(changed)


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("shift_ms", [-4_000, -2_500, 2_500, 4_000])
def test_a_trade_that_its_wrong_time_carried_over_the_end_of_a_minute_goes_back(
    tmp_path: Path, shift_ms: int, merged: bool
) -> None:
    right = [trade(number, 1_000 * number, float(number)) for number in range(1, 180)]
    shifted = range(BEGIN + 55_000, BEGIN + 125_000)
    wrong = [structs.replace(one, time=one.time + shift_ms) if one.time in shifted else one for one in right]
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*wrong)])
        if merged:
            merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=1_000)
        for minute in (1, 2, 0):
            of_minute = [one for one in right if one.time // MINUTE_MS == BEGIN // MINUTE_MS + minute]
            around = {"begin": of_minute[0].time - MINUTE_MS, "end": of_minute[-1].time + MINUTE_MS}
            answer = structs.replace(vouched(*of_minute), **around)
            add_batches(store, [batch(trade(180, 180_000)), answer])  # beside live ones
        assert rows(store)[:-1] == [(one.id, one.time, one.price) for one in right]


def test_what_is_vouched_for_in_two_pieces_takes_nothing_away_between_them(tmp_path: Path) -> None:
    stored = [trade(number, 10_000 * number, 1.0 + number) for number in range(60)]
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*stored)])
        span = {"begin": BEGIN + 1, "end": BEGIN + 600_000}
        pieces = [structs.replace(vouched(*some), **span) for some in (stored[:3], stored[50:])]
        add_batches(store, pieces)
        assert rows(store) == [(one.id, one.time, one.price) for one in stored]


def test_what_nothing_vouches_for_changes_nothing_and_is_named(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [vouched(trade(1, 0, 10.0), trade(2, 5, 20.0))], record_ms=MINUTE_MS)
        disputes: list[Dispute] = []
        late = [batch(trade(2, 5, 99.0), trade(3, 70_000, 30.0))]
        add_batches(store, late, record_ms=MINUTE_MS, before_write=disputes.extend)
        assert rows(store) == [(1, BEGIN, 10.0), (2, BEGIN + 5, 20.0), (3, BEGIN + 70_000, 30.0)]
        assert disputes == [Dispute("BTCUSDT", "", 1, 2, 2, BEGIN + 5, BEGIN + 5)]


@settings(max_examples=examples(20), deadline=None)
@given(data=st.data())
def test_an_id_is_stored_once_whatever_time_an_import_that_nothing_vouches_for_has_of_it(data: st.DataObject) -> None:
    step_ms = data.draw(st.sampled_from([500, 7_000, 90_000]), label="from trade to trade")
    right = [trade(number, step_ms * number, float(number)) for number in range(1, data.draw(st.integers(2, 60)))]
    moved = [
        structs.replace(one, time=BEGIN + data.draw(st.integers(0, 2 * step_ms * len(right))))
        if data.draw(st.integers(0, 9)) == 0
        else one
        for one in right
    ]
    pieces = data.draw(cut(moved))
    with TemporaryDirectory() as folder, TradeStore(Path(folder)) as store:
        if data.draw(st.booleans(), label="a checksum vouches for the stored ones"):
            add_batches(store, [structs.replace(batch(*right), vouched_by="checksum")])
        else:
            add_batches(store, [batch(*right)], record_ms=data.draw(st.sampled_from([SECOND_MS, MINUTE_MS])))
        disputes: list[Dispute] = []
        for piece in pieces:
            add_batches(store, [batch(*piece)], record_ms=MINUTE_MS, before_write=disputes.extend)
        records = [row for _, columns in store.records("BTCUSDT", 0, END_MS) for row in columns.rows()]
        assert sorted((row[0], row[3]) for row in records) == [(one.id, one.time) for one in right]
        changed = [one.id for one, other in zip(right, moved, strict=True) if one != other]
        assert sum(dispute.trades for dispute in disputes) == len(changed)
        assert all(dispute.first_id in changed and dispute.last_id in changed for dispute in disputes)


def test_a_fill_with_the_id_of_an_aggregate_of_another_minute_is_another_trade(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        aggregate = AggregateTrade(**structs.asdict(trade(2, 0)), first_id=7, last_id=9)
        add_batches(store, [batch(aggregate)], record_ms=MINUTE_MS)
        add_batches(store, [batch(trade(2, 70_000))], record_ms=MINUTE_MS)
        assert starts(store) == [0, 60_000]


def test_trades_that_are_stored_already_write_nothing(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        trades = batch(*(trade(number, number) for number in range(5)))
        add_batches(store, [trades])
        written = store._db.latest_sequence_number()

        add_batches(store, [trades, batch(trade(3, 3))])

        assert store._db.latest_sequence_number() == written


def test_trades_that_do_not_fit_are_refused_and_the_others_stored(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(trade(2**70, 0), trade(5, 1_000))])

        assert rows(store) == [(5, BEGIN + 1_000, 100.0)]


def test_seconds_become_minutes_and_stay_minutes(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*(trade(number, number * 7_000) for number in range(20)))])
        before = rows(store)

        assert merge_minutes(store, "BTCUSDT", BEGIN, BEGIN + 2 * MINUTE_MS, most_records=99) == (
            BEGIN + 2 * MINUTE_MS,
            18,
        )
        assert starts(store) == [0, 60_000, 126_000, 133_000]
        assert rows(store) == before

        written = store._db.latest_sequence_number()
        merge_minutes(store, "BTCUSDT", BEGIN, BEGIN + 2 * MINUTE_MS, most_records=99)
        assert store._db.latest_sequence_number() == written


def test_the_work_of_one_go_is_bounded(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(*(trade(number, number * 30_000) for number in range(8)))])

        reached, seen = merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=3)

        assert (reached, seen) == (BEGIN + 2 * MINUTE_MS, 4)
        assert starts(store) == [0, 60_000, 120_000, 150_000, 180_000, 210_000]


def test_a_late_second_joins_its_minute(tmp_path: Path) -> None:
    with TradeStore(tmp_path) as store:
        add_batches(store, [batch(trade(1, 5_000), trade(4, 50_000))])
        merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=99)

        add_batches(store, [batch(trade(2, 20_000), trade(3, 30_000), late=True), batch(trade(4, 50_000))])
        assert [row[0] for row in rows(store)] == [1, 2, 3, 4]  # each once, though the fourth is stored twice now

        merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=99)
        assert [row[0] for row in rows(store)] == [1, 2, 3, 4]
        assert starts(store) == [0]


@settings(max_examples=examples(10), deadline=None)
@given(st.data())
def test_any_order_of_writing_repeating_and_merging_stores_the_same(data: st.DataObject) -> None:
    trades = data.draw(trade_runs())
    batches = [batch(*part) for part in data.draw(cut(trades))]
    repeated = data.draw(st.lists(st.sampled_from(batches), max_size=5))
    order = data.draw(st.permutations(batches + repeated))
    with TemporaryDirectory() as directory, TradeStore(Path(directory)) as store:
        for item in order:
            add_batches(store, [item])
            if data.draw(st.booleans()):
                merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=data.draw(st.integers(1, 50)))

        assert rows(store) == [(t.id, t.time, t.price) for t in trades]


@pytest.mark.parametrize("is_merged", [False, True])
@pytest.mark.parametrize("later_ms", [0, 70_000])
@pytest.mark.parametrize("together", [False, True])
def test_a_trade_that_is_replaced_is_there_no_more(
    tmp_path: Path, later_ms: int, *, is_merged: bool, together: bool
) -> None:
    right = trade(2, 10)
    wrong = structs.replace(right, price=99.0, time=right.time + later_ms)
    correction = TradeBatch("binance", "BTCUSDT", [right], late=True, replaced=(wrong,))
    with TradeStore(tmp_path) as store:
        if together:
            add_batches(store, [batch(trade(1, 0), wrong), correction])
        else:
            add_batches(store, [batch(trade(1, 0), wrong)])
            if is_merged:
                merge_minutes(store, "BTCUSDT", BEGIN, END, most_records=100)
            add_batches(store, [correction])
        add_batches(store, [correction])
        assert rows(store) == [(one.id, one.time, one.price) for one in (trade(1, 0), right)]
