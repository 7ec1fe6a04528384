import zipfile
from pathlib import Path

import polars as pl
import pytest

from sources.archive.csv_file import UNREADABLE, in_ms, opened


def test_a_file_is_read_as_it_is_and_a_zipped_one_by_its_only_member(tmp_path: Path) -> None:
    plain, zipped = tmp_path / "a.csv", tmp_path / "a.zip"
    plain.write_bytes(b"1,2\r\n")
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.csv", b"3,4\n")
        archive.writestr("a.csv.CHECKSUM", b"0")
    for path, text in ((plain, b"1,2\r\n"), (zipped, b"3,4\n")):
        with opened(path) as file:
            assert file.read() == text


@pytest.mark.parametrize("names", [(), ("a.csv", "b.csv")])
def test_an_archive_has_one_file_of_rows(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "1\n")
    with pytest.raises(UNREADABLE, match=f"it holds {len(names)} CSV files, and should hold one"), opened(path):
        pass


def test_times_in_microseconds_are_reduced() -> None:
    times = pl.Series([1_741_046_401_271, 1_741_046_401_271_497, 10**14 - 1, 10**14])
    assert pl.select(in_ms(pl.lit(times))).to_series().to_list() == [
        1_741_046_401_271, 1_741_046_401_271, 10**14 - 1, 10**11,
    ]  # fmt: skip
