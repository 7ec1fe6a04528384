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
    meter.on_bytes(5, 10)
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
