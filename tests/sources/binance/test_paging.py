import pytest

from flows.model import AggregateTrade
from flows.queries import TradesQuery
from sources.binance.paging import MOST_TRADES, covering, first_of

BEGIN = 1_767_225_600_000


def aggregate(number: int) -> AggregateTrade:
    """One of three fills, ten a second."""
    first, time = 3 * number, BEGIN + 100 * number
    return AggregateTrade("BTCUSDT", number, time, 1.5, 2.0, True, time, first_id=first, last_id=first + 2)


def query(first: int, last: int) -> TradesQuery:
    return TradesQuery("BTCUSDT", first, last, BEGIN, BEGIN + 3_600_000)


def test_a_page_that_begins_behind_the_first_fill_is_asked_for_anew_from_no_later_id() -> None:
    page = [aggregate(number) for number in range(100_000, 100_010)]
    assert first_of([], query(0, 9)) is None
    assert first_of(page, query(300_000, 300_029)) is None
    assert first_of(page, query(299_991, 300_029)) == 99_991  # 99,997 has that fill, and none before it is needed
    assert first_of(page, query(0, 300_029)) == 100_000 - MOST_TRADES
    assert first_of([aggregate(2)], query(0, 9)) == 0


@pytest.mark.parametrize(("first", "last"), [(0, 2_999), (4, 2_990), (2_000, 2_002)])
async def test_the_aggregates_that_lie_wholly_within_the_ids_over_several_pages(first: int, last: int) -> None:
    market = [aggregate(number) for number in range(5_000)]

    async def page_from(first_id: int, limit: int) -> list[AggregateTrade]:
        return market[first_id : first_id + limit]

    found = await covering(query(first, last), market[:7], page_from)
    assert [one.id for one in found] == [one.id for one in market if first <= one.first_id and one.last_id <= last]
