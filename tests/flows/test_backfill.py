"""What an import believes: files cut, mixed and mended, through the source and the machines."""

import random
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from flows.model import Candle
from flows.operators.candles.upgrade import improved
from tests.fakes.examples import examples
from tests.fakes.imports import Remembered, StoredCandles, import_folder, import_into, seal

TIMEFRAMES = ("1m", "15m", "1h", "4h", "1d")
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
BEGIN = 1_729_987_200_000
"""2024-10-27."""
FIRST_FILL = 10_000
LENGTHS = {"1m": 60_000, "15m": 900_000, "1h": HOUR_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS}


def rows_of(days: int = 1, *, every_ms: int = 20_000, seed: int = 1) -> pl.DataFrame:
    """Made-up trades of whole days, as the archive has them; each aggregate is one to three fills."""
    chance = random.Random(seed)
    count = days * DAY_MS // every_ms
    fills = [chance.randint(1, 3) for _ in range(count)]
    ends = pl.Series(fills).cum_sum() + FIRST_FILL
    return pl.DataFrame(
        {
            "id": range(1, count + 1),
            "price": [round(100 + chance.gauss(0, 1), 2) for _ in range(count)],
            "quantity": [round(chance.uniform(0.01, 5), 3) for _ in range(count)],
            "first": ends - pl.Series(fills),
            "last": ends - 1,
            "time": [BEGIN + n * every_ms + chance.randrange(every_ms) for n in range(count)],
            "maker": [chance.random() < 0.5 for _ in range(count)],
        }
    )


def put(folder: Path, rows: pl.DataFrame, day: int = 27, *, name: str = "aggTrades") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"XUSDT-{name}-2024-10-{day}.csv"
    path.write_text(rows.write_csv(include_header=False))
    return path


def put_klines(folder: Path, truth: Remembered, timeframe: str) -> Path:
    """The exchange's own candles of the first day."""
    candles = [c for c in truth.of(timeframe) if c.open_time < BEGIN + DAY_MS]
    lines = [
        f"{c.open_time},{c.open},{c.high},{c.low},{c.close},{c.volume},{c.close_time},{c.quote_volume},{c.trades},"
        f"{c.taker_buy_volume},{c.taker_buy_quote_volume},0\n"
        for c in candles
    ]
    path = folder / f"XUSDT-{timeframe}-2024-10-27.csv"
    path.write_text("".join(lines))
    return path


def imported(folder: Path) -> Remembered:
    sink, meter = import_folder(folder, "XUSDT", TIMEFRAMES)
    assert meter.failures == []
    return sink


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Remembered:
    """Three whole days with checksums."""
    folder, rows = tmp_path_factory.mktemp("truth"), rows_of(3)
    for number in range(3):
        seal(put(folder, day_of(rows, number), 27 + number))
    found = imported(folder)
    assert {c.status for c in found.candles.values()} == {"final"}
    return found


def day_of(rows: pl.DataFrame, number: int) -> pl.DataFrame:
    begin = BEGIN + number * DAY_MS
    return rows.filter(pl.col("time").is_between(begin, begin + DAY_MS, closed="left"))


def values(candle: Candle) -> tuple[float, ...]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume, candle.trades


def wrong_finals(found: Remembered, truth: Remembered) -> list[tuple[str, int]]:
    """Candles that say that they are complete, and are not."""
    return [
        place
        for place, candle in found.candles.items()
        if candle.status in ("final", "repaired") and values(candle) != values(truth.candles[place])
    ]


# --- the end of a source ---


def test_before_the_first_and_after_the_last_trade_of_a_file_without_a_checksum_nothing_is_final(
    tmp_path: Path, truth: Remembered
) -> None:
    cut = BEGIN + 13 * HOUR_MS + 30_500
    put(tmp_path, rows_of(3).filter(pl.col("time") < cut))
    found = imported(tmp_path)
    for (timeframe, open_time), candle in found.candles.items():
        is_whole = open_time > BEGIN and open_time + LENGTHS[timeframe] <= cut
        assert candle.status == ("final" if is_whole else "unproven")
        assert candle.proof == ""
    assert wrong_finals(found, truth) == []
    assert {timeframe: len(found.of(timeframe)) for timeframe in TIMEFRAMES} == {
        "1m": 1_440, "15m": 96, "1h": 24, "4h": 6, "1d": 1,
    }  # fmt: skip


