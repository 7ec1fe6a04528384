from structlog.testing import capture_logs

from sources.archive.csv_reader import ArchiveError
from sources.archive.files import file_named
from sources.archive.progress import ImportProgress
from sources.archive.spans import spans_of


def test_it_counts_from_the_first_file_on() -> None:
    file = file_named("XUSDT-aggTrades-2024-10-27.zip")
    assert file is not None
    [span] = spans_of([file], 0, 1 << 62)
    progress = ImportProgress()
    progress.expect(2)
    progress.on_bytes(file.name, 5, 10)
    assert (progress.rate, progress.files) == (0.0, 0)
    progress.on_file(file)
    progress.on_trades(2_000)
    progress.on_trades(500)
    progress.on_stored(1)
    progress.on_missing(file)
    progress.on_failure(span, ArchiveError("broken"))
    progress.fail("MongoDB took nothing")
    progress.end()
    assert (progress.files, progress.trades, progress.rate > 0) == (1, 2_500, True)
    assert progress.missing == [file.name]
    assert progress.failures == ["broken", "MongoDB took nothing"]


def test_a_long_file_has_a_line_each_time_that_so_much_has_passed() -> None:
    file = file_named("XUSDT-aggTrades-2024-10-27.zip")
    assert file is not None
    seldom, often = ImportProgress(), ImportProgress(report_every_s=0)
    with capture_logs() as logs:
        for progress in (seldom, often):
            progress.on_bytes(file.name, 1_000_000, 4_000_000)
            progress.on_bytes(file.name, 2_000_000, 0)
            progress.on_file(file)
            progress.on_trades(7)
    assert [(line["event"], line["file"]) for line in logs] == [
        ("file_import_started", file.name),
        ("file_download_running", file.name),
        ("file_download_running", file.name),
        ("file_import_started", file.name),
        ("file_import_running", file.name),
    ]
    assert [line["megabytes"] for line in logs[1:3]] == ["1.0 of 4.0", "2.0"]
    assert logs[-1]["trades"] == 7
