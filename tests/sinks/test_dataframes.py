import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec import structs
from pymongo.database import Database

from flows.model import Candle, Funding, Incident, Liquidation, MarkPrice, OpenInterest, Stats24h, TradeBatch
from flows.settings import Mongo
from sinks.dataframes import ANALYSIS_SCHEMA, CANDLE_SCHEMA, INCIDENT_SCHEMA, STATS_SCHEMA, DatabaseAwayError, Frames
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, DocumentError
from sinks.mongo.store import CandleStore
from sinks.trades.codec import encode_key
from sinks.trades.merge import add_batches
from sinks.trades.store import RecordError, TradeStore
from sinks.trades.writer import TradeWriter
from tests.fakes.bad_records import put
from tests.fakes.candles import BEGIN, candle, forming, gap, stats
from tests.fakes.trades import trade

MINUTE = 60_000
AWAY = r"^the database does not answer \(127\.0\.0\.1:1: .*\): start the deployment .* or set mongo\.uri to [^\n]*$"


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
def mongo(mongo_database: Database[dict[str, Any]], mongod_uri: str) -> Mongo:
    return Mongo(uri=mongod_uri, database=mongo_database.name)


@pytest.fixture
def frames(mongo: Mongo, tmp_path: Path) -> Iterator[Frames]:
    with Frames(mongo, tmp_path, venue="binance") as frames:
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


def test_statistics_carry_every_field_of_the_newest_in_each_minute(frames: Frames, store: CandleStore) -> None:
    first, again, second = stats(0), stats(0, seconds=40, last=106.5, complete=False), stats(1)
    store.store([second, first, again, stats(2), stats(0, symbol="ETHUSDT")], timeout_s=5)

    frame = frames.stats("BTCUSDT", end=BEGIN + 2 * MINUTE)

    assert frame.schema == {**STATS_SCHEMA, "timestamp": pl.Datetime("ms", "UTC")}
    for name in STATS_SCHEMA:
        assert frame[name].to_list() == [getattr(one, name) for one in (again, second)], name
    assert frame["timestamp"].to_list() == [at(BEGIN + 40_000), at(BEGIN + MINUTE)]


def test_what_is_stored_of_derivatives(frames: Frames, store: CandleStore) -> None:
    mark = MarkPrice("BTCUSDT", BEGIN + 1_000, 100.0, 101.0, 99.0, None, 0, venue="binance")
    paid = [Funding("binance", "BTCUSDT", BEGIN + hour, 0.0001 * hour, None) for hour in (2, 1)]
    interest = OpenInterest("binance", "BTCUSDT", BEGIN, 5.0)
    order = Liquidation("BTCUSDT", BEGIN + 5, BEGIN, "SELL", 99.0, 99.5, 1.5, 1.25, venue="binance")
    store.store([mark, *paid, interest, order], timeout_s=5)
    assert frames.mark_prices("BTCUSDT").drop("timestamp").rows() == [(BEGIN + 1_000, 100.0, 101.0, 99.0, None, 0)]
    assert frames.funding("BTCUSDT").drop("timestamp").rows() == [(BEGIN + 1, 0.0001, None), (BEGIN + 2, 0.0002, None)]
    assert frames.funding("BTCUSDT", end=BEGIN + 2).height == 1
    assert frames.open_interest("BTCUSDT").drop("timestamp").rows() == [(BEGIN, 5.0, None)]
    assert frames.liquidations("BTCUSDT").drop("timestamp").rows() == [
        (BEGIN, "SELL", 99.0, 99.5, 1.5, 1.25, BEGIN + 5)
    ]
    assert frames.open_interest("NONE").schema == frames.open_interest("BTCUSDT").schema
    assert frames.funding("NONE").schema["rate"] == pl.Float64


def test_the_schemas_are_those_of_what_is_stored() -> None:
    """A field that the model gains is a column, or is left out on purpose."""
    kinds = {int: pl.Int64(), float: pl.Float64(), bool: pl.Boolean(), str: pl.String()}
    for schema, model, left_out in (
        (STATS_SCHEMA, Stats24h, {"venue", "symbol"}),
        (CANDLE_SCHEMA, Candle, {"venue", "symbol", "timeframe", "event_time"}),
        (INCIDENT_SCHEMA, Incident, {"venue"}),
    ):
        hints = {field.name: field.type for field in structs.fields(model)}
        fields = {name: kinds.get(hints[name], pl.String()) for name in model.__struct_fields__ if name not in left_out}
        assert dict(schema) == fields | ({"close_time": pl.Int64()} if model is Candle else {})


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


