"""The state of a venue, and its age."""

from api.live.messages import HubMessage
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


def price(value: float, time_ms: int, symbol: str = "BTCUSDT", stamp_ms: int | None = None) -> HubMessage:
    """A price of this time, published at once unless the hub stamped it later."""
    body = MarketDataBody.of(MarketData("binance", symbol, value, time_ms))
    return HubMessage("binance", "MarketData", body, time_ms if stamp_ms is None else stamp_ms, 1)


def heartbeat(time_ms: int, *, is_sure: bool = True) -> HubMessage:
    body = HeartbeatBody.of(HeartbeatUpdate(Heartbeat("binance", time_ms, is_sure), "replay"))
    return HubMessage("binance", "Status", body, time_ms or BEGIN, 4)


def state(word: str, symbol: str, *, carried: bool = True) -> HubMessage:
    channels = (ChannelStatus("trades", word, BEGIN),) if carried else ()  # type: ignore[arg-type]
    message = InstrumentStatus("binance", symbol, word, BEGIN, channels=channels)  # type: ignore[arg-type]
    return HubMessage("binance", "Status", InstrumentBody.of(InstrumentStatusUpdate(message, "replay")), BEGIN, 5)


def status(state: str, symbol: str = "ETHUSDT") -> HubMessage:
    message = FeedStatusUpdate(FeedStatus("binance", "market", state, (symbol,)), "replay")  # type: ignore[arg-type]
    return HubMessage("binance", "Status", StatusBody.of(message), BEGIN, 2)


def incident(one: Incident) -> HubMessage:
    return HubMessage("binance", "Incident", IncidentBody.of(one), BEGIN, 3)


def test_ages_are_in_the_feeds_time_carried_forward() -> None:
    local = [0]
    venue_state = VenueState("binance", VenueTime(lambda: local[0]))
    venue_state.take(price(1.0, BEGIN - 5_000, "ETHUSDT"))
    venue_state.take(price(2.0, BEGIN))
    old, new = venue_state.latest("MarketData", "ETHUSDT"), venue_state.latest("MarketData", "BTCUSDT")
    assert old is not None
    assert new is not None
    assert (venue_state.age_ms(old), venue_state.age_ms(new)) == (5_000, 0)
    local[0] = 250
    assert (venue_state.age_ms(old), venue_state.age_ms(new)) == (5_250, 250)


def test_messages_before_the_first_of_the_market_do_not_set_the_time() -> None:
    local = [0]
    venue_state = VenueState("binance", VenueTime(lambda: local[0]))
    venue_state.take(status("connected"))
    venue_state.take(incident(gap()))
    assert venue_state.clock.now_ms == 0
    venue_state.take(price(1.0, BEGIN - 86_400_000))
    local[0] = 250
    assert venue_state.clock.now_ms == BEGIN - 86_400_000 + 250


def test_it_holds_the_latest_of_everything_and_the_symbols_of_the_connections() -> None:
    venue_state = VenueState("binance")
    for message in (price(1.0, BEGIN), price(2.0, BEGIN + 1), status("connected"), status("live")):
        venue_state.take(message)
    assert [message.body.price for message in venue_state.all_latest("MarketData")] == [2.0]
    assert [message.body.state for message in venue_state.connections()] == ["live"]
    assert (venue_state.symbols(), venue_state.origin) == ({"BTCUSDT", "ETHUSDT"}, "replay")
    assert venue_state.counts == {"MarketData": 2, "Status": 2}


def test_what_has_happened_is_not_forgotten_with_the_present() -> None:
    venue_state = VenueState("binance")
    venue_state.take(price(1.0, BEGIN))
    venue_state.take(incident(gap()))
    venue_state.forget()
    assert venue_state.symbols() == set()
    assert [message.body.first_id for message in venue_state.incidents] == [7]


def test_a_removed_symbol_is_dropped_and_the_connections_stay() -> None:
    venue_state = VenueState("binance")
    for message in (status("live"), price(1.0, BEGIN), price(2.0, BEGIN, "ETHUSDT"), status("removed", "BTCUSDT")):
        venue_state.take(message)
    assert venue_state.latest("MarketData", "BTCUSDT") is None
    assert [message.body.price for message in venue_state.all_latest("MarketData")] == [2.0]
    assert ([message.body.state for message in venue_state.connections()], venue_state.symbols()) == (
        ["live"],
        {"ETHUSDT"},
    )


