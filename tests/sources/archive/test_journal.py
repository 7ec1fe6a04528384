from pathlib import Path

import pytest
from msgspec import structs

from sources.archive.journal import Journal
from sources.archive.names import ArchiveFile, file_named
from sources.archive.rows import ArchiveError
from sources.archive.spans import Span, spans_of


def named(name: str) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


MONTH = named("XUSDT-aggTrades-2024-02.zip")


def span(*names: str) -> Span:
    [found] = spans_of(map(named, names), 0, 1 << 62)
    return found


def holds(journal: Journal, name: str) -> bool:
    return journal.holds(named(name), span(name))


def test_what_is_noted_is_held_also_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "archive" / "journal.json"
    journal = Journal(path, stores="a")
    assert not holds(journal, "XUSDT-aggTrades-2024-02-01.zip")
    journal.note([span("XUSDT-1m-2024-02-01.zip", "XUSDT-aggTrades-2024-02-01.zip")])
    for known in (journal, Journal(path, stores="a")):
        assert holds(known, "XUSDT-aggTrades-2024-02-01.zip")
        assert holds(known, "XUSDT-1m-2024-02-01.zip")
        assert not holds(known, "XUSDT-5m-2024-02-01.zip")
        assert not holds(known, "YUSDT-aggTrades-2024-02-01.zip")
        assert not holds(known, "XUSDT-aggTrades-2024-02-02.zip")


def test_all_days_of_a_month_are_the_month(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json", stores="a")
    days = MONTH.days()
    for day in reversed(days):
        assert not holds(journal, MONTH.name)
        journal.note([span(day.name)])
    assert holds(journal, MONTH.name)


def test_a_part_of_a_file_is_no_more_than_that(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json", stores="a")
    first, second, *_ = MONTH.days()
    whole = span(MONTH.name)
    part = structs.replace(whole, end=first.end)
    journal.note([part])
    assert journal.holds(MONTH, part)
    assert not journal.holds(MONTH, whole)
    assert holds(journal, first.name)
    assert not holds(journal, second.name)


def test_other_stores_have_notes_of_their_own_and_no_secret_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    Journal(path, stores="mongodb://user:secret@host").note([span(MONTH.name)])
    other = Journal(path, stores="b")
    assert not holds(other, MONTH.name)
    other.note([span("YUSDT-1m-2024-02-01.zip")])
    assert holds(Journal(path, stores="mongodb://user:secret@host"), MONTH.name)
    assert "secret" not in path.read_text()


def test_notes_that_cannot_be_read_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text("[1, 2")
    with pytest.raises(ArchiveError, match="delete it"):
        Journal(path, stores="a")


def test_a_file_that_changed_is_another_one(tmp_path: Path) -> None:
    name = "XUSDT-aggTrades-2024-02-01.zip"
    journal = Journal(tmp_path / "journal.json", stores="a")
    journal.know(named(name), "one")
    journal.note([span(name)])
    for known in (journal, Journal(tmp_path / "journal.json", stores="a")):
        known.know(named(name), "one")
        assert holds(known, name)
        known.know(named(name), "other")
        assert not holds(known, name)
    journal.note([span(name)])
    assert holds(journal, name)


def test_what_lacks_trades_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.json", stores="a")
    first, second, *_ = MONTH.days()
    journal.note([span(MONTH.name)])
    journal.forget([span(first.name)])
    assert (holds(journal, first.name), holds(journal, second.name)) == (False, True)
    assert not holds(Journal(tmp_path / "journal.json", stores="a"), first.name)


def test_notes_of_an_older_version_count_for_files_that_are_not_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    journal = Journal(path, stores="a")
    journal.note([span(MONTH.name)])
    path.write_text(path.read_text().replace(',\n    ""', "").replace(', ""', ""))
    old = Journal(path, stores="a")
    assert holds(old, MONTH.name)
    old.know(MONTH, "some")
    assert not holds(old, MONTH.name)


def test_a_journal_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "imported.json", stores="")
    with pytest.raises(ArchiveError, match=r"cannot be written \(.*\): choose another directory by backfill\.cache"):
        journal.prepare()
