"""The publisher against a real server: what is said is there, once and in order, whatever happens to either side."""

import asyncio
import queue
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.api import StreamConfig

from flows.model import FeedStatus, Incident, MarketData, TradeBatch, VenueItems
from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.entry import Kept
from sinks.bus.stored import Stored
from sinks.bus.subjects import channel_of
from sinks.bus.writer import BusWriter, Point
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.nats import NatsServer, all_stored, bus, leader_of, needs_nats, running_cluster, running_nats, until
from tests.fakes.trades import trade

pytestmark = needs_nats

PATIENCE_S = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as server:
        yield server


def open_writer(settings: Bus, **options: Any) -> BusWriter:
    return BusWriter(settings, flow="flow", rate=100, origins={"binance": "live"}, **options)


def batch(first: int, last: int, **options: Any) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", [trade(number, number) for number in range(first, last + 1)], **options)


def items(*some: Any) -> VenueItems:
    return VenueItems("binance", list(some))


def bodies(stored: Sequence[Stored], channel: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(one.body)["data"] for one in stored if channel_of(one.subject) == channel]


def trade_ids(settings: Bus) -> list[int]:
    return [row["id"] for body in bodies(all_stored(settings), "Trade") for row in body["trades"]]


def killed(writer: BusWriter) -> None:
    """Stands for a process that is gone: its connection ends, and nothing of it is asked any more."""
    assert writer._loop
    asyncio.run_coroutine_threadsafe(writer._publisher.close(), writer._loop).result()
    writer._buffer.close()
    writer._buffer.take_rest()


def test_what_the_hub_says_is_in_the_stream(server: NatsServer) -> None:
    writer = open_writer(bus(server, duplicate_s=77, most_bytes=2_000_000))
    writer.write(items(MarketData("binance", "BTCUSDT", 100.0, BEGIN), batch(1, 3), candle(0), forming(1)))
    writer.write([Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN, "a hole")])
    writer.close()
    found = all_stored(bus(server))
    assert sorted(one.subject for one in found) == [
        "mf.binance.BTCUSDT.Candle.1m",
        "mf.binance.BTCUSDT.Candle.1m.forming",
        "mf.binance.BTCUSDT.ChartUpdate.1m",
        "mf.binance.BTCUSDT.Incident.flow",
        "mf.binance.BTCUSDT.MarketData",
        "mf.binance.BTCUSDT.Trade",
    ]
    assert [row["id"] for row in bodies(found, "Trade")[0]["trades"]] == [1, 2, 3]
    assert bodies(found, "ChartUpdate")[0]["candle"]["close"] == candle(0).close
    assert bodies(found, "MarketData")[0]["price"] == 100.0
    assert {msgspec.json.decode(one.body)["flow"] for one in found} == {"flow"}
    [stream] = server.answer("jsz?streams=true&config=true")["account_details"][0]["stream_detail"]
    assert stream["config"]["duplicate_window"] == 77 * 10**9
    assert stream["config"]["max_bytes"] == 2_000_000


def test_removed_symbols_end_their_states_each_at_its_own_subject(server: NatsServer) -> None:
    writer = open_writer(bus(server))
    writer.write(items(FeedStatus("binance", "market", "live", ("BTCUSDT", "ETHUSDT"))))
    writer.write(items(FeedStatus("binance", "market", "removed", ("BTCUSDT", "ETHUSDT"))))
    writer.close()
    found = {one.subject: msgspec.json.decode(one.body)["data"] for one in all_stored(bus(server))}
    assert found["mf.binance.ETHUSDT.Status"]["symbols"] == ["ETHUSDT"]
    assert found["mf.binance.BTCUSDT.Status"]["state"] == "removed"
    assert found["mf.binance.=.Status.flow.market"]["state"] == "live"


def test_while_the_bus_is_away_what_lasts_waits_and_an_incident_says_so(server: NatsServer) -> None:
    incidents: queue.SimpleQueue[Incident] = queue.SimpleQueue()
    writer = open_writer(bus(server), on_incident=incidents.put)
    writer.write(items(batch(1, 10)))
    until(lambda: not writer.held)
    server.kill()
    for number in range(11, 51):
        writer.write(items(batch(number, number), MarketData("binance", "BTCUSDT", float(number), BEGIN + number)))
    writer.write(items(candle(0)))
    assert incidents.get(timeout=PATIENCE_S).kind == "store_outage"
    assert writer.outage
    server.start()
    until(lambda: not writer.held, writer.published)
    assert "takes messages again" in incidents.get(timeout=PATIENCE_S).cause
    writer.close()
    found = all_stored(bus(server))
    assert trade_ids(bus(server)) == [*range(1, 51)]
    assert [body["candle"]["timestamp"] for body in bodies(found, "ChartUpdate")] == [BEGIN]
    assert [body["price"] for body in bodies(found, "MarketData")][-1] == 50.0


