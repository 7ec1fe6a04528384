"""What is stored and cannot be read is a finding like any other: the rest is verified, and a repair replaces it."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs
from pymongo import MongoClient

from flows.model import AggregateTrade, Incident, Trade, TradeBatch
from flows.settings import Settings, load_settings
from flows.verification.choice import Options
from flows.verify import verify
from sinks.mongo.documents import INCIDENTS, MARKET_DATA
from sinks.mongo.reader import read_candles
from sinks.mongo.store import CandleStore
from sinks.trades.codec import MINUTE_MS, SECOND_MS, encode_key
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStore
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.tape.tapes import load_tapes
from tests.fakes.bad_records import CHANGES, columns_of, delete, put, value_of
from tests.fakes.recordings import recording
from tests.fakes.verified import SYMBOL, VENUE, true_candles

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
Documents = MongoClient[dict[str, Any]]
TIMEFRAMES = ("1m", "5m")
BEGIN = 1_723_161_300_000
"""A whole minute of the recording."""
MINUTES = 5
ALL = Options(settle_s=0, confirm_s=0)


@pytest.fixture(scope="module")
def exchange() -> Iterator[ThreadedExchange]:
    """An exchange that has played all of a symbol's recording."""
    tapes = sorted(recording("binance-spot-2024-08-08").glob("btcusdt_*.gz"))
    market = load_tapes(tapes, kind="spot", history=recording("kline-history"))
    with exchange_in_thread(market, speed=1e6, start_now=True) as exchange:
        exchange.wait_finished(120)
        yield exchange


@pytest.fixture(scope="module")
def trades(exchange: ThreadedExchange) -> list[Trade]:
    """Its trades of some minutes."""
    found: list[Trade] = []
    first = 1
    with httpx.Client(base_url=exchange.rest_url, trust_env=False, timeout=60) as client:
        while not found or found[-1].time < BEGIN + MINUTES * MINUTE_MS:
            params: dict[str, Any] = {"symbol": SYMBOL, "fromId": first, "limit": 1_000}
            rows = client.get("/api/v3/aggTrades", params=params).json()
            found += [
                AggregateTrade(
                    symbol=SYMBOL, id=row["a"], time=row["T"], price=float(row["p"]), quantity=float(row["q"]),
                    buyer_is_maker=row["m"], event_time=row["T"], first_id=row["f"], last_id=row["l"],
                )
                for row in rows
            ]  # fmt: skip
            first = rows[-1]["a"] + 1
    return [trade for trade in found if BEGIN <= trade.time < BEGIN + MINUTES * MINUTE_MS + 30_000]


@pytest.fixture
def record_ms(request: pytest.FixtureRequest) -> int:
    """The length of the stored records."""
    length: int = getattr(request, "param", MINUTE_MS)
    return length


by_length = pytest.mark.parametrize("record_ms", [SECOND_MS, MINUTE_MS], indirect=True)


@pytest.fixture
def filled(
    tmp_path: Path,
    mongod_uri: str,
    mongo_client: Documents,
    exchange: ThreadedExchange,
    trades: list[Trade],
    record_ms: int,
) -> Settings:
    """Stores of five minutes that hold what they claim."""
    settings = load_settings(
        mongo={"uri": mongod_uri, "database": tmp_path.name},
        trades={"path": tmp_path / "trades"},
        feed={
            "origin": "replay",
            "rest_url": exchange.rest_url,
            "streams": ["aggTrade", "kline"],
            "timeframes": TIMEFRAMES,
        },
    )
    with TradeStore(settings.trades.path / VENUE / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch(VENUE, SYMBOL, trades)], record_ms=record_ms)
        others = [structs.replace(trade, symbol="ETHUSDT") for trade in trades]
        add_batches(store, [TradeBatch(VENUE, "ETHUSDT", others)], record_ms=record_ms)
    candles = CandleStore(mongo_client[settings.mongo.database], retention_days={})
    candles.ensure_indexes(timeout_s=60)
    true = true_candles(trades, TIMEFRAMES)
    candles.store([*true, *(structs.replace(one, symbol="ETHUSDT") for one in true)], timeout_s=60)
    return settings


def part_of(settings: Settings) -> Path:
    return settings.trades.path / VENUE / "part-00"


