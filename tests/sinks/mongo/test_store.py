import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import BulkWriteError, ServerSelectionTimeoutError
from structlog.testing import capture_logs

from flows.clock import wall_ms
from flows.model import DAY_MS, Candle
from sinks.mongo.buffer import Storable
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, MARKET_STATS, candle_document, candle_of
from sinks.mongo.reader import read_candles
from sinks.mongo.store import CandleStore, Stored
from tests.fakes.candles import BEGIN, candle, forming, gap, of_symbol, shuffled_versions, stats
from tests.fakes.examples import examples

Documents = Database[dict[str, Any]]

DAYS = {"1m": 7}
TIMEOUT_S = 20.0


@pytest.fixture
def store(mongo_database: Documents) -> CandleStore:
    store = CandleStore(mongo_database, retention_days={})
    store.ensure_indexes(timeout_s=TIMEOUT_S)
    return store


def stored(database: Documents) -> list[Candle]:
    return [candle_of(document) for document in database[MARKET_DATA].find().sort("open_time")]


def test_the_server_has_the_collections_and_indexes(store: CandleStore, mongo_database: Documents) -> None:
    store.ensure_indexes(timeout_s=TIMEOUT_S)  # again, which changes nothing

    def indexes(collection: str) -> dict[str, Any]:
        known = mongo_database[collection].index_information()
        return {name: {key: value for key, value in index.items() if key != "v"} for name, index in known.items()}

    assert indexes(MARKET_DATA) == {
        "_id_": {"key": [("_id", 1)]},
        "candle": {"key": [("venue", 1), ("symbol", 1), ("timeframe", 1), ("open_time", 1)], "unique": True},
        "newest": {"key": [("symbol", 1), ("timeframe", 1), ("open_time", -1)]},
        "span": {"key": [("symbol", 1), ("timeframe", 1), ("open_time", 1), ("close_time", 1)]},
        "expiry": {"key": [("expires_at", 1)], "expireAfterSeconds": 0},
    }
    assert indexes(MARKET_STATS) == {
        "_id_": {"key": [("_id", 1)]},
        "minute": {"key": [("venue", 1), ("symbol", 1), ("minute", -1)], "unique": True},
        "expiry": {"key": [("expires_at", 1)], "expireAfterSeconds": 0},
    }
    assert indexes(INCIDENTS) == {
        "_id_": {"key": [("_id", 1)]},
        "place": {"key": [("venue", 1), ("symbol", 1), ("begin", 1)]},
        "kind": {"key": [("kind", 1)]},
    }


def test_a_document_is_as_it_was_made(mongo_database: Documents) -> None:
    today = wall_ms() // DAY_MS * DAY_MS
    before = wall_ms()
    CandleStore(mongo_database, retention_days=DAYS).store([candle(open_time=today)], timeout_s=TIMEOUT_S)
    after = wall_ms()

    document = mongo_database[MARKET_DATA].find_one({}, {"_id": False})
    assert document is not None
    times = {name: round(document.pop(name).timestamp() * 1_000) for name in ("created_at", "updated_at", "expires_at")}
    assert before <= times["created_at"] == times["updated_at"] <= after
    assert times["expires_at"] == today + 59_999 + 7 * DAY_MS
    assert document == {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "timeframe": "1m",
        "open_time": today,
        "close_time": today + 59_999,
        "open": 100.0,
        "high": 101.5,
        "low": 99.25,
        "close": 101.0,
        "volume": 12.5,
        "quote_volume": 1_255.125,
        "trades": 42,
        "taker_buy_volume": 7.5,
        "taker_buy_quote_volume": 752.75,
        "is_closed": True,
        "status": "final",
        "revision": 0,
        "proof": "",
        "first_id": 1_000,
        "last_id": 1_041,
    }


def test_an_amendment_keeps_the_time_of_creation(store: CandleStore, mongo_database: Documents) -> None:
    store.store([forming()], timeout_s=TIMEOUT_S)
    mongo_database[MARKET_DATA].update_one({}, [{"$set": {"created_at": 1, "updated_at": 1}}])

    assert store.store([candle()], timeout_s=TIMEOUT_S) == Stored(closed=1)

    document = mongo_database[MARKET_DATA].find_one()
    assert document is not None
    assert (document["created_at"], document["is_closed"]) == (1, True)
    assert document["updated_at"] != 1


def ttl_passes(database: Documents) -> int:
    passes: int = database.client.admin.command("serverStatus")["metrics"]["ttl"]["passes"]
    return passes


