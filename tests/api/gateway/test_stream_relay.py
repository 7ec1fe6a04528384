"""The law of nodes: what a client has from one and gets from another are together all messages, each once, in order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from api.gateway.relay import StreamRelay
from api.live.bus_protocol import BusProtocol
from api.live.hub_protocol import LiveEvent
from flows.clock import Now
from flows.model import MarketData, Publishable, TradeBatch
from flows.settings import Hub as HubSettings
from sinks.bus.stored import Stored
from sinks.hub.client import Client
from sinks.hub.market.replay_buffer import ReplayBuffer
from sinks.hub.messages import Message, Topic
from tests.fakes.bus_nodes import Publishing
from tests.fakes.examples import examples
from tests.fakes.trades import at, trade
from tests.sinks.hub.test_policy import ALL, BEGIN, Line

NOW = Now(BEGIN, 0)


class Node:
    """A node without sockets, which begins when the stream has `stored`."""

    def __init__(self, stored: list[Stored], *, ring: int) -> None:
        self.relay = StreamRelay(HubSettings(ring=ring), venues=("binance",))
        self.protocol = BusProtocol("nats://one:4222", ["binance"])
        newest = {one.subject: one for one in stored}
        begin = sorted(newest.values(), key=lambda one: one.seq)
        self._take(*self.protocol.begin(begin, begin[-1].seq if begin else 0))
        after = self.protocol.seq - ring
        self._take(self.protocol.earlier(one for one in stored if one.seq > after))

    def receive(self, *stored: Stored) -> None:
        for one in stored:
            self._take(*self.protocol.on_message(one))

    def join(self, line: Line, after: int | None = None) -> Client:
        return self.relay.join(line, NOW, encoding="json", subscription=ALL, resume_after=after)

    def _take(self, *events: LiveEvent) -> None:
        for event in events:
            self.relay.take(event, NOW)
        self.relay.flush(NOW)


def published(kinds: list[tuple[str, int]]) -> list[Stored]:
    """Messages whose numbers rise with gaps: the others of the stream are not for this reader."""
    flow, seq, stored = Publishing(), 0, []
    for number, (kind, gap) in enumerate(kinds, 1):
        seq += gap
        item: Publishable = MarketData("binance", "BTCUSDT", float(number), BEGIN + number)
        if kind == "trade":
            item = TradeBatch("binance", "ETHUSDT", [trade(number, number)])
        stored += flow.say(at(number), item, seq=seq)
    return stored


def numbers(line: Line) -> list[int]:
    return [message["seq"] for message in line.heard if message["type"] in ("Trade", "MarketData")]


streams = st.lists(st.tuples(st.sampled_from(("trade", "price")), st.integers(1, 3)), min_size=1, max_size=20)


@settings(max_examples=examples(200))
@given(streams, st.data())
def test_a_client_goes_on_at_any_node(kinds: list[tuple[str, int]], data: st.DataObject) -> None:
    stored = published(kinds)
    began, read, came = (data.draw(st.integers(0, len(stored)), label=name) for name in ("began", "read", "came"))
    ring = data.draw(st.integers(1, 60), label="ring")
    there = stored[: max(came, began, read)]  # the other node is not behind the client
    first, line = Node([], ring=100), Line()
    first.join(line)
    first.receive(*stored[:read])
    before = numbers(line)
    assert before == [one.seq for one in stored[:read]]

    other, resumed = Node(stored[:began], ring=ring), Line()
    other.receive(*there[began:])
    other.join(resumed, before[-1] if before else 0)
    other.receive(*stored[len(there) :])
    kinds_seen = {message["type"] for message in resumed.heard}
    if "Reset" in kinds_seen:
        last = there[-1].seq if there else 0
        assert not before or last - before[-1] >= ring, "it is refused only what is further back than the ring"
        assert numbers(resumed) == [one.seq for one in stored[len(there) :]]
    else:
        assert before + numbers(resumed) == [one.seq for one in stored]


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 30), st.integers(0, 70))
def test_numbers_with_gaps_are_replayed_from_where_a_client_was(seqs: set[int], most: int, after: int) -> None:
    buffer, ordered = ReplayBuffer(most), sorted(seqs)
    for seq in ordered:
        buffer.put(Message(Topic("Trade"), None, seq, BEGIN))
    found = buffer.after(after, newest=ordered[-1])
    held = ordered[-most:]
    expected: Any = [seq for seq in held if seq > after] if held[0] - 1 <= after <= held[-1] else None
    assert (found if found is None else [message.seq for message in found]) == expected
