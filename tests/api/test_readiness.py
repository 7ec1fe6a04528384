from api.live.freshness import UNKNOWN_MS
from api.live.messages import HubMessage
from api.live.state import VenueState
from api.live.venue_time import VenueTime
from api.readiness import missing_of, venues_of
from flows.model import FeedStatus
from sinks.hub.payloads import ChannelBody, FeedStatusUpdate, InstrumentBody, StatusBody


def venue_of(*states: str, venue: str = "binance") -> VenueState:
    """A flow that is alive, with an instrument in each of these states."""
    found = VenueState(venue)
    found.clock.on_heartbeat(1_000)
    for number, word in enumerate(states):
        channels = [ChannelBody("trades", "live" if word == "not stored" else word, None, "why")]
        channels += [ChannelBody("store", word, None, "the disk is full")] if word == "not stored" else []
        found.states[f"S{number}"] = InstrumentBody(venue, "live", f"S{number}", word, None, "why", channels)
    return found


def test_one_instrument_of_now_is_enough() -> None:
    assert missing_of([venue_of("silent", "quiet")]) == []
    assert missing_of([venue_of("silent", "cut")]) == [
        "data of now (S0 is silent since the start: why; S1 is cut since the start: why)"
    ]


def test_a_store_that_takes_nothing_is_missing_though_data_is_of_now() -> None:
    assert missing_of([venue_of("not stored")]) == ["a store (the disk is full)"]


def test_a_hub_that_is_down_is_said_elsewhere() -> None:
    venue_state = venue_of("cut")
    venue_state.is_connected = False
    assert missing_of([venue_state]) == []


def test_a_venue_without_current_data_is_missing_though_another_has_it() -> None:
    states = [venue_of("live"), venue_of("cut", venue="kraken")]
    assert missing_of(states) == ["data of now of kraken (S0 is cut since the start: why)"]
    assert [(one.venue, one.ready, one.missing) for one in venues_of(states)] == [
        ("binance", True, []),
        ("kraken", False, ["data of now (S0 is cut since the start: why)"]),
    ]


def test_a_venue_whose_flow_is_silent_is_named() -> None:
    states = [venue_of("live"), venue_of("live", venue="kraken")]
    now = [0]
    states[1].clock = VenueTime(lambda: now[0])
    states[1].clock.on_heartbeat(1_000)
    now[0] = 10_000
    assert [one.ready for one in venues_of(states)] == [True, False]
    assert missing_of(states)[0] == "the flow of kraken (the flow gives no sign of life)"


def test_a_line_that_carries_symbols_before_any_has_a_state_is_not_enough() -> None:
    beginning = venue_of()
    assert missing_of([beginning]) == ["a line to binance (there is none yet)"]
    line = FeedStatusUpdate(FeedStatus("binance", "market", "connected", ("BTCUSDT",)), "replay")
    beginning.take(HubMessage("binance", "Status", StatusBody.of(line), 1_000, 1))
    assert missing_of([beginning]) == ["data of now of binance (no instrument has a state yet)"]


def test_a_hub_of_which_nothing_is_known_yet_is_not_ready_and_one_without_heartbeats_is() -> None:
    now = [0]
    beginning = VenueState("binance", VenueTime(lambda: now[0]))
    assert missing_of([beginning]) == ["the flow of binance (no sign of life yet)"]
    now[0] = UNKNOWN_MS + 1
    assert missing_of([beginning]) == []
    beginning.forget()  # it is connected anew
    assert missing_of([beginning]) == ["the flow of binance (no sign of life yet)"]
    beginning.clock.on_heartbeat(1_000)
    assert missing_of([beginning]) == ["a line to binance (there is none yet)"]
