from fractions import Fraction
from math import fsum, isnan, nan

from hypothesis import given
from hypothesis import strategies as st

from flows.model import Trade
from flows.operators.candles.bucket import MAX_PARTS, Bucket, Sum
from tests.fakes.trades import BEGIN, cut, trade, trade_runs


def fields(bucket: Bucket) -> tuple[object, ...]:
    return bucket.figures


def bucket_of(trades: list[Trade]) -> Bucket:
    bucket = Bucket(BEGIN, 0.0)
    bucket.add_trades(trades)
    return bucket


def test_fields_follow_the_trades() -> None:
    bucket = bucket_of([trade(1, 0, 10.0, 2.0), trade(2, 1, 12.0, 1.0, sold=True), trade(3, 2, 9.0, 3.0)])
    prices, quote_volume = (10.0, 12.0, 9.0, 9.0), 20.0 + 12.0 + 27.0
    bought, bought_value = 5.0, 47.0  # the trade that the taker sold is left out
    assert bucket.figures == (BEGIN, *prices, 6.0, quote_volume, 3, bought, bought_value, 1, 3)


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
    assert bucket_of(trades).totals.trades == sum(t.last_id - t.first_id + 1 for t in trades)


@given(st.lists(st.floats(-1e18, 1e18), max_size=100))
def test_a_folded_sum_is_the_same(values: list[float]) -> None:
    total, exact = Sum(), Fraction(0)
    for value in values:
        total.append(value)
        total.fold()
        exact += Fraction(value)
        assert sum(map(Fraction, total)) == exact


def test_what_is_exact_in_few_parts_is_kept_in_few() -> None:
    bucket = Bucket(BEGIN, 0.0)
    for number in range(1, 1_000):
        bucket.merge(bucket_of([trade(number, number, 1e12 / number, 0.1 * number, sold=number % 3 == 0)]))
        totals = bucket.totals
        sums = totals.volume, totals.quote_volume, totals.taker_buy_volume, totals.taker_buy_quote_volume
        assert max(map(len, sums)) <= MAX_PARTS


def test_a_sum_without_a_value_stays_without_one() -> None:
    total = Sum((nan, 1.0))
    total.fold()
    total.append(1.0)
    assert isnan(fsum(total))


def test_an_empty_part_changes_no_price() -> None:
    bucket = bucket_of([trade(1, 0, 10.0)])
    bucket.merge(Bucket(BEGIN, 99.0))
    assert bucket.figures[1:5] == (10.0, 10.0, 10.0, 10.0)


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


def test_a_recovered_state_has_this_form() -> None:
    """Another order or other values need another version of the builder's state."""
    sums = Sum((2.0, 1e-17)), Sum((1.0,)), Sum((0.5,)), Sum((1.0, 1e-17))
    quote_volume, bought_value, bought, volume = sums
    state = (3.0, 7, 5, frozenset((4,)), 4.0, True, 9, 1.0, 2.0, BEGIN, quote_volume, bought_value, bought, 5, volume)
    bucket = Bucket.of_state(state)
    assert bucket.figures == (BEGIN, 2.0, 4.0, 1.0, 3.0, 1.0, 2.0, 5, 0.5, 1.0, 5, 9)
    assert (bucket.covered, bucket.gaps, bucket.is_repaired) == (7, frozenset((4,)), True)
    assert bucket.state() == state