def test_a_checksum_the_next_id_or_an_official_candle_prove_the_end(tmp_path: Path, truth: Remembered) -> None:
    rows = rows_of(3)
    seal(put(tmp_path / "checksum", day_of(rows, 0)))
    for number in range(2):
        put(tmp_path / "next", day_of(rows, number), 27 + number)
    put(tmp_path / "official", day_of(rows, 0))
    put_klines(tmp_path / "official", truth, "1d")
    for name in ("checksum", "next", "official"):
        found = imported(tmp_path / name)
        first = {place: candle for place, candle in found.candles.items() if place[1] < BEGIN + DAY_MS}
        unsure = {place for place, candle in first.items() if candle.status != "final"}
        # that a day's file begins with the day's first trade is as unsure as its end
        assert unsure == ({(timeframe, BEGIN) for timeframe in TIMEFRAMES} if name == "next" else set())
        assert wrong_finals(found, truth) == []
    assert found.candles["1d", BEGIN].proof == "equal"


@pytest.mark.parametrize("kept", [slice(None), slice(1, None), slice(-1), slice(-1_500)])
def test_that_a_file_is_as_it_was_packed_says_nothing_of_what_was_packed(
    tmp_path: Path, truth: Remembered, kept: slice
) -> None:
    path = put(tmp_path, day_of(rows_of(3), 0)[kept])
    plain = imported(tmp_path).candles
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.write(path, path.name)
    path.unlink()
    packed = imported(tmp_path)
    assert {place: c.status for place, c in packed.candles.items()} == {place: c.status for place, c in plain.items()}
    assert wrong_finals(packed, truth) == []


# --- refuted candles ---


def test_a_refuted_candle_puts_the_shorter_ones_inside_it_in_doubt(tmp_path: Path, truth: Remembered) -> None:
    cut = BEGIN + 13 * HOUR_MS + 30_500
    put(tmp_path, rows_of(3).filter(pl.col("time") < cut))
    put_klines(tmp_path, truth, "4h")
    put_klines(tmp_path, truth, "1d")
    put_klines(tmp_path, truth, "15m")
    found = imported(tmp_path)
    four = found.of("4h")
    assert [(c.status, c.proof) for c in four] == [("final", "equal")] * 3 + [("venue", "ours wrong")] * 3
    assert [values(c) for c in four] == [values(c) for c in truth.of("4h")[:6]]
    [day] = found.of("1d")
    assert (day.status, day.proof) == ("venue", "ours wrong")
    assert {c.status for c in found.of("1m")} == {"unproven"}
    quarters = found.of("15m")
    assert [(c.status, c.proof) for c in quarters[:52]] == [("final", "equal")] * 52
    assert {(c.status, c.proof) for c in quarters[52:]} == {("venue", "ours wrong")}
    assert wrong_finals(found, truth) == []


def put_wrong_minute(folder: Path, truth: Remembered) -> int:
    """The exchange's minutes of the first day, one of them wrong; gives its time."""
    path = put_klines(folder, truth, "1m")
    lines = path.read_text().splitlines()
    fields = lines[700].split(",")
    fields[2] = str(float(fields[2]) + 1)
    lines[700] = ",".join(fields)
    path.write_text("\n".join(lines) + "\n")
    return int(fields[0])


def test_a_short_kline_that_trades_and_a_longer_kline_contradict_is_wrong(tmp_path: Path, truth: Remembered) -> None:
    seal(put(tmp_path, day_of(rows_of(3), 0)))
    wrong = put_wrong_minute(tmp_path, truth)
    put_klines(tmp_path, truth, "15m")
    found = imported(tmp_path)
    judged = found.candles["1m", wrong]
    assert (judged.status, judged.proof, values(judged)) == (
        "final",
        "theirs wrong",
        values(truth.candles["1m", wrong]),
    )
    assert wrong_finals(found, truth) == []
    assert {c.status for c in found.candles.values()} == {"final"}
    assert [incident.outcome for incident in found.incidents][-1].startswith("theirs wrong")


