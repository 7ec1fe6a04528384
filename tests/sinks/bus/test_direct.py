"""Reading a stream without a consumer, from a real server, and from three of which the leader is gone."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from flows.settings import Bus
from sinks.bus import direct
from sinks.bus.client import BusClient, connected
from sinks.bus.entry import Kept
from sinks.bus.stored import BusError
from tests.fakes.nats import NatsServer, bus, leader_of, needs_nats, running_cluster, running_nats

pytestmark = needs_nats
COUNT = direct.MOST * 2 + 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with running_nats(tmp_path_factory.mktemp("nats")) as server:
        settings = bus(server)
        asyncio.run(filled(settings, COUNT))
        yield server


async def filled(settings: Bus, count: int) -> None:
    async with connected(settings, "test") as client:
        await client.prepare(settings)
        answers = await client.publish(
            [Kept(f"mf.binance.S{number % 3}.Trade", f"id{number}", b"%d" % number) for number in range(1, count + 1)]
        )
        assert sorted(map(int, map(str, answers))) == [*range(1, count + 1)]


async def numbers(client: BusClient, *, until: int, after: int = 0, since_ms: int = 0) -> list[int]:
    async with aclosing(client.past(until=until, after=after, since_ms=since_ms)) as messages:
        return [int(one.body) async for one in messages if one.message_id == f"id{one.seq}"]


async def test_what_is_past_is_read_in_parts_to_a_number(server: NatsServer) -> None:
    async with connected(bus(server), "test") as client:
        assert await numbers(client, until=COUNT) == [*range(1, COUNT + 1)]
        assert await numbers(client, until=COUNT, after=COUNT - 2) == [COUNT - 1, COUNT]
        assert await numbers(client, until=COUNT, since_ms=1) == [*range(1, COUNT + 1)]
        assert await numbers(client, until=COUNT, after=COUNT) == []


async def test_what_was_deleted_is_not_waited_for_for_ever(server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "BEHIND_S", 0.3)
    async with connected(bus(server), "test") as client:
        assert await numbers(client, until=COUNT + 5, after=COUNT - 1) == [COUNT]


async def test_the_newest_of_subjects(server: NatsServer) -> None:
    async with connected(bus(server), "test") as client:
        for subjects in (["mf.binance.*.Trade"], [f"mf.binance.S{number}.Trade" for number in range(5)]):
            found = await client.newest(*subjects, wait_s=5)
            assert {one.subject: one.seq for one in found} == {
                f"mf.binance.S{number % 3}.Trade": number for number in range(COUNT - 2, COUNT + 1)
            }
        assert await client.newest("mf.kraken.>", wait_s=5) == []
        with pytest.raises(BusError, match="no server gives messages of none now"):
            async with connected(bus(server), "test", stream="none") as other:
                await other.newest(">", wait_s=5)


async def test_what_others_write_comes_whether_or_not_a_stream_takes_it(server: NatsServer) -> None:
    heard: list[tuple[str, bytes]] = []
    async with connected(bus(server), "test") as client, connected(bus(server), "test") as other:
        await client.listen("elsewhere.>", lambda subject, body: heard.append((subject, body)))
        assert await client.newest("mf.kraken.>", wait_s=5) == []  # the server knows of the subscription
        [answer] = await other.publish([Kept("elsewhere.a", "", b"1")], wait_s=0.2)
        assert not isinstance(answer, int)
        async with asyncio.timeout(30):
            while not heard:
                await asyncio.sleep(0.01)
    assert heard == [("elsewhere.a", b"1")]


@pytest.mark.slow
async def test_without_a_leader_the_others_answer(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as servers:
        settings = bus(*servers, replicas=3)
        await filled(settings, 30)
        leader = leader_of(servers, "marketflow")
        others = bus(*(one for one in servers if one is not leader), replicas=3)
        await asyncio.to_thread(leader.kill)
        async with connected(others, "test") as client, asyncio.timeout(60):
            while True:  # it says that no server has it until one of them knows
                try:
                    found = await client.newest("mf.>", wait_s=1)
                    assert [one.seq for one in found] == [28, 29, 30]
                    assert await numbers(client, until=30) == [*range(1, 31)]
                    break
                except BusError:
                    await asyncio.sleep(0.05)
