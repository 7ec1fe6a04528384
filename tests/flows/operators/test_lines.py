from flows.clock import FeedClock
from flows.model import Connected, Disconnected, FeedStatus, Incident, Subscribed
from flows.operators.lines import Lines

BTC = ("BTCUSDT",)


def test_an_outage_has_a_begin_and_an_end() -> None:
    local = [0]
    clock = FeedClock(lambda: local[0])
    clock.observe(1_000)
    lines = Lines("binance", clock)
    assert lines([Connected("market", BTC, "ws://x"), Subscribed("market", BTC, ())]) == [
        FeedStatus("binance", "market", "connected", BTC),
        FeedStatus("binance", "market", "live", BTC),
    ]
    assert lines([Disconnected("market", BTC, "line cut")]) == [
        FeedStatus("binance", "market", "disconnected", BTC, "line cut"),
        Incident("disconnect", "binance", "", 1_000, 1_000, "market: line cut", "reconnecting"),
    ]
    local[0] = 500
    assert lines([Disconnected("market", BTC, "no route", 10, lasting=True)])[1] == Incident(
        "feed_down", "binance", "", 1_000, 1_500, "market: no route", "10 attempts failed, trying on"
    )
    local[0] = 700
    assert lines([Subscribed("market", BTC, ())])[1] == Incident(
        "reconnect", "binance", "", 1_000, 1_700, "market: back", "down for 700 ms"
    )


def test_silence_is_an_incident_of_its_own_kind() -> None:
    out = Lines("binance", FeedClock(lambda: 0))([Disconnected("market", BTC, "silent for 60 s or more: aggT")])
    assert [item.kind for item in out if isinstance(item, Incident)] == ["silent"]


def test_before_the_feed_has_told_the_time_the_wall_clock_does() -> None:
    lines = Lines("binance", FeedClock(lambda: 0), wall_ms=lambda: 77)
    out = lines([Disconnected("market", BTC, "no route")])
    assert [(item.begin, item.end) for item in out if isinstance(item, Incident)] == [(77, 77)]