def test_a_query_reads_the_trades_part_by_part(frames: Frames, tmp_path: Path) -> None:
    with TradeStore(tmp_path / "binance" / "part-00") as writer:
        add(writer, *range(1, 301))
        query = frames.scan_trades("BTCUSDT", BEGIN + 2_000)
        whole = frames.trades("BTCUSDT", BEGIN + 2_000)

        assert query.collect_schema() == whole.schema
        assert query.collect().equals(whole)
        assert query.collect(engine="streaming").equals(whole)
        assert query.head(2).select("timestamp", "id").collect().equals(whole.head(2).select("timestamp", "id"))
        sold = query.filter(pl.col("buyer_is_maker") & (pl.col("price") > 150))
        assert sold.select(pl.len()).collect().item() == whole.filter("buyer_is_maker", pl.col("price") > 150).height
        assert query.select(pl.col("price").sum()).collect().item() == whole["price"].sum()
        add(writer, 301)
        assert query.select(pl.col("id").max()).collect().item() == 301


def grows(count: int, write: Callable[[int], object], read: Callable[[], list[int]]) -> None:
    """Reads all the time while a thread writes 0, 1, 2, …: what is read has no hole, and never becomes less."""
    writer = threading.Thread(target=lambda: [write(number) for number in range(count)])
    writer.start()
    seen = 0
    while writer.is_alive():
        found = read()
        assert found == list(range(len(found)))
        assert len(found) >= seen
        seen = len(found)
    writer.join()
    assert read() == list(range(count))


@pytest.mark.parametrize("kind", ["candles", "stats", "incidents"])
def test_frames_of_documents_while_they_are_written(frames: Frames, store: CandleStore, kind: str) -> None:
    def write(minute: int) -> None:
        store.store([candle(minute), stats(minute), gap(begin=BEGIN + minute * MINUTE)], timeout_s=5)

    read: Callable[[], pl.DataFrame] = {
        "candles": partial(frames.candles, "BTCUSDT", "1m"),
        "stats": partial(frames.stats, "BTCUSDT"),
        "incidents": partial(frames.incidents, "BTCUSDT"),
    }[kind]
    minute = (pl.col("timestamp").dt.epoch("ms") - BEGIN) // MINUTE
    grows(60, write, lambda: read().select(minute).to_series().to_list())


@pytest.mark.parametrize("kind", ["at once", "in parts", "as a query"])
def test_frames_of_trades_while_they_are_written(frames: Frames, tmp_path: Path, kind: str) -> None:
    writer = TradeWriter(tmp_path / "binance" / "part-00", venue="binance", flush_ms=1)

    def write(number: int) -> None:
        writer.write([TradeBatch("binance", "BTCUSDT", [trade(number, number * 100)])])
        if number % 100 == 99:
            writer.flush()

    def read() -> list[int]:
        if kind == "at once":
            return frames.trades("BTCUSDT", columns=("id",))["id"].to_list()
        if kind == "in parts":
            return [number for part in frames.iterate_trades("BTCUSDT", rows=500) for number in part["id"].to_list()]
        return frames.scan_trades("BTCUSDT").collect()["id"].to_list()

    try:
        grows(3_000, write, read)
    finally:
        writer.close()


def test_when_the_newest_candle_opened(frames: Frames, store: CandleStore) -> None:
    assert frames.last_candle("BTCUSDT", "1m") is None
    store.store([candle(3), candle(1), candle(5, symbol="ETHUSDT")], timeout_s=5)
    assert frames.last_candle("BTCUSDT", "1m") == BEGIN + 3 * MINUTE


def test_of_which_symbols_candles_are_stored(frames: Frames, store: CandleStore) -> None:
    store.store([candle(0), candle(0, symbol="ETHUSDT"), candle(0, symbol="XBTUSD", venue="kraken")], timeout_s=5)
    assert frames.candle_symbols() == ["BTCUSDT", "ETHUSDT"]


