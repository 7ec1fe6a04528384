import json

import pytest

from sinks.hub.messages import Topic
from sinks.hub.subscription import DEFAULT, Ping, RequestError, Rule, Subscription, parse_request

BTC_PRICE, ETH_PRICE = Topic("MarketData", "BTCUSDT"), Topic("MarketData", "ETHUSDT")
BTC_1M, BTC_5M = Topic("Candle", "BTCUSDT", "1m"), Topic("Candle", "BTCUSDT", "5m")


def after(*requests: dict[str, object]) -> Subscription:
    subscription = DEFAULT
    for request in requests:
        rule = parse_request(json.dumps(request))
        assert isinstance(rule, Rule)
        subscription = subscription.with_rule(rule)
    return subscription


def test_who_never_asked_gets_prices_and_closed_candles() -> None:
    assert DEFAULT.wants(BTC_PRICE)
    assert DEFAULT.wants(Topic("ChartUpdate", "BTCUSDT", "1m"))
    assert not DEFAULT.wants(BTC_1M)


def test_the_first_request_narrows_and_the_next_ones_add() -> None:
    wanted = after(
        {"op": "subscribe", "channels": ["MarketData"], "symbols": ["btcusdt"]},
        {"op": "subscribe", "channels": ["Candle"], "timeframes": ["1m"]},
    )
    assert [wanted.wants(topic) for topic in (BTC_PRICE, ETH_PRICE, BTC_1M, BTC_5M)] == [True, False, True, False]


@pytest.mark.parametrize("exactly", [{}, {"channels": ["MarketData", "ChartUpdate"]}])
def test_a_request_for_exactly_the_default_stays_when_the_next_one_comes(exactly: dict[str, object]) -> None:
    wanted = after({"op": "subscribe", **exactly}, {"op": "subscribe", "channels": ["Trade"]})
    kinds = ("MarketData", "ChartUpdate", "Trade")
    assert [wanted.wants(Topic(kind, "BTCUSDT", "1m")) for kind in kinds] == [True] * 3


def test_unsubscribing_takes_away_what_it_names_and_no_more() -> None:
    wanted = after(
        {"op": "subscribe", "channels": ["MarketData", "Candle"]},
        {"op": "unsubscribe", "symbols": ["ETHUSDT"]},
    )
    assert [wanted.wants(topic) for topic in (BTC_PRICE, ETH_PRICE, BTC_1M)] == [True, False, True]


def test_the_state_of_a_line_is_for_whoever_wants_the_channel() -> None:
    assert after({"op": "subscribe", "channels": ["Status"], "symbols": ["BTCUSDT"]}).wants(Topic("Status"))


def test_ping() -> None:
    assert parse_request('{"op":"ping"}') == Ping()


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        ("not json", ""),
        ('{"op":"fly"}', "subscribe"),
        ('{"op":"subscribe","channels":["Prices"]}', "MarketData"),
        ('{"op":"subscribe","symbol":["BTCUSDT"]}', "symbol"),
        ('{"op":"subscribe","timeframes":["7m"]}', "7m"),
    ],
)
def test_what_cannot_be_understood_is_an_error_that_helps(payload: str, says: str) -> None:
    with pytest.raises(RequestError) as raised:
        parse_request(payload)
    assert says in str(raised.value)


def test_what_is_wanted_stays_the_same_when_a_symbol_is_forgotten() -> None:
    subscription = Subscription((Rule(wanted=True, channels=frozenset(["Trade"]), symbols=frozenset(["BTCUSDT"])),))
    wanted, other = Topic("Trade", "BTCUSDT"), Topic("Trade", "ETHUSDT")
    assert (subscription.wants(wanted), subscription.wants(other)) == (True, False)
    subscription.forget(lambda topic: topic.symbol in {"BTCUSDT", "ETHUSDT"})
    assert subscription._known == {}
    assert (subscription.wants(wanted), subscription.wants(other)) == (True, False)
