from structlog.testing import capture_logs

from sources.archive.meter import Meter
from sources.archive.names import file_named
from sources.archive.rows import ArchiveError
from sources.archive.spans import spans_of


def test_it_counts_from_the_first_file_on() -> None:
    file = file_named("XUSDT-aggTrades-2024-10-27.zip")
    assert file is not None
    [span] = spans_of([file], 0, 1 << 62)
    meter = Meter()
    meter.expect(2)
    meter.on_bytes(file.name, 5, 10)
    assert (meter.rate, meter.files) == (0.0, 0)
    meter.on_file(file)
    meter.on_trades(2_000)
    meter.on_trades(500)
    meter.on_stored(1)
    meter.on_missing(file)
    meter.on_failure(span, ArchiveError("broken"))
    meter.fail("MongoDB took nothing")
    meter.end()
    assert (meter.files, meter.trades, meter.rate > 0) == (1, 2_500, True)
    assert meter.missing == [file.name]
    assert meter.failures == ["broken", "MongoDB took nothing"]


def test_a_long_file_has_a_line_each_time_that_so_much_has_passed() -> None:
    file = file_named("XUSDT-aggTrades-2024-10-27.zip")
    assert file is not None
    seldom, often = Meter(), Meter(say_s=0)
    with capture_logs() as logs:
        for meter in (seldom, often):
            meter.on_bytes(file.name, 1_000_000, 4_000_000)
            meter.on_bytes(file.name, 2_000_000, 0)
            meter.on_file(file)
            meter.on_trades(7)
    assert [(line["event"], line["file"]) for line in logs] == [
        ("importing", file.name),
        ("downloading", file.name),
        ("downloading", file.name),
        ("importing", file.name),
        ("still importing", file.name),
    ]
    assert [line["megabytes"] for line in logs[1:3]] == ["1.0 of 4.0", "2.0"]
    assert logs[-1]["trades"] == 7
