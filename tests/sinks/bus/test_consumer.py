"""Reading a stream of a real server: in order and at once, and why it ends."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from flows.model import Trade, TradeBatch, VenueItems
from sinks.bus.client import BusClient, connected
from sinks.bus.stored import NOTHING, BusError, Stored
from sinks.bus.writer import BusWriter
from tests.fakes.candles import BEGIN
from tests.fakes.nats import NatsServer, bus, needs_nats, running_nats

pytestmark = needs_nats
SUBJECTS = ["mf.>"]
MORE = 3
PATIENCE_S = 60.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats(tmp_path) as one:
        yield one


def publish(server: NatsServer, *numbers: int) -> None:
    """A trade a message, each of another symbol."""
    writer = BusWriter(bus(server), flow="flow", rate=100, origins={"binance": "replay"})
    for number in numbers:
        trade = Trade(f"S{number}USDT", number, BEGIN, 100.0, 1.0, False, BEGIN)
        writer.write(VenueItems("binance", [TradeBatch("binance", trade.symbol, [trade])]))
    writer.close()


class Following:
    """What one that follows has taken, until it has so many."""

    def __init__(self, most: int) -> None:
        self.taken: list[Stored] = []
        self.has_all = asyncio.Event()
        self.most = most

    def take(self, stored: Stored) -> None:
        self.taken.append(stored)
        if len(self.taken) == self.most:
            self.has_all.set()

    async def at(self, client: BusClient) -> "asyncio.Task[None]":
        """Follows the stream, and waits until it has all."""
        task = asyncio.create_task(client.follow(SUBJECTS, self.take, after=0))
        async with asyncio.timeout(PATIENCE_S):
            await self.has_all.wait()
        return task


async def test_who_follows_gets_what_is_there_and_what_comes_as_one_who_reads(server: NatsServer) -> None:
    await asyncio.to_thread(publish, server, 1, 2)
    async with connected(bus(server), "test") as client:
        some = Following(2)
        task = await some.at(client)
        some.has_all.clear()
        some.most = 2 + MORE
        await asyncio.to_thread(publish, server, *range(3, 3 + MORE))
        async with asyncio.timeout(PATIENCE_S):
            await some.has_all.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        read = []
        async with aclosing(client.read(SUBJECTS)) as messages:
            async for stored in messages:
                read.append(stored)
                if not stored.pending:
                    break
    assert [(one.seq, one.subject, one.body) for one in some.taken] == [
        (one.seq, one.subject, one.body) for one in read
    ]
    assert [one.seq for one in read] == [*range(1, 3 + MORE)]


async def test_an_empty_stream_says_so_and_a_lost_connection_ends_it_at_once(server: NatsServer) -> None:
    async with connected(bus(server), "test") as client:
        await client.prepare(bus(server))
        some = Following(1)
        task = await some.at(client)
        assert some.taken == [NOTHING]
        server.kill()
        with pytest.raises(BusError, match="the connection is lost"):
            await task


async def test_what_the_taker_raises_is_raised_by_who_follows(server: NatsServer) -> None:
    await asyncio.to_thread(publish, server, 1)

    def take(_: Stored) -> None:
        raise ZeroDivisionError("a bug")

    async with connected(bus(server), "test") as client, asyncio.timeout(PATIENCE_S):
        with pytest.raises(ZeroDivisionError, match="a bug"):
            await client.follow(SUBJECTS, take, after=0)
