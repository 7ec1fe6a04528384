from flows.clock import FeedClock
from flows.model import Connected, Disconnected, FeedStatus, Incident, Pulse, Rejected, Subscribed, Ticker
from flows.operators.news import News
from flows.operators.parse import Batch
from tests.fakes.trades import trade

BTC = ("BTCUSDT",)


def test_an_outage_has_a_begin_and_an_end() -> None:
    local = [0]
    clock = FeedClock(lambda: local[0])
    clock.observe(1_000)
    news = News("binance", clock)
    assert news([Connected("market", BTC, "ws://x"), Subscribed("market", BTC, ())]) == [
        FeedStatus("binance", "market", "connected", BTC),
        FeedStatus("binance", "market", "live", BTC),
    ]
    assert news([Disconnected("market", BTC, "line cut")]) == [
        FeedStatus("binance", "market", "disconnected", BTC, "line cut"),
        Incident("disconnect", "binance", "", 1_000, 1_000, "market: line cut", "reconnecting"),
    ]
    local[0] = 500
    assert news([Disconnected("market", BTC, "no route", 10, lasting=True)])[1] == Incident(
        "feed_down", "binance", "", 1_000, 1_500, "market: no route", "10 attempts failed, trying on"
    )
    local[0] = 700
    assert news([Subscribed("market", BTC, ())])[1] == Incident(
        "reconnect", "binance", "", 1_000, 1_700, "market: back", "down for 700 ms"
    )


def test_silence_is_an_incident_of_its_own_kind() -> None:
    out = News("binance", FeedClock(lambda: 0))([Disconnected("market", BTC, "silent for 60 s or more: aggT")])
    assert [item.kind for item in out if isinstance(item, Incident)] == ["silent"]


def test_before_the_feed_has_told_the_time_the_wall_clock_does() -> None:
    news = News("binance", FeedClock(lambda: 0), wall_ms=lambda: 77)
    out = news([Disconnected("market", BTC, "no route")])
    assert [(item.begin, item.end) for item in out if isinstance(item, Incident)] == [(77, 77)]


def test_refused_input_and_the_newest_ticker_pass_and_nothing_else() -> None:
    refused = Rejected("binance", "no JSON", b"x", 1)
    tickers = [Ticker("BTCUSDT", time, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1) for time in (1, 2)]
    items = [Batch("binance:BTCUSDT", [trade(1, 0)]), refused, Batch("binance:BTCUSDT", [*tickers]), Pulse()]
    assert News("binance", FeedClock(lambda: 0))(items) == [refused, tickers[1]]
