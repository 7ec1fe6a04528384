from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pymongo.database import Database
from pymongo.errors import PyMongoError

from flows.model import TradeBatch
from flows.settings import Mongo, Settings, Trades
from sinks.candle_store import CandleStore
from sinks.frames import CANDLE_SCHEMA, INCIDENT_SCHEMA, STATS_SCHEMA, Frames
from sinks.trade_merge import add_batches
from sinks.trade_store import TradeStore
from tests.fakes.candles import BEGIN, candle, forming, gap
from tests.fakes.trades import trade

MINUTE = 60_000


def at(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1_000, UTC)


def add(store: TradeStore, *numbers: int) -> None:
    trades = [trade(number, number * 1_000, 100.0 + number, sold=number % 2 == 0) for number in numbers]
    add_batches(store, [TradeBatch("binance", "BTCUSDT", trades)])


@pytest.fixture
def store(mongo_database: Database[dict[str, Any]]) -> CandleStore:
    store = CandleStore(mongo_database, retention_days={})
    store.ensure_indexes(timeout_s=5)
    return store


@pytest.fixture
def settings(mongo_database: Database[dict[str, Any]], mongod_uri: str, tmp_path: Path) -> Settings:
    return Settings(mongo=Mongo(uri=mongod_uri, database=mongo_database.name), trades=Trades(path=tmp_path))


@pytest.fixture
def frames(settings: Settings) -> Iterator[Frames]:
    with Frames(settings) as frames:
        yield frames


def test_candles_carry_every_field_and_the_forming_one_is_the_last(frames: Frames, store: CandleStore) -> None:
    candles = [candle(1), candle(0, revision=3, status="repaired"), forming(2)]
    store.store([*candles, candle(0, symbol="ETHUSDT"), candle(0, timeframe="5m")], timeout_s=5)

    frame = frames.candles("BTCUSDT", "1m")

    assert frame.schema == {**CANDLE_SCHEMA, "timestamp": pl.Datetime("ms", "UTC")}
    expected = sorted(candles, key=lambda one: one.open_time)
    for name in CANDLE_SCHEMA.keys() - {"proof"}:
        assert frame[name].to_list() == [getattr(one, name) for one in expected], name
    assert frame["timestamp"].to_list() == [at(BEGIN), at(BEGIN + MINUTE), at(BEGIN + 2 * MINUTE)]


@pytest.mark.parametrize("bound", [int, at])
def test_a_span_holds_its_begin_and_not_its_end(frames: Frames, store: CandleStore, bound: Any) -> None:
    store.store([candle(minute) for minute in range(5)], timeout_s=5)

    frame = frames.candles("BTCUSDT", "1m", bound(BEGIN + MINUTE), bound(BEGIN + 3 * MINUTE))

    assert frame["open_time"].to_list() == [BEGIN + MINUTE, BEGIN + 2 * MINUTE]


def test_many_batches_are_one_frame(frames: Frames, store: CandleStore) -> None:
    store.store([candle(minute, close=float(minute)) for minute in range(1_000)], timeout_s=5)

    assert frames.candles("BTCUSDT", "1m")["close"].to_list() == [float(minute) for minute in range(1_000)]


def test_a_frame_shows_what_is_stored_when_it_is_asked_for(frames: Frames, store: CandleStore) -> None:
    store.store([forming(0)], timeout_s=5)
    assert frames.candles("BTCUSDT", "1m")["status"].to_list() == ["forming"]

    store.store([candle(0), forming(1)], timeout_s=5)
    assert frames.candles("BTCUSDT", "1m")["status"].to_list() == ["final", "forming"]


def test_incidents_of_a_symbol_and_of_its_whole_venue(frames: Frames, store: CandleStore) -> None:
    mine, other = gap(7), gap(9, symbol="ETHUSDT", begin=BEGIN + 1)
    everywhere = gap(11, symbol="", kind="store_outage", begin=BEGIN - 5)
    store.store([mine, other, everywhere, gap(13, venue="kraken")], timeout_s=5)

    assert frames.incidents("BTCUSDT")["first_id"].to_list() == [11, 7]
    assert frames.incidents()["first_id"].to_list() == [11, 7, 9]
    assert frames.incidents(start=BEGIN, end=BEGIN + 1).drop("timestamp").to_dicts() == [
        {name: getattr(mine, name) for name in INCIDENT_SCHEMA}
    ]


