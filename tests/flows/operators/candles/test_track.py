import pytest

from flows.clock import Now
from flows.model import Candle, CandleStatus, Incident, StoreOnly
from flows.operators.candles.track import Track
from tests.fakes.candles import BEGIN, candle, kline_like

MINUTE = 60_000


def track(*, is_shortest: bool = True) -> Track:
    return Track("1m", venue="binance", symbol="BTCUSDT", grace_ms=0, kept_ms=5 * MINUTE, is_shortest=is_shortest)


def test_each_version_with_another_content_has_the_next_revision() -> None:
    some = track()
    assert some.publish(candle()) == [candle()]
    assert some.publish(candle(event_time=BEGIN + 99_000)) == []
    assert some.publish(candle(trades=43)) == [candle(trades=43, revision=1)]


def test_a_proof_alone_is_for_the_store_alone() -> None:
    some = track()
    some.publish(candle())
    assert some.publish(candle(), "equal") == [StoreOnly(candle(proof="equal"))]
    assert some.publish(candle(), "equal") == []


@pytest.mark.parametrize("status", ["partial", "unproven"])
def test_what_may_lack_trades_does_not_replace_the_exchanges_version(status: CandleStatus) -> None:
    some = track()
    [venues] = some.publish_kline(kline_like(candle()))
    assert isinstance(venues, Candle)
    assert venues.status == "venue"
    assert some.publish(candle(status=status, trades=3)) == []
    assert some.publish(candle(status="repaired")) == [candle(status="repaired", revision=1)]


def test_only_the_shortest_timeframe_reports_that_trades_are_missing() -> None:
    lacking = candle(status="partial")
    assert [type(item) for item in track().publish(lacking)] == [Candle, Incident]
    assert track(is_shortest=False).publish(lacking) == [lacking]


def test_a_candle_that_lacks_trades_is_reported_once_while_some_of_them_come() -> None:
    some = track()
    found = [some.publish(candle(status="partial", trades=trades)) for trades in range(1, 20)]
    assert [type(item) for out in found for item in out if not isinstance(item, Candle)] == [Incident]
    some.publish(candle(status="repaired"))
    assert [type(item) for item in some.publish(candle(status="partial"))] == [Candle, Incident]


def test_what_ended_long_before_the_newest_trade_is_forgotten_but_for_what_is_to_be_queried() -> None:
    some = track()
    for minute in range(4):
        some.close(candle(minute))
        some.publish(candle(minute))
    some.queries.add(BEGIN + 2 * MINUTE, Now(0, 0))
    some.close(candle(20))
    assert list(some.published) == [BEGIN + 2 * MINUTE]
    some.queries.remove(BEGIN + 2 * MINUTE)
    some.close(candle(21, trades=0))
    assert list(some.published) == []


def test_what_is_to_be_queried_for_long_keeps_nothing_else_in_memory() -> None:
    some = track()
    for minute in range(500):
        some.close(candle(minute))
        some.publish(candle(minute))
        if minute in (0, 7):
            some.queries.add(candle(minute).open_time, Now(0, 0))
        assert len(some.published) <= 2 + 6
    assert {BEGIN, BEGIN + 7 * MINUTE} < set(some.published)


def test_periods_in_a_row_that_are_given_up_are_one_incident() -> None:
    some = track()
    for minute in (1, 2):
        some.publish(candle(minute, status="unproven" if minute == 2 else "final"))
    found = some.give_up([BEGIN + MINUTE, BEGIN + 2 * MINUTE, BEGIN + 9 * MINUTE], "no network")
    assert [(one.begin, one.end, one.first_id) for one in found] == [
        (BEGIN + MINUTE, BEGIN + 3 * MINUTE - 1, candle(1).first_id),
        (BEGIN + 9 * MINUTE, BEGIN + 10 * MINUTE - 1, -1),
    ]
    assert some.give_up([], "no network") == []


def test_empty_candles_move_no_memory() -> None:
    some = track()
    some.close(candle(0))
    some.publish(candle(0))
    some.close(candle(20, trades=0))
    assert list(some.published) == [BEGIN]
