"""A day is written whole or not at all, once, and again only when its values have changed."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.lake.folder import WRITING
from sinks.lake.manifest import DayProof, LakeError, decode_manifest, encode_manifest
from sinks.lake.place import Lake
from sinks.lake.series import LakeSeries, begin_of, day_of
from sinks.lake.values import DayValues
from sinks.lake.writer import UNCLAIMED, SeriesWriter

DAY = "2026-01-01"
TIME = begin_of(DAY)
SERIES = LakeSeries("binance", "trades", "BTC/USDT")
SCHEMA = {"time": pl.Int64, "id": pl.Int64, "price": pl.Float64, "side": pl.String}


def rows(*numbers: int, price: float = 1.5) -> list[tuple[Any, ...]]:
    return [(TIME + number, number, price, None if number % 3 == 0 else "é") for number in numbers]


class Stored:
    """A day of rows, in frames of two."""

    def __init__(self, found: list[tuple[Any, ...]], proof: DayProof | None = None) -> None:
        self.found = found
        self._proof = proof or DayProof(proof="complete")

    @property
    def empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=SCHEMA)

    def values(self) -> DayValues:
        return DayValues(time="time", first_id="id", last_id="id")

    def frames(self) -> Iterator[pl.DataFrame]:
        for place in range(0, len(self.found), 2):
            yield pl.DataFrame(self.found[place : place + 2], schema=SCHEMA, orient="row")

    def proof(self, _: DayValues) -> DayProof:
        return self._proof


class _KilledError(BaseException):
    pass


class DyingLake(Lake):
    """Ends before the n-th of the steps that a kill can come between."""

    def __init__(self, root: Path, steps: int) -> None:
        super().__init__(root)
        self._steps = steps

    def _step(self) -> None:
        if not self._steps:
            raise _KilledError
        self._steps -= 1

    def put_file(self, *arguments: Any) -> None:
        self._step()
        super().put_file(*arguments)

    def put_manifest(self, *arguments: Any) -> None:
        self._step()
        super().put_manifest(*arguments)


def write(lake: Lake, stored: Stored) -> str:
    with lake.writing():
        return SeriesWriter(lake, SERIES, wall_ms=lambda: 7).write(DAY, stored)


def read(lake: Lake) -> list[tuple[Any, ...]] | None:
    """The rows of the day; None where the lake does not have it."""
    if DAY not in lake.manifest(SERIES).days:
        return None
    return lake.scan(SERIES, DAY).collect().rows()


def test_a_day_is_a_file_with_its_rows_ids_times_and_digests(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert write(lake, Stored(rows(4, 5, 6))) == "written"
    entry = lake.present(SERIES, DAY)
    file = tmp_path / "lake/venue=binance/kind=trades/symbol=BTC%2FUSDT/date=2026-01-01/data.parquet"
    assert pl.read_parquet(file, hive_partitioning=False).rows() == rows(4, 5, 6)
    assert (entry.revision, entry.rows, entry.first_id, entry.last_id) == (1, 3, 4, 6)
    assert (entry.first_time, entry.last_time, entry.size) == (TIME + 4, TIME + 6, file.stat().st_size)
    assert lake.series() == [SERIES]
    assert not (tmp_path / "lake" / WRITING).exists()
    scanned = pl.scan_parquet(f"{tmp_path}/lake/**/*.parquet", hive_partitioning=True).collect()
    assert scanned.select("venue", "kind", "symbol", "date").unique().rows() == [
        ("binance", "trades", "BTC/USDT", date(2026, 1, 1))
    ]


def test_it_is_written_again_only_with_other_values_and_by_the_next_revision(tmp_path: Path) -> None:
    lake, stored = Lake(tmp_path), Stored(rows(1, 2))
    assert [write(lake, stored), write(lake, stored)] == ["written", "unchanged"]
    before = lake.present(SERIES, DAY)
    assert write(lake, Stored(rows(1, 2), DayProof(proof="repaired"))) == "proven"
    assert lake.present(SERIES, DAY).revision == 1
    assert write(lake, Stored(rows(1, 2, 3))) == "rewritten"
    after = lake.present(SERIES, DAY)
    assert (after.revision, after.rows, before.values != after.values, after.before) == (2, 3, True, None)


def test_an_empty_day_is_a_file_without_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    assert write(lake, Stored([])) == "written"
    entry = lake.present(SERIES, DAY)
    assert (entry.rows, entry.first_id, entry.last_time, read(lake)) == (0, -1, -1, [])


@pytest.mark.parametrize(
    ("now", "missing"),
    [(rows(2, 3), 0), ([], 0), (rows(1, 3), 1)],
    ids=["its begin is gone", "all is gone", "the middle is gone"],
)
def test_what_the_stores_have_lost_stays_in_the_lake(tmp_path: Path, now: list[tuple[Any, ...]], missing: int) -> None:
    lake = Lake(tmp_path)
    write(lake, Stored(rows(1, 2, 3)))
    assert write(lake, Stored(now, DayProof(proof="unproven", missing=missing))) == "kept"
    assert read(lake) == rows(1, 2, 3)


@pytest.mark.parametrize("steps", range(4))
@pytest.mark.parametrize("before", [None, rows(1, 2)], ids=["a new day", "a changed day"])
def test_a_kill_between_any_two_steps_leaves_the_old_day_or_the_new_one(
    tmp_path: Path, steps: int, before: list[tuple[Any, ...]] | None
) -> None:
    if before:
        write(Lake(tmp_path), Stored(before))
    with pytest.raises(_KilledError) if steps < (3 if before else 2) else nullcontext():
        write(DyingLake(tmp_path, steps), Stored(rows(1, 2, 3)))
    assert read(Lake(tmp_path)) in (before, rows(1, 2, 3))
    assert write(Lake(tmp_path), Stored(rows(1, 2, 3))) in ("written", "rewritten", "unchanged")
    assert read(Lake(tmp_path)) == rows(1, 2, 3)
    entry = Lake(tmp_path).present(SERIES, DAY)
    assert (entry.revision, entry.before) == (2 if before else 1, None)


def test_a_damaged_file_is_seen_and_made_anew_from_what_is_stored(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, Stored(rows(1, 2, 3)))
    file = tmp_path / SERIES.file(DAY)
    content = bytearray(file.read_bytes())
    content[40] ^= 1
    file.write_bytes(content)
    for broken in (Lake(tmp_path), lake):
        with pytest.raises(LakeError, match="is not what its manifest says"):
            broken.scan(SERIES, DAY)
    assert write(lake, Stored(rows(2, 3), DayProof(proof="unproven"))) == "damaged"
    assert write(lake, Stored(rows(1, 2, 3))) == "rewritten"
    assert (read(lake), lake.present(SERIES, DAY).revision) == (rows(1, 2, 3), 1)
    file.unlink()
    with pytest.raises(LakeError, match="is missing"):
        lake.scan(SERIES, DAY)


def test_a_file_that_lost_its_manifest_is_taken_as_it_is(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, Stored(rows(1, 2, 3)))
    known = lake.present(SERIES, DAY)
    (tmp_path / SERIES.manifest).unlink()
    assert lake.days_on_disk(SERIES) == [DAY]
    with lake.writing():
        assert SeriesWriter(lake, SERIES, wall_ms=lambda: 7).adopt(DAY) == "adopted"
    entry = lake.present(SERIES, DAY)
    assert (entry.values, entry.rows, entry.last_id) == (known.values, 3, 3)
    assert entry.proof == DayProof(proof="unproven", reason=UNCLAIMED)
    assert write(lake, Stored(rows(1, 2, 3))) == "proven"


def test_one_process_writes_at_a_time_and_clears_up_after_another(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    left = tmp_path / WRITING / "left"
    left.mkdir(parents=True)
    with lake.writing():
        assert not left.exists()
        with pytest.raises(LakeError, match="another process writes"), Lake(tmp_path).writing():
            pass


def test_a_manifest_that_is_not_as_it_was_written_is_refused(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write(lake, Stored(rows(1, 2, 3)))
    path = tmp_path / SERIES.manifest
    text = path.read_bytes()
    assert encode_manifest(decode_manifest(text), SERIES._asdict()) == text
    path.write_bytes(text.replace(b'"rows":3', b'"rows":4'))
    with pytest.raises(LakeError, match=r"it is not as it was written: marketflow lake verify"):
        Lake(tmp_path).manifest(SERIES)
    path.write_bytes(text[:50])
    with pytest.raises(LakeError, match="it is no manifest"):
        Lake(tmp_path).manifest(SERIES)


@given(st.data())
def test_the_digest_of_values_does_not_depend_on_frames(data: st.DataObject) -> None:
    texts = st.none() | st.text(max_size=3)
    values = st.tuples(st.integers(0, 9), st.integers(-1, 9), st.none() | st.floats(), texts)
    found = data.draw(st.lists(values, max_size=12))
    frame = pl.DataFrame(found, schema=SCHEMA, orient="row")
    cuts = sorted({0, len(found), *data.draw(st.lists(st.integers(0, len(found)), max_size=4))})
    whole, parts = (DayValues(time="time", first_id="id", last_id="id") for _ in range(2))
    whole.add(frame)
    for begin, end in pairwise(cuts):
        parts.add(frame[begin:end])
    assert whole.digest() == parts.digest()
    assert (whole.first_id, whole.last_id, whole.rows) == (parts.first_id, parts.last_id, parts.rows)
    if found:
        other = DayValues(time="time")
        other.add(frame.with_columns(pl.col("id") + 1))
        assert other.digest() != whole.digest()


@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTC/USDT", "币安人生USDT", "a b", "", "100%"])
def test_a_series_is_found_by_its_folder(symbol: str) -> None:
    series = LakeSeries.of_candles("binance-usdm", "1m", symbol)
    assert LakeSeries.at(series.folder) == series
    assert series.timeframe == "1m"
    assert day_of(begin_of("2024-02-29") + 86_399_999) == "2024-02-29"
