import pytest
from msgspec.structs import replace

from flows.clock import Now
from flows.model import Incident, StoreOnlyTrades, Trade
from flows.operators.candles.disputed_trades import (
    LEFT,
    MISPLACED_MS,
    MOST_TRIES,
    RETRY_MAX_MS,
    RETRY_MIN_MS,
    DisputedTrades,
    vouched_trades,
)
from flows.queries import DisputedTradesQuery, QueryError
from tests.fakes.trades import BEGIN, trade

QUERY = DisputedTradesQuery("BTCUSDT", 10, 19, BEGIN, BEGIN + 59_999)
NEWER = replace(QUERY, last_id=25)


def local(time: int) -> Now:
    return Now(BEGIN, time)


def asked() -> DisputedTrades:
    """One query that has left."""
    disputed = DisputedTrades("binance", "BTCUSDT")
    disputed.add(QUERY, 5)
    assert (disputed.dues(), disputed.next_queries(local(4))) == ([5], [])
    assert disputed.next_queries(local(5)) == [QUERY]
    assert (disputed.dues(), disputed.next_queries(local(6))) == ([], [])
    return disputed


def test_what_is_answered_is_stored_and_no_longer_open() -> None:
    disputed = asked()
    [stored] = disputed.take(QUERY, [trade(10, 5)], local(9))
    assert isinstance(stored, StoreOnlyTrades)
    assert (disputed.state(), disputed.dues()) == ([], [])


@pytest.mark.parametrize("answer", [QueryError("busy"), [], [replace(trade(10, 5), price=0.0)]])
def test_without_trades_it_is_asked_again_and_in_the_end_the_loss_is_named(answer: list[Trade] | QueryError) -> None:
    disputed = asked()
    now, delays, out = 5, [], disputed.take(QUERY, answer, local(5))
    while not out:
        [due] = disputed.dues()
        delays.append(due - now)
        now = due
        assert disputed.next_queries(local(now)) == [QUERY]
        out = disputed.take(QUERY, answer, local(now))
    assert delays == [min(RETRY_MIN_MS << number, RETRY_MAX_MS) for number in range(MOST_TRIES - 1)]
    [loss] = out
    assert isinstance(loss, Incident)
    assert (loss.kind, loss.begin, loss.end, loss.first_id, loss.last_id) == ("gap", BEGIN, BEGIN + 59_999, 10, 19)
    assert loss.outcome.startswith(LEFT)
    assert (disputed.state(), disputed.dues()) == ([], [])


def test_what_is_of_no_use_is_not_repeated() -> None:
    [loss] = asked().take(QUERY, QueryError("no single fills", lasting=True), local(5))
    assert isinstance(loss, Incident)
    assert loss.outcome == f"{LEFT}no single fills"


def test_an_answer_to_an_older_query_does_not_end_the_newer_one() -> None:
    for answer, count in (([trade(10, 5)], 1), (QueryError("busy"), 0)):
        disputed = asked()
        disputed.add(NEWER, 100)
        assert len(disputed.take(QUERY, answer, local(9))) == count
        assert disputed.next_queries(local(100)) == [NEWER]


def test_it_is_resumed_as_due_at_once_whether_it_was_asked_or_not() -> None:
    disputed = asked()
    later = replace(QUERY, begin=BEGIN + 60_000, end=BEGIN + 119_999)
    disputed.add(later, 10_000)
    resumed = DisputedTrades("binance", "BTCUSDT")
    resumed.resume(disputed.state())
    assert resumed.next_queries(local(0)) == [QUERY, later]


def test_the_batch_reaches_from_the_candle_to_the_trades_wherever_they_were_made() -> None:
    early, late, foreign = trade(10, -70_000), trade(11, 90_000), replace(trade(12, 0), symbol="ETHUSDT")
    batch = vouched_trades("binance", QUERY, [early, late, foreign])
    assert batch is not None
    assert (batch.trades, batch.late, batch.vouched_by) == ([early, late], True, "rest")
    assert (batch.begin, batch.end) == (early.time - MISPLACED_MS, late.time + MISPLACED_MS)
    assert vouched_trades("binance", QUERY, [foreign]) is None