def test_what_is_not_stored_makes_an_empty_frame(frames: Frames, tmp_path: Path) -> None:
    stamp = {"timestamp": pl.Datetime("ms", "UTC")}
    assert frames.candles("NONE", "1m").schema == {**CANDLE_SCHEMA, **stamp}
    assert frames.stats("NONE").schema == {**STATS_SCHEMA, **stamp}
    assert frames.incidents("NONE").schema == {**INCIDENT_SCHEMA, **stamp}
    assert frames.analysis("NONE").schema == {**ANALYSIS_SCHEMA, **stamp}
    with TradeStore(tmp_path / "binance" / "part-00"):
        assert frames.trades("NONE").height == 0


def test_another_venue(mongo: Mongo, store: CandleStore, tmp_path: Path) -> None:
    store.store([candle(0), candle(1, venue="binance-usdm")], timeout_s=5)

    with Frames(mongo, tmp_path, venue="binance-usdm") as frames:
        assert frames.candles("BTCUSDT", "1m")["open_time"].to_list() == [BEGIN + MINUTE]


def test_a_store_that_is_not_there_is_an_error(frames: Frames, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no trade store"):
        frames.trades("BTCUSDT")
    nowhere = Mongo(uri="mongodb://127.0.0.1:1")
    with Frames(nowhere, tmp_path, venue="binance") as away:
        for read in (
            partial(away.candles, "BTCUSDT", "1m"),
            partial(away.last_candle, "BTCUSDT", "1m"),
            away.candle_symbols,
        ):
            with pytest.raises(DatabaseAwayError, match=AWAY):
                read()


def test_a_time_without_a_zone_is_refused(frames: Frames) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        frames.candles("BTCUSDT", "1m", datetime(2025, 1, 1))  # noqa: DTZ001 - that is the error


@pytest.mark.parametrize("field", [{"close": "a hundred"}, {"volume": {}}, {"status": b"final"}, {"is_closed": "yes"}])
def test_a_document_that_is_no_candle_is_an_error_that_names_it(
    frames: Frames, store: CandleStore, mongo_database: Database[dict[str, Any]], field: dict[str, Any]
) -> None:
    store.store([candle(minute) for minute in range(5)], timeout_s=5)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN + 2 * MINUTE}, {"$set": field})
    with pytest.raises(DocumentError) as refused:
        frames.candles("BTCUSDT", "1m")
    [name] = field
    assert f"open_time {BEGIN + 2 * MINUTE} that cannot be read, {name} " in str(refused.value)
    assert str(refused.value).endswith(": marketflow verify --repair --against rest replaces it")
    assert frames.candles("BTCUSDT", "1m", end=BEGIN + 2 * MINUTE).height == 2


def test_an_entry_of_the_ledger_that_is_none_is_an_error_that_names_it(
    frames: Frames, store: CandleStore, mongo_database: Database[dict[str, Any]]
) -> None:
    store.store([gap(1)], timeout_s=5)
    mongo_database[INCIDENTS].update_one({}, {"$set": {"last_id": "one"}})
    with pytest.raises(DocumentError, match="last_id 'one': marketflow verify --repair removes it"):
        frames.incidents()


def test_names_that_are_no_text_hide_no_symbol(
    frames: Frames, store: CandleStore, mongo_database: Database[dict[str, Any]]
) -> None:
    store.store([candle(0), candle(1)], timeout_s=5)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN}, {"$set": {"symbol": 7}})
    assert frames.candle_symbols() == ["BTCUSDT"]


def test_a_record_that_cannot_be_read_is_an_error_of_every_frame_it_belongs_to(frames: Frames, tmp_path: Path) -> None:
    with TradeStore(tmp_path / "binance" / "part-00") as written:
        add(written, 1, 2, 70, 200)
        put(written, encode_key("BTCUSDT", BEGIN + 70_000), b"anything")
    for read in (
        lambda: frames.trades("BTCUSDT"),
        lambda: list(frames.iterate_trades("BTCUSDT", rows=1)),
        lambda: frames.scan_trades("BTCUSDT").select("id").collect(),
    ):
        with pytest.raises((RecordError, pl.exceptions.ComputeError), match="marketflow verify --repair"):
            read()
    assert frames.trades("BTCUSDT", end=BEGIN + MINUTE)["id"].to_list() == [1, 2]
    assert frames.trades("BTCUSDT", start=BEGIN + 2 * MINUTE)["id"].to_list() == [200]
