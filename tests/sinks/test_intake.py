from pathlib import Path
from typing import Any

from msgspec import Struct, structs
from pymongo import MongoClient
from pymongo.database import Database

from flows.model import Candle, Incident, Recorded, Trade, TradeBatch
from sinks.candle_reader import read_candles
from sinks.intake import Intake
from sinks.mongo import MongoWriter
from sinks.trades import TradeWriter
from tests.fakes.candles import candle
from tests.fakes.trades import trade


class Mark(Struct, frozen=True):
    number: int


class Heard:
    """Everything that an intake says."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []
        self.stored: list[Any] = []
        self.failures: list[str] = []

    def write(self, batch: list[Incident]) -> None:
        self.incidents += batch

    def intake(
        self, *, candles: MongoWriter | None = None, trades: list[TradeWriter] | None = None, patience_s: float = 30.0
    ) -> Intake:
        return Intake(
            candles=candles, most_candles=100, trades=trades or [], ledger=self, marker=Mark,
            on_stored=self.stored.extend, on_failure=self.failures.append, patience_s=patience_s,
        )  # fmt: skip


def mongo(uri: str, database: str) -> MongoWriter:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=200)
    return MongoWriter(client, database=database, retention_days={})


def minutes(count: int) -> list[Candle]:
    return [candle(number * 60_000, is_closed=True, status="final") for number in range(count)]


def batch(*trades: Trade) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", list(trades))


def test_a_mark_is_told_when_all_before_it_is_stored(
    mongod_uri: str, mongo_database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    heard = Heard()
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=600_000, retention_days=0)
    intake = heard.intake(candles=mongo(mongod_uri, mongo_database.name), trades=[writer])
    made = minutes(2_500)
    seen: list[tuple[int, int]] = []

    def look(marks: list[Any]) -> None:
        found = read_candles(mongo_database, made[0].venue, made[0].symbol, "1m", 0, 1 << 60)
        seen.append((len(found), writer.view().count("BTCUSDT")))
        heard.stored += marks

    intake._on_stored = look
    incident = Incident("gap", "binance", "BTCUSDT", 1, 2, "a hole")
    forming = structs.replace(made[0], is_closed=False, status="forming")
    intake.write(
        [[*made[:-1], forming, batch(trade(1, 0), trade(2, 5)), incident, Recorded(made[-1]), Mark(1)], [Mark(2)]]
    )
    intake._note()
    assert (heard.stored, seen, heard.incidents) == ([Mark(1), Mark(2)], [(2_500, 2)], [incident])
    intake.close()
    intake.close()
    assert (heard.stored, heard.failures) == ([Mark(1), Mark(2)], [])
    assert intake.proofs.total() == 2_500


def test_the_last_marks_are_told_at_the_end() -> None:
    heard = Heard()
    intake = heard.intake()
    intake.write([[candle(0, is_closed=True), batch(trade(1, 0)), Mark(1)]])
    assert heard.stored == []
    intake.close()
    assert heard.stored == [Mark(1)]


def test_a_store_that_takes_nothing_ends_it_and_nothing_is_noted() -> None:
    heard = Heard()
    writer = mongo("mongodb://127.0.0.1:9", "absent")
    intake = heard.intake(candles=writer, patience_s=0.1)
    intake.write([[*minutes(1_500), Mark(1)], [Mark(2)]])
    [reason] = heard.failures
    assert reason == "MongoDB took nothing for 0.1 s: see to it, and run the import again"
    intake.write([[*minutes(10), Mark(3)]])
    assert writer.held == 1_000
    intake.close()
    assert (heard.stored, heard.failures) == ([], [reason])
