"""A lake over real stores: what is written of them, and what is read from it when they have it no more."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pymongo.database import Database

from flows.model import DAY_MS, AggregateTrade, Trade, TradeBatch
from flows.settings import Mongo
from sinks.bars.rule import rule_of
from sinks.dataframes import Frames
from sinks.lake.place import Lake
from sinks.lake.run import LakeChoice, LakeReport, LakeRun
from sinks.lake.series import LakeSeries, begin_of
from sinks.lake.trades import older_trades
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, incident_upsert
from sinks.mongo.store import CandleStore
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStore, TradeStoreError
from tests.fakes.candles import candle, gap
from tests.fakes.trades import BEGIN, trade

DAYS = [f"2026-01-0{number}" for number in range(1, 6)]
TRADES = LakeSeries("binance", "trades", "BTCUSDT")
HOURS = LakeSeries.of_candles("binance", "1h", "BTCUSDT")
HOUR = 3_600_000
NOW = 2_000_000_000_000
"""Wall clock of a run, later than all that the tests write."""


def all_trades() -> list[Trade]:
    """Ids that rise by one: day 1 from noon, day 2 whole, day 3 without any, day 4 whole, day 5 its first hours; a few
    run back over a minute, one aggregates, one is none of the market.
    """
    hours = [*range(12, 48), *range(72, 96), *range(96, 100)]
    found = [
        trade(number, hour * HOUR + part * 60_500, 100.0 + number, sold=number % 2 == 0)
        for number, (hour, part) in enumerate(((hour, part) for hour in hours for part in range(3)), 1_000)
    ]
    late = found[20]
    found[20] = trade(late.id, found[19].time - BEGIN - 100, late.price)
    wide = found[30]
    found[30] = AggregateTrade(
        symbol="BTCUSDT", id=wide.id, time=wide.time, price=0.1 + 0.2, quantity=1e-8, buyer_is_maker=True,
        event_time=wide.time, first_id=7, last_id=9,
    )  # fmt: skip
    other = found[31]
    found[31] = Trade("BTCUSDT", other.id, other.time, 5.0, 6.0, False, other.time, "ADL")
    return found


class Stores:
    """The stores of a venue, and a lake of them."""

    def __init__(self, database: Database[dict[str, Any]], mongo: Mongo, folder: Path) -> None:
        self.database = database
        self.mongo = mongo
        self.folder = folder
        self.lake = Lake(folder / "lake")
        self.candles = CandleStore(database, retention_days={})

    @property
    def path(self) -> Path:
        return self.folder / "trades" / "binance"

    def add(self, trades: list[Trade]) -> None:
        with TradeStore(self.path / "part-00") as store:
            add_batches(store, [TradeBatch("binance", "BTCUSDT", trades)])

    def forget(self, until: int) -> None:
        """As retention does."""
        with TradeStore(self.path / "part-00") as store:
            store.delete_before("BTCUSDT", until)
        self.database[MARKET_DATA].delete_many({"open_time": {"$lt": until}})

    def run(self, **choice: Any) -> LakeReport:
        with (
            Frames(self.mongo, self.folder / "trades", venue="binance") as frames,
            TradeReader(self.path) as reader,
            self.lake.writing(),
        ):
            run = LakeRun(self.lake, frames, self.database, reader, now_ms=None, wall_ms=lambda: NOW)
            return run.run(LakeChoice(**choice))

    def frames(self, *, with_lake: bool = True) -> Frames:
        lake = self.lake.place if with_lake else None
        return Frames(self.mongo, self.folder / "trades", venue="binance", lake=lake)


@pytest.fixture
def stores(mongo_database: Database[dict[str, Any]], mongod_uri: str, tmp_path: Path) -> Stores:
    """Five days of trades, of candles of an hour, and an incident."""
    made = Stores(mongo_database, Mongo(uri=mongod_uri, database=mongo_database.name), tmp_path)
    made.add(all_trades())
    hours = [
        candle(60 * hour, timeframe="1h", close=100.0 + hour, revision=hour % 3, first_id=hour, last_id=hour + 1)
        for hour in range(12, 100)
    ]
    made.candles.ensure_indexes(timeout_s=5)
    made.candles.store(hours, timeout_s=5)
    incident = gap(begin=BEGIN + DAY_MS + 5, end=BEGIN + DAY_MS + 9)
    mongo_database[INCIDENTS].bulk_write([incident_upsert(incident, now_ms=BEGIN)])
    return made


def contents(frames: Frames) -> list[pl.DataFrame]:
    """Everything that is read of trades and candles, in several ways."""
    return [
        frames.trades("BTCUSDT"),
        pl.concat(list(frames.iterate_trades("BTCUSDT", rows=7))),
        frames.trades("BTCUSDT", BEGIN + 20 * HOUR + 1, BEGIN + 30 * HOUR),
        frames.scan_trades("BTCUSDT").select("price", "time").collect(),
        frames.bars("BTCUSDT", rule_of("time", "1h"), BEGIN + 13 * HOUR),
        frames.bars("BTCUSDT", rule_of("tick", "10")),
        frames.candles("BTCUSDT", "1h"),
        frames.candles("BTCUSDT", "1h", BEGIN + 20 * HOUR, BEGIN + 30 * HOUR),
        pl.concat(list(frames.iterate_candles("BTCUSDT", "1h", rows=5))),
    ]


def assert_same(found: list[pl.DataFrame], expected: list[pl.DataFrame]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.equals(other)
        assert one.schema == other.schema
        assert one.height


def test_closed_days_are_in_the_lake_with_the_values_of_the_stores_and_what_proves_them(stores: Stores) -> None:
    report = stores.run()
    assert (report.outcomes, report.faults) == ({"written": 9}, [])

    days = stores.lake.manifest(TRADES).days
    assert [*days] == DAYS[:4]  # the fifth is not over
    assert [(one.rows, one.first_id, one.last_id) for one in days.values()] == [
        (36, 1_000, 1_035), (72, 1_036, 1_107), (0, -1, -1), (72, 1_108, 1_179),
    ]  # fmt: skip
    proofs = {day: (one.proof.proof, one.proof.reason) for day, one in days.items()}
    assert proofs == {
        DAYS[0]: ("unproven", "no trade before the day is stored"),
        DAYS[1]: ("repaired", ""),  # the ledger has a gap in it
        DAYS[2]: ("complete", ""),
        DAYS[3]: ("complete", ""),
    }
    hours = stores.lake.manifest(HOURS).days
    assert [(one.rows, one.proof.proof, one.proof.missing) for one in hours.values()] == [
        (12, "unproven", 12), (24, "complete", 0), (24, "complete", 0), (24, "complete", 0),
    ]  # fmt: skip
    assert hours[DAYS[0]].proof.gaps == ((BEGIN, BEGIN + 11 * HOUR),)
    with TradeReader(stores.path) as reader:
        stored = reader.trades("BTCUSDT", BEGIN, BEGIN + DAY_MS, every_fill=True)
    file = stores.lake.scan(TRADES, DAYS[0]).collect().with_columns(pl.col("fill").cast(pl.String))
    assert file.sort("id").equals(stored)
    assert file["time"].is_sorted()
    [incidents] = [stores.lake.scan(one, DAYS[1]).collect() for one in stores.lake.series(kind="incidents")]
    assert incidents["kind"].to_list() == ["gap"]

    assert stores.run().outcomes == {"unchanged": 9}
    assert stores.run(kinds=("candles",), symbols=("ETHUSDT",)).outcomes == {}


def test_what_the_stores_have_no_more_is_read_from_the_lake_and_no_row_twice(stores: Stores) -> None:
    stores.run()
    with stores.frames(with_lake=False) as frames:
        expected = contents(frames)
    for until in (BEGIN, BEGIN + 30 * HOUR + 30_000, BEGIN + 60 * HOUR, BEGIN + 74 * HOUR, BEGIN + 97 * HOUR):
        stores.forget(until)
        if until < BEGIN + 96 * HOUR:
            with stores.frames() as frames:
                assert_same(contents(frames), expected)
        assert stores.run().outcomes.keys() <= {"unchanged", "kept", "proven"}
    with stores.frames() as frames, TradeReader(stores.path, older=older_trades(stores.lake, "binance")) as reader:
        assert frames.candle_symbols() == reader.symbols() == ["BTCUSDT"]
        assert reader.first_time("BTCUSDT") == all_trades()[0].time
        assert reader.last_time("BTCUSDT", BEGIN + 60 * HOUR) == all_trades()[107].time
        every = reader.trades("BTCUSDT", BEGIN, BEGIN + 4 * DAY_MS, every_fill=True)
        assert every.height == 36 + 72 + 72
        assert every.filter(pl.col("id") == 1_031)["fill"].to_list() == ["ADL"]
    assert [one.revision for one in stores.lake.manifest(TRADES).days.values()] == [1, 1, 1, 1]


def test_a_venue_without_a_trade_store_is_read_from_the_lake(stores: Stores, tmp_path: Path) -> None:
    stores.run()
    with stores.frames(with_lake=False) as frames:
        expected = frames.trades("BTCUSDT", BEGIN, BEGIN + 4 * DAY_MS)
    with Frames(stores.mongo, tmp_path / "none", venue="binance", lake=stores.lake.place) as frames:
        assert frames.trades("BTCUSDT").equals(expected)
    kraken = Frames(stores.mongo, tmp_path / "none", venue="kraken", lake=stores.lake.place)
    with kraken, pytest.raises(FileNotFoundError):
        kraken.trades("BTCUSDT")


def test_a_day_that_was_repaired_is_the_next_revision(stores: Stores) -> None:
    trades = all_trades()
    lost = trades.pop(50)
    with TradeStore(stores.path / "part-00") as store:
        store.delete_before("BTCUSDT", 1 << 42)
    stores.add(trades)
    assert stores.run(kinds=("trades",)).outcomes == {"written": 4}
    known = stores.lake.present(TRADES, DAYS[1])
    assert (known.proof.proof, known.proof.missing, known.proof.gaps) == ("unproven", 1, ((lost.id, lost.id),))

    stores.add([lost])
    report = stores.run(kinds=("trades",))
    assert (report.outcomes, report.changed) == (
        {"rewritten": 1, "unchanged": 3}, [f"binance trades BTCUSDT {DAYS[1]} is revision 2"],
    )  # fmt: skip
    after = stores.lake.present(TRADES, DAYS[1])
    assert (after.revision, after.rows, after.proof.proof) == (2, 72, "repaired")


def test_an_incident_closes_no_day(stores: Stores) -> None:
    late = gap(begin=BEGIN + 30 * DAY_MS, end=BEGIN + 30 * DAY_MS + 1)
    stores.database[INCIDENTS].bulk_write([incident_upsert(late, now_ms=BEGIN)])
    stores.run()
    assert [*stores.lake.manifest(TRADES).days] == DAYS[:4]
    [incidents] = stores.lake.series(kind="incidents")
    assert [*stores.lake.manifest(incidents).days] == DAYS[1:4]
    assert stores.run(kinds=("incidents",)).outcomes == {"unchanged": 3}  # the time is that of all that is stored


def test_a_candle_in_doubt_or_that_is_missing_makes_its_day_unproven(stores: Stores) -> None:
    doubt = {"open_time": BEGIN + 30 * HOUR}
    stores.database[MARKET_DATA].update_one(doubt, {"$set": {"status": "partial"}})
    stores.database[MARKET_DATA].delete_one({"open_time": BEGIN + 31 * HOUR})
    stores.run()
    assert stores.lake.present(HOURS, DAYS[1]).proof.reason == "periods without a closed candle: 1 of 24; 1 partial"
    assert stores.lake.present(TRADES, DAYS[1]).proof.reason == "of its candles 1 partial"


def test_old_days_are_looked_at_again_when_something_says_that_they_have_changed(stores: Stores) -> None:
    later = [candle(1_440 * day + 1_000, timeframe="1h") for day in range(4, 20)]
    stores.candles.store(later, timeout_s=5)
    stores.run(kinds=("candles",))
    changed = stores.database[MARKET_DATA]
    changed.update_one({"open_time": BEGIN + 30 * HOUR}, {"$set": {"close": 1.0}})
    assert stores.run(kinds=("candles",)).changed == []  # that it was written has no time
    assert len(stores.run(kinds=("candles",), every_day=True).changed) == 1
    written = datetime.fromtimestamp(NOW / 1_000, UTC)
    changed.update_one({"open_time": BEGIN + 80 * HOUR}, {"$set": {"close": 2.0, "updated_at": written}})
    assert stores.run(kinds=("candles",)).changed == [f"binance candles-1h BTCUSDT {DAYS[3]} is revision 2"]
    late = incident_upsert(gap(begin=BEGIN + 20 * HOUR, end=BEGIN + 26 * HOUR), now_ms=NOW)
    changed.update_one({"open_time": BEGIN + 24 * HOUR}, {"$set": {"close": 3.0}})
    stores.database[INCIDENTS].bulk_write([late])
    assert stores.run(kinds=("candles",)).changed == [f"binance candles-1h BTCUSDT {DAYS[1]} is revision 3"]


def test_damage_is_an_error_of_the_reader_and_mended_by_the_next_run(stores: Stores) -> None:
    stores.run()
    with stores.frames() as frames:
        expected = contents(frames)
    stores.forget(BEGIN + 60 * HOUR)
    for series in (TRADES, HOURS):
        file = stores.folder / "lake" / series.file(DAYS[1])
        whole = file.read_bytes()
        file.write_bytes(whole[:-9] + b"x" + whole[-8:])
        with stores.frames() as frames, pytest.raises(Exception, match="is not what its manifest says") as raised:
            frames.trades("BTCUSDT") if series is TRADES else frames.candles("BTCUSDT", "1h")
        if series is TRADES:
            assert isinstance(raised.value, TradeStoreError)
        report = stores.run(every_day=True)
        assert "damaged" not in report.outcomes  # nothing of that day is stored, so it is not looked at
        file.write_bytes(whole)
    with stores.frames() as frames:
        assert_same(contents(frames), expected)


def test_the_begin_of_a_day_is_its_date() -> None:
    assert begin_of(DAYS[1]) == BEGIN + DAY_MS
