"""The archive importer in a process of its own, into real stores."""

import asyncio
import hashlib
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from pymongo import MongoClient

from sinks.mongo.reader import read_candles
from sinks.trades.store import TradeStore
from sinks.trades.writer import part_of
from tests.fakes.archive import archive_of
from tests.fakes.broken_archive import BrokenArchive, Harm, served
from tests.fakes.importer import END, database_of, documents, ended, imported, killed, started, trades
from tests.fakes.old_days import DAY_MS, PEPE, daily_kline, days, months, sealed
from tests.fakes.recordings import official_klines, recording

pytestmark = pytest.mark.e2e

DAYS = ("2024-10-27", "2024-10-28", "2024-10-29", "2024-10-30", "2024-10-31", "2024-11-01")


def without(candles: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The documents without these fields."""
    return [{name: value for name, value in one.items() if name not in names} for one in candles]


def values_of(candles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the documents say of the market; how they came to that is their own."""
    return without(candles, "status", "revision")


async def test_a_day_equals_the_official_candles_and_again_changes_nothing(mongod_uri: str, tmp_path: Path) -> None:
    code, said = await imported(tmp_path, recording(PEPE), mongod_uri)
    assert code == 0, said
    assert '"trades": 57229' in said
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        for timeframe, count in (("3m", 480), ("30m", 48), ("1d", 1)):
            found = read_candles(client[database_of(tmp_path)], "binance", "PEPEUSDT", timeframe, 0, END)
            ours = {candle.open_time: candle for candle in found}
            official = official_klines(recording(PEPE) / f"binance_spot_PEPEUSDT_{timeframe}_2024-10-27.csv")
            assert len(found) == len(official) == count
            for row in official:
                candle = ours[int(row["open_time_ms"])]
                assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == tuple(
                    row[name] for name in ("open", "high", "low", "close", "volume")
                )
                # nothing vouches for it that the file begins and ends with the trades of the day
                is_sure = candle is not found[0] and candle is not found[-1]
                assert (candle.is_closed, candle.status) == (True, "final" if is_sure else "unproven")
    before = documents(mongod_uri, tmp_path), trades(tmp_path)
    code, said = await imported(tmp_path, recording(PEPE), mongod_uri)
    assert (code, '"imported_before": 1' in said) == (0, True)
    (tmp_path / "archive" / "imported.json").unlink()
    assert (await imported(tmp_path, recording(PEPE), mongod_uri))[0] == 0
    assert documents(mongod_uri, tmp_path) == before[0]
    assert_frame_equal(trades(tmp_path), before[1])


async def test_killed_in_the_middle_and_run_again_it_is_the_same(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 4)
    for number in range(4):
        daily_kline(source, number)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    code, said = await imported(whole, source, mongod_uri)
    assert code == 0, said
    assert '"candles_equal": 4' in said
    for day in (27, 28, 30):
        code, said = await imported(broken, source, mongod_uri, kill_at=f"aggTrades-2024-10-{day}")
        assert code == -signal.SIGKILL, said
    code, said = await imported(broken, source, mongod_uri)
    assert code == 0, said
    assert documents(mongod_uri, broken) == documents(mongod_uri, whole)
    assert_frame_equal(trades(broken), trades(whole))
    assert trades(whole).height == 4 * 57_229


async def test_what_another_import_stored_is_not_taken_for_this_ones(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 1)
    assert (await imported(tmp_path, source, mongod_uri, mongo__enabled="false"))[0] == 0
    assert (await imported(tmp_path, source, mongod_uri, feed__timeframes='["1m"]'))[0] == 0
    code, said = await imported(tmp_path, source, mongod_uri, feed__timeframes='["1m", "1h"]')
    assert (code, '"imported_before": 0' in said) == (0, True)
    found = documents(mongod_uri, tmp_path)
    assert [d["timeframe"] for d in found] == ["1h"] * 24 + ["1m"] * 1_440
    assert "mongodb://" not in said


async def test_a_day_that_is_missing_is_an_incident_and_makes_no_candle_partial(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = sealed(days(tmp_path / "source", 3, every=8))
    (source / "PEPEUSDT-aggTrades-2024-10-28.csv").rename(tmp_path / "PEPEUSDT-aggTrades-2024-10-28.csv")
    code, said = await imported(tmp_path, source, mongod_uri)
    assert code == 0, said
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        [gap] = client[database_of(tmp_path)]["incidents"].find({"kind": "gap"})
    assert (gap["end"] - gap["begin"], gap["begin"] % DAY_MS) == (DAY_MS, 0)
    before = documents(mongod_uri, tmp_path)
    assert {d["status"] for d in before} == {"final"}
    (tmp_path / "PEPEUSDT-aggTrades-2024-10-28.csv").rename(source / "PEPEUSDT-aggTrades-2024-10-28.csv")
    code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, '"imported_before": 2' in said) == (0, True)
    after = documents(mongod_uri, tmp_path)
    assert [d for d in after if not gap["begin"] <= d["open_time"] < gap["end"]] == before
    assert (len(after), {d["status"] for d in after}) == (len(before) * 3 // 2, {"final"})


async def test_klines_prove_the_candles_and_take_the_place_of_a_day_without_trades(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    row, _ = daily_kline(source, 0), daily_kline(source, 1)
    begin = int(row["open_time_ms"])
    file = recording(PEPE) / "PEPEUSDT-aggTrades-2024-10-27.zip"
    (source / file.name).write_bytes(file.read_bytes())
    code, said = await imported(tmp_path, source, mongod_uri)
    assert code == 0, said
    assert '"candles_equal": 1' in said
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        first, second = read_candles(client[database_of(tmp_path)], "binance", "PEPEUSDT", "1d", 0, END)
    assert (first.status, first.proof, first.close) == ("final", "equal", row["close"])
    assert (second.status, second.open_time, second.volume) == ("venue", begin + DAY_MS, row["volume"])


async def test_trades_that_come_after_klines_repair_what_the_klines_stood_in_for(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    row = daily_kline(source, 0)
    code, said = await imported(tmp_path, source, mongod_uri)
    assert code == 0, said
    assert [(d["status"], d["revision"], d["first_id"]) for d in documents(mongod_uri, tmp_path)] == [("venue", 0, -1)]
    file = recording(PEPE) / "PEPEUSDT-aggTrades-2024-10-27.zip"
    (source / file.name).write_bytes(file.read_bytes())
    code, said = await imported(tmp_path, source, mongod_uri)
    assert code == 0, said
    before = documents(mongod_uri, tmp_path)
    [day] = [document for document in before if document["timeframe"] == "1d"]
    assert (day["status"], day["revision"], day["proof"], day["volume"]) == ("repaired", 1, "equal", row["volume"])
    assert day["first_id"] > 0
    (tmp_path / "archive" / "imported.json").unlink()
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    assert documents(mongod_uri, tmp_path) == before


async def test_a_file_that_cannot_be_used_is_named_and_the_others_are_imported(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 1)
    (source / "PEPEUSDT-aggTrades-2024-10-28.zip").write_bytes(b"PK no zip")
    code, said = await imported(tmp_path, source, mongod_uri)
    assert code == 1
    assert "PEPEUSDT-aggTrades-2024-10-28.zip cannot be read" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert trades(tmp_path).height == 57_229


async def test_a_folder_without_files_says_so(mongod_uri: str, tmp_path: Path) -> None:
    code, said = await imported(tmp_path, tmp_path, mongod_uri)
    assert (code, said.strip().splitlines()[-1]) == (
        1, f"marketflow: {tmp_path} holds no files of the archive for these days",
    )  # fmt: skip


async def test_a_file_that_ends_in_its_middle_holds_up_what_is_behind_it(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 3)
    sealed(source)
    second = source / "PEPEUSDT-aggTrades-2024-10-28.csv"
    second.with_name(f"{second.name}.CHECKSUM").unlink()
    text = second.read_bytes()
    second.write_bytes(text[:-40])
    code, said = await imported(tmp_path, source, mongod_uri)
    assert code == 1
    assert "10-28.csv cannot be read" in said.splitlines()[-1]
    assert "10-29.csv waits" in said.splitlines()[-1]
    second.write_bytes(text)
    code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, '"imported_before": 1' in said) == (0, True)
    assert trades(tmp_path).height == 3 * 57_229
    assert {document["status"] for document in documents(mongod_uri, tmp_path)} == {"final"}


async def test_a_wrong_checksum_is_named(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 1)
    (source / "PEPEUSDT-aggTrades-2024-10-27.csv.CHECKSUM").write_text("0" * 64)
    code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, "does not match its checksum: delete both" in said.splitlines()[-1]) == (1, True)
    assert documents(mongod_uri, tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trades__path": "/proc/nope"}, ("trades.path", "/proc/nope")),
        ({"mongo__enabled": "false", "trades__enabled": "false"}, ("mongo.enabled", "trades.enabled", "nowhere")),
        ({"mongo__uri": "mongodb://127.0.0.1:1"}, ("mongo.uri", "127.0.0.1:1", "sinks.mongod")),
    ],
)
async def test_stores_that_cannot_be_used_are_named_before_the_work_begins(
    mongod_uri: str, tmp_path: Path, settings: dict[str, str], words: tuple[str, ...]
) -> None:
    code, said = await imported(tmp_path, days(tmp_path / "source", 1), mongod_uri, **settings)
    [line] = said.strip().splitlines()
    assert code == 1
    assert all(word in line for word in words), line


async def test_a_trade_store_in_use_is_named_at_once(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 1)
    with TradeStore(tmp_path / "trades" / "binance" / "part-00"):
        code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, "Traceback" in said) == (1, False)
    assert "part-00 cannot be opened" in said


