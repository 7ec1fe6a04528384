"""The documents of derivatives, on a real server: one for each key, however often and in which order they come."""

from typing import Any

import pytest
from msgspec import structs
from pymongo.database import Database

from flows.model import DAY_MS, DerivativeRecord, Funding, Liquidation, MarkPrice, OpenInterest
from sinks.mongo.buffer import CandleBuffer, Loss
from sinks.mongo.derivatives import KINDS, RECORD_INDEXES, record_document, record_of
from sinks.mongo.documents import DocumentError
from sinks.mongo.store import CandleStore, Stored

Documents = Database[dict[str, Any]]

BEGIN = 1_767_225_600_000
VENUE, SYMBOL = "binance-usdm", "BTCUSDT"
TIMEOUT_S = 20.0
MARK = MarkPrice(SYMBOL, BEGIN + 1_000, 100.0, 101.0, 99.0, 0.0001, BEGIN + 1, venue=VENUE)
FUNDING = Funding(VENUE, SYMBOL, BEGIN, 0.0001, 100.0)
INTEREST = OpenInterest(VENUE, SYMBOL, BEGIN, 5.0, 500.0)
ORDER = Liquidation(SYMBOL, BEGIN + 5, BEGIN, "SELL", 99.0, 99.5, 1.5, 1.5, venue=VENUE)
RECORDS: tuple[DerivativeRecord, ...] = (MARK, FUNDING, INTEREST, ORDER)


@pytest.fixture
def store(mongo_database: Documents) -> CandleStore:
    store = CandleStore(mongo_database, retention_days={})
    store.ensure_indexes(timeout_s=TIMEOUT_S)
    return store


def test_each_has_a_unique_key_and_an_end(store: CandleStore, mongo_database: Documents) -> None:
    store.ensure_indexes(timeout_s=TIMEOUT_S)
    for kind in KINDS.values():
        known = mongo_database[kind.collection].index_information()
        assert known["key"]["unique"]
        assert [name for name, _ in known["key"]["key"]] == list(kind.key)
        assert known["expiry"]["expireAfterSeconds"] == 0
    assert set(RECORD_INDEXES) == {"mark_prices", "funding_rates", "open_interest", "liquidations"}


def test_what_is_written_again_is_there_once_and_comes_back_as_it_was(
    store: CandleStore, mongo_database: Documents
) -> None:
    other = structs.replace(ORDER, price=98.0)
    assert store.store([*RECORDS, other], timeout_s=TIMEOUT_S) == Stored(records=5)
    assert store.store([other, *RECORDS], timeout_s=TIMEOUT_S) == Stored(records=5)
    for record in RECORDS:
        documents = list(mongo_database[KINDS[type(record)].collection].find().sort("price", -1))
        assert len(documents) == (2 if record is ORDER else 1)
        assert record_of(documents[0], type(record)) == record


def test_an_older_mark_price_of_a_minute_does_not_replace_a_newer_one(
    store: CandleStore, mongo_database: Documents
) -> None:
    newer = structs.replace(MARK, event_time=BEGIN + 30_000, mark_price=105.0)
    later = structs.replace(MARK, event_time=BEGIN + 60_000)
    assert store.store([newer, later], timeout_s=TIMEOUT_S) == Stored(records=2)
    assert store.store([MARK], timeout_s=TIMEOUT_S) == Stored(already_newer=1)
    kept = mongo_database["mark_prices"].find().sort("minute")
    assert [(row["minute"], row["mark_price"]) for row in kept] == [(BEGIN, 105.0), (BEGIN + 60_000, 100.0)]


def test_what_is_missing_is_what_was_not_written(store: CandleStore) -> None:
    newer = structs.replace(MARK, event_time=BEGIN + 30_000)
    missing_order = structs.replace(ORDER, quantity=2.0)
    store.store([newer, FUNDING, INTEREST, ORDER], timeout_s=TIMEOUT_S)
    found = store.missing([*RECORDS, newer, missing_order], timeout_s=TIMEOUT_S)
    assert found == ([missing_order], Stored(records=4, already_newer=1))


@pytest.mark.parametrize(("record", "days"), [(MARK, 7), (INTEREST, 30), (ORDER, 365), (FUNDING, None)])
def test_how_long_each_is_kept(record: DerivativeRecord, days: int | None) -> None:
    retention = {"1m": 7, "5m": 30, "1h": 365}
    ends = record_document(record, now_ms=1, retention_days=retention)["expires_at"]
    time = record.event_time if isinstance(record, MarkPrice) else record.time
    assert (None if ends is None else int(ends)) == (None if days is None else time + days * DAY_MS)
    assert record_document(record, now_ms=1, retention_days={})["expires_at"] is None


@pytest.mark.parametrize("wrong", [{"rate": "much"}, {"time": 1.5}, {"symbol": None}, {"rate": None}])
def test_a_document_that_is_none_is_named(wrong: dict[str, Any]) -> None:
    document = record_document(FUNDING, now_ms=1, retention_days={}) | wrong
    with pytest.raises(DocumentError, match="of funding_rates cannot be read"):
        record_of(document, Funding)


def test_what_the_bound_drops_of_them_is_a_loss_except_prices() -> None:
    held = CandleBuffer(capacity=1, forming_ms=1_000, local_ms=lambda: 0)
    held.put([MARK, FUNDING, INTEREST, ORDER, structs.replace(ORDER, time=BEGIN + 9)])
    assert held.take_losses() == [Loss(VENUE, SYMBOL, 0, 0, BEGIN, BEGIN, records=3)]
