import pytest

from sources.replay.exchange.binance.parameters import Parameters
from sources.replay.exchange.binance.rest import TimeRange, book_or_empty, time_range, weight_of
from sources.replay.exchange.dialect import symbol_names
from tests.fakes.scripted_market import ScriptedMarket


@pytest.mark.parametrize(("size", "weight"), [(1, 5), (100, 5), (101, 25), (500, 25), (501, 50), (9_999, 50)])
def test_the_weight_is_that_of_the_first_step_that_is_large_enough(size: int, weight: int) -> None:
    assert weight_of(size, ((100, 5), (500, 25), (1_000, 50))) == weight


def test_a_range_knows_its_direction() -> None:
    both = time_range(Parameters({"startTime": "10", "endTime": "7"}))
    assert both == TimeRange(10, 7)
    assert (both.length_ms, both.is_reversed) == (-3, True)
    assert not TimeRange(7, 7).is_reversed
    assert time_range(Parameters({"endTime": "7"})) == TimeRange(None, 7)
    assert (TimeRange(None, 7).length_ms, TimeRange(7, None).is_reversed) == (None, False)


def test_a_book_is_shown_as_it_is_or_empty() -> None:
    book = {"lastUpdateId": 9, "bids": [["1", "2"]], "asks": []}
    assert book_or_empty(book) is book
    assert book_or_empty(None) == {"lastUpdateId": 0, "bids": [], "asks": []}


def test_symbols_come_in_the_order_of_the_market() -> None:
    assert symbol_names(ScriptedMarket(symbols=("B", "A"))) == ("B", "A")