@pytest.mark.parametrize("longer", [("15m",), ("1d",), TIMEFRAMES[1:]])
@pytest.mark.parametrize("are_trades_sealed", [False, True])
def test_a_trade_in_the_wrong_minute_makes_no_claim_that_the_exchanges_minutes_are_wrong(
    tmp_path: Path, truth: Remembered, longer: tuple[str, ...], are_trades_sealed: bool
) -> None:
    """All longer candles are equal to the exchange's: they have the same trades, wherever these are."""
    day, end = day_of(rows_of(3), 0), BEGIN + 333 * 60_000
    first = day.filter(pl.col("time") >= end)["id"][0]
    told = day.with_columns(pl.when(pl.col("id") == first).then(end - 1).otherwise(pl.col("time")).alias("time"))
    path = put(tmp_path, told)
    if are_trades_sealed:
        seal(path)
    for timeframe in ("1m", *longer):
        seal(put_klines(tmp_path, truth, timeframe))
    found = imported(tmp_path)
    for open_time in (end - 60_000, end):
        served = found.candles["1m", open_time]
        assert (served.status, served.proof, values(served)) == (
            "venue",
            "ours wrong",
            values(truth.candles["1m", open_time]),
        )
    assert wrong_finals(found, truth) == []
    assert "theirs wrong" not in {c.proof for c in found.candles.values()}


def test_a_kline_without_a_checksum_refutes_no_trades_with_one(tmp_path: Path, truth: Remembered) -> None:
    seal(put(tmp_path, day_of(rows_of(3), 0)))
    wrong = put_wrong_minute(tmp_path, truth)
    found = imported(tmp_path)
    judged = found.candles["1m", wrong]
    assert (judged.status, judged.proof, values(judged)) == ("final", "", values(truth.candles["1m", wrong]))
    assert {c.status for c in found.candles.values()} == {"final"}
    assert wrong_finals(found, truth) == []
    assert [(one.kind, one.begin) for one in found.incidents] == [("mismatch", wrong)]
    put_klines(tmp_path, truth, "1m")
    (tmp_path / "journal.json").unlink(missing_ok=True)
    mended = imported(tmp_path).candles["1m", wrong]
    assert (mended.status, mended.proof) == ("final", "equal")
    kline = structs.replace(judged, status="venue", first_id=-1, last_id=-1)
    assert improved(kline, judged).proof == "equal", "the right file alone mends what is stored"


def test_a_refuted_candle_puts_the_longer_ones_around_it_in_doubt(tmp_path: Path, truth: Remembered) -> None:
    """A trade has a wrong price; the exchange's minutes say so, and nothing proves the longer candles."""
    day = day_of(rows_of(3), 0)
    spoilt = day.with_columns(pl.when(pl.col("id") == 1_000).then(900.0).otherwise(pl.col("price")).alias("price"))
    seal(put(tmp_path, spoilt))
    seal(put_klines(tmp_path, truth, "1m"))
    found = imported(tmp_path)
    [time] = day.filter(pl.col("id") == 1_000)["time"]
    for (timeframe, open_time), candle in found.candles.items():
        is_around = open_time <= time < open_time + LENGTHS[timeframe]
        if timeframe == "1m":
            assert (candle.status, candle.proof) == (("venue", "ours wrong") if is_around else ("final", "equal"))
        else:
            assert candle.status == ("unproven" if is_around else "final")
    assert wrong_finals(found, truth) == []