def test_what_does_not_fit_into_the_buffer_is_an_incident_and_is_announced(server: NatsServer) -> None:
    incidents: list[Incident] = []
    writer = open_writer(bus(server, buffer=100), on_incident=incidents.append)
    server.kill()
    writer.write(items(batch(1, 1)))
    until(lambda: writer.outage)
    for first in (2, 102, 202):
        writer.write(items(batch(first, first + 98)))
    writer.write(items(candle(0)))
    server.start()
    until(lambda: any("200" in one.outcome or "198" in one.outcome for one in incidents), lambda: incidents)
    writer.write(items(batch(400, 400)))
    writer.close()
    assert trade_ids(bus(server)) == [*range(1, 101), 400]
    [lost] = bodies(all_stored(bus(server)), "Lost")
    assert lost == {"venue": "binance", "messages": 2, "trades": 198}
    assert len(bodies(all_stored(bus(server)), "ChartUpdate")) == 1


@pytest.mark.parametrize("is_within", [True, False], ids=["window", "later"])
def test_after_a_kill_everything_is_said_again_and_is_there_once(server: NatsServer, *, is_within: bool) -> None:
    settings = bus(server, duplicate_s=600 if is_within else 1)
    first = open_writer(settings)
    first.write(items(batch(1, 10), candle(0)))
    until(lambda: not first.held)
    state = first.pending()
    assert state[0].seq > 0
    first.write(items(batch(11, 14)))
    first.write(items(batch(15, 20), candle(1)))
    until(lambda: not first.held)
    killed(first)
    if not is_within:  # the stream knows no message id any more
        server.kill()
        server.start()
        until(lambda: len(all_stored(settings)) > 0)

    second = open_writer(settings)
    second.resume(state)
    second.write(items(batch(11, 12), batch(13, 25), candle(1), candle(2)))
    second.close()
    assert trade_ids(settings) == [*range(1, 26)]
    begins = [body["candle"]["timestamp"] for body in bodies(all_stored(settings), "ChartUpdate")]
    assert begins == [BEGIN, BEGIN + 60_000, BEGIN + 120_000]


def test_what_was_not_acknowledged_is_in_the_recovered_state(server: NatsServer) -> None:
    first = open_writer(bus(server))
    first.write(items(batch(1, 5)))
    until(lambda: not first.held)
    server.kill()
    first.write(items(batch(6, 9), candle(0)))
    until(lambda: first.outage)
    state = first.pending()
    killed(first)
    assert [type(one) for one in state] == [Point, Kept, Kept, Kept]

    server.start()
    second = open_writer(bus(server))
    second.resume(state)
    second.write(items(batch(10, 11)))
    second.close()
    assert trade_ids(bus(server)) == [*range(1, 12)]
    assert len(bodies(all_stored(bus(server)), "ChartUpdate")) == 1


def test_the_stream_of_another_bus_is_published_to_from_its_begin(tmp_path: Path, server: NatsServer) -> None:
    first = open_writer(bus(server))
    first.write(items(batch(1, 5), candle(0)))
    until(lambda: not first.held)
    state = first.pending()
    killed(first)
    with running_nats(tmp_path / "other") as other:
        second = open_writer(bus(other))
        second.resume(state)
        second.write(items(batch(6, 7)))
        second.close()
        assert trade_ids(bus(other)) == [6, 7]


def test_a_user_who_may_only_publish_needs_a_stream(server: NatsServer) -> None:
    incidents: queue.SimpleQueue[Incident] = queue.SimpleQueue()
    writer = open_writer(bus(server, create=False), on_incident=incidents.put)
    writer.write(items(batch(1, 2)))
    assert "bus.create" in incidents.get(timeout=PATIENCE_S).cause
    other = open_writer(bus(server))
    other.write(items(MarketData("binance", "BTCUSDT", 1.0, BEGIN)))
    other.close()
    until(lambda: not writer.held)
    writer.close()
    assert trade_ids(bus(server)) == [1, 2]


