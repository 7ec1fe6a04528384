from typing import Any

import pytest
from bson import Int64
from msgspec import structs
from pymongo.database import Database

from sinks.mongo.documents import MARKET_DATA, DocumentError
from sinks.mongo.reader import CandleReader, read_candles
from sinks.mongo.store import CandleStore
from tests.fakes.candles import BEGIN, candle, forming


def test_candles_of_a_span_oldest_first(mongo_database: Database[dict[str, Any]]) -> None:
    others = [candle(2, symbol="ETHUSDT"), candle(2, venue="kraken"), candle(0, timeframe="5m")]
    minutes = [candle(3), forming(4), candle(0), candle(2), candle(1)]
    CandleStore(mongo_database, retention_days={}).store([*others, *minutes], timeout_s=20)

    found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", BEGIN + 60_000, BEGIN + 4 * 60_000 + 1)

    assert found == [
        candle(1, event_time=0),
        candle(2, event_time=0),
        candle(3, event_time=0),
        forming(4, event_time=0),
    ]
    assert read_candles(mongo_database, "binance", "BTCUSDT", "1m", BEGIN + 60_000, BEGIN + 60_000) == []


def test_what_lacks_nothing(mongo_database: Database[dict[str, Any]]) -> None:
    minutes = [candle(0), candle(1, status="partial"), candle(2, status="venue"), forming(3), candle(4, symbol="X")]
    CandleStore(mongo_database, retention_days={}).store(minutes, timeout_s=20)
    reader = CandleReader(mongo_database, venue="binance")
    assert reader.complete_times("BTCUSDT", "1m", BEGIN) == [BEGIN, BEGIN + 120_000]
    assert reader.complete_times("BTCUSDT", "1m", BEGIN + 1) == [BEGIN + 120_000]
    assert reader.between("BTCUSDT", "1m", BEGIN, BEGIN + 60_000) == [candle(0, event_time=0)]


def test_closed_candles_of_some_statuses_of_all_timeframes(mongo_database: Database[dict[str, Any]]) -> None:
    lacking = [candle(1, status="partial"), candle(2, status="venue"), candle(0, timeframe="5m", status="venue")]
    others = [candle(0), forming(3), candle(9, status="venue"), candle(2, status="venue", symbol="ETHUSDT")]
    CandleStore(mongo_database, retention_days={}).store([*lacking, *others], timeout_s=20)
    reader = CandleReader(mongo_database, venue="binance")
    found = reader.of_status(("partial", "venue"), "BTCUSDT", BEGIN, BEGIN + 5 * 60_000)
    expected = [structs.replace(version, event_time=0) for version in lacking]
    assert sorted(found, key=lambda c: (c.timeframe, c.open_time)) == expected
    assert reader.of_status(("partial",), "BTCUSDT", BEGIN, BEGIN + 5 * 60_000) == expected[:1]


NO_CANDLES: list[dict[str, Any]] = [
    {"$set": {"close": "100"}},
    {"$set": {"close": None}},
    {"$set": {"close": True}},
    {"$set": {"close": float("nan")}},
    {"$unset": {"volume": ""}},
    {"$unset": {"status": ""}},
    {"$set": {"trades": 7.5}},
    {"$set": {"revision": []}},
    {"$set": {"is_closed": 1}},
    {"$set": {"open_time": BEGIN + 60_000.0}},
    {"$set": {"proof": 5}},
]


@pytest.mark.parametrize("change", NO_CANDLES, ids=str)
def test_a_document_that_is_no_candle_is_an_error_or_left_out_and_told(
    mongo_database: Database[dict[str, Any]], change: dict[str, Any]
) -> None:
    CandleStore(mongo_database, retention_days={}).store([candle(0), candle(1), candle(2)], timeout_s=20)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN + 60_000}, change)
    span = "BTCUSDT", "1m", BEGIN, BEGIN + 600_000
    reader = CandleReader(mongo_database, venue="binance")

    with pytest.raises(DocumentError) as refused:
        reader.between(*span)
    said = str(refused.value)
    assert said.startswith("the stored candle binance BTCUSDT 1m 17")
    assert said.endswith(": marketflow verify --repair --against rest replaces it")
    assert "\n" not in said
    told: list[DocumentError] = []
    assert reader.between(*span, on_bad=told.append) == [candle(0, event_time=0), candle(2, event_time=0)]
    assert [str(one) for one in told] == [said]


def test_numbers_of_every_kind_are_numbers(mongo_database: Database[dict[str, Any]]) -> None:
    """As other programs write them."""
    CandleStore(mongo_database, retention_days={}).store([candle(0, volume=12.0, trades=42)], timeout_s=20)
    values = {"volume": 12, "trades": Int64(42), "first_id": Int64(1_000), "revision": Int64(0)}
    mongo_database[MARKET_DATA].update_one({}, {"$set": values})
    [found] = CandleReader(mongo_database, venue="binance").between("BTCUSDT", "1m", BEGIN, BEGIN + 1)
    assert found == candle(0, volume=12.0, trades=42, event_time=0)
    assert {type(found.volume), type(found.trades), type(found.first_id)} == {float, int}


def test_what_has_no_timeframe_is_in_nobodys_series(mongo_database: Database[dict[str, Any]]) -> None:
    CandleStore(mongo_database, retention_days={}).store([candle(0), candle(1)], timeout_s=20)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN}, {"$set": {"timeframe": "7x"}})
    found = CandleReader(mongo_database, venue="binance").of_status(("final",), "BTCUSDT", 0, BEGIN * 2)
    assert found == [candle(1, event_time=0)]
