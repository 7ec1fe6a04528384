"""A replica set of three servers whose primary is killed while the writer writes: nothing is lost, nothing is twice."""

import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient, ReadPreference
from pymongo.database import Database

from api.live.candle_cache import SeriesKey
from api.stores.mongo import MongoStore
from flows.model import Candle, Incident
from flows.settings import Mongo
from sinks.mongo.documents import INCIDENTS, MARKET_DATA
from sinks.mongo.writer import MongoWriter, open_client
from tests.fakes.candles import BEGIN, candle, forming, gap
from tests.fakes.nats import until
from tests.fakes.replica_set import ReplicaSet, running_replica_set

pytestmark = pytest.mark.e2e

WRITTEN = {"_id", "created_at", "updated_at", "expires_at"}
A_KILL = 150
"""Minutes that are written before and after."""


@pytest.fixture(scope="module")
def replica_set(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaSet]:
    with running_replica_set(tmp_path_factory.mktemp("set")) as found:
        yield found


def writer_of(uri: str, database: str, incidents: list[Incident]) -> MongoWriter:
    return MongoWriter(open_client(Mongo(uri=uri)), database=database, retention_days={}, on_incident=incidents.append)


def documents(database: Database[dict[str, Any]], collection: str) -> list[dict[str, Any]]:
    found = database[collection].find({}, dict.fromkeys(WRITTEN - {"_id"} | {"_id"}, 0))
    return sorted(found, key=lambda one: (one.get("open_time", 0), one.get("first_id", 0)))


def load(number: int) -> list[Candle | Incident]:
    """What a flow writes in a minute: a version that forms, the closed one, one that was amended, sometimes a gap."""
    minute: list[Candle | Incident] = [forming(number), candle(number)]
    minute += [candle(number, revision=1, volume=7.5)] if number % 3 == 0 else []
    return minute + ([gap(first_id=number)] if number % 10 == 0 else [])


def test_when_the_primary_is_killed_under_load_nothing_is_lost_and_nothing_is_twice(
    replica_set: ReplicaSet, mongod_uri: str, tmp_path: Path
) -> None:
    incidents: list[Incident] = []
    name = f"set_{tmp_path.name}"[:40]
    writers = [writer_of(replica_set.uri, name, incidents), writer_of(mongod_uri, name, [])]
    numbers, stop, written = count(), threading.Event(), [0]

    def play() -> None:
        for number in numbers:
            for writer in writers:
                writer.write(load(number))
            written[0] = number + 1
            if stop.is_set():
                return
            time.sleep(0.005)

    thread = threading.Thread(target=play)
    thread.start()
    until(lambda: written[0] > A_KILL and writers[0].stored.closed > 0)
    lost = replica_set.primary()
    lost.kill()
    replica_set.primary(other_than=lost)
    before, goal = writers[0].stored.closed, written[0] + A_KILL
    until(lambda: written[0] > goal and writers[0].stored.closed > before)
    stop.set()
    thread.join()
    until(lambda: not any(writer.held for writer in writers))
    for writer in writers:
        writer.close()
    lost.start()
    replica_set.until_same()

    with MongoClient[dict[str, Any]](mongod_uri) as client:
        expected = {kind: documents(client[name], kind) for kind in (MARKET_DATA, INCIDENTS)}
        client.drop_database(name)
    assert len(expected[MARKET_DATA]) == written[0]
    own = {incident.cause for incident in incidents}
    for one in replica_set.members:
        with one.client() as alone:
            at = alone.get_database(name, read_preference=ReadPreference.SECONDARY_PREFERRED)
            assert documents(at, MARKET_DATA) == expected[MARKET_DATA]
            found = [one for one in documents(at, INCIDENTS) if one["cause"] not in own]
            assert found == expected[INCIDENTS]
    assert {incident.kind for incident in incidents} <= {"store_outage"}


async def test_the_past_is_read_where_the_settings_say_and_the_present_also_without_a_primary(
    replica_set: ReplicaSet,
) -> None:
    name, key = "routes", SeriesKey("binance", "BTCUSDT", "1m")
    writer = writer_of(replica_set.uri, name, [])
    await asyncio.to_thread(writer.write, [candle(0), candle(1)])
    while writer.held:
        await asyncio.sleep(0.02)
    await asyncio.to_thread(writer.close)
    await asyncio.to_thread(replica_set.until_same)
    primary = await asyncio.to_thread(replica_set.primary)

    store = MongoStore(Mongo(uri=replica_set.uri, database=name, history_from="secondary"), timeout_s=30)
    try:
        await store.check()

        async def read(at_primary: int, **span: int) -> list[int]:
            """What is read, and how much of it by the primary."""
            before = await asyncio.to_thread(reads, primary)
            found = [one.open_time for one in await store.candles(key, count=5, **span)]
            assert await asyncio.to_thread(reads, primary) - before == at_primary
            return found

        with primary.client() as client:
            await asyncio.to_thread(client[name].command, "profile", 2)
        assert await read(1) == [BEGIN, BEGIN + 60_000]
        assert await read(0, before_ms=BEGIN + 60_000) == [BEGIN]

        others = [one for one in replica_set.members if one is not primary]
        for one in (primary, others[0]):  # the last one cannot become primary alone
            await asyncio.to_thread(one.kill)
        async with asyncio.timeout(120):
            while True:
                await store.check()
                if store.watch.state.up:
                    break
                await asyncio.sleep(0.1)
        assert [one.open_time for one in await store.candles(key, count=5)] == [BEGIN, BEGIN + 60_000]
    finally:
        await store.close()
        for one in replica_set.members:
            await asyncio.to_thread(one.kill)
            one.start()


def reads(member: Any) -> int:
    """Queries of candles that a server has answered."""
    with member.client() as client:
        found: int = client["routes"]["system.profile"].count_documents({"op": "query", "ns": f"routes.{MARKET_DATA}"})
        return found
