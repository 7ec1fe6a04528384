"""The freshness of answers, by the flow's states and the age of its last heartbeat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.live.freshness import (
    CURRENT,
    OF_BOOK,
    OF_PRICE,
    UNKNOWN,
    UNKNOWN_MS,
    State,
    age_ms,
    clock_name,
    clock_of,
    is_stale,
    now_ms,
    state_of,
)
from api.live.messages import HubMessage
from api.live.state import VenueState
from api.live.venue_time import VenueTime
from flows.model import ChannelStatus, FeedStatus, Heartbeat, InstrumentStatus
from sinks.hub.payloads import FeedStatusUpdate, HeartbeatUpdate, InstrumentStatusUpdate, iso_utc, status_body
from tests.fakes.candles import BEGIN

LIMIT_MS = 1_000


class Hub:
    """A venue's state, the messages of its hub, and a local clock."""

    def __init__(self) -> None:
        self.local = 0
        self.venue_state = VenueState("binance", VenueTime(lambda: self.local))

    def beat(self, *, is_sure: bool = True) -> None:
        self._take(HeartbeatUpdate(Heartbeat("binance", BEGIN + self.local, is_sure), "live"))

    def say(self, symbol: str, word: str, **channels: str) -> None:
        known = tuple(ChannelStatus(name, said, BEGIN, said) for name, said in channels.items())  # type: ignore[arg-type]
        status = InstrumentStatus("binance", symbol, word, BEGIN, "why", known)  # type: ignore[arg-type]
        self._take(InstrumentStatusUpdate(status, "live"))

    def follow(self, *symbols: str) -> None:
        self._take(FeedStatusUpdate(FeedStatus("binance", "market", "live", symbols), "live"))

    def _take(self, item: FeedStatusUpdate | InstrumentStatusUpdate | HeartbeatUpdate) -> None:
        self.venue_state.take(HubMessage("binance", "Status", status_body(item), BEGIN, 1))

    def state(self, symbol: str = "BTCUSDT", *channels: str) -> str | None:
        found = state_of([self.venue_state], symbol, channels)
        return found and found.state  # type: ignore[return-value]


@pytest.fixture
def hub() -> Hub:
    """A hub whose flow is alive and publishes the state of a symbol."""
    made = Hub()
    made.beat()
    made.say("BTCUSDT", "unsynced", trades="live", book="unsynced")
    return made


def test_the_flow_publishes_the_state_of_a_channel(hub: Hub) -> None:
    assert (hub.state("BTCUSDT", *OF_PRICE), hub.state("BTCUSDT", *OF_BOOK)) == ("live", "unsynced")
    assert hub.state() == "unsynced", "the instrument is what its worst channel is"
    assert state_of([hub.venue_state], "BTCUSDT", ("ticker",)) == State("unsynced", iso_utc(BEGIN), "why")


def test_of_several_channels_the_first_that_there_is_counts() -> None:
    hub = Hub()
    hub.beat()
    hub.say("BTCUSDT", "silent", klines="quiet", ticker="silent")
    assert hub.state("BTCUSDT", *OF_PRICE) == "quiet"


def test_two_missing_heartbeats_are_the_end_of_what_is_known(hub: Hub) -> None:
    hub.local = UNKNOWN_MS
    assert hub.state("BTCUSDT", "trades") == "live"
    hub.local += 1
    found = state_of([hub.venue_state], "BTCUSDT", ("trades",))
    assert found == State(UNKNOWN, iso_utc(BEGIN), "the flow gives no sign of life")
    hub.beat()
    assert hub.state("BTCUSDT", "trades") == "live"


def test_the_clock_is_sure_while_heartbeats_come_that_are(hub: Hub) -> None:
    def clock() -> str | None:
        return clock_of([hub.venue_state], "BTCUSDT")

    assert clock() == "sure"
    hub.beat(is_sure=False)
    assert (clock(), hub.state()) == ("unsure", "unsynced")
    hub.beat()
    hub.local += UNKNOWN_MS + 1
    assert clock() == "unsure", "no heartbeat confirms it"
    assert (clock_name(Hub().venue_state), clock_of([], "BTCUSDT")) == (None, None)


def test_without_a_connection_to_the_hub_the_state_is_unknown(hub: Hub) -> None:
    hub.venue_state.is_connected = False
    assert hub.state() == UNKNOWN


def test_states_without_a_heartbeat_behind_them_are_not_of_now() -> None:
    hub = Hub()
    hub.say("BTCUSDT", "live", trades="live")
    assert hub.state() == UNKNOWN
    hub.beat()
    assert hub.state() == "live"


def test_what_the_flow_does_not_speak_of_is_unknown(hub: Hub) -> None:
    assert (hub.state("ETHUSDT"), state_of([], "BTCUSDT")) == (UNKNOWN, State(UNKNOWN, None, "no hub tells of it"))


def test_of_several_hubs_the_one_that_reports_the_symbol_counts(hub: Hub) -> None:
    other = Hub()
    other.beat()
    other.say("ETHUSDT", "cut")
    venue_states = [hub.venue_state, other.venue_state]
    found = [state_of(venue_states, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
    assert [state and state.state for state in found] == ["unsynced", "cut"]


def test_without_published_states_the_age_decides() -> None:
    hub = Hub()
    hub.follow("BTCUSDT")
    assert state_of([hub.venue_state], "BTCUSDT") is None
    assert [is_stale(None, age, LIMIT_MS) for age in (LIMIT_MS, LIMIT_MS + 1, None)] == [False, True, True]


@given(st.text(max_size=12), st.none() | st.integers(0, 10**9))
def test_only_live_and_quiet_are_of_now_however_old_the_data_is(word: str, age: int | None) -> None:
    assert is_stale(State(word), age, LIMIT_MS) == (word not in CURRENT)
    assert [is_stale(State(current), age, LIMIT_MS) for current in CURRENT] == [False, False]


def board_at(time: int) -> VenueState:
    venue_state = VenueState("binance", VenueTime(lambda: 1_000))
    venue_state.clock.on_heartbeat(time)
    return venue_state


def test_time_follows_the_heartbeats_of_the_flow() -> None:
    assert age_ms([board_at(BEGIN + 500)], BEGIN) == 500
    assert age_ms([board_at(BEGIN + 500)], BEGIN + 900) == 0


def test_of_several_hubs_the_latest_time_counts() -> None:
    assert age_ms([board_at(BEGIN + 500), board_at(BEGIN + 700)], BEGIN) == 700


def test_without_a_hub_the_time_is_unknown() -> None:
    assert (age_ms([], BEGIN), now_ms([]), age_ms([VenueState("binance")], BEGIN)) == (None, None, None)
