from flows.clock import Now
from flows.operators.candles.kline_queries import MOST_TRIES, KlineQueries, next_due
from flows.queries import KlinesQuery
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


def test_what_an_answer_lacks_is_queried_again_with_doubling_delays_until_it_is_given_up() -> None:
    some = queries()
    some.add(BEGIN, at(0))
    local, delays = 0, []
    while due := next_due([some]):
        delays.append(due[0] - local)
        local = due[0]
        query = some.next_query(at(local))
        assert query is not None
        some.take_answer()
        some.retry(query, at(local))
    assert delays == [0, *(GRACE * 2**tries for tries in range(1, MOST_TRIES))]
    assert BEGIN not in some


def test_a_new_version_of_the_candle_has_all_tries_again() -> None:
    some = queries()
    some.add(BEGIN, at(0))
    query = KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN, checks=True)
    for _ in range(MOST_TRIES - 1):
        some.retry(query, at(0))
    some.restart(BEGIN)
    some.retry(query, at(0))
    assert some.due == {BEGIN: 2 * GRACE}


def test_what_has_come_is_not_queried_and_what_was_open_is_due_after_a_restart() -> None:
    some = queries()
    some.add(BEGIN, at(5), after_grace=True)
    some.add(BEGIN + MINUTE, at(5), after_grace=True)
    some.remove(BEGIN)
    resumed = queries()
    resumed.resume(some.state())
    assert resumed.next_query(at(0)) == KlinesQuery("BTCUSDT", "1m", BEGIN + MINUTE, BEGIN + MINUTE, checks=True)
