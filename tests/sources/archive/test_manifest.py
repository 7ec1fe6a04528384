from pathlib import Path

import pytest
from msgspec import structs

from flows.model import LIVE, Origin
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import ArchiveFile, file_named
from sources.archive.manifest import Manifest
from sources.archive.spans import Span, spans_of


def named(name: str) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


MONTH = named("XUSDT-aggTrades-2024-02.zip")

SEALED_TRADES = Origin(has_vouched_trades=True, klines="exchange")


def span(*names: str) -> Span:
    [found] = spans_of(map(named, names), 0, 1 << 62)
    return found


def holds(manifest: Manifest, name: str) -> bool:
    return manifest.holds(named(name), span(name))


def test_what_is_noted_is_held_also_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "archive" / "journal.json"
    manifest = Manifest(path, stores="a")
    assert not holds(manifest, "XUSDT-aggTrades-2024-02-01.zip")
    manifest.add([span("XUSDT-1m-2024-02-01.zip", "XUSDT-aggTrades-2024-02-01.zip")])
    for known in (manifest, Manifest(path, stores="a")):
        assert holds(known, "XUSDT-aggTrades-2024-02-01.zip")
        assert holds(known, "XUSDT-1m-2024-02-01.zip")
        assert not holds(known, "XUSDT-5m-2024-02-01.zip")
        assert not holds(known, "YUSDT-aggTrades-2024-02-01.zip")
        assert not holds(known, "XUSDT-aggTrades-2024-02-02.zip")


def test_what_the_exchange_vouched_for_is_known_whatever_is_imported_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    first, second, third, *_ = MONTH.days()
    manifest = Manifest(path, stores="a")
    for day in (first, second, third):
        manifest.set_current(day, f"digest of {day.name}")
        if day is not third:
            manifest.set_vouched(day)
        manifest.add([span(day.name)])
    manifest = Manifest(path, stores="a")
    manifest.set_current(first, "another digest")
    manifest.add([span(first.name)])
    for known in (manifest, Manifest(path, stores="a")):
        assert known.origin_of("XUSDT", "1m", first.begin, second.end) == SEALED_TRADES
        for other in (
            known.origin_of("XUSDT", "1m", second.begin, second.end + 1),
            known.origin_of("YUSDT", "1m", first.begin, first.end),
            Manifest(path, stores="b").origin_of("XUSDT", "1m", first.begin, first.end),
        ):
            assert other == LIVE
    assert holds(manifest, second.name)
    assert holds(manifest, third.name)


