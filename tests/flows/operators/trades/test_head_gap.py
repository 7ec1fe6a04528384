from flows.operators.trades.gaps import ENOUGH_TRIES
from flows.operators.trades.head_gap import HeadGap
from flows.operators.trades.held import HeldTrades
from flows.operators.trades.position import Position
from flows.queries import TradesQuery
from tests.fakes.trades import BEGIN, at, trade


def head_gap(*numbers: int, repair_ms: int = 30_000, repair_trades: int = 50) -> tuple[HeadGap, HeldTrades]:
    """Behind the trade 1, with others held since the begin."""
    position = Position(2, last_time=BEGIN, counts_fills=True)
    held = HeldTrades(position)
    held.add([trade(number, number) for number in numbers], can_query=True)
    held.since = BEGIN
    gap = HeadGap("BTCUSDT", position, held, reorder_ms=200, repair_ms=repair_ms, repair_trades=repair_trades)
    return gap, held


def test_stragglers_are_waited_for_before_anything_is_queried() -> None:
    gap, _ = head_gap(5)
    assert gap.reason_to_give_up(at(199)) is None
    assert gap.next_query(at(199), can_query=True, begin=BEGIN) is None
    assert gap.wait_ms(at(150), None) == 50
    assert gap.next_query(at(200), can_query=True, begin=BEGIN) == TradesQuery("BTCUSDT", 2, 4, BEGIN, BEGIN + 5)


def test_without_a_rest_side_the_gap_is_open_when_the_stragglers_are_over() -> None:
    gap, _ = head_gap(5, repair_ms=0)
    assert gap.reason_to_give_up(at(200)) == "open"
    assert not gap.must_be_checked
    assert not gap.is_unlikely


def test_a_gap_that_is_too_large_is_given_up_once_rest_knows_what_is_behind_it() -> None:
    gap, _ = head_gap(100, 101)
    assert "feed.repair_trades" in (gap.reason_to_give_up(at(200)) or "")
    assert gap.must_be_checked
    query = gap.check_query()
    assert (query.first_id, query.last_id) == (100, 101)
    assert gap.is_check(query)
    assert (
        gap.on_check(query, [trade(100, 100)], at(201)) == []
    )  # ids count fills: what came need not begin at the query
    assert not gap.must_be_checked


def test_a_denied_gap_before_a_trade_that_rest_does_not_know_is_none() -> None:
    gap, held = head_gap(5)
    query = gap.next_query(at(200), can_query=True, begin=BEGIN)
    assert query is not None
    for _ in range(ENOUGH_TRIES):
        gap.on_answer(query, [], None, at(201))
    assert (gap.reason_to_give_up(at(201)) or "").startswith("not to be had")
    assert gap.is_unlikely
    assert gap.on_check(gap.check_query(), [], at(201)) == [trade(5, 5)]
    assert held.trades == {}
    assert gap.pending is None


def test_a_gap_is_filled_when_the_position_is_behind_it() -> None:
    gap, _ = head_gap(5)
    gap.next_query(at(200), can_query=False, begin=BEGIN)
    assert gap.take_filled() is None
    gap._position.next_id = 5
    filled = gap.take_filled()
    assert filled is not None
    assert (filled.first, filled.last) == (2, 4)
    assert gap.pending is None
