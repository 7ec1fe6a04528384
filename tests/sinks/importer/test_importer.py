from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec import Struct, structs
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ServerSelectionTimeoutError

from flows.model import DAY_MS, LIVE, Candle, Coverage, Incident, Origin, StoreOnly, Trade, TradeBatch
from flows.operators.candles.upgrade import CLOSED, UPGRADABLE, contradicts, improved
from sinks.importer import Importer, Improvement
from sinks.importer.importer import KNOWN_DAYS
from sinks.mongo.documents import MARKET_DATA
from sinks.mongo.reader import CandleReader, read_candles
from sinks.mongo.store import CandleStore
from sinks.mongo.writer import MongoWriter
from sinks.trades.writer import TradeWriter
from tests.fakes.candles import BEGIN, candle
from tests.fakes.mute_line import mute_line
from tests.fakes.trades import trade

SEALED = Origin(has_vouched_trades=True)


class Mark(Struct, frozen=True):
    number: int


class Heard:
    """Everything that an importer reports."""

    def __init__(self) -> None:
        self.incidents: list[Incident] = []
        self.stored: list[Any] = []
        self.failures: list[str] = []

    def write(self, batch: list[Incident]) -> None:
        self.incidents += batch

    def importer(
        self, *, candles: MongoWriter | None = None, trades: list[TradeWriter] | None = None,
        improvement: Improvement | None = None, timeout_s: float = 30.0, most_candles: int = 100,
    ) -> Importer:  # fmt: skip
        return Importer(
            candles=candles, most_candles=most_candles, trades=trades or [], ledger=self, marker=Mark,
            on_stored=self.stored.extend, on_failure=self.failures.append, improvement=improvement,
            timeout_s=timeout_s,
        )  # fmt: skip


def mongo(uri: str, database: str, **options: Any) -> MongoWriter:
    client: MongoClient[dict[str, Any]] = MongoClient(uri, serverSelectionTimeoutMS=200)
    return MongoWriter(client, database=database, retention_days={}, **options)


def minutes(count: int) -> list[Candle]:
    return [candle(number * 60_000, is_closed=True, status="final") for number in range(count)]


def known_origin(origin: Origin, _: Candle) -> Origin:
    return origin


def batch(*trades: Trade) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", list(trades))


def test_a_mark_is_told_when_all_before_it_is_stored(
    mongod_uri: str, mongo_database: Database[dict[str, Any]], tmp_path: Path
) -> None:
    heard = Heard()
    writer = TradeWriter(tmp_path, venue="binance", flush_ms=600_000, retention_days=0)
    importer = heard.importer(candles=mongo(mongod_uri, mongo_database.name), trades=[writer])
    made = minutes(2_500)
    seen: list[tuple[int, int]] = []

    def look(marks: list[Any]) -> None:
        found = read_candles(mongo_database, made[0].venue, made[0].symbol, "1m", 0, 1 << 60)
        seen.append((len(found), writer.view().count("BTCUSDT")))
        heard.stored += marks

    importer._on_stored = look
    incident = Incident("gap", "binance", "BTCUSDT", 1, 2, "a hole")
    forming = structs.replace(made[0], is_closed=False, status="forming")
    importer.write(
        [[*made[:-1], forming, batch(trade(1, 0), trade(2, 5)), incident, StoreOnly(made[-1]), Mark(1)], [Mark(2)]]
    )
    importer._report_stored()
    assert (heard.stored, seen, heard.incidents) == ([Mark(1), Mark(2)], [(2_500, 2)], [incident])
    importer.close()
    importer.close()
    assert (heard.stored, heard.failures) == ([Mark(1), Mark(2)], [])
    assert importer.proofs.total() == 2_500