def test_where_klines_came_from_is_known_also_of_a_span_that_lacks_trades(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    first, second, third, *_ = [named(day.name.replace("aggTrades", "1m")) for day in MONTH.days()]
    manifest = Manifest(path, stores="a")
    for day in (first, second):
        manifest.set_current(day, f"digest of {day.name}")
    manifest.set_vouched(first)
    manifest.add([span(third.name)])  # there was no such file
    manifest.forget([span(first.name), span(second.name)])
    for known in (manifest, Manifest(path, stores="a")):
        found = [known.origin_of("XUSDT", "1m", day.begin, day.begin + 60_000).klines for day in (first, second, third)]
        assert found == ["checksum", "file", "exchange"]
        assert known.origin_of("XUSDT", "5m", first.begin, first.end) == LIVE
        assert not holds(known, first.name)


def test_all_days_of_a_month_are_the_month(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "journal.json", stores="a")
    days = MONTH.days()
    for day in reversed(days):
        assert not holds(manifest, MONTH.name)
        manifest.add([span(day.name)])
    assert holds(manifest, MONTH.name)


def test_a_part_of_a_file_is_no_more_than_that(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "journal.json", stores="a")
    first, second, *_ = MONTH.days()
    whole = span(MONTH.name)
    part = structs.replace(whole, end=first.end)
    manifest.add([part])
    assert manifest.holds(MONTH, part)
    assert not manifest.holds(MONTH, whole)
    assert holds(manifest, first.name)
    assert not holds(manifest, second.name)


def test_other_stores_have_notes_of_their_own_and_no_secret_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    Manifest(path, stores="mongodb://user:secret@host").add([span(MONTH.name)])
    other = Manifest(path, stores="b")
    assert not holds(other, MONTH.name)
    other.add([span("YUSDT-1m-2024-02-01.zip")])
    assert holds(Manifest(path, stores="mongodb://user:secret@host"), MONTH.name)
    assert "secret" not in path.read_text()


def test_notes_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text("[1, 2")
    with pytest.raises(ArchiveError, match="delete it"):
        Manifest(path, stores="a")


def test_a_file_that_changed_is_another_one(tmp_path: Path) -> None:
    name = "XUSDT-aggTrades-2024-02-01.zip"
    manifest = Manifest(tmp_path / "journal.json", stores="a")
    manifest.set_current(named(name), "one")
    manifest.add([span(name)])
    for known in (manifest, Manifest(tmp_path / "journal.json", stores="a")):
        known.set_current(named(name), "one")
        assert holds(known, name)
        known.set_current(named(name), "other")
        assert not holds(known, name)
    manifest.add([span(name)])
    assert holds(manifest, name)


def test_what_lacks_trades_is_forgotten(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "journal.json", stores="a")
    first, second, *_ = MONTH.days()
    manifest.add([span(MONTH.name)])
    manifest.forget([span(first.name)])
    assert (holds(manifest, first.name), holds(manifest, second.name)) == (False, True)
    assert not holds(Manifest(tmp_path / "journal.json", stores="a"), first.name)


def test_notes_of_an_older_version_count_for_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    manifest = Manifest(path, stores="a")
    manifest.add([span(MONTH.name)])
    path.write_text(path.read_text().replace(',\n    ""', "").replace(', ""', ""))
    old = Manifest(path, stores="a")
    assert holds(old, MONTH.name)
    old.set_current(MONTH, "some")
    assert not holds(old, MONTH.name)


def test_a_journal_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    manifest = Manifest(tmp_path / "file" / "imported.json", stores="")
    with pytest.raises(ArchiveError, match=r"cannot be written \(.*\): choose another directory by backfill\.cache"):
        manifest.prepare()


STORES = {"candles": "one", "part-00": "two", "part-01": "three"}


def imported_into(path: Path, stores: dict[str, str]) -> Manifest:
    """Notes of a day with a checksum, as the next process finds them."""
    day = MONTH.days()[0]
    manifest = Manifest(path, stores="a")
    assert manifest.forget_lost(dict.fromkeys(stores, "")) == [], "nothing was imported yet"
    manifest.bind(stores)
    manifest.set_current(day, "digest")
    manifest.set_vouched(day)
    manifest.add([span(day.name)])
    return Manifest(path, stores="a")


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, []),
        ({"part-01": ""}, ["part-01"]),
        ({"part-00": "another"}, ["part-00"]),
        ({"candles": ""}, ["candles"]),
        ({"candles": "another", "part-01": "another"}, ["candles", "part-01"]),
    ],
)
def test_what_was_imported_into_a_store_that_is_lost_is_not_held(
    tmp_path: Path, changes: dict[str, str], lost: list[str]
) -> None:
    day, path = MONTH.days()[0], tmp_path / "journal.json"
    manifest = imported_into(path, STORES)
    assert manifest.forget_lost(STORES | changes) == lost
    assert holds(manifest, day.name) == (not lost)
    # as long as the candles are there it is known for which of them the exchange vouches
    expected = LIVE if "candles" in lost else SEALED_TRADES
    assert manifest.origin_of("XUSDT", "1m", day.begin, day.end) == expected
    assert Manifest(path, stores="a").forget_lost(STORES | changes) == lost, "nothing was written yet"
    manifest.bind(STORES | changes)
    assert holds(Manifest(path, stores="a"), day.name) == (not lost)


def test_notes_that_name_no_stores_count_where_all_stores_are_there(tmp_path: Path) -> None:
    day, path = MONTH.days()[0], tmp_path / "journal.json"
    Manifest(path, stores="a").add([span(day.name)])
    for stores, lost in ((STORES, []), (STORES | {"part-01": ""}, ["part-01"])):
        manifest = Manifest(path, stores="a")
        assert manifest.forget_lost(stores) == lost
        assert holds(manifest, day.name) == (not lost)