async def test_from_the_archive_over_http_each_file_comes_once_and_what_it_lacks_is_named(
    mongod_uri: str, tmp_path: Path
) -> None:
    file = recording(PEPE) / "PEPEUSDT-aggTrades-2024-10-27.zip"
    served = tmp_path / "served" / "spot" / "daily" / "aggTrades" / "PEPEUSDT"
    served.mkdir(parents=True)
    (served / file.name).write_bytes(file.read_bytes())
    (served / f"{file.name}.CHECKSUM").write_text(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n")
    with archive_of(tmp_path / "served") as url:
        wanted = {"backfill__archive_url": url, "backfill__start": "2024-10-27", "backfill__end": "2024-10-29"}
        code, said = await imported(tmp_path, Path("archive"), mongod_uri, **wanted, backfill__kinds='["trades"]')
        assert (code, '"files": ["PEPEUSDT-aggTrades-2024-10-28.zip"]' in said) == (0, True), said
        assert trades(tmp_path).height == 57_229
        (served / file.name).unlink()
        code, said = await imported(tmp_path, Path("archive"), mongod_uri, **wanted, backfill__kinds='["trades"]')
        assert (code, '"imported_before": 1' in said) == (0, True), said
    assert (tmp_path / "archive" / "binance" / file.name).read_bytes() == file.read_bytes()


async def test_killed_in_a_download_it_asks_only_for_the_rest(mongod_uri: str, tmp_path: Path) -> None:
    file = recording(PEPE) / "PEPEUSDT-aggTrades-2024-10-27.zip"
    content = file.read_bytes()
    archive = BrokenArchive(content, checksum=f"{hashlib.sha256(content).hexdigest()}  {file.name}\n")
    archive.harms = [Harm(cut_after=200_000, is_held=True), Harm(cut_after=100_000)]
    part = tmp_path / "archive" / "binance" / f"{file.name}.part"
    wanted = {"backfill__start": "2024-10-27", "backfill__end": "2024-10-28", "backfill__kinds": "trades"}
    with served(archive) as url:
        process = await started(tmp_path, "archive", mongod_uri, backfill__archive_url=url, **wanted)
        while not part.is_file() or not part.stat().st_size:
            await asyncio.sleep(0.01)
        process.kill()
        assert (await ended(process))[0] == -signal.SIGKILL
        had = part.stat().st_size
        code, said = await imported(tmp_path, "archive", mongod_uri, backfill__archive_url=url, **wanted)
    assert code == 0, said
    assert [asked for asked, _ in archive.asked] == ["", f"bytes={had}-", f"bytes={had + 100_000}-"]
    assert '"event": "download_interrupted"' in said
    assert sorted(path.name for path in part.parent.iterdir()) == [file.name, f"{file.name}.CHECKSUM"]
    assert trades(tmp_path).height == 57_229
    assert {document["status"] for document in documents(mongod_uri, tmp_path)} == {"final"}


def cut_to(path: Path, rows: int) -> bytes:
    """Leaves the first rows of a file; gives what it was."""
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:rows]))
    return whole