def test_a_mark_waits_until_what_follows_has_closed_the_candles_before_it(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    heard = Heard()
    importer = heard.importer(candles=mongo(mongod_uri, mongo_database.name))
    over = Coverage(("BTCUSDT",), BEGIN, BEGIN + DAY_MS, "a day", is_over=True, vouched="", goes_on=True)
    told = []
    for items in ([candle(1_438), over, Mark(1)], [candle(1_439)], [candle(1_440)]):
        importer.write([items])
        importer._report_stored()
        told.append(list(heard.stored))
    assert told == [[], [], [Mark(1)]]
    importer.write([[structs.replace(over, end=BEGIN + 2 * DAY_MS), Mark(2)]])
    importer._report_stored()
    importer.write([[structs.replace(over, vouched="all"), Mark(3)]])
    importer._report_stored()
    assert heard.stored == [Mark(1), Mark(2), Mark(3)]
    importer.write([[structs.replace(over, end=BEGIN + 3 * DAY_MS), Mark(4)]])
    importer.close()
    assert heard.stored[3:] == [Mark(4)]


class Killed(BaseException):
    pass


class Dying:
    """A writer of candles whose process ends with the first write."""

    held = 0

    def write(self, batch: list[Candle]) -> None:
        raise Killed

    def close(self) -> None:
        pass


def test_what_is_replaced_is_in_the_ledger_before_it_is_replaced() -> None:
    heard, false = Heard(), structs.replace(candle(0), close=99.5)
    improvement = Improvement(lambda *_: [false], improved, contradicts, lambda _: Origin())
    importer = heard.importer(candles=cast("MongoWriter", Dying()), improvement=improvement)
    whole = Coverage(("BTCUSDT",), BEGIN, BEGIN + DAY_MS, "a day", vouched="all")
    importer.write([[whole, candle(0)]])
    with pytest.raises(Killed):
        importer.close()
    assert [(one.kind, one.begin) for one in heard.incidents] == [("repair", false.open_time)]


def test_without_candles_no_mark_waits() -> None:
    heard = Heard()
    importer = heard.importer()
    over = Coverage(("BTCUSDT",), BEGIN, BEGIN + DAY_MS, "a day", is_over=True, vouched="", goes_on=True)
    importer.write([[batch(trade(1, 0)), over, Mark(1)]])
    importer._report_stored()
    assert heard.stored == [Mark(1)]
    importer.close()


def test_what_is_stored_and_lacks_trades_gets_better_and_again_changes_nothing(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    whole = [candle(number) for number in range(6)]
    changed = {1: {"status": "partial", "trades": 3}, 2: {"status": "venue", "first_id": -1, "last_id": -1},
               3: {"status": "venue", "close": 99.5, "first_id": -1, "last_id": -1}}  # fmt: skip
    stored = [structs.replace(whole[number], revision=2, **changed.get(number, {})) for number in range(5)]
    live = mongo(mongod_uri, mongo_database.name)
    live.write(stored)
    live.close()
    reader = CandleReader(mongo_database, venue="binance")
    improvement = Improvement(partial(reader.of_status, UPGRADABLE), improved, contradicts)
    for _ in range(2):
        heard = Heard()
        importer = heard.importer(candles=mongo(mongod_uri, mongo_database.name), improvement=improvement)
        importer.write([[*whole, Mark(1)]])
        importer.close()
        found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)
        better = [structs.replace(whole[number], revision=3, status="repaired") for number in (1, 2)]
        expected = [stored[0], *better, stored[3], stored[4], whole[5]]
        assert found == [structs.replace(version, event_time=0) for version in expected]


def test_what_is_stored_and_as_good_stays_whatever_revision_the_import_has(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    stored = [candle(0), candle(1, proof="equal"), candle(2, status="venue", first_id=-1, last_id=-1)]
    live = mongo(mongod_uri, mongo_database.name)
    live.write(stored)
    live.close()
    reader = CandleReader(mongo_database, venue="binance")
    improvement = Improvement(partial(reader.of_status, CLOSED), improved, contradicts)
    heard = Heard()
    importer = heard.importer(candles=mongo(mongod_uri, mongo_database.name), improvement=improvement)
    proven_late = [candle(0, status="unproven"), candle(0, revision=1)]
    worse = [candle(1, status="partial", trades=3, revision=2), candle(2, status="final", close=99.5, revision=1)]
    importer.write([[*proven_late, *worse, Mark(1)]])
    importer.close()
    found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)
    assert found == [structs.replace(version, event_time=0) for version in stored]
    kinds = [incident.kind for incident in heard.incidents]
    assert (kinds, heard.stored) == (["mismatch"], [Mark(1)])  # the one that says something else is named


def test_a_stored_candle_that_is_contradicted_is_unproven_unless_it_has_a_proof_until_something_decides(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    live = mongo(mongod_uri, mongo_database.name)
    live.write([candle(0), candle(1, proof="equal"), candle(2), candle(3, status="repaired", revision=4), candle(4)])
    live.close()
    reader = CandleReader(mongo_database, venue="binance")
    improvement = Improvement(
        partial(reader.of_status, CLOSED),
        improved,
        contradicts,
        lambda stored: SEALED if stored.open_time == candle(4).open_time else LIVE,
    )

    def imported(*candles: Candle) -> tuple[list[tuple[str, float, int]], list[str]]:
        heard = Heard()
        importer = heard.importer(candles=mongo(mongod_uri, mongo_database.name), improvement=improvement)
        importer.write([[*candles, Mark(1)]])
        importer.close()
        found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)
        return [(one.status, one.close, one.revision) for one in found], [one.kind for one in heard.incidents]

    close = candle(0).close
    other = [candle(number, close=99.5) for number in (0, 1, 3, 4)]
    kept = [
        ("unproven", close, 1),
        ("final", close, 0),
        ("final", close, 0),
        ("unproven", close, 5),
        ("final", close, 0),
    ]
    assert imported(*other) == (kept, ["mismatch"])
    assert imported(other[0])[0] == kept
    assert imported(candle(0, close=99.5, proof="equal"))[0] == [("repaired", 99.5, 2), *kept[1:]]
    assert imported(candle(3, status="venue", first_id=-1, last_id=-1))[0][3] == ("final", close, 5)

    official = candle(4, status="venue", first_id=-1, last_id=-1)
    found, kinds = imported(structs.replace(official, close=99.5, proof="ours wrong"))
    assert (found[4], kinds) == (kept[4], ["mismatch"]), "a kline without a checksum refutes no trades that had one"
    assert imported(official)[0][4] == kept[4]
    assert read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)[4].proof == "equal"


