import hashlib
import random
import zipfile
from pathlib import Path

import pytest

from sources.archive.csv_reader import ArchiveError
from sources.archive.download import RetryPolicy
from sources.archive.fetch import Downloader, check, files_in
from sources.archive.files import ArchiveFile, file_named
from tests.fakes.archive import archive_of
from tests.fakes.broken_archive import BrokenArchive, Harm, served

NAME = "XUSDT-aggTrades-2024-10-27.zip"


def named(name: str = NAME) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


def published(folder: Path, content: bytes, *, checksum: str | None = None) -> None:
    """Puts a file where the archive keeps it."""
    path = folder / named().path
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    path.with_name(NAME + ".CHECKSUM").write_text(f"{checksum or hashlib.sha256(content).hexdigest()}  {NAME}\n")


def test_a_file_is_downloaded_once_and_checked(tmp_path: Path) -> None:
    published(tmp_path / "served", b"content")
    result: list[tuple[str, int, int]] = []
    with archive_of(tmp_path / "served") as url:
        downloader = Downloader(url, tmp_path / "cache", on_bytes=lambda *it: result.append(it))
        path = downloader.get(named(), "binance")
        assert path is not None
        assert path.read_bytes() == b"content"
        assert result == [(NAME, 7, 7)]
        assert downloader.get(named(), "binance") == path
        assert len(result) == 1
        assert downloader.get(named("XUSDT-aggTrades-2024-10-28.zip"), "binance") is None


def test_an_archive_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:9"):
        Downloader("http://127.0.0.1:9", tmp_path, policy=QUICK).get(named(), "binance")
    assert files_below(tmp_path) == []


# --- downloads that break, change, or are wrong ---


QUICK = RetryPolicy(tries=3, first_s=0.001)
CONTENT = random.Random(5).randbytes(200_000)
OTHER = random.Random(6).randbytes(200_000)


