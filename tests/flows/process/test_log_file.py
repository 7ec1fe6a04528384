import io
from contextlib import suppress
from pathlib import Path

import pytest

from flows.process.log_file import LogFile, Tee


def test_a_long_file_is_put_aside_and_the_oldest_deleted(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "new" / "it.log", most_bytes=100, backups=2)
    for number in range(100):
        file.put(f"line {number:05d}")
    file.close()
    names = ["it.log.2", "it.log.1", "it.log"]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(names)
    kept = [line for name in names for line in (tmp_path / "new" / name).read_text().splitlines()]
    assert kept == [f"line {number:05d}" for number in range(100 - len(kept), 100)]
    assert all((tmp_path / "new" / name).stat().st_size <= 100 for name in names)


def test_an_earlier_process_is_continued(tmp_path: Path) -> None:
    for text in ("first", "second"):
        file = LogFile(tmp_path / "it.log", most_bytes=1_000, backups=1)
        file.put(text)
        file.close()
    assert (tmp_path / "it.log").read_text() == "first\nsecond\n"


def test_a_name_that_cannot_be_written_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"log\.file: .* cannot be written"):
        LogFile(tmp_path / "file" / "it.log", most_bytes=1_000, backups=1)


def test_a_full_disk_loses_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    file = LogFile(Path("/dev/full"), most_bytes=1_000, backups=1)
    console = io.StringIO()
    out = Tee(console, file)
    assert out.write("one\ntwo\n") == 8
    out.flush()
    assert (console.getvalue(), file.lost) == ("one\ntwo\n", 1)
    with suppress(OSError):  # what is buffered does not fit either
        file.close()
    assert capsys.readouterr() == ("", "")


def test_the_file_gets_whole_lines(tmp_path: Path) -> None:
    file = LogFile(tmp_path / "it.log", most_bytes=1_000, backups=1)
    out = Tee(io.StringIO(), file)
    for text in ("a", "b\nc", "", "d", "\n"):
        out.write(text)
    file.close()
    assert (tmp_path / "it.log").read_text() == "ab\ncd\n"
    assert not out.isatty()