async def test_the_right_file_takes_the_place_of_a_cut_one_and_the_ledger_says_so(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = days(tmp_path / "source", 2)
    right = tmp_path / "right"
    right.mkdir()
    assert (await imported(right, sealed(source), mongod_uri))[0] == 0
    for file in source.glob("*.CHECKSUM"):
        file.unlink()
    first = source / "PEPEUSDT-aggTrades-2024-10-27.csv"
    text = cut_to(first, 57_229 - 1_500)
    second = first.with_name("PEPEUSDT-aggTrades-2024-10-28.csv")
    second.rename(tmp_path / second.name)
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    unproven = [d for d in documents(mongod_uri, tmp_path) if d["status"] == "unproven"]
    assert {d["timeframe"] for d in unproven} == {"1m", "3m", "30m", "1d"}
    (tmp_path / second.name).rename(second)
    code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, '"imported_before": 1' in said) == (0, True), said
    found = documents(mongod_uri, tmp_path)
    at = ("timeframe", "open_time")
    marked = {(d["timeframe"], d["open_time"]) for d in found if d["status"] == "partial"}
    begin = min(d["open_time"] for d in unproven)  # nothing says that the first file begins with the day's first trade
    assert {tuple(d[name] for name in at) for d in unproven if d["open_time"] > begin} <= marked
    first.write_bytes(text)
    sealed(source)
    code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, '"imported_before": 0' in said) == (0, True), said
    after = documents(mongod_uri, tmp_path)
    assert values_of(after) == values_of(documents(mongod_uri, right))
    assert {d["status"] for d in after} <= {"final", "repaired"}
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        repairs = list(client[database_of(tmp_path)]["incidents"].find({"kind": "repair"}))
    assert any("stored candles said something else" in repair["cause"] for repair in repairs)
    code, said = await imported(tmp_path, source, mongod_uri)
    assert (code, '"imported_before": 2' in said) == (0, True), said
    (tmp_path / "archive" / "imported.json").unlink()
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    assert documents(mongod_uri, tmp_path) == after


