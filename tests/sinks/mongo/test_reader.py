from typing import Any

from msgspec import structs
from pymongo.database import Database

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
