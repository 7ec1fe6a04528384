import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import httpx
import pytest
from msgspec import structs
from pymongo import MongoClient

from flows.model import Candle, Incident, Trade, TradeBatch
from flows.settings import Settings, load_settings
from flows.verification.choice import CannotRunError, Options
from flows.verification.output import as_json
from flows.verify import main, verify, verify_all
from sinks.mongo.commands import REQUESTS
from sinks.mongo.documents import INCIDENTS, MARKET_DATA
from sinks.mongo.reader import read_candles
from sinks.mongo.store import CandleStore
from sinks.trades.begins import FirstTrade, TradeBegins
from sinks.trades.merge import add_batches
from sinks.trades.store import TradeStore
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.tapes import spot_recording
from tests.fakes.trades import BEGIN, trade
from tests.fakes.verified import SYMBOL, VENUE, true_candles

ROOT = Path(__file__).parents[2]
TIMEFRAMES = ("1m", "5m", "15m")
HOUR = [
    trade(number, number * 7_000, 100 + number % 13 / 4, 0.25 + number % 7, sold=number % 3 == 0)
    for number in range(520)
]
Documents = MongoClient[dict[str, Any]]


@pytest.fixture
def settings(tmp_path: Path, mongod_uri: str) -> Settings:
    return load_settings(
        mongo={"uri": mongod_uri, "database": tmp_path.name},
        trades={"path": tmp_path / "trades"},
        feed={"origin": "replay", "rest_url": "http://127.0.0.1:9", "timeframes": TIMEFRAMES},
    )


def fill(settings: Settings, client: Documents, trades: Sequence[Trade], candles: Sequence[Candle]) -> None:
    with TradeStore(settings.trades.path / VENUE / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch(VENUE, SYMBOL, list(trades))])
    store_candles(settings, client, candles)


def store_candles(settings: Settings, client: Documents, candles: Sequence[Candle]) -> None:
    store = CandleStore(client[settings.mongo.database], retention_days={})
    store.ensure_indexes(timeout_s=60)
    store.store(candles, timeout_s=60)


@pytest.fixture
def filled(settings: Settings, mongo_client: Documents) -> Settings:
    """Stores of an hour that hold what they claim."""
    fill(settings, mongo_client, HOUR, true_candles(HOUR, TIMEFRAMES))
    return settings


def begin_with(settings: Settings, first: Trade, symbol: str = SYMBOL) -> None:
    """Notes the first trade that was ever to be stored."""
    TradeBegins(settings.trades.path / VENUE).write(symbol, FirstTrade(first.id, first.time))


def candles_of(settings: Settings, client: Documents) -> Any:
    return client[settings.mongo.database][MARKET_DATA]


ALL = Options(settle_s=0, confirm_s=0)


def test_true_stores_hold_what_they_claim(filled: Settings) -> None:
    report = verify(filled, ALL)

    assert (report.is_true, report.findings) == (True, [])
    counts = report.symbols[SYMBOL]
    assert (counts.trades, counts.candles) == (len(HOUR), 60 + 12 + 4)
    assert counts.recomputed == counts.candles


def test_a_false_candle_is_named_with_what_is_true(filled: Settings, mongo_client: Documents) -> None:
    of = {"timeframe": "1m", "open_time": BEGIN + 600_000}
    true = candles_of(filled, mongo_client).find_one(of)
    candles_of(filled, mongo_client).update_one(of, {"$set": {"volume": true["volume"] + 1}})

    report = verify(filled, ALL)

    (finding,) = report.findings
    assert (finding.kind, finding.symbol, finding.timeframe, finding.open_time) == ("candle", SYMBOL, *of.values())
    assert (finding.claimed, finding.true) == (f"volume {true['volume'] + 1}", f"volume {true['volume']}")
    assert report.totals == {"candle": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"$set": {"close": "100"}},
        {"$set": {"trades": 7.5}},
        {"$set": {"high": float("nan")}},
        {"$unset": {"quote_volume": ""}},
        {"$set": {"is_closed": 1}},
        {"$set": {"status": None}},
        {"$set": {"open_time": 5}},
        {"$set": {"open_time": 1 << 62}},
        {"$set": {"open_time": "now"}},
        {"$set": {"timeframe": "7x"}},
        {"$set": {"close_time": 0}},
    ],
)
def test_a_document_that_is_no_candle_is_found(
    filled: Settings, mongo_client: Documents, change: dict[str, Any]
) -> None:
    candles_of(filled, mongo_client).update_one({"timeframe": "5m", "open_time": BEGIN + 600_000}, change)

    assert not verify(filled, ALL).is_true


