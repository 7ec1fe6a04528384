"""The two sides of the requests meet in a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from msgspec import structs
from pymongo import AsyncMongoClient
from pymongo.database import Database
from structlog.testing import capture_logs

from flows.model import ListedInstrument
from sinks.mongo.commands import (
    INSTRUMENTS,
    REQUESTS,
    SUBSCRIPTIONS,
    CommandClient,
    CommandConsumer,
    DesiredSubscription,
    NoCommands,
    Work,
)
from sinks.mongo.documents import DocumentError

HISTORY = Work("history", "binance", "BTCUSDT", "1h", 0, 3_600_000)


@pytest.fixture
async def client(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> AsyncIterator[CommandClient]:
    async with AsyncMongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as mongo:
        client = CommandClient(mongo[mongo_database.name])
        await client.ensure_indexes()
        yield client


@pytest.fixture
def consumer(mongo_database: Database[dict[str, Any]]) -> CommandConsumer:
    return CommandConsumer(mongo_database)


async def test_the_last_word_about_a_symbol_counts(client: CommandClient, consumer: CommandConsumer) -> None:
    for wanted in (True, False):
        await client.set_subscription(DesiredSubscription("binance", "SOLUSDT", wanted))
    await client.set_subscription(DesiredSubscription("binance", "BTCUSDT", wanted=True, streams=("aggTrade",)))
    await client.set_subscription(DesiredSubscription("kraken", "XBTUSD", wanted=True))
    subscriptions = [
        DesiredSubscription("binance", "BTCUSDT", wanted=True, streams=("aggTrade",)),
        DesiredSubscription("binance", "SOLUSDT", wanted=False),
    ]
    assert consumer.subscriptions("binance") == subscriptions
    assert await client.subscriptions("binance") == subscriptions


async def test_a_proposal_never_overrules_a_word(client: CommandClient, consumer: CommandConsumer) -> None:
    said = DesiredSubscription("binance", "SOLUSDT", wanted=False)
    await client.set_subscription(said)
    consumer.propose(
        [DesiredSubscription("binance", "SOLUSDT", wanted=True), DesiredSubscription("binance", "BTCUSDT", wanted=True)]
    )
    consumer.propose([])
    assert consumer.subscriptions("binance") == [DesiredSubscription("binance", "BTCUSDT", wanted=True), said]


async def test_work_is_taken_once_and_reported(client: CommandClient, consumer: CommandConsumer) -> None:
    asked = await client.submit(HISTORY)
    assert (asked.state, asked.work, asked.report) == ("open", HISTORY, "")
    taken = consumer.take("binance")
    assert taken is not None
    assert (taken.id, taken.state, taken.work) == (asked.id, "running", HISTORY)
    assert consumer.take("binance") is None
    consumer.report(asked.id, "done", "1 candle")
    ended = await client.request(asked.id)
    assert ended is not None
    assert (ended.state, ended.report) == ("done", "1 candle")
    assert ended.updated_ms >= ended.created_ms


async def test_the_same_work_is_one_request_until_it_ends(client: CommandClient, consumer: CommandConsumer) -> None:
    first = await client.submit(HISTORY)
    assert (await client.submit(HISTORY)).id == first.id
    consumer.take("binance")
    assert (await client.submit(HISTORY)).id == first.id
    consumer.report(first.id, "failed", "the venue does not answer")
    again = await client.submit(HISTORY)
    assert again.id != first.id
    last = await client.last_of(HISTORY)
    assert last is not None
    assert last.id == again.id


async def test_the_oldest_goes_first_and_other_venues_wait(client: CommandClient, consumer: CommandConsumer) -> None:
    await client.submit(Work("refresh", "kraken", "XBTUSD"))
    first = await client.submit(Work("refresh", "binance", "ETHUSDT"))
    second = await client.submit(HISTORY)
    taken = [consumer.take("binance") for _ in range(3)]
    assert [request and request.id for request in taken] == [first.id, second.id, None]


async def test_a_request_that_is_forgotten_is_none(client: CommandClient, consumer: CommandConsumer) -> None:
    consumer.report("never-was", "done", "")
    assert await client.request("never-was") is None


async def test_requests_expire(client: CommandClient, mongo_database: Database[dict[str, Any]]) -> None:
    await client.submit(HISTORY)
    assert mongo_database[REQUESTS].index_information()["expiry"]["expireAfterSeconds"] == 0
    document = mongo_database[REQUESTS].find_one()
    assert document is not None
    assert (document["expires_at"] - document["updated_at"]).total_seconds() == 3_600


async def test_what_a_venue_has_no_more_is_taken_out(client: CommandClient, consumer: CommandConsumer) -> None:
    bitcoin, ether = (
        ListedInstrument("binance", f"{base}USDT", "TRADING", base, "USDT", 2, 5) for base in ("BTC", "ETH")
    )
    consumer.publish_instruments("kraken", [ListedInstrument("kraken", "XBTUSD", "online")])
    consumer.publish_instruments("binance", [ether, bitcoin])
    assert await client.instruments("binance") == [bitcoin, ether]
    consumer.publish_instruments("binance", [bitcoin])
    assert await client.instruments("binance") == [bitcoin]
    assert len(await client.instruments("kraken")) == 1


def test_without_a_database_nothing_is_wished_and_no_work_comes() -> None:
    consumer = NoCommands()
    consumer.ensure_indexes()
    consumer.propose([DesiredSubscription("binance", "BTCUSDT", wanted=True)])
    consumer.publish_instruments("binance", [])
    consumer.report("one", "done", "")
    consumer.reopen(["one"])
    assert (consumer.subscriptions("binance"), consumer.take("binance"), consumer.running("binance")) == ([], None, [])


@pytest.mark.parametrize("change", [{"$unset": {"wanted": ""}}, {"$set": {"streams": 5}}, {"$set": {"symbol": None}}])
async def test_a_subscription_that_cannot_be_read_holds_up_no_other(
    client: CommandClient, consumer: CommandConsumer, mongo_database: Database[dict[str, Any]], change: dict[str, Any]
) -> None:
    subscriptions = [DesiredSubscription("binance", name, wanted=True) for name in ("BTCUSDT", "ETHUSDT", "SOLUSDT")]
    for subscription in subscriptions:
        await client.set_subscription(subscription)
    mongo_database[SUBSCRIPTIONS].update_one({"symbol": "ETHUSDT"}, change)
    with capture_logs() as logs:
        for _ in range(3):
            assert consumer.subscriptions("binance") == [subscriptions[0], subscriptions[2]]
    assert [line["event"] for line in logs] == ["document_unreadable"]
    with pytest.raises(DocumentError, match="binance:ETHUSDT of the collection subscriptions cannot be read"):
        await client.subscriptions("binance")


@pytest.mark.parametrize(
    "change", [{"$unset": {"report": ""}}, {"$set": {"start": "now"}}, {"$set": {"created_at": "now"}}]
)
async def test_a_request_that_cannot_be_read_ends_and_the_next_one_is_taken(
    client: CommandClient, consumer: CommandConsumer, mongo_database: Database[dict[str, Any]], change: dict[str, Any]
) -> None:
    first = await client.submit(HISTORY)
    second = await client.submit(structs.replace(HISTORY, symbol="ETHUSDT"))
    mongo_database[REQUESTS].update_one({"_id": first.id}, change)
    taken = [consumer.take("binance"), consumer.take("binance"), consumer.take("binance")]
    assert [one.id for one in taken if one] == [second.id]
    assert [one.id for one in consumer.running("binance")] == [second.id]
    ended = mongo_database[REQUESTS].find_one({"_id": first.id})
    assert ended is not None
    assert ended["state"] == "failed"


async def test_an_instrument_that_cannot_be_read_is_an_error(
    client: CommandClient, consumer: CommandConsumer, mongo_database: Database[dict[str, Any]]
) -> None:
    consumer.publish_instruments("binance", [ListedInstrument("binance", "BTCUSDT", "TRADING")])
    mongo_database[INSTRUMENTS].update_one({}, {"$unset": {"status": ""}})
    with pytest.raises(DocumentError, match="of the collection instruments cannot be read"):
        await client.instruments("binance")