def test_the_server_deletes_what_is_past_its_time(mongo_database: Documents) -> None:
    store = CandleStore(mongo_database, retention_days=DAYS)
    store.ensure_indexes(timeout_s=TIMEOUT_S)
    long_ago = BEGIN - 365 * DAY_MS
    store.store([candle(open_time=long_ago), candle(open_time=long_ago, timeframe="1d")], timeout_s=TIMEOUT_S)
    passes = ttl_passes(mongo_database)
    while ttl_passes(mongo_database) < passes + 2:  # the server tells nobody when it deletes
        time.sleep(0.05)
    assert [kept.timeframe for kept in stored(mongo_database)] == ["1d"]


def test_what_is_older_changes_nothing(store: CandleStore, mongo_database: Documents) -> None:
    store.store([candle(revision=2), forming(1, last_id=1_030), gap()], timeout_s=TIMEOUT_S)
    before = list(mongo_database[MARKET_DATA].find()), list(mongo_database[INCIDENTS].find())

    older: list[Storable] = [forming(), candle(revision=1), candle(revision=2), forming(1, last_id=1_029), gap()]

    assert store.store(older, timeout_s=TIMEOUT_S) == Stored(incidents=1, already_newer=4)
    assert (list(mongo_database[MARKET_DATA].find()), list(mongo_database[INCIDENTS].find())) == before


