"""The state of a bus: what counts is the newest of each subject, each flow for itself, and only what comes is a sign
of life.
"""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.gateway.relay import StreamRelay
from api.live.bus import BusConnection
from api.live.bus_protocol import BusProtocol
from api.live.freshness import state_of
from api.live.hub_protocol import Earlier, Joined, Lost, Replaced
from api.live.messages import HubMessage
from api.live.view import LiveView
from flows.clock import Now
from flows.model import ChannelStatus, FeedStatus, Heartbeat, Incident, InstrumentStatus, MarketData, TradeBatch
from flows.settings import Bus, Hub
from sinks.bus.stored import Stored
from tests.fakes.bus_nodes import Publishing
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.trades import at, trade

URL = "nats://one:4222"
BEAT = Heartbeat("binance", BEGIN, is_sure=True)


def price(value: float, symbol: str = "BTCUSDT") -> MarketData:
    return MarketData("binance", symbol, value, BEGIN)


def live(symbol: str) -> InstrumentStatus:
    return InstrumentStatus("binance", symbol, "live", BEGIN, "", (ChannelStatus("trades", "live", BEGIN, ""),))


@pytest.fixture
def protocol() -> BusProtocol:
    return BusProtocol(URL, ["binance"])


def begin(protocol: BusProtocol, *stored: Stored) -> list[object]:
    return list(protocol.begin(stored, stored[-1].seq if stored else 0))


def test_a_node_begins_with_the_newest_of_everything(protocol: BusProtocol) -> None:
    said = Publishing().say(at(0), live("BTCUSDT"), price(100.0), price(50.0, "ETHUSDT"))
    joined, *shown, replaced = begin(protocol, *said)
    assert joined == Joined(URL, "binance", resumed=False)
    assert isinstance(replaced, Replaced)
    assert list(replaced.messages) == shown
    [state] = protocol.venue_states
    prices = {message.symbol: message.body.price for message in state.all_latest("MarketData")}
    assert prices == {"BTCUSDT": 100.0, "ETHUSDT": 50.0}
    assert (protocol.seq, protocol.absent) == (3, [])


def test_a_message_is_taken_once_and_earlier_ones_change_nothing(protocol: BusProtocol) -> None:
    flow = Publishing()
    first, second, third = (flow.say(at(1_000 * number), price(float(number)))[0] for number in (1, 2, 3))
    begin(protocol, second)
    earlier = protocol.earlier([first, second])
    assert isinstance(earlier, Earlier)
    assert [message.seq for message in earlier.messages] == [1, 2]
    [event] = protocol.on_message(third)
    assert isinstance(event, HubMessage)
    assert (event.seq, event.body.price, event.flow) == (3, 3.0, "flow")
    assert list(protocol.on_message(third)) == []
    assert protocol.venue_states[0].counts["MarketData"] == 2


def test_the_heartbeat_that_the_stream_still_has_is_no_sign_of_life(protocol: BusProtocol) -> None:
    flow = Publishing()
    begin(protocol, *flow.say(at(0), live("BTCUSDT"), BEAT))
    [state] = protocol.venue_states
    assert not state.clock.is_alive
    list(protocol.on_message(flow.say(at(1_000), BEAT)[0]))
    assert state.clock.is_alive
    found = state_of(protocol.venue_states, "BTCUSDT")
    assert found
    assert found.state == "live"


def test_the_flows_of_a_venue_are_alive_each_for_itself(protocol: BusProtocol) -> None:
    one, two = Publishing("1of2"), Publishing("2of2", first_seq=100)
    begin(protocol, *one.say(at(0), live("BTCUSDT")), *two.say(at(0), live("ETHUSDT")))
    list(protocol.on_message(two.say(at(1_000), BEAT, seq=200)[0]))
    alive = {symbol: state.clock.is_alive for state in protocol.venue_states for symbol in state.symbols()}
    assert alive == {"BTCUSDT": False, "ETHUSDT": True}


def test_a_symbol_belongs_to_the_flow_that_said_its_state_last(protocol: BusProtocol) -> None:
    one, two = Publishing("1of2"), Publishing("2of2")
    begin(protocol, *one.say(at(0), live("BTCUSDT"), price(1.0)))
    for stored in two.say(at(1_000), live("BTCUSDT"), price(2.0), seq=50):
        list(protocol.on_message(stored))
    assert [sorted(state.symbols()) for state in protocol.venue_states] == [[], ["BTCUSDT"]]


def test_a_removed_symbol_does_not_come_back_with_a_new_node(protocol: BusProtocol) -> None:
    said = Publishing().say(
        at(0), live("BTCUSDT"), price(1.0), FeedStatus("binance", "market", "removed", ("BTCUSDT",))
    )
    newest = {stored.subject: stored for stored in said}
    begin(protocol, *sorted(newest.values(), key=lambda one: one.seq))
    assert protocol.venue_states[0].symbols() == set()


def test_a_venue_of_which_nothing_was_published_is_missing(protocol: BusProtocol) -> None:
    begin(protocol)
    assert protocol.absent == ["binance"]
    assert [state.is_connected for state in protocol.venue_states] == [False]
    list(protocol.on_message(Publishing().say(at(0), live("BTCUSDT"))[0]))
    assert protocol.absent == []
    assert [state.is_connected for state in protocol.venue_states] == [True]


def test_lost_messages_are_announced_once_and_never_from_the_past(protocol: BusProtocol) -> None:
    body = b'{"type":"Lost","data":{"venue":"binance","messages":7,"trades":9},"timestamp":"2026-01-01T00:00:00Z"}'
    old, new = (Stored(seq, "mf.binance.=.Lost.flow", body, "", 0) for seq in (1, 2))
    begin(protocol, old)
    assert list(protocol.on_message(new)) == [Lost(URL, 7, 2)]


