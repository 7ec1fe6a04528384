import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sources.archive.fetch import Downloader, check, files_in
from sources.archive.names import ArchiveFile, file_named
from sources.archive.rows import ArchiveError

NAME = "XUSDT-aggTrades-2024-10-27.zip"


def named(name: str = NAME) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


class Quiet(SimpleHTTPRequestHandler):
    """A server of a folder that says nothing."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def archive(folder: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def published(folder: Path, content: bytes, *, checksum: str | None = None) -> None:
    """Puts a file where the archive keeps it."""
    path = folder / named().path("binance")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.with_name(NAME + ".CHECKSUM").write_text(f"{checksum or hashlib.sha256(content).hexdigest()}  {NAME}\n")


def test_a_file_is_downloaded_once_and_checked(tmp_path: Path) -> None:
    published(tmp_path / "served", b"content")
    told: list[tuple[int, int]] = []
    with archive(tmp_path / "served") as url:
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
    with archive(tmp_path / "served") as url, pytest.raises(ArchiveError, match="delete both and run again"):
        Downloader(url, tmp_path / "cache").get(named(), "binance")


def test_an_archive_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:9"):
        Downloader("http://127.0.0.1:9", tmp_path).get(named(), "binance")
    assert not list(tmp_path.rglob("*.part"))


def test_the_files_of_a_folder_in_order_klines_before_the_trades_that_they_prove(tmp_path: Path) -> None:
    names = [
        "XUSDT-aggTrades-2024-10-28.zip", "XUSDT-aggTrades-2024-10-27.zip", "XUSDT-1m-2024-10-27.zip",
        "YUSDT-aggTrades-2024-10-27.zip", "XUSDT-aggTrades-2024-11-27.zip", "readme.txt",
    ]  # fmt: skip
    (tmp_path / "deep").mkdir()
    for name in names:
        (tmp_path / "deep" / name).touch()
    begin, end = named().begin, named().end + 86_400_000
    assert [path.name for _, path in files_in(tmp_path, ("XUSDT",), begin, end)] == [names[2], names[1], names[0]]
    with pytest.raises(ArchiveError, match=r"backfill\.source"):
        files_in(tmp_path / "absent", ("XUSDT",), begin, end)


def test_without_a_checksum_nothing_is_compared(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"content")
    assert not check(path)
    path.with_name(NAME + ".CHECKSUM").write_text(hashlib.sha256(b"content").hexdigest())
    assert check(path)
