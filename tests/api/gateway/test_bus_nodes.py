"""Clients of several nodes on one stream: the numbers are the stream's, so a client goes on at any of them."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.live.bus import BusConnection
from api.live.view import LiveView
from flows.clock import wall_ms
from flows.model import (
    BookView,
    ChannelStatus,
    Heartbeat,
    InstrumentStatus,
    MarketData,
    Publishable,
    TradeBatch,
    VenueItems,
)
from flows.settings import Bus
from sinks.bus.client import BusClient, connected
from sinks.bus.stored import StreamSpan
from sinks.bus.writer import BusWriter
from tests.fakes.bus_nodes import Node, node, received
from tests.fakes.candles import BEGIN, candle
from tests.fakes.hubs import PATIENCE_S, ask, hear
from tests.fakes.nats import NatsServer, bus, leader_of, needs_nats, running_cluster, running_nats, until
from tests.fakes.trades import trade

pytestmark = needs_nats

ALL = "?channels=Trade,ChartUpdate,MarketData"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as server:
        yield server


class Flow:
    """A flow that publishes one message after another."""

    def __init__(self, settings: Bus, name: str = "flow") -> None:
        self._writer = BusWriter(settings, flow=name, rate=1_000_000, origins={"binance": "replay"})
        self.trades = 0

    async def say(self, *items: Publishable) -> None:
        """Publishes items, and waits until the stream has them."""
        self._writer.write(VenueItems("binance", list(items)))
        await asyncio.to_thread(until, lambda: not self._writer.held)

    async def trade(self, number: int = 1) -> None:
        """Publishes so many trades, each in a message of its own."""
        for _ in range(number):
            self.trades += 1
            await self.say(TradeBatch("binance", "BTCUSDT", [trade(self.trades, self.trades)]))

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.close)


def ids(messages: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for one in messages if one["type"] == "Trade" for row in one["data"]["trades"]]


def newest(messages: list[dict[str, Any]]) -> int:
    seq: int = messages[-1]["seq"]
    return seq


async def shown(at: Node) -> list[dict[str, Any]]:
    """What a new client is shown, without what the connection adds."""
    async with at.client("?channels=Status") as client:
        _, *parts = await ask(client, op="subscribe", channels=["MarketData", "ChartUpdate", "OrderBook"])
    return [message for part in parts for message in part["data"]["messages"]]


async def test_a_client_resumes_at_another_node_without_a_loss_or_a_repetition(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as one:
        async with one.client(ALL) as client:
            await ask(client, op="ping")
            await flow.trade(20)
            before = (await received(client, 20))[:12]  # it has worked off no more of them
        await flow.trade(5)  # while the client is nowhere
    async with node(bus(server)) as other, other.client(f"{ALL}&resume_after={newest(before)}") as client:
        resumed = await received(client, 13)
        await flow.trade(5)
        after = await received(client, 5)
    await flow.close()
    together = before + resumed + after
    assert ids(together) == [*range(1, 31)]
    numbers = [one["seq"] for one in together]
    assert numbers == sorted(set(numbers))


async def test_all_nodes_say_the_same_with_the_same_numbers(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as a, node(bus(server)) as b, a.client(ALL) as first, b.client(ALL) as second:
        await ask(first, op="ping")
        await ask(second, op="ping")
        await flow.trade(3)
        await flow.say(candle(0), MarketData("binance", "BTCUSDT", 100.0, BEGIN))
        assert await received(first, 5) == await received(second, 5)
    await flow.close()


async def test_a_client_may_be_ahead_of_the_node_at_which_it_resumes(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    await flow.trade(3)
    async with node(bus(server)) as slow:
        seq = slow.live.connections[0].seq
        async with slow.client(f"{ALL}&resume_after={seq + 2}") as client:
            await flow.trade(4)
            assert ids(await received(client, 2)) == [6, 7]
        async with slow.client(f"{ALL}&resume_after={seq + 1_000}") as client:
            assert (await hear(client))["type"] == "Reset"
    await flow.close()


async def test_a_node_that_does_not_follow_the_bus_sends_who_resumes_to_another_one(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as cut_off, asyncio.timeout(PATIENCE_S):
        while not (seq := cut_off.live.connections[0].seq) or not cut_off.gateway.relay.is_filled:
            await asyncio.sleep(0.02)
        await flow.close()
        server.kill()
        while cut_off.live.connections[0].is_up:
            await asyncio.sleep(0.02)
        async with cut_off.client(f"{ALL}&resume_after={seq + 1}") as client:
            with pytest.raises(ConnectionClosed) as closed:
                await hear(client)
        assert closed.value.rcvd
        assert closed.value.rcvd.code == 1013
        async with cut_off.client(f"{ALL}&resume_after={seq}") as client:
            await ask(client, op="ping")  # it has everything up to there


async def test_a_node_that_begins_before_anything_is_published_goes_on_reading(server: NatsServer) -> None:
    async with connected(bus(server), "test") as admin:
        await admin.prepare(bus(server))
    async with node(bus(server)) as early:
        flow = Flow(bus(server))
        await flow.say(Heartbeat("binance", BEGIN))
        await flow.trade(1)
        await early.until(2)
        assert early.live.connections[0].state.reconnections == 0
        await flow.close()


async def test_who_is_waited_for_counts_as_a_client(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server), max_clients=1) as only, only.client(f"{ALL}&resume_after=1000000"):
        with pytest.raises(InvalidStatus) as refused:
            async with only.client(ALL):
                pass
        assert refused.value.response.status_code == 503
    await flow.close()


async def test_what_no_node_holds_any_more_is_announced(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    await flow.trade(30)
    async with node(bus(server), ring=10) as short, short.client(f"{ALL}&resume_after=2") as client:
        assert [one["type"] for one in await received(client, 2)] == ["Reset", "Snapshot"]
    await flow.close()


async def test_a_new_node_shows_what_an_old_one_shows(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as old:
        await flow.say(
            MarketData("binance", "BTCUSDT", 100.0, BEGIN), MarketData("binance", "ETHUSDT", 50.0, BEGIN),
            candle(0), candle(1), BookView("binance", "BTCUSDT", True, 42, BEGIN, [(99.5, 1.0)], [(100.5, 2.0)]),
        )  # fmt: skip
        await flow.say(MarketData("binance", "BTCUSDT", 101.0, BEGIN + 1))
        async with node(bus(server)) as new:
            await old.until(new.live.connections[0].seq)
            assert await shown(new) == await shown(old)
            assert [one["data"]["price"] for one in await shown(new) if one["type"] == "MarketData"] == [50.0, 101.0]
    await flow.close()


async def test_a_stream_that_was_made_anew_is_another_one(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as one, one.client(ALL) as client:
        await ask(client, op="ping")
        await flow.trade(2)
        assert ids(await received(client, 2)) == [1, 2]
        async with connected(bus(server), "test") as admin:
            await admin._jsm.delete_stream("marketflow")
        for number in range(3, 13):  # more than there were, so that the numbers alone say nothing
            flow._writer.write(VenueItems("binance", [TradeBatch("binance", "BTCUSDT", [trade(number, number)])]))
            await asyncio.to_thread(until, lambda: not flow._writer.held)
        flow._writer.write(VenueItems("binance", [Heartbeat("binance", BEGIN + 1)]))
        while (await hear(client))["type"] != "Reset":
            pass
    await flow.close()


async def test_when_the_bus_is_away_and_back_clients_get_everything_once(server: NatsServer) -> None:
    flow = Flow(bus(server))
    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as one, one.client(ALL) as client:
        await ask(client, op="ping")
        await flow.trade(5)
        server.kill()
        flow._writer.write(VenueItems("binance", [TradeBatch("binance", "BTCUSDT", [trade(6, 6), trade(7, 7)])]))
        await asyncio.to_thread(until, lambda: flow._writer.outage)
        await asyncio.to_thread(until, lambda: not one.live.connections[0].state.connected)
        await asyncio.to_thread(server.start)
        flow.trades = 7
        await asyncio.to_thread(until, lambda: not flow._writer.held)
        await flow.trade(3)
        heard: list[dict[str, Any]] = []
        while len(ids(heard)) < 10:
            heard.append(await hear(client))
        assert ids(heard) == [*range(1, 11)]
        assert {message["type"] for message in heard} == {"Trade"}
        assert one.live.connections[0].state.reconnections == 1
    await flow.close()


async def test_a_server_that_is_behind_takes_nothing_from_clients(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow, behind, known = Flow(bus(server)), [0, 1], BusClient.span

    async def span(client: BusClient) -> StreamSpan:
        found = await known(client)
        is_node = client._client.options["name"] == "marketflow api"
        return StreamSpan(found.first, behind.pop(), found.created) if behind and is_node else found

    await flow.say(Heartbeat("binance", BEGIN))
    async with node(bus(server)) as one, one.client(ALL) as client:
        await ask(client, op="ping")
        await flow.trade(3)
        before = await received(client, 3)
        monkeypatch.setattr(BusClient, "span", span)
        server.kill()
        await asyncio.to_thread(until, lambda: not one.live.connections[0].state.connected)
        await asyncio.to_thread(server.start)
        await flow.trade(2)
        after = await received(client, 2)
        assert [message["type"] for message in before + after] == ["Trade"] * 5
        assert (ids(before + after), behind) == ([1, 2, 3, 4, 5], [])
    await flow.close()


async def test_when_one_of_two_flows_ends_only_its_symbols_are_unknown(server: NatsServer) -> None:
    one, other = Flow(bus(server), "1of2"), Flow(bus(server), "2of2")

    def live(symbol: str) -> InstrumentStatus:
        return InstrumentStatus("binance", symbol, "live", BEGIN, "", (ChannelStatus("trades", "live", BEGIN, ""),))

    await one.say(live("BTCUSDT"), MarketData("binance", "BTCUSDT", 100.0, BEGIN))
    await other.say(live("ETHUSDT"), MarketData("binance", "ETHUSDT", 50.0, BEGIN))
    async with node(bus(server)) as at:

        def states() -> list[str]:
            return [found.state for symbol in ("BTCUSDT", "ETHUSDT") if (found := at.live.state(symbol))]

        async def beat(*flows: Flow, until_states: list[str]) -> None:
            async with asyncio.timeout(PATIENCE_S):
                while states() != until_states:
                    for flow in flows:
                        await flow.say(Heartbeat("binance", BEGIN, is_sure=True))
                    await asyncio.sleep(0.1)

        await beat(one, other, until_states=["live", "live"])
        await one.close()
        await beat(other, until_states=["unknown", "live"])
        assert (at.live.price("BTCUSDT"), at.live.price("ETHUSDT")) == (100.0, 50.0)
    await other.close()


async def test_a_node_that_starts_before_any_flow_waits_and_says_for_what(server: NatsServer) -> None:
    async with LiveView(bus=partial(BusConnection, bus(server), venues=("binance",), ring=10)) as live:
        [connection] = live.connections
        await asyncio.to_thread(until, lambda: "there is no stream" in connection.state.reason)
        assert not connection.state.connected
        flow = Flow(bus(server))
        await flow.say(MarketData("binance", "BTCUSDT", 100.0, wall_ms()))
        await asyncio.to_thread(until, lambda: connection.state.connected)
        assert live.price("BTCUSDT") == 100.0
        await flow.close()


@pytest.mark.slow
async def test_clients_miss_nothing_when_the_leader_of_three_is_killed(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as servers:
        settings = bus(*servers, replicas=3)
        flow = Flow(settings)
        await flow.say(Heartbeat("binance", BEGIN))
        async with node(settings) as a, node(settings) as b, a.client(ALL) as first, b.client(ALL) as second:
            await ask(first, op="ping")
            await ask(second, op="ping")
            await flow.trade(20)
            leader = leader_of(servers, settings.stream)
            leader.kill()
            await flow.trade(20)
            heard = [await received(first, 40), await received(second, 40)]
        await flow.close()
    assert heard[0] == heard[1]
    assert ids(heard[0]) == [*range(1, 41)]
