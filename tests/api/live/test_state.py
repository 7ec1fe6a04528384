"""The state of a venue, and how old it is."""

from api.live.messages import News
from api.live.state import VenueState
from api.live.venue_time import VenueTime
from flows.model import ChannelStatus, FeedStatus, Heartbeat, Incident, InstrumentStatus, MarketData
from sinks.hub.payloads import (
    FeedStatusUpdate,
    HeartbeatBody,
    HeartbeatUpdate,
    IncidentBody,
    InstrumentBody,
    InstrumentStatusUpdate,
    MarketDataBody,
    StatusBody,
)
from tests.fakes.candles import BEGIN, gap


def price(value: float, time_ms: int, symbol: str = "BTCUSDT", stamp_ms: int | None = None) -> News:
    """A price of this time, published at once unless the hub stamped it later."""
    body = MarketDataBody.of(MarketData("binance", symbol, value, time_ms))
    return News("binance", "MarketData", body, time_ms if stamp_ms is None else stamp_ms, 1)


def heartbeat(time_ms: int) -> News:
    body = HeartbeatBody.of(HeartbeatUpdate(Heartbeat("binance", time_ms), "replay"))
    return News("binance", "Status", body, time_ms or BEGIN, 4)


def state(word: str, symbol: str, *, carried: bool = True) -> News:
    channels = (ChannelStatus("trades", word, BEGIN),) if carried else ()  # type: ignore[arg-type]
    news = InstrumentStatus("binance", symbol, word, BEGIN, channels=channels)  # type: ignore[arg-type]
    return News("binance", "Status", InstrumentBody.of(InstrumentStatusUpdate(news, "replay")), BEGIN, 5)


def status(state: str, symbol: str = "ETHUSDT") -> News:
    news = FeedStatusUpdate(FeedStatus("binance", "market", state, (symbol,)), "replay")  # type: ignore[arg-type]
    return News("binance", "Status", StatusBody.of(news), BEGIN, 2)


def incident(one: Incident) -> News:
    return News("binance", "Incident", IncidentBody.of(one), BEGIN, 3)


def test_ages_are_in_the_feeds_time_carried_forward() -> None:
    local = [0]
    board = VenueState("binance", VenueTime(lambda: local[0]))
    board.take(price(1.0, BEGIN - 5_000, "ETHUSDT"))
    board.take(price(2.0, BEGIN))
    old, new = board.latest("MarketData", "ETHUSDT"), board.latest("MarketData", "BTCUSDT")
    assert old is not None
    assert new is not None
    assert (board.age_ms(old), board.age_ms(new)) == (5_000, 0)
    local[0] = 250
    assert (board.age_ms(old), board.age_ms(new)) == (5_250, 250)


def test_what_is_said_before_the_market_speaks_does_not_tell_the_time() -> None:
    local = [0]
    board = VenueState("binance", VenueTime(lambda: local[0]))
    board.take(status("connected"))
    board.take(incident(gap()))
    assert board.clock.now_ms == 0
    board.take(price(1.0, BEGIN - 86_400_000))
    local[0] = 250
    assert board.clock.now_ms == BEGIN - 86_400_000 + 250


def test_it_knows_the_latest_of_everything_and_the_symbols_of_the_lines() -> None:
    board = VenueState("binance")
    for news in (price(1.0, BEGIN), price(2.0, BEGIN + 1), status("connected"), status("live")):
        board.take(news)
    assert [news.body.price for news in board.all_latest("MarketData")] == [2.0]
    assert [news.body.state for news in board.lines()] == ["live"]
    assert (board.symbols(), board.origin) == ({"BTCUSDT", "ETHUSDT"}, "replay")
    assert board.counts == {"MarketData": 2, "Status": 2}


def test_what_has_happened_is_not_forgotten_with_the_present() -> None:
    board = VenueState("binance")
    board.take(price(1.0, BEGIN))
    board.take(incident(gap()))
    board.forget()
    assert board.symbols() == set()
    assert [news.body.first_id for news in board.incidents] == [7]


def test_a_symbol_that_is_removed_is_forgotten_and_the_lines_stay() -> None:
    board = VenueState("binance")
    for news in (status("live"), price(1.0, BEGIN), price(2.0, BEGIN, "ETHUSDT"), status("removed", "BTCUSDT")):
        board.take(news)
    assert board.latest("MarketData", "BTCUSDT") is None
    assert [news.body.price for news in board.all_latest("MarketData")] == [2.0]
    assert ([news.body.state for news in board.lines()], board.symbols()) == (["live"], {"ETHUSDT"})


def test_a_price_that_is_told_again_is_as_old_as_it_was() -> None:
    board = VenueState("binance", VenueTime(lambda: 0))
    board.take(heartbeat(BEGIN + 9_000))
    board.take(price(1.0, BEGIN, stamp_ms=BEGIN + 9_000))
    news = board.latest("MarketData", "BTCUSDT")
    assert news is not None
    assert board.age_ms(news) == 9_000


def test_no_message_of_the_market_moves_the_clock_once_there_are_heartbeats() -> None:
    local = [0]
    board = VenueState("binance", VenueTime(lambda: local[0]))
    board.take(price(1.0, BEGIN + 10**9, "ETHUSDT"))
    board.take(heartbeat(BEGIN))
    board.take(price(1.0, BEGIN))
    board.take(price(1.0, BEGIN + 10**9, "XUSDT"))
    local[0] = 500
    news = board.latest("MarketData", "BTCUSDT")
    assert news is not None
    assert (board.clock.now_ms, board.age_ms(news)) == (BEGIN + 500, 500)
    board.take(heartbeat(BEGIN - 3_000))
    assert board.clock.now_ms == BEGIN - 3_000, "the venue's clock was set back"


def test_a_time_that_is_not_yet_makes_nothing_young_for_long() -> None:
    local = [0]
    board = VenueState("binance", VenueTime(lambda: local[0]))
    board.take(heartbeat(BEGIN))
    board.take(price(1.0, BEGIN + 10**9, stamp_ms=BEGIN))
    news = board.latest("MarketData", "BTCUSDT")
    assert news is not None
    local[0] = 700
    assert board.age_ms(news) == 700


def test_a_heartbeat_that_does_not_know_the_time_is_a_sign_of_life_all_the_same() -> None:
    local = [0]
    board = VenueState("binance", VenueTime(lambda: local[0]))
    assert not board.publishes_states
    board.take(heartbeat(0))
    local[0] = 300
    assert (board.publishes_states, board.clock.silent_ms, board.clock.now_ms) == (True, 300, 0)


def test_states_are_known_by_symbol_and_go_with_what_else_was_known() -> None:
    board = VenueState("binance")
    for news in (state("live", "BTCUSDT"), state("cut", "ETHUSDT"), state("silent", "BTCUSDT"), heartbeat(BEGIN)):
        board.take(news)
    assert {symbol: body.state for symbol, body in board.states.items()} == {"BTCUSDT": "silent", "ETHUSDT": "cut"}
    assert (board.symbols(), board.lines()) == ({"BTCUSDT", "ETHUSDT"}, [])
    board.take(status("removed", "BTCUSDT"))
    assert set(board.states) == {"ETHUSDT"}
    board.forget()
    assert (board.states, board.publishes_states) == ({}, False)


def test_what_the_exchange_does_not_list_has_a_state_and_is_not_followed() -> None:
    board = VenueState("binance")
    board.take(state("gone", "NOSUCH", carried=False))
    assert (board.symbols(), set(board.states)) == (frozenset(), {"NOSUCH"})
    board.take(state("live", "NOSUCH"))
    assert board.symbols() == {"NOSUCH"}
