from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from flows.model import Trade
from flows.operators.candles.bucket import MAX_PARTS, Bucket, Sum
from tests.fakes.trades import BEGIN, cut, trade, trade_runs


def fields(bucket: Bucket) -> tuple[object, ...]:
    return (
        bucket.open, bucket.high, bucket.low, bucket.close, bucket.trades, bucket.first_id, bucket.last_id,
        round(bucket.volume.value, 8), round(bucket.taker_buy_volume.value, 8),
    )  # fmt: skip


def bucket_of(trades: list[Trade]) -> Bucket:
    bucket = Bucket(BEGIN, 0.0)
    bucket.add_trades(trades)
    return bucket


def test_fields_follow_the_trades() -> None:
    bucket = bucket_of([trade(1, 0, 10.0, 2.0), trade(2, 1, 12.0, 1.0, sold=True), trade(3, 2, 9.0, 3.0)])
    assert (bucket.open, bucket.high, bucket.low, bucket.close) == (10.0, 12.0, 9.0, 9.0)
    assert (bucket.trades, bucket.first_id, bucket.last_id) == (3, 1, 3)
    assert bucket.volume.value == 6.0
    assert bucket.quote_volume.value == 20.0 + 12.0 + 27.0
    assert bucket.taker_buy_volume.value == 5.0  # the trade that the taker sold is left out
    assert bucket.taker_buy_quote_volume.value == 47.0


@given(st.data())
def test_parts_merge_to_the_whole_in_any_order(data: st.DataObject) -> None:
    trades = data.draw(trade_runs())
    whole = bucket_of(trades)
    parts = [bucket_of(part) for part in data.draw(cut(trades))]
    merged = Bucket(BEGIN, 0.0)
    for part in data.draw(st.permutations(parts)):
        merged.merge(part)
    assert fields(merged) == fields(whole)


@given(trade_runs())
def test_aggregates_count_as_the_raw_trades_they_cover(trades: list[Trade]) -> None:
    assert bucket_of(trades).trades == sum(t.last_id - t.first_id + 1 for t in trades)


@given(st.lists(st.floats(-1e15, 1e15, allow_nan=False), max_size=300))
def test_a_sum_is_exact_however_long(values: list[float]) -> None:
    total = Sum()
    for value in values:
        total.append(value)
        if len(total) > MAX_PARTS:
            total.fold()
    exact = sum(map(Fraction, values), Fraction(0))
    assert len(total) <= MAX_PARTS
    assert abs(Fraction(total.value) - exact) <= Fraction(abs(total.value)) / 2**53 + Fraction(1, 2**60)


def test_an_empty_part_changes_no_price() -> None:
    bucket = bucket_of([trade(1, 0, 10.0)])
    bucket.merge(Bucket(BEGIN, 99.0))
    assert (bucket.open, bucket.high, bucket.low, bucket.close) == (10.0, 10.0, 10.0, 10.0)


@given(st.data())
def test_figures_with_another_part_are_those_of_both_merged(data: st.DataObject) -> None:
    trades = data.draw(trade_runs())
    parts = [bucket_of(part) for part in data.draw(cut(trades))]
    chosen = [*data.draw(st.permutations(parts)), Bucket(BEGIN, 99.0)]
    held, other = Bucket(BEGIN, 98.0), Bucket(BEGIN, 97.0)
    for part in chosen:
        (held if data.draw(st.booleans()) else other).merge(part)
    before = held.state(), other.state()
    shown = held.figures_with(other)
    assert (held.state(), other.state()) == before
    held.merge(other)
    assert shown == held.figures


def test_state_is_a_copy() -> None:
    bucket = bucket_of([trade(1, 0, 10.0)])
    copy = Bucket.of_state(bucket.state())
    bucket.add_trades([trade(2, 1, 11.0)])
    assert fields(copy) == fields(bucket_of([trade(1, 0, 10.0)]))
