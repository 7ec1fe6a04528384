from flows.clock import FeedClock
from flows.model import Connected, Disconnected, FeedStatus, Flush, Incident, Rejected, Removed, Subscribed
from flows.operators.parse import Batch, Validated
from flows.operators.status.channels import UNCONFIRMED
from flows.operators.status.line_status import LineStatus
from sources.connection.session import unexpected
from tests.fakes.candles import ticker_of_ones
from tests.fakes.trades import trade

BTC = ("BTCUSDT",)


def test_an_outage_has_a_begin_and_an_end() -> None:
    local = [0]
    clock = FeedClock(lambda: local[0])
    clock.observe(1_000)
    news = LineStatus("binance", clock)
    assert news([Connected("market", BTC, "ws://x"), Subscribed("market", BTC, ())]) == [
        FeedStatus("binance", "market", "connected", BTC, UNCONFIRMED),
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


def test_an_outage_that_begins_before_the_venues_time_is_known_is_counted_in_full() -> None:
    local = [50]
    clock = FeedClock(lambda: local[0])
    news = LineStatus("binance", clock, wall_ms=lambda: 9_000_000)
    assert news([Disconnected("market", BTC, "no route")])[1] == Incident(
        "disconnect", "binance", "", 9_000_000, 9_000_000, "market: no route", "reconnecting"
    )
    local[0] = 2_050
    clock.observe(1_000_000)  # far behind the wall clock, as a replayed market is
    assert news([Disconnected("market", BTC, "no route", 10, lasting=True)])[1] == Incident(
        "feed_down", "binance", "", 998_000, 1_000_000, "market: no route", "10 attempts failed, trying on"
    )
    local[0] = 3_050
    assert news([Subscribed("market", BTC, ())])[1] == Incident(
        "reconnect", "binance", "", 998_000, 1_001_000, "market: back", "down for 3000 ms"
    )


def test_a_line_that_is_connected_says_why_it_is_not_live_and_how_it_failed_before() -> None:
    news = LineStatus("binance", FeedClock(lambda: 0))

    def connected() -> str:
        found = news([Connected("market", BTC, "ws://x")])[0]
        assert isinstance(found, FeedStatus)
        return found.reason

    news([Disconnected("market", BTC, "no route", 3)])
    assert connected() == f"{UNCONFIRMED}; before that: no route"
    news([Subscribed("market", BTC, ()), Disconnected("market", BTC, "-1121", is_refusal=True)])
    assert connected() == UNCONFIRMED


def test_an_outage_is_counted_in_full_while_the_clock_is_unsure() -> None:
    local = [0]
    clock = FeedClock(lambda: local[0])
    clock.tick(0)
    clock.observe(1_000)
    news = LineStatus("binance", clock)
    news([Disconnected("market", BTC, "no route")])
    local[0] = 9_000
    clock.tick(local[0])
    back = news([Subscribed("market", BTC, ())])[1]
    assert isinstance(back, Incident)
    assert (clock.is_sure, back.outcome) == (False, "down for 9000 ms")


def test_silence_is_an_incident_of_its_own_kind() -> None:
    out = LineStatus("binance", FeedClock(lambda: 0))(
        [Disconnected("market", BTC, "silent for 60 s: a witness knows more")]
    )
    assert [item.kind for item in out if isinstance(item, Incident)] == ["silent"]


def test_a_line_that_ended_by_an_error_of_ours_is_an_incident_of_that_kind() -> None:
    out = LineStatus("binance", FeedClock(lambda: 0))([Disconnected("market", BTC, unexpected(KeyError("x")))])
    assert [(item.kind, item.cause) for item in out if isinstance(item, Incident)] == [
        ("error", "market: unexpected error: KeyError: 'x'")
    ]


def test_before_the_feed_has_told_the_time_the_wall_clock_does() -> None:
    news = LineStatus("binance", FeedClock(lambda: 0), wall_ms=lambda: 77)
    out = news([Disconnected("market", BTC, "no route")])
    assert [(item.begin, item.end) for item in out if isinstance(item, Incident)] == [(77, 77)]


def test_refused_input_and_the_newest_ticker_pass_and_nothing_else() -> None:
    refused = Rejected("binance", "no JSON", b"x", 1)
    tickers = [ticker_of_ones(event_time=time) for time in (1, 2)]
    items: list[Validated] = [
        Batch("binance:BTCUSDT", [trade(1, 0)]),
        refused,
        Batch("binance:BTCUSDT", [*tickers]),
        Flush(),
    ]
    out = LineStatus("binance", FeedClock(lambda: 0))(items)
    assert [item for item in out if not isinstance(item, Incident)] == [refused, tickers[1]]


def test_refused_messages_are_an_incident_the_first_at_once_and_the_others_together() -> None:
    local = [0]
    clock = FeedClock(lambda: local[0])
    clock.observe(1_000)
    news = LineStatus("binance", clock)

    def told(*items: Validated) -> list[Incident]:
        return [item for item in news(list(items)) if isinstance(item, Incident)]

    def reject(begin: int, end: int, cause: str) -> Incident:
        return Incident("reject", "binance", "", begin, end, cause, "kept out of everything")

    refused = [Rejected("binance", reason, b"x", 1) for reason in ("no JSON", "no price", "no time")]
    assert told(refused[0]) == [reject(1_000, 1_000, "messages refused: 1, the last one for this: no JSON")]
    local[0] = 400
    assert told(refused[1], Flush()) == []
    local[0] = 600
    assert told(refused[2]) == []
    local[0] = 1_000
    assert told(Flush()) == [reject(1_400, 2_000, "messages refused: 2, the last one for this: no time")]
    assert told(refused[0], Flush(final=True)) == [
        reject(2_000, 2_000, "messages refused: 1, the last one for this: no JSON")
    ]


def test_no_incident_begins_behind_its_end_when_the_venues_clock_is_set_back() -> None:
    clock = FeedClock(lambda: 0)
    news = LineStatus("binance", clock)
    refused = Rejected("binance", "no JSON", b"x", 1)
    clock.set_to(90_000_000)
    out = news([refused, refused, Flush()])
    out += news([refused, Disconnected("market", BTC, "line cut")])
    clock.set_to(1_000)
    out += news([Disconnected("market", BTC, "no route"), Subscribed("market", BTC, ()), refused, Flush(final=True)])
    begins = [(item.begin, item.end) for item in out if isinstance(item, Incident)]
    assert begins[-3:] == [(1_000, 1_000)] * 3
    assert all(begin <= end for begin, end in begins)


def test_the_light_of_a_line_names_what_is_on_it_as_symbols_come_and_go() -> None:
    news = LineStatus("binance", FeedClock(lambda: 0))
    news([Subscribed("market", BTC, ())])
    assert news([Subscribed("market", ("ETHUSDT",), ())]) == [
        FeedStatus("binance", "market", "live", ("BTCUSDT", "ETHUSDT"))
    ]
    assert news([Removed("market", BTC, ("kline",), is_gone=False)]) == []
    assert news([Removed("market", BTC, ("aggTrade",), is_gone=True)]) == [
        FeedStatus("binance", "market", "live", ("ETHUSDT",)),
        FeedStatus("binance", "market", "removed", BTC, "not wanted any more"),
    ]


def test_what_goes_while_a_line_is_down_does_not_make_it_live() -> None:
    news = LineStatus("binance", FeedClock(lambda: 0))
    both = ("BTCUSDT", "ETHUSDT")
    news([Subscribed("market", both, ()), Disconnected("market", both, "line cut")])
    assert news([Removed("market", BTC, ("aggTrade",), is_gone=True)]) == [
        FeedStatus("binance", "market", "removed", BTC, "not wanted any more")
    ]
    assert [item.kind for item in news([Subscribed("market", ("ETHUSDT",), ())]) if isinstance(item, Incident)] == [
        "reconnect"
    ]


def test_a_symbol_that_joins_another_connection_does_not_end_an_outage() -> None:
    news = LineStatus("binance", FeedClock(lambda: 0))
    news([Subscribed("market", BTC, ()), Disconnected("market", BTC, "line cut")])
    assert [type(item) for item in news([Subscribed("market", ("ETHUSDT",), ())])] == [FeedStatus]


def test_a_symbol_is_told_as_removed_once_no_line_carries_it() -> None:
    news = LineStatus("binance", FeedClock(lambda: 0))
    both = ("BTCUSDT", "ETHUSDT")
    news([Subscribed("market", both, ()), Subscribed("public", both, ())])
    assert news([Removed("public", BTC, ("depth",), is_gone=True)]) == [
        FeedStatus("binance", "public", "live", ("ETHUSDT",))
    ]
    assert news([Removed("market", BTC, ("aggTrade",), is_gone=True)]) == [
        FeedStatus("binance", "market", "live", ("ETHUSDT",)),
        FeedStatus("binance", "market", "removed", BTC, "not wanted any more"),
    ]


def test_a_refused_instrument_is_named_and_its_connection_is_not_said_to_be_down() -> None:
    status = LineStatus("binance", FeedClock(lambda: 0), wall_ms=lambda: 5)
    reason = "the venue refused the subscription of ethusdt@aggTrade: no"
    found = status([Disconnected("market", ("ETHUSDT",), reason, is_refusal=True)])
    [incident] = [one for one in found if isinstance(one, Incident)]
    assert (incident.kind, incident.symbol, "reconnecting" in incident.outcome) == ("disconnect", "ETHUSDT", False)