def checksum(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {NAME}\n"


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_download_that_breaks_is_put_together_and_stands_there_with_its_checksum_alone(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT, checksum=checksum(CONTENT))
    archive.harms = [Harm(cut_after=50_000), Harm(cut_after=50_000)]
    with served(archive) as url:
        path = Downloader(url, tmp_path, policy=QUICK).get(named(), "binance")
    assert path is not None
    assert (path.read_bytes(), archive.sent) == (CONTENT, 200_000)
    assert files_below(tmp_path) == [NAME, NAME + ".CHECKSUM"]


def test_what_a_killed_run_left_is_gone_on_with_and_cleared_where_the_file_is_there(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT, checksum=checksum(CONTENT))
    archive.harms = [Harm(cut_after=50_000), Harm(status=500)]
    with served(archive) as url:
        with pytest.raises(ArchiveError, match="500"):
            Downloader(url, tmp_path, policy=RetryPolicy(tries=2, first_s=0.001)).get(named(), "binance")
        assert files_below(tmp_path) == [NAME + ".part", NAME + ".part.etag"]
        path = Downloader(url, tmp_path, policy=QUICK).get(named(), "binance")
        assert path is not None
        assert (path.read_bytes(), archive.sent) == (CONTENT, 200_000)
        path.with_name(NAME + ".part").write_bytes(b"of another time")
        assert Downloader(url, tmp_path, policy=QUICK).get(named(), "binance") == path
    assert files_below(tmp_path) == [NAME, NAME + ".CHECKSUM"]


def test_parts_of_two_versions_that_nothing_tells_apart_are_downloaded_again(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT, checksum=checksum(OTHER))
    archive.has_etag = False
    archive.harms = [Harm(cut_after=50_000, new_content=OTHER)]
    with served(archive) as url:
        path = Downloader(url, tmp_path, policy=QUICK).get(named(), "binance")
    assert path is not None
    assert (path.read_bytes(), archive.sent) == (OTHER, 400_000)


def test_a_file_that_stays_wrong_is_refused_in_a_sentence_and_nothing_is_left(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT, checksum=checksum(OTHER))
    with served(archive) as url, pytest.raises(ArchiveError) as refused:
        Downloader(url, tmp_path, policy=QUICK).get(named(), "binance")
    assert str(refused.value) == (
        f"{url}/daily/aggTrades/XUSDT/{NAME} is refused, nothing of it is kept: it does not match its checksum, "
        "downloaded 2 times"
    )
    assert len(archive.asked) == 2
    assert files_below(tmp_path) == []


def test_a_file_without_a_checksum_has_to_be_a_whole_zip_file(tmp_path: Path) -> None:
    zipped = tmp_path / "a.zip"
    with zipfile.ZipFile(zipped, "w") as made:
        made.writestr("a.csv", "1,2,3\n" * 1_000)
    archive = BrokenArchive(zipped.read_bytes()[:-30])
    with served(archive) as url:
        with pytest.raises(ArchiveError, match="nothing of it is kept: it cannot be read"):
            Downloader(url, tmp_path / "cache", policy=QUICK).get(named(), "binance")
        archive.content = zipped.read_bytes()
        path = Downloader(url, tmp_path / "cache", policy=QUICK).get(named(), "binance")
    assert path is not None
    assert check(path) == ""
    assert files_below(tmp_path / "cache") == [NAME]


def test_a_kept_file_that_was_damaged_since_is_downloaded_again(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT, checksum=checksum(CONTENT))
    with served(archive) as url:
        downloader = Downloader(url, tmp_path, policy=QUICK)
        path = downloader.get(named(), "binance")
        assert path is not None
        path.write_bytes(CONTENT[:-1])
        assert downloader.get(named(), "binance") == path
    assert (path.read_bytes(), archive.sent) == (CONTENT, 400_000)


def test_behind_a_file_that_could_not_be_reached_the_next_ones_are_asked_for_once(tmp_path: Path) -> None:
    archive = BrokenArchive(CONTENT, checksum=hashlib.sha256(CONTENT).hexdigest())
    archive.harms = [Harm(status=503)] * 6
    with served(archive) as url:
        downloader = Downloader(url, tmp_path, policy=QUICK)
        for questions in (3, 4, 5, 6):
            with pytest.raises(ArchiveError, match="503"):
                downloader.get(named(), "binance")
            assert len(archive.asked) == questions
        assert downloader.get(named(), "binance") is not None
        archive.harms = [Harm(status=503)] * 2
        assert downloader.get(named("XUSDT-aggTrades-2024-10-28.zip"), "binance") is not None


# --- files that are there ---


def test_the_files_of_a_folder_however_deep(tmp_path: Path) -> None:
    names = ["XUSDT-aggTrades-2024-10-27.zip", "XUSDT-1m-2024-10.csv", "YUSDT-aggTrades-2024-10-27.zip", "readme.txt"]
    (tmp_path / "very" / "deep").mkdir(parents=True)
    for name in names:
        (tmp_path / "very" / "deep" / name).touch()
    found = files_in(tmp_path, ("XUSDT",))
    assert {file.name: path.name for file, path in found.items()} == {name: name for name in names[:2]}
    assert {file.symbol for file in files_in(tmp_path)} == {"XUSDT", "YUSDT"}
    assert len(files_in(tmp_path)) == 3
    assert files_in(tmp_path, ()) == {}
    with pytest.raises(ArchiveError, match=r"backfill\.source"):
        files_in(tmp_path / "absent", ("XUSDT",))


def test_a_zip_file_that_is_broken_in_its_middle_is_found_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with zipfile.ZipFile(path, "w") as zipped:  # stored as it is, so that nothing but its checksum is wrong
        zipped.writestr("a.csv", "1,2,3\n" * 1_000)
    assert check(path) == ""
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


def test_two_files_of_a_name_have_to_be_the_same(tmp_path: Path) -> None:
    for market in ("spot", "usdm"):
        (tmp_path / market).mkdir()
        (tmp_path / market / NAME).write_bytes(b"content")
    assert files_in(tmp_path) == {named(): tmp_path / "spot" / NAME}
    (tmp_path / "usdm" / NAME).write_bytes(b"of another market")
    with pytest.raises(ArchiveError, match=r"spot/XUSDT\S+ and \S+/usdm/XUSDT\S+ differ: name the folder"):
        files_in(tmp_path)
    assert files_in(tmp_path / "usdm") == {named(): tmp_path / "usdm" / NAME}


# --- names ---

OTHER_NAMES = (
    "YUSDT-aggTrades-2024-10-27.csv",
    "XUSDT-aggTrades-2024-10-26.csv",
    "XUSDT-aggTrades-2024-10.csv",
    "XUSDT-trades-2024-10-27.csv",
    "XUSDT-1m-2024-10-27.csv",
)


def zipped(folder: Path, member: str, *, checksum_of: str | None = None) -> Path:
    """A file of the archive with this member, and with a checksum that names a file, if one is given."""
    path = folder / NAME
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "1,2,3\n")
    if checksum_of is not None:
        path.with_name(NAME + ".CHECKSUM").write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}{checksum_of}\n")
    return path


@pytest.mark.parametrize("named_file", ["YUSDT-aggTrades-2024-10-27.zip", "XUSDT-aggTrades-2024-10-28.zip", "x.zip"])
def test_a_checksum_of_another_file_is_none_of_this(tmp_path: Path, named_file: str) -> None:
    path = zipped(tmp_path, NAME[:-4] + ".csv", checksum_of=f"  {named_file}")

    with pytest.raises(ArchiveError, match=f"checksum of another file: it names '{named_file}'"):
        check(path)


@pytest.mark.parametrize("line", [f"  {NAME}", f" *{NAME}", f"  ./{NAME}", ""])
def test_a_checksum_of_the_file_vouches_for_it(tmp_path: Path, line: str) -> None:
    assert check(zipped(tmp_path, NAME[:-4] + ".csv", checksum_of=line)) == "all"


@pytest.mark.parametrize("with_checksum", [True, False])
@pytest.mark.parametrize("member", OTHER_NAMES)
def test_data_of_another_symbol_kind_or_day_are_refused(tmp_path: Path, member: str, with_checksum: bool) -> None:
    path = zipped(tmp_path, member, checksum_of=f"  {NAME}" if with_checksum else None)

    with pytest.raises(ArchiveError, match=f"has '{member}' in it: it holds another symbol, kind or time"):
        check(path)


def test_data_of_no_form_that_is_known_are_read_and_not_vouched_for(tmp_path: Path) -> None:
    assert check(zipped(tmp_path, "export.csv", checksum_of=f"  {NAME}")) == ""