def test_a_republished_price_keeps_its_age() -> None:
    venue_state = VenueState("binance", VenueTime(lambda: 0))
    venue_state.take(heartbeat(BEGIN + 9_000))
    venue_state.take(price(1.0, BEGIN, stamp_ms=BEGIN + 9_000))
    message = venue_state.latest("MarketData", "BTCUSDT")
    assert message is not None
    assert venue_state.age_ms(message) == 9_000


def test_no_message_of_the_market_moves_the_clock_once_there_are_heartbeats() -> None:
    local = [0]
    venue_state = VenueState("binance", VenueTime(lambda: local[0]))
    venue_state.take(price(1.0, BEGIN + 10**9, "ETHUSDT"))
    venue_state.take(heartbeat(BEGIN))
    venue_state.take(price(1.0, BEGIN))
    venue_state.take(price(1.0, BEGIN + 10**9, "XUSDT"))
    local[0] = 500
    message = venue_state.latest("MarketData", "BTCUSDT")
    assert message is not None
    assert (venue_state.clock.now_ms, venue_state.age_ms(message)) == (BEGIN + 500, 500)
    for local[0] in (1_000, 2_000, 3_000):
        venue_state.take(heartbeat(BEGIN - 3_000 + local[0]))
    assert venue_state.clock.now_ms == BEGIN, "the venue's clock was set back"


def test_ages_go_on_while_the_venues_clock_is_unsure() -> None:
    local = [0]
    venue_state = VenueState("binance", VenueTime(lambda: local[0]))
    venue_state.take(heartbeat(BEGIN))
    venue_state.take(price(1.0, BEGIN))
    message = venue_state.latest("MarketData", "BTCUSDT")
    assert message is not None
    for local[0] in range(9_000, 60_000, 1_000):
        venue_state.take(heartbeat(BEGIN, is_sure=False))
        assert (venue_state.age_ms(message), venue_state.clock.is_sure) == (local[0], False)


def test_a_time_that_is_not_yet_makes_nothing_young_for_long() -> None:
    local = [0]
    venue_state = VenueState("binance", VenueTime(lambda: local[0]))
    venue_state.take(heartbeat(BEGIN))
    venue_state.take(price(1.0, BEGIN + 10**9, stamp_ms=BEGIN))
    message = venue_state.latest("MarketData", "BTCUSDT")
    assert message is not None
    local[0] = 700
    assert venue_state.age_ms(message) == 700


def test_a_heartbeat_that_does_not_know_the_time_is_a_sign_of_life_all_the_same() -> None:
    local = [0]
    venue_state = VenueState("binance", VenueTime(lambda: local[0]))
    assert not venue_state.publishes_states
    venue_state.take(heartbeat(0))
    local[0] = 300
    assert (venue_state.publishes_states, venue_state.clock.silent_ms, venue_state.clock.now_ms) == (True, 300, 0)


def test_states_are_known_by_symbol_and_go_with_what_else_was_known() -> None:
    venue_state = VenueState("binance")
    for message in (state("live", "BTCUSDT"), state("cut", "ETHUSDT"), state("silent", "BTCUSDT"), heartbeat(BEGIN)):
        venue_state.take(message)
    assert {symbol: body.state for symbol, body in venue_state.states.items()} == {
        "BTCUSDT": "silent",
        "ETHUSDT": "cut",
    }
    assert (venue_state.symbols(), venue_state.connections()) == ({"BTCUSDT", "ETHUSDT"}, [])
    venue_state.take(status("removed", "BTCUSDT"))
    assert set(venue_state.states) == {"ETHUSDT"}
    venue_state.forget()
    assert (venue_state.states, venue_state.publishes_states) == ({}, False)


def test_what_the_exchange_does_not_list_has_a_state_and_is_not_followed() -> None:
    venue_state = VenueState("binance")
    venue_state.take(state("gone", "NOSUCH", carried=False))
    assert (venue_state.symbols(), set(venue_state.states)) == (frozenset(), {"NOSUCH"})
    venue_state.take(state("live", "NOSUCH"))
    assert venue_state.symbols() == {"NOSUCH"}