def test_no_client_resumes_from_before_a_loss(protocol: BusProtocol) -> None:
    flow = Publishing()
    before, [after] = flow.say(at(0), price(1.0), price(2.0, "ETHUSDT")), flow.say(at(1_000), price(3.0), seq=10)
    lost = Stored(5, "mf.binance.=.Lost.flow", b"{}", "", 0)
    begin(protocol, after)
    earlier = protocol.earlier([*before, lost, after])
    assert isinstance(earlier, Earlier)
    assert ([message.seq for message in earlier.messages], earlier.seq) == ([10], 10)
    assert protocol.earlier([*before, lost]).messages == ()


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"type":"Trade","data":{"trades":1},"timestamp":"x"}', b'{"type":1}'])
def test_what_cannot_be_read_is_passed_over(protocol: BusProtocol, body: bytes) -> None:
    begin(protocol, Stored(1, "mf.binance.BTCUSDT.Trade", body, "", 0))
    assert list(protocol.on_message(Stored(2, "mf.binance.BTCUSDT.Trade", body, "", 0))) == []
    assert protocol.seq == 2
    batch = TradeBatch("binance", "BTCUSDT", [trade(1, 1)])
    [event] = protocol.on_message(Publishing(first_seq=3).say(at(0), batch)[0])
    assert isinstance(event, HubMessage)


FOREIGN = {
    "mf.binance": b"hello",
    "mf.binance.hello": b"{}",
    "mf.binance.BTCUSDT.Trade": b"\xff\xfe",
    "mf.binance.BTCUSDT.MarketData": b'{"type":"X","data":' + b"[" * 100_000,
    "mf.binance.BTCUSDT.Other": b'{"type":"Other","data":{"symbol":[1]},"timestamp":"2025-01-01T00:00:00Z"}',
    "mf.binance.=.Status.x": b'{"type":"Status","data":{"state":"alive","time":"x"},"timestamp":"2025-01-01T00:00Z"}',
    "mf.binance.=.Lost.flow": b'{"type":"Lost","data":{"messages":"some"}}',
    "mf.binance.=.Lost.other": b"",
}


@pytest.mark.parametrize("subject", FOREIGN)
def test_a_message_that_no_flow_has_published_stops_nothing(protocol: BusProtocol, subject: str) -> None:
    flow = Publishing()
    [first, second] = (flow.say(at(1_000 * number), price(float(number)))[0] for number in (1, 3))
    foreign = Stored(2, subject, FOREIGN[subject], "", 0)
    begin(protocol, first, foreign)
    protocol.earlier([first, foreign])
    again = BusProtocol(URL, ["binance"])
    begin(again, first)
    assert not [event for event in again.on_message(foreign) if isinstance(event, Lost)]
    for one in (protocol, again):
        [event] = one.on_message(msgspec.structs.replace(second, seq=3))
        assert isinstance(event, HubMessage)
        assert event.body.price == 3.0


ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**18, -(10**30), 1e308, "", "x", "7x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59",
    [], {}, ["x"], [[]],
)  # fmt: skip
SAID = Publishing().say(
    at(0), BEAT, live("BTCUSDT"), price(1.0), candle(0), forming(1), TradeBatch("binance", "BTCUSDT", [trade(1, 1)]),
    FeedStatus("binance", "line", "connected", ("BTCUSDT",), ""),
    FeedStatus("binance", "", "removed", ("ETHUSDT",), ""),
    Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN, "lost", "refilled", 1, 2),
)  # fmt: skip


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a document."""
    yield place
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(each, (*place, key))


@st.composite
def changed(draw: st.DrawFn) -> Stored:
    """A message of a flow in which something says something else."""
    said = draw(st.sampled_from(SAID))
    document = [json.loads(said.body)]
    *way, last = draw(st.sampled_from([(0, *place) for place in places(document[0])]))
    inner: Any = document
    for key in way:
        inner = inner[key]
    inner[last] = draw(st.sampled_from(ODD))
    return Stored(len(SAID) + 1, said.subject, json.dumps(document[0]).encode(), "", 0)


def candle_of_no_timeframe() -> Stored:
    [said] = [one for one in SAID if one.subject.endswith(".Candle.1m")]
    return msgspec.structs.replace(said, seq=len(SAID) + 1, body=said.body.replace(b'"1m"', b'"7x"'))


@example(message=candle_of_no_timeframe(), is_first=True)
@given(message=changed(), is_first=st.booleans())
def test_whatever_a_message_says_the_next_one_is_taken(*, message: Stored, is_first: bool) -> None:
    view = LiveView(bus=lambda on_event: BusConnection(Bus(url=(URL,)), on_event, venues=["binance"], ring=10))
    relay = StreamRelay(Hub(), venues=["binance"])
    protocol = BusProtocol(URL, ["binance"])

    def events() -> Iterator[Any]:
        yield from protocol.begin([*SAID, message] if is_first else SAID, len(SAID) + is_first)
        yield protocol.earlier([*SAID, message] if is_first else SAID)
        yield from protocol.on_message(message)
        yield from protocol.on_message(Stored(len(SAID) + 2, SAID[-1].subject, SAID[-1].body, "", 0))

    for event in events():
        view._on_event(event)
        relay.take(event, Now(BEGIN, 0))
    assert isinstance(event, HubMessage)
    assert (event.channel, event.seq) == ("Incident", len(SAID) + 2)
