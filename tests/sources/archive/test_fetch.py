import hashlib
import zipfile
from pathlib import Path

import pytest

from sources.archive.fetch import Downloader, check, files_in
from sources.archive.names import ArchiveFile, file_named
from sources.archive.rows import ArchiveError
from tests.fakes.archive import archive_of

NAME = "XUSDT-aggTrades-2024-10-27.zip"


def named(name: str = NAME) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


def published(folder: Path, content: bytes, *, checksum: str | None = None) -> None:
    """Puts a file where the archive keeps it."""
    path = folder / named().path("binance")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.with_name(NAME + ".CHECKSUM").write_text(f"{checksum or hashlib.sha256(content).hexdigest()}  {NAME}\n")


def test_a_file_is_downloaded_once_and_checked(tmp_path: Path) -> None:
    published(tmp_path / "served", b"content")
    told: list[tuple[int, int]] = []
    with archive_of(tmp_path / "served") as url:
        downloader = Downloader(url, tmp_path / "cache", on_bytes=lambda done, total: told.append((done, total)))
        path = downloader.get(named(), "binance")
        assert path is not None
        assert path.read_bytes() == b"content"
        assert told[0] == (7, 7)
        count = len(told)
        assert downloader.get(named(), "binance") == path
        assert len(told) == count
        assert downloader.get(named("XUSDT-aggTrades-2024-10-28.zip"), "binance") is None


def test_a_wrong_checksum_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    published(tmp_path / "served", b"content", checksum="0" * 64)
    with archive_of(tmp_path / "served") as url, pytest.raises(ArchiveError, match="delete both and run again"):
        Downloader(url, tmp_path / "cache").get(named(), "binance")


def test_an_archive_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:9"):
        Downloader("http://127.0.0.1:9", tmp_path).get(named(), "binance")
    assert not list(tmp_path.rglob("*.part"))


def test_the_files_of_a_folder_however_deep(tmp_path: Path) -> None:
    names = ["XUSDT-aggTrades-2024-10-27.zip", "XUSDT-1m-2024-10.csv", "YUSDT-aggTrades-2024-10-27.zip", "readme.txt"]
    (tmp_path / "very" / "deep").mkdir(parents=True)
    for name in names:
        (tmp_path / "very" / "deep" / name).touch()
    found = files_in(tmp_path, ("XUSDT",))
    assert {file.name: path.name for file, path in found.items()} == {name: name for name in names[:2]}
    with pytest.raises(ArchiveError, match=r"backfill\.source"):
        files_in(tmp_path / "absent", ("XUSDT",))


def test_a_zip_file_that_is_broken_in_its_middle_is_found_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w") as zipped:  # stored as it is, so that nothing but its checksum is wrong
        zipped.writestr("a.csv", "1,2,3\n" * 1_000)
    assert check(path)
    content = bytearray(path.read_bytes())
    content[2_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArchiveError, match=r"a\.csv does not match its checksum"):
        check(path)
    path.write_bytes(content[:3_000])
    with pytest.raises(ArchiveError, match="cannot be read"):
        check(path)


def test_without_a_checksum_nothing_is_compared(tmp_path: Path) -> None:
    path = (tmp_path / NAME).with_suffix(".csv")
    path.write_bytes(b"content")
    assert not check(path)
    path.with_name(path.name + ".CHECKSUM").write_text(hashlib.sha256(b"content").hexdigest())
    assert check(path)
