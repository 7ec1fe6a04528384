from api.live.state import VenueState
from api.readiness import missing_of
from sinks.hub.payloads import ChannelBody, InstrumentBody


def venue_of(*states: str) -> VenueState:
    """A flow that is alive, with an instrument in each of these states."""
    found = VenueState("binance")
    found.clock.on_heartbeat(1_000)
    for number, word in enumerate(states):
        channels = [ChannelBody("trades", "live" if word == "not stored" else word, None, "why")]
        channels += [ChannelBody("store", word, None, "the disk is full")] if word == "not stored" else []
        found.states[f"S{number}"] = InstrumentBody("binance", "live", f"S{number}", word, None, "why", channels)
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
