"""The gateway's laws: hub, live protocol and relay in a row, without a socket between them."""

import json
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api.gateway.relay import Relay
from api.live.hub_protocol import Cut, HubProtocol, Lost
from flows.clock import Now
from flows.model import FeedStatus, Heartbeat, Publishable
from flows.settings import Hub as HubSettings
from sinks.hub.client import Client
from sinks.hub.rights import MARKET
from sinks.hub.subscription import DEFAULT, Subscription
from tests.fakes.accounts import BALANCE, POSITION, STATE
from tests.fakes.examples import examples
from tests.sinks.hub.test_policy import ALL, BEGIN, Line, Playing, batch, candle, price


class Behind:
    """A hub, and the connection of the gateway to it."""

    def __init__(self, relay: Relay, url: str = "ws://one/ws") -> None:
        self.relay = relay
        self.url = url
        self.play = Playing()
        self.protocol = HubProtocol(url, ("MarketData",))
        self.connect()

    def connect(self) -> None:
        """Connects, as often as wanted; the hub is the same."""
        query = self.protocol.begin()
        self.line = Line()
        after = query.get("resume_after")
        self.client = self.play.join(self.line, ALL, int(after) if after else None)
        self.play.hub.on_request(self.client, f'{{"op":"subscribe","channels":[{CHANNELS_ASKED}]}}', self.play.now)
        self.arrive()

    def cut(self) -> None:
        self.play.hub.leave(self.client)
        self.protocol.end()
        self.relay.take(Cut(self.url, "cut"), self.play.now)

    def restart(self) -> None:
        """A new hub process, without a memory."""
        seq = self.play.hub._seq
        self.play = Playing()
        self.play.hub._seq = seq + 1_000_000

    def publish(self, local_ms: int, *items: Publishable) -> None:
        self.play.at(local_ms, *items)
        self.arrive()

    def arrive(self) -> None:
        heard, self.line.heard = self.line.heard, []
        for message in heard:
            for event in self.protocol.on_frame(json.dumps(message)):
                self.relay.on_origins({state.venue: state.origin for state in self.protocol.venue_states})
                self.relay.take(event, self.play.now)
        self.relay.flush(self.play.now)


CHANNELS_ASKED = '"MarketData","ChartUpdate","Candle","Trade","Status","Balance","Position","Account"'


def new_relay(**given: Any) -> Relay:
    return Relay(HubSettings(**given), venues=("binance",), first_seq=5_000)


def join(relay: Relay, line: Line, subscription: Subscription = ALL, after: int | None = None) -> Client:
    return relay.join(line, Now(BEGIN, 0), encoding="json", subscription=subscription, resume_after=after)


def without_seq(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in message.items() if name != "seq"} for message in messages]


def snapshot_of(line: Line) -> list[dict[str, Any]]:
    parts = [message["data"]["messages"] for message in line.heard if message["type"] == "Snapshot"]
    return sorted(without_seq([message for part in parts for message in part]), key=str)


ITEMS = st.one_of(
    st.builds(price, st.floats(1, 9), st.sampled_from(["BTCUSDT", "ETHUSDT"])),
    st.builds(candle, st.integers(0, 3), closed=st.booleans(), close=st.floats(1, 9)),
    st.builds(batch, st.integers(1, 99)),
    st.builds(
        FeedStatus,
        st.just("binance"),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["live", "down"]),
        st.just(("BTCUSDT",)),
    ),
    st.builds(lambda symbols: FeedStatus("binance", "a", "removed", symbols), st.just(("ETHUSDT",))),
    st.builds(lambda total: replace(BALANCE, total=total), st.sampled_from([Decimal(0), Decimal(7)])),
    st.builds(lambda quantity: replace(POSITION, quantity=quantity), st.sampled_from([Decimal(0), Decimal(7)])),
    st.builds(lambda word: replace(STATE, state=word), st.sampled_from(["live", "stale"])),
    st.builds(Heartbeat, st.just("binance"), st.integers(BEGIN, BEGIN + 9_999)),
)
CUTS = st.sampled_from(["cut", "restart"])


