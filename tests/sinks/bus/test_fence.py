"""Two publishers of one shard against a real server: the one of the earlier epoch is refused, and nothing is twice."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from flows.model import TradeBatch, VenueItems
from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.entry import Kept
from sinks.bus.fence import Fence, FencedError
from sinks.bus.leases import Lease, epoch_of, fence_subject
from sinks.bus.stored import Conflict
from sinks.bus.subjects import channel_of
from sinks.bus.writer import BusWriter
from tests.fakes.candles import candle
from tests.fakes.nats import NatsServer, all_stored, bus, needs_nats, running_cluster, running_nats, until
from tests.fakes.trades import trade

pytestmark = needs_nats


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as server:
        yield server


class Owner:
    """A publisher in an epoch."""

    def __init__(self, settings: Bus, epoch: int, *, since_ms: int = 0) -> None:
        self.fenced = threading.Event()
        self.writer = BusWriter(
            settings, flow="1of1", rate=100, origins={"binance": "live"}, first_retry_s=0.05, since_ms=since_ms,
            fence=Fence("1of1", epoch, f"host-{epoch}"), on_fenced=lambda _: self.fenced.set(),
        )  # fmt: skip

    def say(self, *some: Any) -> None:
        """Publishes, without a wait."""
        self.writer.write(VenueItems("binance", list(some)))

    def trade(self, first: int, last: int, symbol: str = "BTCUSDT") -> None:
        """Publishes trades one by one."""
        for number in range(first, last + 1):
            self.say(TradeBatch("binance", symbol, [replace(trade(number, number), symbol=symbol)]))

    def until_said(self) -> None:
        """Waits until the stream has all."""
        until(lambda: not self.writer.held)


def ids(settings: Bus, symbol: str = "BTCUSDT") -> list[int]:
    data = [msgspec.json.decode(one.body)["data"] for one in all_stored(settings) if channel_of(one.subject) == "Trade"]
    return [row["id"] for body in data if body["symbol"] == symbol for row in body["trades"]]


def test_who_was_replaced_is_refused_and_learns_so(server: NatsServer) -> None:
    settings = bus(server)
    old = Owner(settings, 1)
    old.trade(1, 5)
    old.until_said()
    new = Owner(settings, 2, since_ms=1)
    new.trade(3, 8)  # it begins further back, as a takeover does
    new.until_said()
    assert ids(settings) == [*range(1, 9)]
    old.trade(6, 9)
    assert old.fenced.wait(60)
    assert ids(settings) == [*range(1, 9)]
    new.trade(9, 10)
    new.until_said()
    assert ids(settings) == [*range(1, 11)]
    for one in (old, new):
        one.writer.close()


def test_what_was_published_before_it_learned_so_is_not_published_again(server: NatsServer) -> None:
    settings = bus(server)
    old, new = Owner(settings, 1), None
    old.trade(1, 3)
    old.until_said()
    new = Owner(settings, 2, since_ms=1)
    new.trade(1, 3, "ETHUSDT")  # it has entered, and said nothing of the other symbol yet
    new.until_said()
    old.trade(4, 6)  # nobody was faster there
    old.say(candle(0))
    old.until_said()
    new.trade(2, 8)
    new.say(candle(0), candle(1))
    new.until_said()
    assert ids(settings) == [*range(1, 9)]
    closed = [one.body for one in all_stored(settings) if channel_of(one.subject) == "ChartUpdate"]
    assert len(closed) == 2
    old.trade(7, 9)
    assert old.fenced.wait(60)
    assert ids(settings) == [*range(1, 9)]
    for one in (old, new):
        one.writer.close()


def test_a_process_that_is_started_again_in_its_epoch_goes_on(server: NatsServer) -> None:
    settings = bus(server)
    first = Owner(settings, 3)
    first.trade(1, 4)
    first.until_said()
    pending = first.writer.pending()
    first.trade(5, 6)
    first.until_said()
    second = Owner(settings, 3)
    second.writer.resume(pending)
    second.trade(5, 9)
    second.until_said()
    assert ids(settings) == [*range(1, 10)]
    for one in (first, second):
        one.writer.close()


def test_a_lost_answer_is_no_later_owner(server: NatsServer) -> None:
    """The server is killed and back: what it has of the last messages is not known."""
    settings = bus(server)
    owner = Owner(settings, 1)
    owner.trade(1, 50)
    server.kill()
    owner.trade(51, 60)
    server.start()
    owner.trade(61, 70)
    owner.until_said()
    assert ids(settings) == [*range(1, 71)]
    assert not owner.fenced.is_set()
    owner.writer.close()


async def test_the_epoch_is_published_first_and_never_goes_back(server: NatsServer) -> None:
    settings = bus(server)
    async with connected(settings, "test") as client:
        await client.prepare(settings)
        one, other = Fence("1of2", 4, "a"), Fence("1of2", 5, "b")
        await one.enter(client)
        [first] = await client.publish([Kept("mf.binance.A.Trade", "", b"1")])
        assert await one.learn(client, ["mf.binance.A.Trade", "mf.binance.B.Trade"]) == first
        assert one.newest == {fence_subject("1of2"): 1, "mf.binance.A.Trade": 2, "mf.binance.B.Trade": 0}
        await other.enter(client)
        assert await one.learn(client, ["mf.binance.A.Trade"]) == 0  # that one is known
        with pytest.raises(FencedError, match="in epoch 5"):
            await one.learn(client, ["mf.binance.C.Trade"])
        with pytest.raises(FencedError, match="in epoch 5, and was lost in 4"):
            await one.enter(client)
        await other.enter(client)
    found = [one for one in await asyncio.to_thread(all_stored, settings) if one.subject == fence_subject("1of2")]
    assert [epoch_of(one.body) for one in found] == [4, 5]
    assert msgspec.json.decode(found[-1].body, type=Lease).owner == "b"


@pytest.mark.slow
def test_three_servers_refuse_as_one_does(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as servers:
        settings = bus(*servers, replicas=3)
        old = Owner(settings, 1)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            old.trade(1, 40, symbol)
        old.until_said()
        new = Owner(settings, 2, since_ms=1)
        for symbol in ("BTCUSDT", "ETHUSDT"):
            new.trade(30, 60, symbol)
        new.until_said()
        old.trade(41, 45)
        assert old.fenced.wait(60)
        assert ids(settings) == ids(settings, "ETHUSDT") == [*range(1, 61)]
        for one in (old, new):
            one.writer.close()


async def test_a_message_that_is_not_the_next_of_its_subject_is_a_conflict(server: NatsServer) -> None:
    settings, key = bus(server), "mf.binance.BTCUSDT.Trade"
    async with connected(settings, "test") as client:
        await client.prepare(settings)
        [first] = await client.publish([Kept(key, "", b"{}")], expected={})
        assert first == 1
        [again] = await client.publish([Kept(key, "", b"{}")], expected={})
        assert isinstance(again, Conflict)
        assert await client.publish([Kept(key, "", b"{}")], expected={key: 1}) == [2]