def test_a_hole_in_a_file_marks_no_candle_without_trades_that_a_checksum_vouched_for(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    live = mongo(mongod_uri, mongo_database.name)
    live.write([candle(number, trades=0) for number in range(2)])
    live.close()
    reader = CandleReader(mongo_database, venue="binance")
    gap = Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN + 200_000, "a hole", first_id=1, last_id=9)
    for origin, expected in ((SEALED, ["final", "final"]), (LIVE, ["partial", "partial"])):
        improvement = Improvement(
            partial(reader.of_status, CLOSED), improved, contradicts, partial(known_origin, origin)
        )
        importer = Heard().importer(candles=mongo(mongod_uri, mongo_database.name), improvement=improvement)
        importer.write([[gap, Mark(1)]])
        importer.close()
        found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)
        assert [version.status for version in found] == expected


def test_a_day_that_is_looked_up_again_is_found_as_it_was_written_meanwhile(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    last_day = KNOWN_DAYS + 1
    numbers = [*range(1_440), *(day * 1_440 for day in range(1, last_day + 1))]
    stored = [candle(number, trades=0) for number in numbers]
    live = mongo(mongod_uri, mongo_database.name)
    live.write(stored)
    live.close()
    reader = CandleReader(mongo_database, venue="binance")
    looked: list[tuple[int, list[str]]] = []

    def known(symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        found = reader.of_status(CLOSED, symbol, start_ms, end_ms)
        looked.append(((start_ms - BEGIN) // DAY_MS, [version.status for version in found]))
        return found

    heard = Heard()
    importer = heard.importer(
        candles=mongo(mongod_uri, mongo_database.name),
        improvement=Improvement(known, improved, contradicts),
        most_candles=len(stored),
    )
    gap = Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN + last_day * DAY_MS, "a hole", first_id=1, last_id=9)
    importer.write([[gap, candle(0), Mark(1)]])
    importer.close()
    days: list[tuple[int, list[str]]] = [(day, ["final"]) for day in range(1, last_day + 1)]
    assert looked == [(0, ["final"] * 1_440), *days, (0, ["partial"] * 1_440)]
    found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)
    assert [version.status for version in found] == ["repaired"] + ["partial"] * (1_439 + last_day)
    assert [version.revision for version in found] == [2] + [1] * (1_439 + last_day)


def test_a_server_that_does_not_say_what_is_stored_ends_it() -> None:
    heard = Heard()
    writer = mongo("mongodb://127.0.0.1:9", "absent")

    def known(symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        raise ServerSelectionTimeoutError(f"{symbol}: away from {start_ms} to {end_ms}")

    importer = heard.importer(candles=writer, improvement=Improvement(known, improved, contradicts), timeout_s=0.1)
    importer.write([[candle(0), Mark(1)]])
    importer.close()
    assert (heard.stored, len(heard.failures)) == ([], 1)


def test_the_last_marks_are_told_at_the_end() -> None:
    heard = Heard()
    importer = heard.importer()
    importer.write([[candle(0, is_closed=True), batch(trade(1, 0)), Mark(1)]])
    assert heard.stored == []
    importer.close()
    assert heard.stored == [Mark(1)]


@pytest.mark.slow
def test_a_store_that_takes_nothing_ends_it_and_nothing_is_noted() -> None:
    heard = Heard()
    writer = mongo("mongodb://127.0.0.1:9", "absent")
    importer = heard.importer(candles=writer, timeout_s=0.1)
    importer.write([[*minutes(1_500), Mark(1)], [Mark(2)]])
    [reason] = heard.failures
    assert reason == "MongoDB confirmed nothing for 0.1 s: see to it, and run the import again"
    importer.write([[*minutes(10), Mark(3)]])
    assert writer.held == 1_000
    importer.close()
    assert (heard.stored, heard.failures) == ([], [reason])


def test_an_import_goes_on_where_writes_land_and_answers_do_not_come(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    heard, made = Heard(), minutes(250)
    with mute_line(mongod_uri) as line:
        importer = heard.importer(candles=mongo(line.uri, mongo_database.name, write_timeout_s=0.5), timeout_s=60.0)
        line.mute("update")
        importer.write([[*made, Mark(1)]])
        importer.close()
    assert (heard.stored, heard.failures) == ([Mark(1)], [])
    found = read_candles(mongo_database, "binance", "BTCUSDT", "1m", 0, 1 << 60)
    assert found == [structs.replace(one, event_time=0) for one in made]


def test_a_server_of_which_nothing_is_known_is_not_said_to_have_taken_nothing(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    heard = Heard()
    with mute_line(mongod_uri) as line:
        importer = heard.importer(candles=mongo(line.uri, mongo_database.name, write_timeout_s=0.5), timeout_s=10.0)
        line.mute("update", "find")
        importer.write([[candle(0, is_closed=True), Mark(1)]])
        importer.close()
    [reason] = heard.failures
    assert reason.startswith("MongoDB confirmed nothing for 10 s (")
    assert "; whether 1 item is stored is not known: " in reason
    assert heard.stored == []


def test_a_stored_document_that_is_no_candle_ends_an_import_with_what_to_do(
    mongod_uri: str, mongo_database: Database[dict[str, Any]]
) -> None:
    store = CandleStore(mongo_database, retention_days={})
    store.store([candle(0, status="partial"), candle(1)], timeout_s=20)
    mongo_database[MARKET_DATA].update_one({"open_time": BEGIN + 60_000}, {"$set": {"close": "100"}})
    before = list(mongo_database[MARKET_DATA].find())
    heard, reader = Heard(), CandleReader(mongo_database, venue="binance")
    improvement = Improvement(partial(reader.of_status, CLOSED), improved, contradicts)
    importer = heard.importer(candles=mongo(mongod_uri, mongo_database.name), improvement=improvement)
    importer.write([[candle(0), Mark(1)], [candle(1), Mark(2)]])
    importer.close()
    assert (heard.stored, list(mongo_database[MARKET_DATA].find())) == ([], before)
    [said] = heard.failures
    assert said.endswith("cannot be read, close '100': marketflow verify --repair --against rest replaces it")