def spoil(path: Path, text: bytes) -> None:
    """A price, a quantity and a side of a file become wrong, in the middle of the day."""
    lines = text.decode().splitlines(keepends=True)
    for number, (column, wrong) in {30_000: (1, "0.00000950"), 30_500: (2, "7.00"), 31_000: (6, None)}.items():
        fields = lines[number].split(",")
        fields[column] = wrong or ("false" if fields[column] == "true" else "true")
        lines[number] = ",".join(fields)
    path.write_bytes("".join(lines).encode())


async def test_a_wrong_value_is_corrected_by_the_file_with_a_checksum_and_corrects_none(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = days(tmp_path / "source", 1)
    path = source / "PEPEUSDT-aggTrades-2024-10-27.csv"
    text = path.read_bytes()
    right = tmp_path / "vouched"
    right.mkdir()
    assert (await imported(right, sealed(source), mongod_uri))[0] == 0
    expected, expected_trades = documents(mongod_uri, right), trades(right)

    for checksum in source.glob("*.CHECKSUM"):
        checksum.unlink()
    spoil(path, text)
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    assert not trades(tmp_path).equals(expected_trades)
    path.write_bytes(text)
    assert (await imported(tmp_path, sealed(source), mongod_uri))[0] == 0
    assert_frame_equal(trades(tmp_path), expected_trades)
    after = documents(mongod_uri, tmp_path)
    assert values_of(after) == values_of(expected)
    assert {d["status"] for d in after} == {"final", "repaired"}

    for checksum in source.glob("*.CHECKSUM"):
        checksum.unlink()
    spoil(path, text)
    assert (await imported(right, source, mongod_uri))[0] == 0
    assert_frame_equal(trades(right), expected_trades)
    assert documents(mongod_uri, right) == expected
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        found = list(client[database_of(right)]["incidents"].find({"kind": "mismatch"}))
    assert {"stored candles say", "stored with"} == {
        words for one in found for words in ("stored candles say", "stored with") if words in one["cause"]
    }


async def test_of_two_files_without_a_checksum_that_contradict_each_other_neither_is_believed(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = days(tmp_path / "source", 1)
    path = source / "PEPEUSDT-aggTrades-2024-10-27.csv"
    text = path.read_bytes()
    right = tmp_path / "both"
    right.mkdir()
    assert (await imported(right, source, mongod_uri))[0] == 0
    expected = values_of(documents(mongod_uri, right))

    spoil(path, text)
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    before = documents(mongod_uri, tmp_path)
    spoiled = values_of(before)
    wrong = [at for at, (one, other) in enumerate(zip(spoiled, expected, strict=True)) if one != other]
    assert {before[at]["status"] for at in wrong} >= {"final"}
    path.write_bytes(text)
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    after = documents(mongod_uri, tmp_path)
    assert values_of(after) == spoiled
    assert {after[at]["status"] for at in wrong} == {"unproven"}
    assert [d for at, d in enumerate(after) if at not in wrong] == [d for at, d in enumerate(before) if at not in wrong]

    assert (await imported(tmp_path, sealed(source), mongod_uri))[0] == 0
    (tmp_path / "archive" / "imported.json").unlink()
    assert (await imported(tmp_path, source, mongod_uri))[0] == 0
    proven = documents(mongod_uri, tmp_path)
    assert values_of(proven) == expected
    assert {d["status"] for d in proven} == {"final", "repaired"}


def put_klines(folder: Path, mongod_uri: str, forged: Path) -> None:
    """The candles of a minute that the imports in a folder have stored, as a file of klines."""
    lines = [
        f"{d['open_time']},{d['open']},{d['high']},{d['low']},{d['close']},{d['volume']},{d['close_time']},"
        f"{d['quote_volume']},{d['trades']},{d['taker_buy_volume']},{d['taker_buy_quote_volume']},0\n"
        for d in documents(mongod_uri, forged)
        if d["timeframe"] == "1m"
    ]
    (folder / "PEPEUSDT-1m-2024-10-27.csv").write_text("".join(lines))


def tampered(text: str, how: str) -> str:
    """A day's file with something wrong at the first trade of a minute."""
    rows = [line.split(",") for line in text.splitlines()]
    minutes = [int(row[5]) // 60_000 for row in rows]
    at = next(n for n in range(len(rows) // 2, len(rows)) if minutes[n] != minutes[n - 1])
    match how:
        case "a trade is in the minute before":
            rows[at][5] = str(minutes[at] * 60_000 - 1)
        case "a trade is hours before":
            rows[at][5] = rows[len(rows) // 4][5]
        case "a hole and a wrong price":
            rows[at - 1][1] = str(float(rows[at - 1][1]) * 2)
            del rows[at]
        case "a wrong price" | "a wrong price that klines confirm":
            rows[at][1] = str(float(rows[at][1]) * 2)
    return "".join(",".join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    "how",
    [
        "a trade is in the minute before",
        "a trade is hours before",
        "a hole and a wrong price",
        "a wrong price",
        "a wrong price that klines confirm",
    ],
)
async def test_what_has_no_checksum_changes_nothing_of_what_had_one_and_the_ledger_names_it(
    mongod_uri: str, tmp_path: Path, how: str
) -> None:
    right = sealed(days(tmp_path / "right", 1))
    assert (await imported(tmp_path, right, mongod_uri))[0] == 0
    before = documents(mongod_uri, tmp_path), trades(tmp_path)
    wrong = days(tmp_path / "wrong", 1)
    [file] = wrong.glob("*.csv")
    file.write_text(tampered(file.read_text(), how))
    if how == "a wrong price that klines confirm":
        forged = tmp_path / "forged"
        forged.mkdir()
        assert (await imported(forged, wrong, mongod_uri))[0] == 0
        put_klines(wrong, mongod_uri, forged)
    code, said = await imported(tmp_path, wrong, mongod_uri)
    assert code == 0, said
    assert without(documents(mongod_uri, tmp_path), "proof") == without(before[0], "proof")
    assert_frame_equal(trades(tmp_path), before[1])
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        found = list(client[database_of(tmp_path)]["incidents"].find({}))
    if how == "a trade is hours before":
        assert "reject" in {one["kind"] for one in found}, "it is kept out of everything"
        return
    named = {one["first_id"] >= 0 for one in found if one["kind"] == "mismatch"}
    assert named == {True, False}, "both the candles and the trades are named"


@pytest.mark.parametrize("lost", ["database", "candles", "trades", "a partition"])
async def test_what_a_lost_store_held_is_imported_again(mongod_uri: str, tmp_path: Path, lost: str) -> None:
    source = sealed(days(tmp_path / "days", 1, every=8))
    code, said = await imported(tmp_path, source, mongod_uri, trades__partitions="2")
    assert code == 0, said
    before = documents(mongod_uri, tmp_path), trades(tmp_path)
    code, said = await imported(tmp_path, source, mongod_uri, trades__partitions="2")
    assert (code, '"store_lost"' in said, '"spans": 0' in said) == (0, False, True)
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        match lost:
            case "database":
                client.drop_database(database_of(tmp_path))
            case "candles":
                client[database_of(tmp_path)].drop_collection("market_data")
            case "trades":
                shutil.rmtree(tmp_path / "trades")
            case "a partition":
                part = f"part-{part_of('binance:PEPEUSDT', 2):02d}"
                shutil.rmtree(tmp_path / "trades" / "binance" / part)
    code, said = await imported(tmp_path, source, mongod_uri, trades__partitions="2")
    assert (code, '"store_lost"' in said) == (0, True)
    assert documents(mongod_uri, tmp_path) == before[0]
    assert_frame_equal(trades(tmp_path), before[1])
    code, said = await imported(tmp_path, source, mongod_uri, trades__partitions="2")
    assert (code, '"store_lost"' in said, '"spans": 0' in said) == (0, False, True)


async def test_a_dry_run_says_what_would_be_read_and_reads_nothing(mongod_uri: str, tmp_path: Path) -> None:
    source = days(tmp_path / "source", 1)
    code, said = await imported(tmp_path, source, mongod_uri, backfill__dry_run="true")
    assert code == 0, said
    assert said.splitlines()[-2:] == [
        "PEPEUSDT-aggTrades-2024-10-27.csv", "1 file to read, of 1 symbol; 0 of 1 span imported before",
    ]  # fmt: skip
    assert documents(mongod_uri, tmp_path) == []
    assert not (tmp_path / "archive" / "imported.json").exists()


async def test_killed_at_random_moments_a_folder_of_two_symbols_comes_out_the_same(
    mongod_uri: str, tmp_path: Path
) -> None:
    source = days(tmp_path / "source", 3)
    (source / "PEPEUSDT-aggTrades-2024-10-28.csv").unlink()
    daily_kline(source, 0)
    months(source, 2, symbol="TWINUSDT")
    found = await killed(tmp_path, source, mongod_uri, symbols=("PEPEUSDT", "TWINUSDT"), kills=3, seed=7)
    assert found.differing == []
    assert len(found.undisturbed.holes) == 1
    assert {symbol: len(rows) for symbol, rows in found.undisturbed.trades.items()} == {
        "PEPEUSDT": 2 * 57_229, "TWINUSDT": 2 * 57_229,
    }  # fmt: skip


async def test_a_folder_is_imported_with_every_symbol_that_it_holds_by_month_and_by_day(
    mongod_uri: str, tmp_path: Path
) -> None:
    by_month, by_day, both = tmp_path / "by_month", tmp_path / "by_day", tmp_path / "both"
    for folder in (by_month, by_day, both):
        folder.mkdir()
    source = days(tmp_path / "source", 6, every=8)
    code, said = await imported(by_day, source, mongod_uri)
    assert code == 0, said
    months(source / "deeper", 6, symbol="TWINUSDT", every=8)
    expected = documents(mongod_uri, by_day)
    assert len(expected) == 6 * (1_440 + 480 + 48 + 1)

    code, said = await imported(both, source, mongod_uri, backfill__dry_run="1")
    listed = [line for line in said.splitlines() if "aggTrades" in line]
    assert listed == [f"PEPEUSDT-aggTrades-{day}.csv" for day in DAYS] + [
        "TWINUSDT-aggTrades-2024-10.csv", "TWINUSDT-aggTrades-2024-11.csv",
    ]  # fmt: skip
    assert "8 files to read, of 2 symbols; 0 of 8 spans imported before" in said

    code, said = await imported(both, source, mongod_uri, kill_at="TWINUSDT-aggTrades-2024-11")
    assert code == -signal.SIGKILL, said
    code, said = await imported(both, source, mongod_uri)
    assert code == 0, said
    found = documents(mongod_uri, both)
    behind = max(d["close_time"] for d in expected)
    twins = [{**d, "symbol": "PEPEUSDT"} for d in found if d["symbol"] == "TWINUSDT"]
    assert [d for d in found if d["symbol"] == "PEPEUSDT"] == expected
    assert [d for d in twins if d["open_time"] < behind] == expected
    assert [d for d in twins if d["open_time"] > behind] == []  # nothing is known of the rest of the second month
    assert_frame_equal(trades(both, "TWINUSDT"), trades(by_day))

    code, said = await imported(by_month, source, mongod_uri, backfill__symbols="TWINUSDT,absentusdt")
    assert code == 0, said
    assert '"symbols": ["ABSENTUSDT"], "event": "no_files_for_symbols' in said
    alone = documents(mongod_uri, by_month)
    assert alone == [d for d in found if d["symbol"] == "TWINUSDT"]