def test_statistics_of_a_span(frames: Frames, mongo_database: Database[dict[str, Any]]) -> None:
    known = {name: 1.5 for name, kind in STATS_SCHEMA.items() if kind == pl.Float64}
    mongo_database["market_stats"].insert_many(
        {"venue": "binance", "symbol": "BTCUSDT", "time": BEGIN + minute * MINUTE, "trades": minute, **known}
        for minute in (2, 0, 1)
    )

    frame = frames.stats("BTCUSDT", end=BEGIN + 2 * MINUTE)

    assert frame.select("time", "trades", "last", "complete", "timestamp").rows() == [
        (BEGIN, 0, 1.5, None, at(BEGIN)),
        (BEGIN + MINUTE, 1, 1.5, None, at(BEGIN + MINUTE)),
    ]


def test_trades_while_they_are_written(frames: Frames, tmp_path: Path) -> None:
    with TradeStore(tmp_path / "binance" / "part-00") as writer:
        add(writer, 1, 2, 3)
        assert frames.trades("BTCUSDT")["id"].to_list() == [1, 2, 3]
        add(writer, 4)

        frame = frames.trades("BTCUSDT", at(BEGIN + 2_000), columns=("price", "buyer_is_maker"))

        assert frame.rows() == [
            (BEGIN + 2_000, 102.0, True, at(BEGIN + 2_000)),
            (BEGIN + 3_000, 103.0, False, at(BEGIN + 3_000)),
            (BEGIN + 4_000, 104.0, True, at(BEGIN + 4_000)),
        ]
        parts = frames.iterate_trades("BTCUSDT", BEGIN, BEGIN + 4_000, rows=1, columns=("id", "time"))
        assert [part["id"].to_list() for part in parts] == [[1, 2, 3]]


def test_when_the_newest_candle_opened(frames: Frames, store: CandleStore) -> None:
    assert frames.last_candle("BTCUSDT", "1m") is None
    store.store([candle(3), candle(1), candle(5, symbol="ETHUSDT")], timeout_s=5)
    assert frames.last_candle("BTCUSDT", "1m") == BEGIN + 3 * MINUTE


def test_what_is_stored_at_all(frames: Frames, store: CandleStore, tmp_path: Path) -> None:
    store.store([candle(0), candle(0, symbol="ETHUSDT"), candle(0, symbol="XBTUSD", venue="kraken")], timeout_s=5)
    with TradeStore(tmp_path / "binance" / "part-00") as writer:
        add(writer, 1)
        assert frames.trade_symbols() == ["BTCUSDT"]
    assert frames.candle_symbols() == ["BTCUSDT", "ETHUSDT"]


def test_what_is_not_stored_makes_an_empty_frame(frames: Frames, tmp_path: Path) -> None:
    stamp = {"timestamp": pl.Datetime("ms", "UTC")}
    assert frames.candles("NONE", "1m").schema == {**CANDLE_SCHEMA, **stamp}
    assert frames.stats("NONE").schema == {**STATS_SCHEMA, **stamp}
    assert frames.incidents("NONE").schema == {**INCIDENT_SCHEMA, **stamp}
    with TradeStore(tmp_path / "binance" / "part-00"):
        assert frames.trades("NONE").height == 0


def test_another_venue(settings: Settings, store: CandleStore) -> None:
    store.store([candle(0), candle(1, venue="binance-usdm")], timeout_s=5)

    with Frames(settings, venue="binance-usdm") as frames:
        assert frames.candles("BTCUSDT", "1m")["open_time"].to_list() == [BEGIN + MINUTE]


def test_a_store_that_is_not_there_is_an_error(frames: Frames) -> None:
    with pytest.raises(FileNotFoundError, match="there is no trade store"):
        frames.trades("BTCUSDT")
    nowhere = Settings(mongo=Mongo(uri="mongodb://127.0.0.1:1"))
    with Frames(nowhere) as away, pytest.raises(PyMongoError):
        away.candles("BTCUSDT", "1m")


def test_a_time_without_a_zone_is_refused(frames: Frames) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        frames.candles("BTCUSDT", "1m", datetime(2025, 1, 1))  # noqa: DTZ001 - that is the error
