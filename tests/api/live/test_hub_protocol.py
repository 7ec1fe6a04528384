"""The client's protocol over disconnects, resumptions and restarts."""

import json
from typing import Any

import msgspec
import pytest

from api.live.hub_protocol import HubProtocol, HubRefusal, Joined, LiveEvent, Lost, Replaced
from api.live.messages import HubMessage
from flows.model import Heartbeat, MarketData
from sinks.hub.payloads import HeartbeatBody, HeartbeatUpdate, MarketDataBody, iso_utc
from sinks.hub.replies import ErrorData, SubscribedData
from tests.fakes.candles import BEGIN

URL = "ws://hub/ws"


def message(kind: str, data: Any, *, seq: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": kind, "data": data, "timestamp": iso_utc(BEGIN + seq), "seq": seq} | more


def price(seq: int) -> dict[str, Any]:
    """A price equal to its sequence number."""
    body = MarketDataBody.of(MarketData("binance", "BTCUSDT", float(seq), BEGIN))
    return message("MarketData", msgspec.to_builtins(body), seq=seq)


SUBSCRIBED = message("Subscribed", msgspec.to_builtins(SubscribedData(["MarketData"], None, None, "binance", "replay")))


def snapshot(*prices: dict[str, Any], seq: int, complete: bool = True) -> dict[str, Any]:
    return message("Snapshot", {"messages": list(prices), "complete": complete}, seq=seq)


def receive(protocol: HubProtocol, *frames: dict[str, Any]) -> list[LiveEvent]:
    return [event for frame in frames for event in protocol.on_frame(json.dumps(frame))]


def prices(events: list[LiveEvent]) -> list[float]:
    return [event.body.price for event in events if isinstance(event, HubMessage)]


@pytest.fixture
def protocol() -> HubProtocol:
    """One that has joined, and has received messages up to 5."""
    made = HubProtocol(URL, ("MarketData",))
    assert made.begin() == {"channels": "MarketData"}
    events = receive(made, SUBSCRIBED, snapshot(price(4), seq=4), price(5))
    assert events[0] == Joined(URL, "binance", resumed=False)
    assert prices(events) == [4.0, 5.0]
    return made


def test_accounts_are_followed_where_the_hub_allows_it_and_markets_anyhow() -> None:
    made = HubProtocol(URL, ("MarketData", "Balance", "Position"))
    assert made.begin() == {"channels": "MarketData", "optional": "Balance,Position"}
    assert json.loads(made.request()) == {
        "op": "subscribe", "channels": ["MarketData"], "optional": ["Balance", "Position"]
    }  # fmt: skip


def test_what_comes_before_the_first_answer_is_in_its_snapshot() -> None:
    made = HubProtocol(URL, ("MarketData",))
    made.begin()
    assert prices(receive(made, price(3), SUBSCRIBED, snapshot(price(3), seq=3), price(3), price(4))) == [3.0, 4.0]


def test_after_a_cut_it_goes_on_where_it_was(protocol: HubProtocol) -> None:
    assert protocol.begin() == {"channels": "MarketData", "resume_after": "5"}
    events = receive(protocol, price(6), SUBSCRIBED, snapshot(price(6), seq=6), price(7))
    assert prices(events) == [6.0, 7.0]
    assert Joined(URL, "binance", resumed=True) in events


def test_what_the_hub_holds_no_more_is_replaced(protocol: HubProtocol) -> None:
    protocol.begin()
    events = receive(protocol, message("Reset", None), SUBSCRIBED, snapshot(price(90), seq=90), price(91))
    assert events[0] == Joined(URL, "binance", resumed=False)
    assert prices(events) == [90.0, 91.0]
    latest = protocol.venue_state.latest("MarketData", "BTCUSDT")
    assert latest is not None
    assert latest.body.price == 91.0


def test_a_hub_that_begins_anew_within_a_connection_is_followed_on(protocol: HubProtocol) -> None:
    events = receive(protocol, message("Reset", None))
    assert events == [Joined(URL, "binance", resumed=False)]
    assert protocol.venue_state.latest("MarketData", "BTCUSDT") is None, "what the new state lacks is gone"
    events = receive(protocol, snapshot(price(3), price(90), seq=91), price(92))
    assert prices(events) == [90.0, 92.0], "each is yielded once"
    [replaced] = [event for event in events if isinstance(event, Replaced)]
    assert prices(list(replaced.messages)) == [3.0, 90.0]
    assert protocol.venue_state.is_connected
    assert protocol.begin() == {"channels": "MarketData", "resume_after": "92"}


def test_a_disconnect_within_the_first_snapshot_starts_over() -> None:
    made = HubProtocol(URL, ("MarketData",))
    made.begin()
    receive(made, SUBSCRIBED, snapshot(price(4), seq=9, complete=False))
    assert made.begin() == {"channels": "MarketData"}
    assert prices(receive(made, SUBSCRIBED, snapshot(price(4), price(8), seq=9))) == [8.0], "each is yielded once"


def test_lost_messages_are_reported(protocol: HubProtocol) -> None:
    assert receive(protocol, message("Lagged", None, dropped=12)) == [Lost(URL, 12)]


def test_a_refusal_ends_it(protocol: HubProtocol) -> None:
    with pytest.raises(HubRefusal, match="no such channel"):
        receive(protocol, message("Error", msgspec.to_builtins(ErrorData("no such channel"))))


def of_venue(venue: str, value: float, seq: int) -> dict[str, Any]:
    body = MarketDataBody.of(MarketData(venue, "BTCUSDT", value, BEGIN))
    return message("MarketData", msgspec.to_builtins(body), seq=seq)


def beat(venue: str, time_ms: int, seq: int) -> dict[str, Any]:
    body = HeartbeatBody.of(HeartbeatUpdate(Heartbeat(venue, time_ms), "live"))
    return message("Status", msgspec.to_builtins(body), seq=seq)


def test_equal_symbols_of_two_venues_have_states_of_their_own() -> None:
    origins = {"binance": "live", "binance-usdm": "replay"}
    data = SubscribedData(["MarketData"], None, None, "binance", "live", None, origins)
    joined = message("Subscribed", msgspec.to_builtins(data))
    made = HubProtocol(URL, ("MarketData",))
    made.begin()
    first = snapshot(of_venue("binance", 1.0, 3), of_venue("binance-usdm", 2.0, 4), seq=4)
    events = receive(made, joined, first, of_venue("binance-usdm", 2.5, 5), beat("binance", BEGIN + 60_000, 6))
    found = [one for one in events if isinstance(one, HubMessage) and one.channel == "MarketData"]
    assert [(one.venue, one.body.price) for one in found] == [
        ("binance", 1.0),
        ("binance-usdm", 2.0),
        ("binance-usdm", 2.5),
    ]
    states = {one.venue: one for one in made.venue_states}
    latest = {venue: one.latest("MarketData", "BTCUSDT") for venue, one in states.items()}
    assert {venue: one and one.body.price for venue, one in latest.items()} == {"binance": 1.0, "binance-usdm": 2.5}
    assert {venue: one.origin for venue, one in states.items()} == origins
    assert states["binance"].clock.now_ms >= BEGIN + 60_000
    assert not states["binance-usdm"].clock.is_alive
    made.end()
    assert not any(one.is_connected for one in states.values())
    assert made.begin()["resume_after"] == "6"
    assert prices(receive(made, of_venue("binance", 1.5, 7), joined)) == [1.5]
    assert all(one.is_connected for one in made.venue_states)
