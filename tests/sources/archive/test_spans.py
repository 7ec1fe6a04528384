from sources.archive.files import ArchiveFile, file_named
from sources.archive.spans import left_out, spans_of

DAY_MS = 86_400_000


def named(name: str) -> ArchiveFile:
    file = file_named(name)
    assert file is not None
    return file


def names(*files: str, begin: int = 0, end: int = 1 << 62) -> list[list[str]]:
    return [[file.name for file in span.files] for span in spans_of(map(named, files), begin, end)]


def test_what_covers_the_same_days_belongs_together_klines_first() -> None:
    assert names(
        "YUSDT-aggTrades-2024-10-27.zip", "XUSDT-aggTrades-2024-10-28.zip", "XUSDT-aggTrades-2024-10-27.zip",
        "XUSDT-1m-2024-10-27.zip",
    ) == [
        ["XUSDT-1m-2024-10-27.zip", "XUSDT-aggTrades-2024-10-27.zip"],
        ["XUSDT-aggTrades-2024-10-28.zip"],
        ["YUSDT-aggTrades-2024-10-27.zip"],
    ]  # fmt: skip


def test_a_month_of_trades_and_klines_by_day_are_one_span() -> None:
    [span] = spans_of(
        map(named, ["XUSDT-1m-2024-10-28.zip", "XUSDT-1m-2024-10-02.zip", "XUSDT-aggTrades-2024-10.zip"]), 0, 1 << 62
    )
    month = named("XUSDT-aggTrades-2024-10.zip")
    assert (span.symbol, span.begin, span.end, span.name) == ("XUSDT", month.begin, month.end, month.name)
    assert [file.name for file in span.files] == ["XUSDT-1m-2024-10-02.zip", "XUSDT-1m-2024-10-28.zip", month.name]


def test_no_day_is_read_twice() -> None:
    assert names(
        "XUSDT-aggTrades-2024-10-01.zip", "XUSDT-aggTrades-2024-10.zip", "XUSDT-aggTrades-2024-10-27.zip",
        "XUSDT-aggTrades-2024-11-01.csv", "XUSDT-aggTrades-2024-11-01.zip",
    ) == [["XUSDT-aggTrades-2024-10.zip"], ["XUSDT-aggTrades-2024-11-01.csv"]]  # fmt: skip


def test_what_is_vouched_for_is_read_in_place_of_what_is_not() -> None:
    month, day = named("XUSDT-aggTrades-2024-10.zip"), named("XUSDT-aggTrades-2024-10-27.zip")
    plain = named("XUSDT-aggTrades-2024-10-27.csv")
    files = [month, plain, day]
    before, inside, behind = spans_of(files, 0, 1 << 62, {day})
    assert [(span.files, span.begin, span.end) for span in (before, inside, behind)] == [
        ((month,), month.begin, day.begin), ((day,), day.begin, day.end), ((month,), day.end, month.end),
    ]  # fmt: skip
    assert before.is_followed_by(inside)
    assert inside.is_followed_by(behind)
    assert before.cut(month) == (0, day.begin)
    assert left_out(files, [before, inside, behind]) == [plain]
    for vouched in ((), {month}, {month, day}):
        [span] = spans_of(files, 0, 1 << 62, vouched)
        assert (span.files, left_out(files, [span])) == ((month,), [plain, day])
    [span] = spans_of([plain, day], 0, 1 << 62, {day})
    assert (span.files, left_out([plain, day], [span])) == ((day,), [plain])


def test_spans_are_cut_to_what_is_wanted() -> None:
    month = named("XUSDT-aggTrades-2024-10.zip")
    [span] = spans_of([month], month.begin + DAY_MS, month.begin + 3 * DAY_MS)
    assert (span.begin, span.end) == (month.begin + DAY_MS, month.begin + 3 * DAY_MS)
    assert span.cut(month) == (span.begin, span.end)
    [whole] = spans_of([month], month.begin, month.end)
    assert whole.cut(month) == (0, 1 << 62)
    assert names("XUSDT-aggTrades-2024-10-27.zip", end=month.begin) == []
    assert names("XUSDT-aggTrades-2024-10-27.zip", begin=month.end) == []
