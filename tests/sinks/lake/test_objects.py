"""A lake in an object store: the same as in a folder, over a small S3 on loopback."""

import sys
from collections.abc import Iterator

import pytest

from sinks.lake import objects
from sinks.lake.check import LakeCheck
from sinks.lake.manifest import DayProof, LakeError
from sinks.lake.place import Lake
from sinks.lake.writer import SeriesWriter
from tests.fakes.object_store import ObjectStore, running_object_store
from tests.sinks.lake.test_writer import DAY, SERIES, Stored, read, rows, write

URL = "s3://bucket/some/lake"
FOLDER = "some/lake/venue=binance/kind=trades/symbol=BTC%2FUSDT"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    monkeypatch.setattr(objects, "STATE_S", 0.0)
    with running_object_store() as running:
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running


def test_days_are_objects_and_are_read_back(store: ObjectStore) -> None:
    lake = Lake(URL)
    assert (lake.is_there(), lake.series(), read(lake)) == (False, [], None)
    assert write(lake, Stored(rows(1, 2, 3))) == "written"
    assert sorted(store.objects) == [f"{FOLDER}/date={DAY}/data.parquet", f"{FOLDER}/manifest.json"]
    other = Lake(URL)
    assert (other.is_there(), other.series(), read(other)) == (True, [SERIES], rows(1, 2, 3))
    assert write(other, Stored(rows(1, 2, 3))) == "unchanged"
    assert write(lake, Stored(rows(1, 2, 3, 4))) == "rewritten"
    assert (read(other), other.present(SERIES, DAY).revision) == (rows(1, 2, 3, 4), 2)
    check = LakeCheck(other)
    check.check(other.series())
    assert check.faults == []


def test_damage_and_a_lost_manifest_are_seen(store: ObjectStore) -> None:
    lake = Lake(URL)
    write(lake, Stored(rows(1, 2, 3)))
    key, manifest = f"{FOLDER}/date={DAY}/data.parquet", f"{FOLDER}/manifest.json"
    whole = store.objects[key]
    store.objects[key] = whole[:-9] + b"x" + whole[-8:]
    with pytest.raises(LakeError, match=r"^s3://bucket/some/lake/.*data\.parquet is not what its manifest says"):
        read(lake)
    assert write(lake, Stored(rows(2, 3), DayProof(proof="unproven"))) == "damaged"
    del store.objects[key]
    with pytest.raises(LakeError, match="is missing"):
        read(lake)
    store.objects[key] = whole
    del store.objects[manifest]
    assert lake.days_on_disk(SERIES) == [DAY]
    with lake.writing():
        assert SeriesWriter(lake, SERIES, wall_ms=lambda: 7).adopt(DAY) == "adopted"
    assert read(lake) == rows(1, 2, 3)


def test_a_store_that_refuses_is_one_line(store: ObjectStore) -> None:
    store.refuses = True
    for work in (lambda: read(Lake(URL)), lambda: write(Lake(URL), Stored(rows(1))), lambda: Lake(URL).series()):
        with pytest.raises(LakeError, match=r"^s3://bucket/some/lake[^\n]*$"):
            work()
    with pytest.raises(LakeError):
        Lake("nope://bucket")


@pytest.mark.usefixtures("store")
def test_copies_are_kept_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lake(URL)
    with lake.writing():
        writer = SeriesWriter(lake, SERIES, wall_ms=lambda: 7)
        for day in (DAY, "2026-01-02", "2026-01-03"):
            writer.write(day, Stored(rows(1, 2)))
    size = lake.present(SERIES, DAY).size
    monkeypatch.setattr(objects, "KEPT_BYTES", 2 * size)
    fresh = Lake(URL)
    first = fresh._storage.local(SERIES.file(DAY))
    for day in ("2026-01-02", DAY, "2026-01-03"):
        fresh.present(SERIES, day)
    assert fresh._storage.local(SERIES.file(DAY)) == first
    assert first.exists()
    assert len(list(first.parent.iterdir())) == 2


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(
        LakeError, match=r"^lake\.path: s3://bucket/some/lake .* pip install 'marketflow-data\[lake\]'$"
    ):
        Lake(URL)
