from msgspec import structs

from flows.operators.trades.held import HeldTrades
from flows.operators.trades.position import Position
from tests.fakes.trades import trade


def held(*numbers: int, next_id: int = 1) -> HeldTrades:
    trades = HeldTrades(Position(next_id, counts_fills=True))
    assert trades.add([trade(number, number) for number in numbers], can_query=True) == []
    return trades


def test_the_lowest_one_is_known() -> None:
    trades = held(7, 5, 9)
    assert trades.lowest == 5
    assert trades.take([5]) == [trade(5, 5)]
    assert trades.lowest == 7
    assert trades.take_all() == [trade(7, 7), trade(9, 9)]
    assert trades.lowest == 0


def test_of_two_that_differ_neither_is_believed_where_rest_decides() -> None:
    trades, odd = held(5), structs.replace(trade(5, 5), price=99.0)
    assert trades.add([odd], can_query=True) == [trade(5, 5), odd]
    assert trades.trades == {}


def test_of_two_that_differ_the_first_one_stays_where_rest_does_not_answer() -> None:
    trades, odd = held(5), structs.replace(trade(5, 5), price=99.0)
    assert trades.add([odd], can_query=False) == []
    assert trades.trades == {5: trade(5, 5)}
    assert trades.duplicates == 1


def test_one_of_rest_takes_the_place_of_another_and_stays() -> None:
    trades, true = held(5), structs.replace(trade(5, 5), price=99.0)
    trades.add_confirmed([true])
    assert trades.add([trade(5, 5)], can_query=True) == []
    assert trades.trades == {5: true}
    assert trades.is_continued(5)


def test_those_that_continue_the_lowest_one() -> None:
    trades = held(5, 6, 7, 9)
    assert trades.first_run() == (trade(5, 5), trade(7, 7))
    assert trades.is_continued(6)
    assert not trades.is_continued(7)


def test_the_next_one_is_taken() -> None:
    trades = held(5, 6, next_id=5)
    assert trades.take_next() == trade(5, 5)
    assert trades.take_next() is None
    assert HeldTrades(Position()).take_next() is None