@settings(max_examples=examples(60))
@given(st.lists(st.one_of(ITEMS, CUTS), max_size=25))
def test_a_client_hears_what_the_hub_says_and_a_late_one_gets_its_present_state(steps: list[Any]) -> None:
    relay, line = new_relay(), Line()
    behind = Behind(relay)
    join(relay, line)
    sent = Line()
    behind.play.join(sent)
    line.heard.clear()
    for number, step in enumerate(steps):
        if isinstance(step, str):
            behind.cut()
            if step == "restart":
                behind.restart()
                behind.play.join(sent)
                sent.heard.clear()
            behind.connect()
            if step == "restart":
                assert {"type": "Reset"} in line.heard
                line.heard.clear()
        else:
            behind.publish(1_000 * (number + 1), step)
    assert without_seq(line.heard) == without_seq(sent.heard)
    assert [message["seq"] for message in line.heard] == sorted({message["seq"] for message in line.heard})
    ours, theirs = Line(), Line()
    relay.on_request(join(relay, ours), f'{{"op":"subscribe","channels":[{CHANNELS_ASKED}]}}', Now(BEGIN, 0))
    client = behind.play.join(theirs)
    behind.play.hub.on_request(client, f'{{"op":"subscribe","channels":[{CHANNELS_ASKED}]}}', Now(BEGIN, 0))
    assert snapshot_of(ours) == snapshot_of(theirs)


def test_accounts_are_for_clients_with_the_right_alone() -> None:
    relay, owner, other = new_relay(), Line(), Line()
    behind = Behind(relay)
    join(relay, owner)
    client = join(relay, other, Subscription(ALL.rules, MARKET))
    behind.publish(1_000, BALANCE, POSITION, STATE, price(1.0))
    assert [message["type"] for message in owner.heard] == ["Balance", "Position", "Account", "MarketData"]
    assert [message["type"] for message in other.heard] == ["MarketData"]
    relay.on_request(client, '{"op":"subscribe","channels":["Balance"]}', Now(BEGIN, 0))
    relay.on_request(client, '{"op":"subscribe","channels":["MarketData"],"optional":["Balance"]}', Now(BEGIN, 0))
    assert [message["type"] for message in other.heard[1:]] == ["Error", "Subscribed", "Snapshot"]
    assert "XQZ" not in json.dumps(other.heard)


def test_a_client_resumes_by_the_gateways_own_numbers() -> None:
    relay, line, back = new_relay(), Line(), Line()
    behind = Behind(relay)
    client = join(relay, line, DEFAULT)
    behind.publish(1_000, price(1.0))
    relay.leave(client)
    behind.publish(2_000, price(2.0))
    behind.publish(3_000, price(3.0))
    join(relay, back, DEFAULT, after=line.heard[-1]["seq"])
    assert [message["data"]["price"] for message in back.heard] == [2.0, 3.0]


def test_what_a_hub_lost_is_announced_and_what_it_cannot_resume_replaces_all() -> None:
    relay, line = new_relay(), Line()
    behind = Behind(relay)
    join(relay, line, DEFAULT)
    behind.publish(1_000, price(1.0), price(9.0, "ETHUSDT"))
    relay.take(Lost(behind.url, 7), Now(BEGIN, 0))
    assert line.heard[-1] == {"type": "Lagged", "dropped": 7}
    before = line.heard[0]["seq"]
    behind.cut()
    behind.restart()
    behind.play.at(2_000, price(3.0))
    behind.connect()
    assert [message["type"] for message in line.heard[-2:]] == ["Reset", "Snapshot"]
    [shown] = line.heard[-1]["data"]["messages"]
    assert shown["data"]["price"] == 3.0, "a symbol that the new hub does not have is gone"
    late = Line()
    join(relay, late, DEFAULT, after=before)
    assert [message["type"] for message in late.heard] == ["Reset", "Snapshot"]


def test_a_restart_of_one_hub_keeps_what_another_says_of_the_same_venue() -> None:
    relay = new_relay()
    one, other = Behind(relay), Behind(relay, "ws://two/ws")
    one.publish(1_000, price(1.0), FeedStatus("binance", "a", "live", ("BTCUSDT",)))
    other.publish(1_000, price(2.0, "ETHUSDT"), FeedStatus("binance", "a", "live", ("ETHUSDT",)))
    one.cut()
    one.restart()
    one.connect()
    line = Line()
    relay.on_request(join(relay, line), '{"op":"subscribe","channels":["MarketData","Status"]}', Now(BEGIN, 0))
    assert [message["data"].get("price") or message["data"]["symbols"] for message in snapshot_of(line)] == [
        2.0,
        ["ETHUSDT"],
    ]


def test_a_client_that_is_behind_at_a_restart_begins_with_the_new_state() -> None:
    relay, line = new_relay(), Line(room=1)
    behind = Behind(relay)
    client = join(relay, line, DEFAULT)
    for number in range(1, 5):
        behind.publish(1_000 * number, price(float(number)), candle(number))
    behind.cut()
    behind.restart()
    behind.play.at(9_000, price(50.0))
    behind.connect()
    line.heard.clear()
    line.room = 10**9
    relay.on_writable(client, Now(BEGIN, 9_000))
    assert [message["type"] for message in line.heard] == ["Reset", "Snapshot"]
    assert [message["data"]["price"] for message in line.heard[-1]["data"]["messages"]] == [50.0]
