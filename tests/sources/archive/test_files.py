from datetime import UTC, date, datetime

import pytest

from sources.archive.files import days_for, file_named, files_for

DAY_MS = 86_400_000


def ms(*day: int) -> int:
    return int(datetime(*day, tzinfo=UTC).timestamp()) * 1_000  # type: ignore[misc,arg-type]


def test_a_name_says_what_the_file_covers() -> None:
    daily = file_named("PEPEUSDT-aggTrades-2024-10-27.zip")
    assert daily is not None
    assert (daily.symbol, daily.is_trades, daily.begin, daily.end) == (
        "PEPEUSDT", True, ms(2024, 10, 27), ms(2024, 10, 28),
    )  # fmt: skip
    monthly = file_named("BTCUSDT-1h-2024-02.csv")
    assert monthly is not None
    assert (monthly.kind, monthly.begin, monthly.end) == ("1h", ms(2024, 2, 1), ms(2024, 3, 1))


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSDT-1h-2024-13.zip",
        "BTCUSDT-aggTrades-2024-02-30.zip",
        "notes.zip",
        "BTCUSDT-trades-2024-02-01.zip",
        "btcusdt-1h-2024-02.zip",
        "<img>-1h-2024-02.zip",
        "A B-1h-2024-02.zip",
        "..-1h-2024-02.zip",
        "-1h-2024-02.zip",
        "BTCUSDT-1h-2024-02.zip\n",
        "BTCUSDT-1h-\u0662\u0660\u0662\u0664-02.zip",
        "BTCUSDT-1h-0000-02.zip",
    ],
)
def test_other_files_are_none_of_ours(name: str) -> None:
    assert file_named(name) is None


@pytest.mark.parametrize("symbol", ["币安人生USDT", "BTCUSDT_250926", "BTC-USD", "BTC-1M"])
@pytest.mark.parametrize("kind", ["aggTrades", "1m"])
def test_the_files_of_any_listed_symbol_are_known(symbol: str, kind: str) -> None:
    for file in files_for(symbol, kind, date(2024, 1, 31), date(2024, 3, 1)):
        assert file_named(file.name) == file


def test_whole_months_come_as_such_and_the_rest_by_day() -> None:
    files = list(files_for("BTCUSDT", "aggTrades", date(2024, 1, 30), date(2024, 3, 3)))
    assert [file.name for file in files] == [
        "BTCUSDT-aggTrades-2024-01-30.zip",
        "BTCUSDT-aggTrades-2024-01-31.zip",
        "BTCUSDT-aggTrades-2024-02.zip",
        "BTCUSDT-aggTrades-2024-03-01.zip",
        "BTCUSDT-aggTrades-2024-03-02.zip",
    ]
    assert [file.begin for file in files[1:]] == [file.end for file in files[:-1]]


def test_the_archive_keeps_them_by_market_period_and_kind() -> None:
    [trades] = files_for("BTCUSDT", "aggTrades", date(2024, 1, 30), date(2024, 1, 31))
    assert trades.path == "daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-01-30.zip"
    [klines] = files_for("BTCUSDT", "4h", date(2024, 2, 1), date(2024, 3, 1))
    assert klines.path == "monthly/klines/BTCUSDT/4h/BTCUSDT-4h-2024-02.zip"
    assert trades.end - trades.begin == DAY_MS


def test_days_of_a_venue_are_cut_to_what_is_wanted() -> None:
    begin, end = ms(2024, 1, 30, 6), ms(2024, 2, 1, 0, 5)
    assert [(file.name, file.begin, file.end, file.is_month) for file in days_for("BTCUSDT", "1m", begin, end)] == [
        ("BTCUSDT-1m-2024-01-30", begin, ms(2024, 1, 31), False),
        ("BTCUSDT-1m-2024-01-31", ms(2024, 1, 31), ms(2024, 2, 1), False),
        ("BTCUSDT-1m-2024-02-01", ms(2024, 2, 1), end, False),
    ]
    assert list(days_for("BTCUSDT", "1m", end, begin)) == []
