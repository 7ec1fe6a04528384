from flows.bounds import VenueRules
from flows.model import AggregateTrade, Trade
from flows.operators.trades.disputes import MOST_DISPUTES, OUTCOME, Disputes
from flows.queries import TradesQuery
from tests.fakes.trades import BEGIN, trade


def aggregate(number: int, first: int, last: int, time: int = 0) -> AggregateTrade:
    return AggregateTrade(
        symbol="BTCUSDT", id=number, time=BEGIN + time, price=1.0, quantity=1.0, buyer_is_maker=False,
        event_time=BEGIN + time, first_id=first, last_id=last,
    )  # fmt: skip


def disputed(before: Trade, behind: Trade, *, fills_follow: bool = True) -> list[tuple[str, int, int]]:
    disputes = Disputes("binance", "BTCUSDT", VenueRules(fills_follow=fills_follow))
    disputes.add(before.id, behind, "it contradicts")
    found = disputes.settle(before)
    assert disputes.settle(before) == []
    assert all(item.outcome == OUTCOME for item in found)
    return [(item.kind, item.first_id, item.last_id) for item in found]


def test_missing_fills_between_two_trades_of_rest_are_a_gap() -> None:
    assert disputed(aggregate(1, 10, 12), aggregate(2, 15, 16)) == [("gap", 13, 14)]
    assert disputed(aggregate(1, 10, 12), aggregate(2, 15, 16), fills_follow=False) == []


def test_fills_that_follow_are_no_incident() -> None:
    assert disputed(aggregate(1, 10, 12), aggregate(2, 13, 16)) == []


def test_what_goes_back_is_no_gap() -> None:
    assert disputed(aggregate(1, 10, 12), aggregate(2, 11, 16)) == [("mismatch", 2, 2)]
    assert disputed(aggregate(1, 10, 12, 9_000), aggregate(2, 13, 16)) == [("mismatch", 2, 2)]
    assert disputed(trade(1, 9_000), trade(2, 0)) == [("mismatch", 2, 2)]
    assert disputed(trade(1, 4_000), trade(2, 0)) == []


def test_what_rest_does_not_tell_stays_unknown() -> None:
    disputes = Disputes("binance", "BTCUSDT", VenueRules(fills_follow=True))
    disputes.add(1, aggregate(2, 15, 16), "it contradicts")
    disputes.on_answer(TradesQuery("BTCUSDT", 0, 1, 0, 0))
    assert disputes.settle(aggregate(1, 10, 12)) == []


def test_disputes_are_bounded() -> None:
    disputes = Disputes("binance", "BTCUSDT", VenueRules(fills_follow=True))
    for number in range(MOST_DISPUTES + 1):
        disputes.add(number, aggregate(number + 1, 15, 16), "it contradicts")
    assert disputes.settle(aggregate(0, 10, 12)) == []
    assert disputes.settle(aggregate(1, 10, 12)) != []
