"""The two sides of the requests meet in a real server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.database import Database

from sinks.mongo.commands import (
    REQUESTS,
    CommandClient,
    CommandConsumer,
    DesiredSubscription,
    ListedInstrument,
    NoCommands,
    Work,
)

HISTORY = Work("history", "binance", "BTCUSDT", "1h", 0, 3_600_000)


@pytest.fixture
async def petitioner(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> AsyncIterator[CommandClient]:
    async with AsyncMongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as client:
        petitioner = CommandClient(client[mongo_database.name])
        await petitioner.ensure_indexes()
        yield petitioner


@pytest.fixture
def attendant(mongo_database: Database[dict[str, Any]]) -> CommandConsumer:
    return CommandConsumer(mongo_database)


async def test_the_last_word_about_a_symbol_counts(petitioner: CommandClient, attendant: CommandConsumer) -> None:
    for wanted in (True, False):
        await petitioner.wish(DesiredSubscription("binance", "SOLUSDT", wanted))
    await petitioner.wish(DesiredSubscription("binance", "BTCUSDT", wanted=True, streams=("aggTrade",)))
    await petitioner.wish(DesiredSubscription("kraken", "XBTUSD", wanted=True))
    wishes = [
        DesiredSubscription("binance", "BTCUSDT", wanted=True, streams=("aggTrade",)),
        DesiredSubscription("binance", "SOLUSDT", wanted=False),
    ]
    assert attendant.wishes("binance") == wishes
    assert await petitioner.wishes("binance") == wishes


async def test_a_proposal_never_overrules_a_word(petitioner: CommandClient, attendant: CommandConsumer) -> None:
    said = DesiredSubscription("binance", "SOLUSDT", wanted=False)
    await petitioner.wish(said)
    attendant.propose(
        [DesiredSubscription("binance", "SOLUSDT", wanted=True), DesiredSubscription("binance", "BTCUSDT", wanted=True)]
    )
    attendant.propose([])
    assert attendant.wishes("binance") == [DesiredSubscription("binance", "BTCUSDT", wanted=True), said]


async def test_work_is_taken_once_and_reported(petitioner: CommandClient, attendant: CommandConsumer) -> None:
    asked = await petitioner.ask(HISTORY)
    assert (asked.state, asked.work, asked.report) == ("open", HISTORY, "")
    taken = attendant.take("binance")
    assert taken is not None
    assert (taken.id, taken.state, taken.work) == (asked.id, "running", HISTORY)
    assert attendant.take("binance") is None
    attendant.report(asked.id, "done", "1 candle")
    ended = await petitioner.request(asked.id)
    assert ended is not None
    assert (ended.state, ended.report) == ("done", "1 candle")
    assert ended.updated_ms >= ended.created_ms


async def test_the_same_work_is_one_request_until_it_ends(
    petitioner: CommandClient, attendant: CommandConsumer
) -> None:
    first = await petitioner.ask(HISTORY)
    assert (await petitioner.ask(HISTORY)).id == first.id
    attendant.take("binance")
    assert (await petitioner.ask(HISTORY)).id == first.id
    attendant.report(first.id, "failed", "the venue does not answer")
    again = await petitioner.ask(HISTORY)
    assert again.id != first.id
    last = await petitioner.last_of(HISTORY)
    assert last is not None
    assert last.id == again.id


async def test_the_oldest_goes_first_and_other_venues_wait(
    petitioner: CommandClient, attendant: CommandConsumer
) -> None:
    await petitioner.ask(Work("refresh", "kraken", "XBTUSD"))
    first = await petitioner.ask(Work("refresh", "binance", "ETHUSDT"))
    second = await petitioner.ask(HISTORY)
    taken = [attendant.take("binance") for _ in range(3)]
    assert [request and request.id for request in taken] == [first.id, second.id, None]


async def test_a_request_that_is_forgotten_is_none(petitioner: CommandClient, attendant: CommandConsumer) -> None:
    attendant.report("never-was", "done", "")
    assert await petitioner.request("never-was") is None


async def test_requests_expire(petitioner: CommandClient, mongo_database: Database[dict[str, Any]]) -> None:
    await petitioner.ask(HISTORY)
    assert mongo_database[REQUESTS].index_information()["expiry"]["expireAfterSeconds"] == 0
    document = mongo_database[REQUESTS].find_one()
    assert document is not None
    assert (document["expires_at"] - document["updated_at"]).total_seconds() == 3_600


async def test_what_a_venue_has_no_more_is_taken_out(petitioner: CommandClient, attendant: CommandConsumer) -> None:
    bitcoin, ether = (ListedInstrument("binance", name, "TRADING") for name in ("BTCUSDT", "ETHUSDT"))
    attendant.publish_instruments("kraken", [ListedInstrument("kraken", "XBTUSD", "online")])
    attendant.publish_instruments("binance", [ether, bitcoin])
    assert await petitioner.instruments("binance") == [bitcoin, ether]
    attendant.publish_instruments("binance", [bitcoin])
    assert await petitioner.instruments("binance") == [bitcoin]
    assert len(await petitioner.instruments("kraken")) == 1


def test_without_a_database_nothing_is_wished_and_no_work_comes() -> None:
    attendant = NoCommands()
    attendant.ensure_indexes()
    attendant.propose([DesiredSubscription("binance", "BTCUSDT", wanted=True)])
    attendant.publish_instruments("binance", [])
    attendant.report("one", "done", "")
    attendant.reopen(["one"])
    assert (attendant.wishes("binance"), attendant.take("binance"), attendant.running("binance")) == ([], None, [])