@pytest.mark.slow
def test_what_was_stored_without_an_answer_is_not_there_twice(server: NatsServer) -> None:
    writer = open_writer(bus(server))
    writer.write(items(batch(1, 3)))
    until(lambda: not writer.held)
    server.halt()
    writer.write(items(batch(4, 6), candle(0)))
    until(lambda: writer.outage)
    writer.write(items(batch(7, 9)))
    server.go_on()
    until(lambda: not writer.held, lambda: writer.outage)
    writer.close()
    found = all_stored(bus(server))
    assert trade_ids(bus(server)) == [*range(1, 10)]
    assert [len(bodies(found, channel)) for channel in ("Candle", "ChartUpdate")] == [1, 1]


@pytest.mark.slow
def test_nothing_is_lost_or_repeated_when_the_leader_of_three_is_killed(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as servers:
        settings = bus(*servers, replicas=3)
        writer = open_writer(settings)
        writer.write(items(batch(1, 1)))
        until(lambda: not writer.held)
        leader = leader_of(servers, settings.stream)
        for number in range(2, 2_001):
            writer.write(items(batch(number, number)))
            if number == 1_000:
                leader.kill()
        until(lambda: not writer.held, lambda: writer.outage)
        writer.close()
        others = bus(*(one for one in servers if one is not leader), replicas=3)
        until(lambda: all_stored(others), servers[0].said)  # a consumer may be given to the server that is gone
        assert trade_ids(others) == [*range(1, 2_001)]


def test_the_stream_of_another_program_stays_as_it_is(server: NatsServer) -> None:
    async def orders(*, make: bool) -> tuple[Any, ...]:
        async with connected(bus(server), "test") as client:
            if make:
                await client._jsm.add_stream(StreamConfig(name="orders", subjects=["orders.>"]))
                await client._client.jetstream().publish("orders.new", b"1")
            found = await client._jsm.stream_info("orders")
            return found.config.subjects, found.config.max_age, found.config.max_bytes, found.state.messages

    before = asyncio.run(orders(make=True))
    writer = open_writer(bus(server, stream="orders"))
    writer.write(items(batch(1, 2)))
    until(lambda: "another program" in writer.outage)
    writer.close()
    assert asyncio.run(orders(make=False)) == before


def test_what_the_owner_of_the_servers_has_set_at_the_stream_stays(server: NatsServer) -> None:
    async def described(description: str = "") -> str | None:
        async with connected(bus(server), "test") as client:
            found = await client._jsm.stream_info("marketflow")
            if description:
                await client._jsm.update_stream(found.config.evolve(description=description))
            return found.config.description

    first = open_writer(bus(server))
    first.write(items(batch(1, 1)))
    until(lambda: first.published)
    first.close()
    asyncio.run(described("ours, of the desk"))
    writer = open_writer(bus(server, age_hours=2))
    writer.write(items(batch(1, 2)))
    until(lambda: writer.published)
    writer.close()
    assert asyncio.run(described()) == "ours, of the desk"


@pytest.mark.parametrize("limit", ["the server's", "the stream's"])
def test_a_message_that_is_too_large_is_a_loss_and_stops_no_other(tmp_path: Path, limit: str) -> None:
    incidents: list[Incident] = []
    with running_nats(tmp_path, config="max_payload: 4096" if limit == "the server's" else "") as server:
        settings = bus(server)
        writer = open_writer(settings, on_incident=incidents.append)
        writer.write(items(candle(0)))
        until(lambda: writer.published.get("Candle"))
        if limit == "the stream's":
            asyncio.run(limited(settings, 4_096))
        writer.write(items(batch(1, 500)))
        writer.write(items(TradeBatch("binance", "ETHUSDT", [trade(1, 1)])))
        until(lambda: writer.published.get("Trade"))
        until(lambda: not writer.held)
        assert writer.outage == ""
        writer.write(items(batch(501, 502)))
        until(lambda: writer.published.get("Trade", 0) > 1)
        writer.close()
        assert sorted(trade_ids(settings)) == [1, 501, 502]
    [lost] = [one for one in incidents if "not published" in one.outcome]
    assert "500 trades" in lost.outcome


async def limited(settings: Bus, most: int) -> None:
    async with connected(settings, "test") as client:
        found = await client._jsm.stream_info("marketflow")
        await client._jsm.update_stream(found.config.evolve(max_msg_size=most))