def test_a_month_that_holds_less_says_nothing_of_the_days_behind(tmp_path: Path) -> None:
    tmp_path.joinpath("XUSDT-aggTrades-2024-10.csv").write_text(day_of(rows_of(1), 0).write_csv(include_header=False))
    found = imported(tmp_path)
    assert {candle.open_time // DAY_MS for candle in found.candles.values()} == {BEGIN // DAY_MS}


# --- holes ---


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_hole_between_two_files_marks_every_candle_that_it_covers(
    tmp_path: Path, truth: Remembered, *, is_sealed: bool
) -> None:
    rows = rows_of(3)
    for number in range(2):
        day = day_of(rows, number)
        path = put(tmp_path, day[:-1_500] if number == 0 else day, 27 + number)
        if is_sealed:
            seal(path)
    found = imported(tmp_path)
    last, first = day_of(rows, 0)["time"][-1_501], day_of(rows, 1)["time"][0]
    covered = {
        place: candle
        for place, candle in found.candles.items()
        if place[1] + LENGTHS[place[0]] > last and place[1] <= first
    }
    assert {candle.status for candle in covered.values()} == {"partial"}
    assert {timeframe for timeframe, _ in covered} == set(TIMEFRAMES)
    unsure = {
        place
        for place, candle in found.candles.items()
        if place not in covered and candle.status != "final" and place[1] + LENGTHS[place[0]] < BEGIN + 2 * DAY_MS
    }
    assert unsure == (set() if is_sealed else {(timeframe, BEGIN) for timeframe in TIMEFRAMES if timeframe != "1d"})
    assert wrong_finals(found, truth) == []


def test_a_trade_that_was_taken_back_is_no_hole(tmp_path: Path) -> None:
    rows = rows_of(1)
    place = 2_000
    zero = rows[place].with_columns(price=pl.lit(0.0), quantity=pl.lit(0.0), first=pl.lit(-1), last=pl.lit(-1))
    fills = rows["last"][place] - rows["first"][place] + 1
    behind = rows[place + 1 :].with_columns(pl.col("first", "last") - fills)  # it has none: the others follow
    seal(put(tmp_path, pl.concat([rows[:place], zero.cast(rows.schema), behind.cast(rows.schema)])))
    found = imported(tmp_path)
    assert {c.status for c in found.candles.values()} == {"final"}
    assert found.incidents == []
    assert sum(c.volume for c in found.of("1m")) == pytest.approx(rows["quantity"].sum() - rows["quantity"][place])


# --- order ---


@pytest.mark.parametrize("is_vouched", [False, True])
def test_a_second_import_mends_ids_that_no_kline_of_the_first_has_stated(
    tmp_path: Path, truth: Remembered, *, is_vouched: bool
) -> None:
    rows, store = day_of(rows_of(3), 0), StoredCandles()
    ids = pl.col("id", "first", "last")
    for name, of_import in (("false", rows.with_columns(ids + 500)), ("true", rows)):
        path = put(tmp_path / name, of_import)
        if is_vouched or name == "true":
            seal(path)
        for timeframe in TIMEFRAMES:
            seal(put_klines(tmp_path / name, truth, timeframe))
        import_into(store, tmp_path / name, "XUSDT", TIMEFRAMES)
        stored = {place: (one.first_id, one.last_id, one.proof) for place, one in store.candles.items()}
        shift = 500 if name == "false" else 0
        assert stored == {
            place: (one.first_id + shift, one.last_id + shift, "equal")
            for place, one in truth.candles.items()
            if one.open_time < BEGIN + DAY_MS
        }
    assert {(one.status, one.revision) for one in store.candles.values()} == {("repaired", 1)}


def test_rows_that_alternate_between_two_times_give_the_candles_of_rows_in_order(
    tmp_path: Path, truth: Remembered
) -> None:
    day = day_of(rows_of(3), 0)
    half = day.height // 2
    mixed = pl.concat([day[:half].with_row_index("n"), day[half:].with_row_index("n")]).sort("n").drop("n")
    seal(put(tmp_path, mixed))
    found = imported(tmp_path)
    assert found.candles == {place: c for place, c in truth.candles.items() if place[1] < BEGIN + DAY_MS}


@pytest.mark.parametrize("is_sealed", [False, True])
def test_an_import_that_ends_anywhere_and_is_run_again_stores_the_same_versions(
    tmp_path: Path, *, is_sealed: bool
) -> None:
    rows, timeframes = rows_of(4, every_ms=60_000), ("1h", "4h", "1d")
    for number in range(4):
        path = put(tmp_path, day_of(rows, number), 27 + number)
        if is_sealed:
            seal(path)
    calm, journal = StoredCandles(), tmp_path / "journal.json"
    batches = import_into(calm, tmp_path, "XUSDT", timeframes)
    assert len(calm.candles) == 4 * (24 + 6 + 1)
    for most in range(batches):
        journal.unlink(missing_ok=True)
        store = StoredCandles()
        import_into(store, tmp_path, "XUSDT", timeframes, most=most)
        import_into(store, tmp_path, "XUSDT", timeframes)
        assert store.candles == calm.candles, most


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_however_files_are_cut_mixed_and_doubled_no_candle_is_wrongly_final(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, truth: Remembered
) -> None:
    folder, rows = tmp_path_factory.mktemp("any"), rows_of(3)
    for number in range(3):
        day = day_of(rows, number)
        if data.draw(st.booleans(), label="is lost"):
            continue
        cuts = sorted(data.draw(st.lists(st.integers(0, day.height), min_size=2, max_size=2), label="cut out"))
        if data.draw(st.booleans(), label="is cut"):
            day = data.draw(
                st.sampled_from([day[: cuts[0]], day[cuts[0] :], pl.concat([day[: cuts[0]], day[cuts[1] :]])])
            )
        if data.draw(st.booleans(), label="is doubled"):
            day = pl.concat([day, day[cuts[0] : cuts[1]]])
        if data.draw(st.booleans(), label="is mixed"):
            day = day.sample(fraction=1.0, shuffle=True, seed=data.draw(st.integers(0, 1_000)))
        if day.height:  # a file without rows is refused
            put(folder, day, 27 + number)
    if any(folder.glob("*.csv")):
        assert wrong_finals(imported(folder), truth) == []
