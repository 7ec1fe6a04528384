from typing import Any

from bson.datetime_ms import DatetimeMS

from api.routes.quality import SeriesQuality, series_of
from sinks.hub.payloads import iso_utc
from tests.fakes.candles import BEGIN

MINUTE = 60_000
NOW = BEGIN + 60 * MINUTE


def row(status: str, proof: str, candles: int, minutes: tuple[int, int], **of: str) -> dict[str, Any]:
    """The store's counts of one group; it was written five seconds after its last candle had opened."""
    first, last = (BEGIN + minute * MINUTE for minute in minutes)
    key = {"symbol": "BTCUSDT", "timeframe": "1m", "status": status, "proof": proof} | of
    return {
        "_id": key,
        "candles": candles,
        "first": first,
        "last": last,
        "updated": DatetimeMS(last + 5_000).as_datetime(),
    }


def test_groups_of_a_series_are_added_up() -> None:
    rows = [
        row("final", "equal", 20, (30, 49)),
        row("venue", "", 30, (0, 29)),
        row("venue", "ours wrong", 1, (50, 50)),
        row("final", "", 1, (51, 51)),
        row("partial", "", 2, (28, 52)),
        row("forming", "", 1, (53, 53)),
    ]
    assert series_of(rows, now_ms=NOW) == [
        SeriesQuality(
            "BTCUSDT",
            "1m",
            candles=55,
            by_status={"final": 21, "venue": 31, "partial": 2, "forming": 1},
            proofs={"equal": 20, "exchange's own": 30, "ours wrong": 1, "not compared": 3},
            first=iso_utc(BEGIN),
            last=iso_utc(BEGIN + 53 * MINUTE),
            written_ms_ago=7 * MINUTE - 5_000,
        )
    ]


def test_series_come_by_symbol_and_length() -> None:
    keys = [("ETHUSDT", "1m"), ("BTCUSDT", "1d"), ("BTCUSDT", "5m"), ("BTCUSDT", "15m")]
    rows = [row("final", "equal", 1, (0, 0), symbol=symbol, timeframe=timeframe) for symbol, timeframe in keys]
    found = [(one.symbol, one.timeframe) for one in series_of(rows, now_ms=NOW)]
    assert found == [("BTCUSDT", "5m"), ("BTCUSDT", "15m"), ("BTCUSDT", "1d"), ("ETHUSDT", "1m")]


def test_a_clock_that_is_behind_makes_no_ages_below_zero() -> None:
    [series] = series_of([row("final", "", 1, (0, 0))], now_ms=BEGIN)
    assert series.written_ms_ago == 0
