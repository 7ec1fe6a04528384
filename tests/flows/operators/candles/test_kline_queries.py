import pytest

from flows.clock import Now
from flows.operators.candles.kline_queries import (
    FEW_TRIES,
    LONGEST_MS,
    MOST_OPEN,
    MOST_TRIES,
    KlineQueries,
    next_due,
)
from flows.queries import KlinesQuery, QueryError
from tests.fakes.candles import BEGIN

MINUTE = 60_000
GRACE = 10_000


def at(local: int) -> Now:
    return Now(BEGIN + local, local)


def queries() -> KlineQueries:
    return KlineQueries("BTCUSDT", "1m", grace_ms=GRACE)


def test_one_query_spans_all_that_is_due_and_no_other_leaves_before_its_answer() -> None:
    some = queries()
    some.add(BEGIN + 2 * MINUTE, at(0))
    some.add(BEGIN, at(0))
    some.add(BEGIN + 9 * MINUTE, at(0), after_grace=True)
    assert next_due([some]) == [0]
    assert some.next_query(at(0)) == KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN + 2 * MINUTE, checks=True)
    assert (next_due([some]), some.next_query(at(GRACE))) == ([], None)
    some.take_answer()
    assert some.next_query(at(GRACE)) == KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN + 9 * MINUTE, checks=True)


@pytest.mark.parametrize("error", [None, QueryError("no network"), QueryError("not here", lasting=True)])
def test_what_is_not_answered_is_queried_again_with_growing_delays_for_a_day_and_handed_back(
    error: QueryError | None,
) -> None:
    given_up: list[int] = []
    some = queries()
    some.add(BEGIN, at(0))
    local, delays = 0, []
    while due := next_due([some]):
        delays.append(due[0] - local)
        local = due[0]
        query = some.next_query(at(local))
        assert query is not None
        some.take_answer()
        given_up += some.retry(query, error, at(local))
    assert delays == [0, *(min(GRACE * 2**tries, LONGEST_MS) for tries in range(1, MOST_TRIES))]
    assert (BEGIN in some, given_up) == (False, [BEGIN])
    assert local > 86_400_000 - LONGEST_MS


def test_a_new_version_of_the_candle_has_all_tries_again() -> None:
    some = queries()
    some.add(BEGIN, at(0))
    query = KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN, checks=True)
    for _ in range(MOST_TRIES - 1):
        some.retry(query, None, at(0))
    some.restart(BEGIN)
    assert some.retry(query, None, at(0)) == []
    assert some.due == {BEGIN: 2 * GRACE}


def test_what_was_not_answered_is_due_when_the_venue_answers_and_what_it_did_not_give_is_not() -> None:
    some = queries()
    some.add(BEGIN, at(0))
    some.add(BEGIN + MINUTE, at(0))
    for tries in range(6):
        some.retry(KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN + MINUTE, checks=True), QueryError("down"), at(tries))
    some.retry(KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN, checks=True), None, at(7))
    some.hasten(at(8))
    assert some.due == {BEGIN: 7 + GRACE * 2**7, BEGIN + MINUTE: 8}
    some.retry(KlinesQuery("BTCUSDT", "1m", BEGIN + MINUTE, BEGIN + MINUTE, checks=True), None, at(9))
    some.hasten(at(10))
    assert min(some.due.values()) > 10, "two periods that the venue has not got do not hasten each other"


def test_of_more_periods_than_are_kept_the_oldest_are_handed_back() -> None:
    some = queries()
    times = [BEGIN + minute * MINUTE for minute in range(MOST_OPEN + 3)]
    for open_time in times:
        some.add(open_time, at(0))
    query = KlinesQuery("BTCUSDT", "1m", times[0], times[-1], checks=True)
    for _ in range(FEW_TRIES - 1):
        assert some.retry(query, QueryError("down"), at(0)) == []
    assert some.retry(query, QueryError("down"), at(0)) == times[:3]
    assert list(some.due) == times[3:]


def test_what_has_come_is_not_queried_and_what_was_open_is_due_after_a_restart() -> None:
    some = queries()
    some.add(BEGIN, at(5), after_grace=True)
    some.add(BEGIN + MINUTE, at(5), after_grace=True)
    some.remove(BEGIN)
    resumed = queries()
    resumed.resume(some.state())
    assert resumed.next_query(at(0)) == KlinesQuery("BTCUSDT", "1m", BEGIN + MINUTE, BEGIN + MINUTE, checks=True)