@pytest.fixture(scope="module")
def lasting_store(mongod_uri: str) -> Iterator[tuple[CandleStore, Documents]]:
    """One database for all examples of a law; each example has an instrument of its own."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        store = CandleStore(client["test_laws"], retention_days={})
        store.ensure_indexes(timeout_s=TIMEOUT_S)
        yield store, client["test_laws"]
        client.drop_database("test_laws")


def one_version() -> st.SearchStrategy[Candle]:
    return shuffled_versions().map(lambda lived: lived[1][0][0])


symbols = (f"LAW{number}USDT" for number in count())


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrivals=shuffled_versions())
def test_any_order_and_repetition_ends_in_the_newest_version(
    lasting_store: tuple[CandleStore, Documents], arrivals: tuple[Candle, list[list[Candle]]]
) -> None:
    store, database = lasting_store
    newest, batches = arrivals
    symbol = next(symbols)
    for batch in batches:
        store.store([of_symbol(version, symbol) for version in batch], timeout_s=TIMEOUT_S)

    documents = list(database[MARKET_DATA].find({"symbol": symbol}))

    assert [candle_of(document) for document in documents] == [of_symbol(newest, symbol)]


def test_an_older_version_that_comes_between_does_not_win(store: CandleStore, mongo_database: Documents) -> None:
    """The server finds no document, is held there until another writer has made one, and then refuses the insert."""
    admin = mongo_database.client.admin
    point = "hangBeforeUpsertPerformsInsert"
    entered = admin.command("configureFailPoint", point, mode="alwaysOn")["count"]
    try:
        with ThreadPoolExecutor(1) as pool:
            newer = pool.submit(store.store, [candle(revision=3)], timeout_s=TIMEOUT_S)
            admin.command("waitForFailPoint", point, timesEntered=entered + 1, maxTimeMS=20_000)
            older = candle_document(candle(revision=1), now_ms=BEGIN, retention_days={})
            mongo_database[MARKET_DATA].insert_one(older)
            admin.command("configureFailPoint", point, mode="off")
            assert newer.result() == Stored(closed=1)
    finally:
        admin.command("configureFailPoint", point, mode="off")
    assert stored(mongo_database) == [candle(revision=3, event_time=0)]


def test_what_cannot_be_a_document_holds_up_nobody(store: CandleStore, mongo_database: Documents) -> None:
    misfits: list[Storable] = [candle(1, last_id=2**63), candle(2, symbol="\ud800"), gap(cause="\ud800")]
    misfits.append(stats(symbol="\ud800"))
    with capture_logs() as logs:
        result = store.store([candle(0), *misfits, candle(3)], timeout_s=TIMEOUT_S)
    assert result == Stored(closed=2)
    assert stored(mongo_database) == [candle(0, event_time=0), candle(3, event_time=0)]
    assert [(entry["log_level"], entry["item"]) for entry in logs] == [("error", misfit) for misfit in misfits]


def test_what_the_server_refuses_is_an_error(store: CandleStore, mongo_database: Documents) -> None:
    mongo_database.command("collMod", MARKET_DATA, validator={"volume": {"$lt": 100}})
    with pytest.raises(BulkWriteError):
        store.store([candle(0), candle(1, volume=200.0)], timeout_s=TIMEOUT_S)


def test_an_absent_server_is_an_error() -> None:
    with MongoClient[dict[str, Any]]("mongodb://127.0.0.1:1") as client:
        store = CandleStore(client["test"], retention_days={})
        with pytest.raises(ServerSelectionTimeoutError):
            store.store([candle()], timeout_s=0.05)
        with pytest.raises(ServerSelectionTimeoutError):
            store.ensure_indexes(timeout_s=0.05)


def test_of_the_statistics_of_a_minute_the_newest_stay(store: CandleStore, mongo_database: Documents) -> None:
    first, newest, other = stats(seconds=1), stats(seconds=9, last=107.0), stats(1, last=108.0)
    assert store.store([newest, other], timeout_s=TIMEOUT_S) == Stored(statistics=2)
    assert store.store([first, newest], timeout_s=TIMEOUT_S) == Stored(statistics=1, already_newer=1)
    kept = mongo_database[MARKET_STATS].find().sort("minute")
    assert [(d["minute"], d["time"], d["last"]) for d in kept] == [
        (BEGIN, BEGIN + 9_000, 107.0),
        (BEGIN + 60_000, BEGIN + 60_000, 108.0),
    ]


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(arrivals=shuffled_versions(), version=one_version(), proof=st.sampled_from(["", "equal"]))
def test_what_is_missing_is_what_a_write_would_change(
    lasting_store: tuple[CandleStore, Documents],
    arrivals: tuple[Candle, list[list[Candle]]],
    version: Candle,
    proof: Any,
) -> None:
    store, database = lasting_store
    symbol = next(symbols)
    for batch in arrivals[1]:
        store.store([of_symbol(one, symbol) for one in batch], timeout_s=TIMEOUT_S)
    before = read_candles(database, "binance", symbol, "1m", 0, 1 << 60)
    asked = structs.replace(of_symbol(version, symbol), proof=proof if version.is_closed else "", event_time=5)

    missing, became = store.missing([asked], timeout_s=TIMEOUT_S)
    store.store([asked], timeout_s=TIMEOUT_S)

    after = read_candles(database, "binance", symbol, "1m", 0, 1 << 60)
    same = structs.replace(asked, event_time=0)
    assert missing == ([asked] if after != before else [])
    assert after == ([same] if missing else before)
    assert became == (Stored() if missing else _became(asked, is_same=before == [same]))


def _became(item: Candle, *, is_same: bool) -> Stored:
    if not is_same:
        return Stored(already_newer=1)
    return Stored(closed=1) if item.is_closed else Stored(forming=1)


def test_incidents_statistics_and_misfits_that_are_missing_are_told(store: CandleStore) -> None:
    there: list[Storable] = [gap(1), stats(0, seconds=30), candle(0)]
    store.store(there, timeout_s=TIMEOUT_S)
    absent: list[Storable] = [gap(2), stats(1), stats(0, seconds=31), candle(symbol="\ud800"), candle(0, revision=1)]
    older: list[Storable] = [stats(0, seconds=29), forming(0)]

    missing, became = store.missing([*absent, *there, *older], timeout_s=TIMEOUT_S)

    assert missing == absent
    assert became == Stored(closed=1, incidents=1, statistics=1, already_newer=2)


def test_a_document_that_is_no_candle_is_not_what_was_written(store: CandleStore, mongo_database: Documents) -> None:
    written = [candle(0), candle(1)]
    store.store(written, timeout_s=TIMEOUT_S)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN}, {"$set": {"close": "100"}})
    missing, became = store.missing(written, timeout_s=TIMEOUT_S)
    assert (missing, became) == ([candle(0)], Stored(closed=1))


@pytest.mark.parametrize(
    "change", [{"$set": {"revision": "9"}}, {"$unset": {"is_closed": ""}}, {"$inc": {"open_time": 0.5}}]
)
def test_a_candle_takes_the_place_of_a_document_that_is_none(
    store: CandleStore, mongo_database: Documents, change: dict[str, Any]
) -> None:
    store.store([candle(0), candle(1)], timeout_s=TIMEOUT_S)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN}, change)
    store.replace(candle(0, revision=1), timeout_s=TIMEOUT_S)
    assert stored(mongo_database) == [candle(0, revision=1, event_time=0), candle(1, event_time=0)]
    assert mongo_database[MARKET_DATA].find_one({"open_time": BEGIN}).keys() == (  # type: ignore[union-attr]
        mongo_database[MARKET_DATA].find_one({"open_time": BEGIN + 60_000}).keys()  # type: ignore[union-attr]
    )