def test_a_trade_that_is_not_stored_is_a_hole(settings: Settings, mongo_client: Documents) -> None:
    fill(settings, mongo_client, HOUR[:200] + HOUR[201:], true_candles(HOUR, TIMEFRAMES))

    report = verify(settings, ALL)

    assert [(f.kind, f.open_time) for f in report.findings] == [("hole", HOUR[201].time)]
    assert report.findings[0].claimed.startswith("ids 200 to 200 ")


def test_a_partition_that_is_gone_is_found(filled: Settings) -> None:
    begin_with(filled, HOUR[0])
    assert verify(filled, ALL).is_true
    rmtree(filled.trades.path / VENUE / "part-00")

    report = verify(filled, ALL)

    assert report.totals == {"hole": 1 + 59 + 11 + 3}
    assert report.findings[0].claimed == f"trade {HOUR[0].id}, the first one seen"


def test_a_symbol_of_which_only_the_first_trade_is_known_is_found(filled: Settings) -> None:
    begin_with(filled, HOUR[0], "ETHUSDT")

    report = verify(filled, ALL)

    assert [(f.symbol, f.kind, f.open_time) for f in report.findings] == [("ETHUSDT", "hole", HOUR[0].time)]


def test_first_trades_that_are_gone_are_found(settings: Settings, mongo_client: Documents) -> None:
    fill(settings, mongo_client, HOUR[200:], true_candles(HOUR, TIMEFRAMES))
    begin_with(settings, HOUR[0])

    findings = verify(settings, ALL).findings

    [hole] = [f for f in findings if not f.timeframe]
    assert (hole.kind, hole.claimed.partition(" between")[0]) == ("hole", f"ids {HOUR[0].id} to {HOUR[199].id}")
    minutes = [f.open_time for f in findings if f.timeframe == "1m"]
    assert minutes == list(range(BEGIN, HOUR[200].time // 60_000 * 60_000, 60_000))


@pytest.mark.parametrize(
    "gone", [{"timeframe": "1m", "open_time": {"$gte": BEGIN + 3_000_000}}, {"timeframe": "5m"}, {}]
)
def test_candles_that_trades_require_are_made_of_them(
    filled: Settings, mongo_client: Documents, gone: dict[str, Any]
) -> None:
    lost = candles_of(filled, mongo_client).count_documents(
        {**gone, "open_time": gone.get("open_time", {"$gt": BEGIN})}
    )
    candles_of(filled, mongo_client).delete_many(gone)

    report = verify(filled, structs.replace(ALL, repair=True))

    is_new = gone == {"timeframe": "5m"}
    assert ({*report.totals}, {*report.noted}) == (set(), {"added"}) if is_new else ({"missing"}, set())
    assert (report.repaired, report.left) == (lost, [])
    again = verify(filled, ALL)
    assert (again.findings, again.notes) == ([], [])


def test_a_repair_rewrites_wrong_and_missing_candles(filled: Settings, mongo_client: Documents) -> None:
    documents = candles_of(filled, mongo_client)
    documents.update_one({"timeframe": "1m", "open_time": BEGIN + 600_000}, {"$set": {"close": 1e6, "high": 1e6}})
    documents.update_one({"timeframe": "5m", "open_time": BEGIN + 900_000}, {"$set": {"trades": 1, "revision": 3}})
    documents.delete_one({"timeframe": "1m", "open_time": BEGIN + 1_200_000})

    report = verify(filled, structs.replace(ALL, repair=True))
    assert (report.totals, report.repaired) == ({"candle": 2, "missing": 1}, 3)

    assert verify(filled, ALL).is_true
    changed = documents.find({"status": "repaired"}).sort("open_time")
    assert [(d["timeframe"], d["open_time"], d["revision"]) for d in changed] == [
        ("1m", BEGIN + 600_000, 1), ("5m", BEGIN + 900_000, 4), ("1m", BEGIN + 1_200_000, 0)
    ]  # fmt: skip
    true = {(c.timeframe, c.open_time): c for c in true_candles(HOUR, TIMEFRAMES)}
    for candle in read_candles(mongo_client[filled.mongo.database], VENUE, SYMBOL, "1m", BEGIN, BEGIN + 3_600_000):
        expected = true["1m", candle.open_time]
        assert structs.replace(candle, status="final", revision=0) == structs.replace(expected, event_time=0)
    ledger = mongo_client[filled.mongo.database][INCIDENTS]
    assert [d["kind"] for d in ledger.find()] == ["repair"] * 3


def test_a_candle_that_a_flow_may_still_amend_is_left_with_what_to_do(
    filled: Settings, mongo_client: Documents
) -> None:
    documents = candles_of(filled, mongo_client)
    for minute in (10, 55):
        documents.update_one({"timeframe": "1m", "open_time": BEGIN + minute * 60_000}, {"$set": {"volume": 0.5}})
    report = verify(filled, structs.replace(ALL, repair=True))
    assert (report.totals, report.repaired) == ({"candle": 2}, 1)
    [left] = report.left
    assert left.startswith(f"{SYMBOL}: ")
    assert left.count("1m ") == 1
    assert ":55:00" in left
    assert verify(filled, ALL).totals == {"candle": 1}


def requests_of(settings: Settings, client: Documents) -> list[tuple[Any, ...]]:
    found = client[settings.mongo.database][REQUESTS].find({"state": "open"}).sort([("timeframe", 1), ("start", 1)])
    return [(d["kind"], d["venue"], d["symbol"], d["timeframe"], d["start"], d["end"]) for d in found]


def test_a_running_flow_is_asked_to_tell_what_was_rewritten(filled: Settings, mongo_client: Documents) -> None:
    documents = candles_of(filled, mongo_client)
    for minute in (3, 4, 9):
        documents.update_one({"timeframe": "1m", "open_time": BEGIN + minute * 60_000}, {"$set": {"volume": 0.5}})
    documents.update_one({"timeframe": "5m", "open_time": BEGIN + 900_000}, {"$set": {"volume": 0.5}})

    for repaired, asked in ((4, 3), (0, 0)):
        report = verify(filled, structs.replace(ALL, repair=True))
        assert (report.repaired, report.republished, report.left) == (repaired, asked, [])
        assert requests_of(filled, mongo_client) == [
            ("republish", VENUE, SYMBOL, "1m", BEGIN + 180_000, BEGIN + 300_000),
            ("republish", VENUE, SYMBOL, "1m", BEGIN + 540_000, BEGIN + 600_000),
            ("republish", VENUE, SYMBOL, "5m", BEGIN + 900_000, BEGIN + 1_200_000),
        ]


def test_more_than_one_repair_mends_is_left_for_the_next(
    settings: Settings, mongo_client: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = [trade for trade in HOUR if trade.id not in (HOUR[100].id, HOUR[200].id, HOUR[300].id)]
    fill(settings, mongo_client, lacking, true_candles(HOUR, TIMEFRAMES))
    for most, is_told in ((4, False), (3, True), (2, True)):
        monkeypatch.setattr("flows.verification.checks.symbol.MOST_GAPS", most)
        left = verify(settings, structs.replace(ALL, repair=True)).left
        assert any("repair again for others" in sentence for sentence in left) is is_told


def test_a_repair_mends_more_than_a_report_lists(
    filled: Settings, mongo_client: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.verification.checks.findings.MOST_LISTED", 2)
    wrong = {"timeframe": "1m", "open_time": {"$gte": BEGIN + 60_000, "$lt": BEGIN + 360_000}}
    candles_of(filled, mongo_client).update_many(wrong, {"$inc": {"volume": 1.0}})

    report = verify(filled, structs.replace(ALL, repair=True))

    assert (len(report.findings), report.totals["candle"], report.repaired) == (2, 5, 5)
    assert verify(filled, ALL).is_true


@pytest.mark.e2e
def test_trades_that_lack_are_left_with_what_to_do(settings: Settings, mongo_client: Documents) -> None:
    fill(settings, mongo_client, HOUR[:200] + HOUR[201:], true_candles(HOUR, TIMEFRAMES))

    report = verify(settings, structs.replace(ALL, repair=True))

    command = "python -m flows.verify --repair --against rest --symbols BTCUSDT"
    assert report.left == [f"trades 200 to 200 of BTCUSDT are not stored: {command} fetches them"]
    assert (report.refilled, report.repaired, report.republished) == (0, 0, 0)


def test_choices_bound_what_is_verified(filled: Settings, mongo_client: Documents) -> None:
    candles_of(filled, mongo_client).update_one(
        {"timeframe": "1m", "open_time": BEGIN + 600_000}, {"$set": {"low": 1.0}}
    )

    def is_true(**chosen: Any) -> bool:
        return verify(filled, structs.replace(ALL, **chosen)).is_true

    assert not is_true()
    assert is_true(timeframes=("5m",))
    assert is_true(start=BEGIN + 660_000)
    assert is_true(end=BEGIN + 600_000)
    assert not is_true(start=BEGIN + 600_000, end=BEGIN + 660_000, timeframes=("1m",), symbols=(SYMBOL,))


def klines_csv(candles: Sequence[Candle]) -> str:
    lines = [
        f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume},{c.close_time},{c.quote_volume},{c.trades},"
        f"{c.taker_buy_volume},{c.taker_buy_quote_volume},0"
        for c in candles
    ]
    return "\n".join(lines)


def test_files_of_the_archive_confirm_or_refute(filled: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    minutes = [c for c in true_candles(HOUR, TIMEFRAMES) if c.timeframe == "1m"]
    path = folder / f"{SYMBOL}-1m-2026-01-01.csv"
    path.write_text(klines_csv(minutes))
    chosen = structs.replace(ALL, against=str(folder), end=BEGIN + 3_600_000)
    report = verify(filled, chosen)
    assert (report.is_true, report.symbols[SYMBOL].compared) == (True, 60)

    changed = structs.replace(minutes[7], high=minutes[7].high + 0.25)
    path.write_text(klines_csv([*minutes[:7], changed, *minutes[8:]]))
    (finding,) = verify(filled, chosen).findings
    assert (finding.kind, finding.timeframe, finding.open_time) == ("exchange", "1m", minutes[7].open_time)
    assert finding.claimed.startswith("high ")


def test_a_false_candle_that_calls_itself_the_exchanges_gives_way_to_the_exchanges_word(
    filled: Settings, mongo_client: Documents, tmp_path: Path
) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    minutes = [c for c in true_candles(HOUR, TIMEFRAMES) if c.timeframe == "1m"]
    (folder / f"{SYMBOL}-1m-2026-01-01.csv").write_text(klines_csv(minutes))
    of = {"timeframe": "1m", "open_time": minutes[7].open_time}
    false = {"$set": {"status": "venue", "proof": "exchange's own"}, "$inc": {"high": 1.0}}
    candles_of(filled, mongo_client).update_one(of, false)

    report = verify(filled, structs.replace(ALL, against=str(folder), end=BEGIN + 3_600_000, repair=True))

    assert (report.totals, report.repaired, report.left) == ({"candle": 1, "exchange": 1}, 1, [])
    mended = candles_of(filled, mongo_client).find_one(of)
    told = mended["high"], mended["status"], mended["proof"], mended["revision"]
    assert told == (minutes[7].high, "repaired", "equal", 1)
    ledger = mongo_client[filled.mongo.database][INCIDENTS]
    assert [d["kind"] for d in ledger.find()] == ["repair"]
    assert verify(filled, structs.replace(ALL, against=str(folder), end=BEGIN + 3_600_000)).is_true


def true_venue_candle(values: dict[str, Any]) -> Candle:
    """What history makes of the exchange's candle."""
    counts: dict[str, Any] = {
        "open_time": int(values["open_time"]),
        "trades": int(values["trades"]),
        "first_id": -1,
        "last_id": -1,
    }
    prices: dict[str, Any] = {name: float(value) for name, value in values.items() if name and name not in counts}
    known: dict[str, Any] = {"venue": VENUE, "symbol": SYMBOL, "timeframe": "1h", "is_closed": True, "status": "venue"}
    return Candle(**known, **counts, **prices)


def test_the_exchange_is_asked_within_its_weight(settings: Settings, mongo_client: Documents) -> None:
    market = spot_recording()
    with exchange_in_thread(market, speed=1.0, start_now=False) as exchange:
        asked = settings.model_copy(update={"feed": settings.feed.model_copy(update={"rest_url": exchange.rest_url})})
        rows = httpx.get(
            f"{exchange.rest_url}/api/v3/klines",
            params={"symbol": SYMBOL, "interval": "1h", "limit": 20},
            trust_env=False,
        ).json()[:-1]
        fields = ("open_time", "open", "high", "low", "close", "volume", "", "quote_volume", "trades")
        told = [dict(zip((*fields, "taker_buy_volume", "taker_buy_quote_volume"), row, strict=False)) for row in rows]
        candles = [true_venue_candle(values) for values in told]
        wrong = structs.replace(candles[3], high=candles[3].high + 1)
        fill(asked, mongo_client, [], [*candles[:3], wrong, *candles[4:]])

        report = verify(asked, structs.replace(ALL, against="rest"))

    assert [(f.kind, f.open_time) for f in report.findings] == [("exchange", wrong.open_time)]
    assert (
        report.symbols[SYMBOL].compared == len(candles) - 1
    )  # whether the newest is over, only a later one could tell


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"symbols": ("NONE",)}, "NONE not stored; there are BTCUSDT"),
        ({"timeframes": ("2h",)}, "2h not stored; there are 15m, 1m, 5m"),
        ({"against": "/nowhere"}, "is no folder"),
        ({"start": 5, "end": 5}, "--end is not after --start"),
    ],
)
def test_what_cannot_be_verified_says_why(filled: Settings, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(CannotRunError, match=reason):
        verify(filled, structs.replace(ALL, **options))


def test_stores_that_are_not_there_are_named(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(CannotRunError, match="no trade store at"):
        verify(settings, ALL)
    (tmp_path / "trades" / VENUE).mkdir(parents=True)
    with pytest.raises(CannotRunError, match="the stores are empty"):
        verify(settings, ALL)
    away = settings.model_copy(update={"mongo": settings.mongo.model_copy(update={"uri": "mongodb://127.0.0.1:9"})})
    with pytest.raises(CannotRunError, match=r"mongo\.uri"):
        verify(away, ALL)


def command(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "MARKETFLOW_MONGO__URI": settings.mongo.uri,
        "MARKETFLOW_MONGO__DATABASE": settings.mongo.database,
        "MARKETFLOW_TRADES__PATH": str(settings.trades.path),
    }
    line = [sys.executable, "-m", "flows.verify", *arguments]
    return subprocess.run(
        line, env=environment, cwd=settings.trades.path.parent, capture_output=True, text=True, check=False
    )


def test_every_venue_is_verified_and_one_alone_on_request(
    filled: Settings, mongo_client: Documents, tmp_path: Path
) -> None:
    several = load_settings(
        mongo=filled.mongo,
        trades=filled.trades,
        feed=filled.feed,
        venues={
            "kraken": {"ws_url": "ws://127.0.0.1:9", "rest_url": "http://127.0.0.1:9"},
            VENUE: {"ws_url": "ws://127.0.0.1:9"},
        },
    )
    [alone] = verify_all(several, ALL)
    assert (alone.venue, alone.is_true, list(alone.symbols)) == (VENUE, True, [SYMBOL])

    other = [structs.replace(one, symbol="BTC-USD") for one in HOUR]
    wrong = [structs.replace(one, venue="kraken", symbol="BTC-USD") for one in true_candles(HOUR, TIMEFRAMES)]
    wrong[0] = structs.replace(wrong[0], volume=wrong[0].volume + 1)
    with TradeStore(filled.trades.path / "kraken" / "part-00") as store, store.lock:
        add_batches(store, [TradeBatch("kraken", "BTC-USD", other)])
    store_candles(filled, mongo_client, wrong)

    found = verify_all(several, ALL)
    assert [(one.venue, one.is_true, list(one.symbols)) for one in found] == [
        (VENUE, True, [SYMBOL]),
        ("kraken", False, ["BTC-USD"]),
    ]
    [named] = verify_all(several, structs.replace(ALL, symbols=("BTC-USD",)))
    assert (named.venue, named.totals) == ("kraken", {"candle": 1})
    [one] = verify_all(several.of_venue(VENUE), ALL)
    assert (one.venue, one.is_true) == (VENUE, True)
    report = json.loads(as_json(found, exit_code=1))
    assert (report["holds"], report["exit_code"]) == (False, 1)
    assert [(one["venue"], one["holds"]) for one in report["venues"]] == [(VENUE, True), ("kraken", False)]
    with pytest.raises(CannotRunError, match=r"BTC-EUR not stored; there are BTC-USD, BTCUSDT"):
        verify_all(several, structs.replace(ALL, symbols=("BTC-EUR",)))
    with pytest.raises(CannotRunError, match="say by --venue whose files these are"):
        verify_all(several, structs.replace(ALL, against=str(tmp_path)))


@pytest.mark.e2e
def test_the_command_tells_people_and_machines(filled: Settings, mongo_client: Documents, tmp_path: Path) -> None:
    done = command(filled, "--settle", "0")
    assert (done.returncode, "all claims hold" in done.stdout) == (0, True), done.stderr
    assert f"{SYMBOL}: 1 day, 520 trades" in done.stderr

    candles_of(filled, mongo_client).update_many({"timeframe": "1m"}, {"$set": {"quote_volume": 1.0}})
    done = command(filled, "--settle", "0", "--json", "-")
    report = json.loads(done.stdout)
    assert (done.returncode, report["exit_code"], report["holds"]) == (1, 1, False)
    assert report["totals"]["candle"] == len(report["findings"]) >= 59
    assert set(report["findings"][0]) == {"kind", "symbol", "timeframe", "open_time", "claimed", "true"}

    done = command(filled, "--json", str(tmp_path / "report.json"), "--settle", "0")
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert "false claims" in done.stdout


@pytest.fixture
def refuted(filled: Settings, mongo_client: Documents) -> Settings:
    """A minute is the exchange's, and one of its stored trades has another quantity than at the exchange."""
    documents = candles_of(filled, mongo_client)
    minute = documents.find_one({"timeframe": "1m", "open_time": BEGIN + 600_000})
    by = {"volume": 1.0, "quote_volume": minute["low"]}
    for timeframe, length in (("1m", 60_000), ("5m", 300_000), ("15m", 900_000)):
        of = {"timeframe": timeframe, "open_time": minute["open_time"] // length * length}
        change = {"$inc": by, "$set": {"status": "venue", "proof": "ours wrong"}}
        documents.update_one(of, change)
        span = of["open_time"], of["open_time"] + length - 1
        store_incident(filled, mongo_client, Incident("mismatch", VENUE, SYMBOL, *span, "volume", "ours wrong"))
    return filled


def store_incident(settings: Settings, client: Documents, incident: Incident) -> None:
    CandleStore(client[settings.mongo.database], retention_days={}).store([incident], timeout_s=60)


def test_trades_that_the_exchange_has_refuted_are_false_and_left_with_what_to_do(
    refuted: Settings, mongo_client: Documents
) -> None:
    before = list(candles_of(refuted, mongo_client).find())

    report = verify(refuted, structs.replace(ALL, repair=True))

    [finding] = report.findings
    assert (finding.kind, finding.timeframe, finding.open_time) == ("refuted", "1m", BEGIN + 600_000)
    assert finding.true.startswith("trades wrong, totals differ: volume ")
    command = "python -m flows.verify --repair --against rest --symbols BTCUSDT"
    ids = [one.id for one in HOUR if BEGIN + 600_000 <= one.time < BEGIN + 660_000]
    what = f"trades {ids[0]} to {ids[-1]} of BTCUSDT do not make the exchange's candle"
    assert report.left == [f"{what}: {command} fetches them"]
    assert (report.repaired, report.refilled, report.republished) == (0, 0, 0)
    assert list(candles_of(refuted, mongo_client).find()) == before


@pytest.mark.e2e
def test_a_loss_that_the_ledger_tells_is_listed_and_no_false_claim(refuted: Settings, mongo_client: Documents) -> None:
    assert command(refuted, "--settle", "0").returncode == 1
    lost = Incident("gap", VENUE, SYMBOL, BEGIN + 600_000, BEGIN + 659_999, "refuted", "not fetched", 80, 99)
    store_incident(refuted, mongo_client, lost)

    done = command(refuted, "--settle", "0", "--json", "-")

    report = json.loads(done.stdout)
    assert (done.returncode, report["holds"], report["findings"], report["totals"]) == (0, True, [], {})
    assert report["noted"] == {"loss": 1}
    [note] = report["notes"]
    assert (note["kind"], note["timeframe"], note["open_time"]) == ("loss", "1m", BEGIN + 600_000)
    assert report["symbols"][SYMBOL]["notes"] == 1


@pytest.mark.parametrize(
    "false",
    [structs.replace(HOUR[88], quantity=75.0), structs.replace(HOUR[88], id=9_000_000)],
    ids=["other", "invented"],
)
def test_a_candle_that_the_exchange_has_confirmed_is_not_rewritten_from_a_false_trade(
    settings: Settings, mongo_client: Documents, false: Trade
) -> None:
    proven = [structs.replace(candle, proof="equal") for candle in true_candles(HOUR, TIMEFRAMES)]
    trades = sorted([*(one for one in HOUR if one.id != false.id), false], key=lambda one: one.id)
    fill(settings, mongo_client, trades, proven)
    before = list(candles_of(settings, mongo_client).find())

    report = verify(settings, structs.replace(ALL, repair=True))

    refuted = [(f.timeframe, f.open_time) for f in report.findings if f.kind == "refuted"]
    assert refuted == [("1m", HOUR[88].time // 60_000 * 60_000)]
    [left] = [one for one in report.left if "do not make the exchange's candle" in one]
    assert left.endswith("python -m flows.verify --repair --against rest --symbols BTCUSDT fetches them")
    assert (report.repaired, list(candles_of(settings, mongo_client).find())) == (0, before)


@pytest.mark.parametrize(
    "told",
    [
        [("gap", HOUR[199].time, HOUR[203].time, 200, 202), ("repair", HOUR[199].time, HOUR[203].time, 200, 202)],
        [("gap", BEGIN, BEGIN + 86_400_000, -1, -1)],
    ],
    ids=["repaired", "without ids"],
)
def test_the_ledger_hides_no_trades_that_it_does_not_name(
    settings: Settings, mongo_client: Documents, told: list[tuple[Any, ...]]
) -> None:
    fill(settings, mongo_client, HOUR[:200] + HOUR[203:], true_candles(HOUR, TIMEFRAMES))
    for kind, begin, end, *ids in told:
        store_incident(settings, mongo_client, Incident(kind, VENUE, SYMBOL, begin, end, "", "", *ids))

    [finding] = verify(settings, ALL).findings
    assert (finding.kind, finding.claimed.startswith("ids 200 to 202 ")) == ("hole", True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--start", "yesterday"], "'yesterday' is no time"),
        (["--settle", "-1"], "is no number of seconds"),
        (["--symbols", " , "], "name at least one"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert reason in said