def documents(settings: Settings, client: Documents, collection: str = MARKET_DATA) -> Any:
    return client[settings.mongo.database][collection]


def spoil(settings: Settings, time: int, record_ms: int, name: str) -> str:
    """Changes a record; returns the new key."""
    with TradeStore(part_of(settings)) as store:
        before = encode_key(SYMBOL, time // record_ms * record_ms)
        value = store.value(before)
        assert value is not None
        key, new = CHANGES[name]((before, value))
        delete(store, before)
        put(store, key, new)
    return key.decode()


def stored_trades(settings: Settings) -> list[tuple[Any, ...]]:
    with TradeReader(settings.trades.path / VENUE) as reader:
        return reader.trades(SYMBOL, 0, 1 << 42).rows()


# --- records of trades ---


@by_length
@pytest.mark.parametrize("name", ["value cut", "price NaN", "column unknown", "times of another day", "key longer"])
def test_a_record_is_named_the_rest_is_verified_and_a_repair_fetches_it_again(
    filled: Settings, mongo_client: Documents, record_ms: int, name: str
) -> None:
    before = stored_trades(filled)
    key = spoil(filled, BEGIN + 130_000, record_ms, name)
    true = {}
    for symbol in (SYMBOL, "ETHUSDT"):
        of = {"symbol": symbol, "timeframe": "1m", "open_time": BEGIN}
        true[symbol] = documents(filled, mongo_client).find_one_and_update(of, {"$set": {"volume": 0.5}})["volume"]

    report = verify(filled, ALL)

    [finding] = [one for one in report.findings if one.kind == "record"]
    assert (finding.symbol, finding.claimed) == (SYMBOL, f"record {key}")
    assert finding.true.startswith("unreadable: ")
    candles = {(one.symbol, one.open_time) for one in report.findings if one.kind == "candle"}
    assert candles == {(SYMBOL, BEGIN), ("ETHUSDT", BEGIN)}
    assert report.totals["record"] == 1

    of = {"symbol": SYMBOL, "timeframe": "1m", "open_time": BEGIN}
    documents(filled, mongo_client).update_one(of, {"$set": {"volume": true[SYMBOL]}})
    report = verify(filled, structs.replace(ALL, repair=True, against="rest", symbols=(SYMBOL,)))
    assert (report.left, report.removed) == ([], 1)
    assert report.refilled > 0
    assert stored_trades(filled) == before
    again = verify(filled, structs.replace(ALL, symbols=(SYMBOL,)))
    assert (again.findings, again.is_true) == ([], True)
    ledger = [one for one in documents(filled, mongo_client, INCIDENTS).find({"kind": "repair"}) if key in one["cause"]]
    assert [one["symbol"] for one in ledger] == [SYMBOL]


@by_length
@pytest.mark.parametrize("name", ["value empty", "quantity 0", "key of another time"])
@pytest.mark.parametrize("place", ["first", "last"])
def test_also_the_first_and_the_last_record(
    filled: Settings, trades: list[Trade], record_ms: int, name: str, place: str
) -> None:
    before = {row[0]: row for row in stored_trades(filled)}
    spoil(filled, trades[0 if place == "first" else -1].time, record_ms, name)
    only = structs.replace(ALL, symbols=(SYMBOL,))
    assert verify(filled, only).totals["record"] == 1

    report = verify(filled, structs.replace(only, repair=True, against="rest"))

    assert (report.left, report.removed) == ([], 1)
    found = {row[0]: row for row in stored_trades(filled)}
    assert {number: found[number] for number in before} == before
    assert verify(filled, only).findings == []


def with_other_ids(value: bytes, by: int, fills: int) -> bytes:
    columns = columns_of(value)
    for name, more in (("id", by), ("first_id", fills), ("last_id", fills)):
        ids = [number + more for (number,) in struct.iter_unpack("<q", columns[name])]
        columns[name] = struct.pack(f"<{len(ids)}q", *ids)
    return value_of(columns)


@by_length
@pytest.mark.parametrize(("by", "fills"), [(10**6, 0), (10**12, 10**13), (-30, -60)])
def test_a_record_with_ids_that_belong_elsewhere_is_replaced(
    filled: Settings, record_ms: int, by: int, fills: int
) -> None:
    """It can be read, and only the other trades tell that it is none."""
    before, only = stored_trades(filled), structs.replace(ALL, symbols=(SYMBOL,))
    with TradeStore(part_of(filled)) as store:
        key = encode_key(SYMBOL, (BEGIN + 130_000) // record_ms * record_ms)
        value = store.value(key)
        assert value is not None
        put(store, key, with_other_ids(value, by, fills))
    assert not verify(filled, only).is_true

    verify(filled, structs.replace(only, repair=True, against="rest"))

    assert stored_trades(filled) == before
    assert verify(filled, only).findings == []


def test_what_is_of_no_symbol_is_named_and_removed(filled: Settings) -> None:
    keys = [b"anything", b"trades:", b"trades:B\xffT:1723161300000", b"trades:\xc3\xa4:1723161300000", b"zzz"]
    with TradeStore(part_of(filled)) as store:
        for key in keys:
            put(store, key, b"")

    report = verify(filled, ALL)
    assert [one.symbol for one in report.findings if one.kind == "record"] == [""] * len(keys)
    assert {one.kind for one in report.findings} == {"record"}

    assert verify(filled, structs.replace(ALL, repair=True)).removed == len(keys)
    assert verify(filled, ALL).is_true


def test_the_command_names_it_and_ends_with_1(filled: Settings, record_ms: int) -> None:
    key = spoil(filled, BEGIN + 70_000, record_ms, "value cut")
    environment = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "MARKETFLOW_MONGO__URI": filled.mongo.uri,
        "MARKETFLOW_MONGO__DATABASE": filled.mongo.database,
        "MARKETFLOW_TRADES__PATH": str(filled.trades.path),
    }
    line = [sys.executable, "-m", "flows.verify", "--settle", "0", "--json", "-"]
    done = subprocess.run(
        line, env=environment, cwd=filled.trades.path.parent, capture_output=True, text=True, check=False
    )

    report = json.loads(done.stdout)
    [record] = [one for one in report["findings"] if one["kind"] == "record"]
    assert (record["symbol"], record["claimed"]) == (SYMBOL, f"record {key}")
    assert (done.returncode, report["exit_code"]) == (1, 1)


def test_trades_of_a_time_that_cannot_be_are_removed(filled: Settings, trades: list[Trade]) -> None:
    false = [
        structs.replace(trades[0], id=10**9, time=1_000_000_000_000),
        structs.replace(trades[0], id=2 * 10**9, time=5_000_000_000_000),
    ]
    with TradeStore(part_of(filled)) as store, store.lock:
        add_batches(store, [TradeBatch(VENUE, SYMBOL, false)])
    report = verify(filled, structs.replace(ALL, repair=True))
    assert [one.kind for one in report.findings] == ["trade", "trade"]
    assert (report.removed, verify(filled, ALL).is_true) == (2, True)


# --- documents ---

BAD_FIELDS: dict[str, dict[str, Any]] = {
    "text": {"$set": {"close": "100"}},
    "missing": {"$unset": {"quote_volume": ""}},
    "nan": {"$set": {"high": float("nan")}},
    "flag": {"$set": {"is_closed": 1}},
    "no status": {"$set": {"status": None}},
    "no revision": {"$unset": {"revision": ""}},
    "fraction": {"$set": {"trades": 7.5}},
    "time": {"$set": {"open_time": float(BEGIN + 60_000)}},
    "no close_time": {"$unset": {"close_time": ""}},
    "no number": {"$set": {"first_id": {}}},
}
MINUTE = {"symbol": SYMBOL, "timeframe": "1m", "open_time": BEGIN + 60_000}


@pytest.mark.parametrize("change", BAD_FIELDS.values(), ids=BAD_FIELDS)
def test_a_document_that_is_no_candle_is_made_anew_from_its_trades(
    filled: Settings, mongo_client: Documents, change: dict[str, Any]
) -> None:
    of = filled.mongo.database, VENUE, SYMBOL, "1m", BEGIN, BEGIN + 600_000
    before = read_candles(mongo_client[of[0]], *of[1:])
    documents(filled, mongo_client).update_one(MINUTE, change)

    report = verify(filled, structs.replace(ALL, repair=True))

    assert [(one.kind, one.timeframe, one.open_time) for one in report.findings] == [("candle", "1m", BEGIN + 60_000)]
    assert (report.repaired, report.left) == (1, [])
    assert verify(filled, ALL).is_true
    after = read_candles(mongo_client[of[0]], *of[1:])
    same = {"status": "final", "revision": 0}
    assert [structs.replace(one, **same) for one in after] == before


@pytest.mark.parametrize("name", ["text", "no revision", "time"])
def test_without_its_trades_it_is_left_or_the_exchanges_own_takes_its_place(
    filled: Settings, mongo_client: Documents, name: str
) -> None:
    with TradeStore(part_of(filled)) as store:
        store.delete_before(SYMBOL, BEGIN + 120_000)
    documents(filled, mongo_client).update_one(MINUTE, BAD_FIELDS[name])

    report = verify(filled, structs.replace(ALL, repair=True))
    assert (report.repaired, len(report.left)) == (0, 1)
    assert f"candles 1m {BEGIN + 60_000} of {SYMBOL} cannot be read" in report.left[0]
    assert report.left[0].endswith(f"python -m flows.verify --repair --against rest --symbols {SYMBOL} fetches them")

    report = verify(filled, structs.replace(ALL, repair=True, against="rest", symbols=(SYMBOL,)))
    assert (report.repaired, report.left) == (1, [])
    assert documents(filled, mongo_client).find_one(MINUTE)["status"] == "venue"
    assert verify(filled, ALL).is_true


def test_a_running_candle_that_cannot_be_read_is_removed(filled: Settings, mongo_client: Documents) -> None:
    """Also where it is younger than what is verified."""
    running = {**documents(filled, mongo_client).find_one(MINUTE), "open_time": BEGIN + MINUTES * 60_000}
    running |= {"close_time": running["open_time"] + 59_999, "is_closed": False, "status": "forming", "volume": "1"}
    del running["_id"]
    documents(filled, mongo_client).insert_one(running)
    for settle_s in (0, 180):
        assert verify(filled, Options(settle_s=settle_s)).totals == {"candle": 1}
    assert verify(filled, structs.replace(ALL, repair=True)).removed == 1
    assert verify(filled, ALL).is_true


@pytest.mark.parametrize(
    "change",
    [
        {"$unset": {"symbol": ""}},
        {"$set": {"symbol": 5}},
        {"$set": {"timeframe": None}},
        {"$unset": {"venue": ""}},
        {"$set": {"open_time": "now"}},
        {"$unset": {"open_time": ""}},
        {"$set": {"open_time": 5}},
    ],
)
def test_a_document_of_no_series_is_named_and_removed(
    filled: Settings, mongo_client: Documents, change: dict[str, Any]
) -> None:
    documents(filled, mongo_client).update_one(MINUTE, change)

    report = verify(filled, ALL)
    assert {one.kind for one in report.findings} == {"candle", "missing"}

    assert verify(filled, structs.replace(ALL, repair=True)).removed == 1
    assert not verify(filled, ALL).totals  # the candle was made again of its trades


@pytest.mark.parametrize(
    "change",
    [
        {"$unset": {"cause": ""}},
        {"$set": {"begin": "now"}},
        {"$set": {"kind": 5}},
        {"$unset": {"created_at": ""}},
        {"$set": {"first_id": 7.5}},
        {"$unset": {"symbol": ""}},
    ],
)
def test_an_entry_of_the_ledger_that_is_none_is_named_and_removed(
    filled: Settings, mongo_client: Documents, change: dict[str, Any]
) -> None:
    told = Incident("gap", VENUE, SYMBOL, BEGIN, BEGIN + 1_000, "a", "b", 5, 6)
    store = CandleStore(mongo_client[filled.mongo.database], retention_days={})
    store.store([told, structs.replace(told, cause="another")], timeout_s=60)
    entries = documents(filled, mongo_client, INCIDENTS)
    entries.update_one({"cause": "a"}, change)

    assert [(one.kind, one.symbol) for one in verify(filled, ALL).findings] == [("ledger", "")]
    assert verify(filled, structs.replace(ALL, repair=True)).removed == 1
    assert verify(filled, ALL).is_true
    assert sorted(one["kind"] for one in entries.find()) == ["gap", "repair"]
