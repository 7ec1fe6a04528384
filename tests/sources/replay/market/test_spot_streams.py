"""Streams that spot alone has, of a synthetic market with a history: rolling windows, average price, days of UTC+8."""

from typing import Any

import msgspec
import pytest

from sources.replay.market.market import Message
from sources.replay.synthetic.market import SyntheticMarket

START_MS = 1_760_112_055_000  # 16:00:55 UTC: just after midnight by the clock of UTC+8
HOUR_MS = 3_600_000
STREAMS = (
    *(f"btcusdt@ticker_{window}" for window in ("1h", "4h", "1d")),
    "!ticker_1h@arr",
    "!ticker@arr",
    "btcusdt@avgPrice",
    "btcusdt@kline_1d@+08:00",
    "btcusdt@kline_1h@+08:00",
    "btcusdt@kline_1m@+08:00",
    "btcusdt@kline_1m",
    "btcusdt@kline_1h",
)


@pytest.fixture(scope="module")
def market() -> SyntheticMarket:
    return SyntheticMarket("spot", ["BTCUSDT", "ETHUSDT"], seed=3, start_ms=START_MS, trades_per_s=5)


@pytest.fixture(scope="module")
def messages(market: SyntheticMarket) -> list[Message]:
    found = []
    for message in market.play(set(STREAMS).__contains__):
        if message.due_ms > START_MS + 8_500:
            break
        found.append(message)
    return found


def of(messages: list[Message], stream: str) -> list[Any]:
    return [msgspec.json.decode(message.data) for message in messages if message.stream == stream]


@pytest.mark.parametrize(("window", "hours"), [("1h", 1), ("4h", 4), ("1d", 24)])
def test_rolling_windows_come_every_second(
    market: SyntheticMarket, messages: list[Message], window: str, hours: int
) -> None:
    rows = of(messages, f"btcusdt@ticker_{window}")
    assert [row["E"] - START_MS for row in rows] == [second * 1_000 + 20 for second in range(9)]
    last = rows[-1]
    assert list(last) == [*"eEspPwcohlvqOCFLn"]
    assert last["e"] == f"{window}Ticker"
    assert last["O"] == (last["E"] - hours * HOUR_MS) // 60_000 * 60_000
    minutes = market.klines("BTCUSDT", "1m", start_ms=last["O"], end_ms=None, limit=2_000)
    highs = [float(row[2]) for row in minutes]  # the market has been played for another second
    assert last["o"] == minutes[0][1]
    assert max(highs[:-1]) <= float(last["h"]) <= max(highs)
    assert last["n"] == last["L"] - last["F"] + 1 == sum(row[8] for row in minutes) - _since(market, last["E"])


def _since(market: SyntheticMarket, time_ms: int) -> int:
    """How many trades were played after a time."""
    return sum(row["time"] > time_ms for row in market.trades("BTCUSDT", from_id=None, limit=1_000))


def test_the_array_has_the_symbols_that_changed_and_the_retired_one_is_silent(messages: list[Message]) -> None:
    arrays = of(messages, "!ticker_1h@arr")
    assert {row["s"] for rows in arrays for row in rows} == {"BTCUSDT", "ETHUSDT"}
    assert all(row["e"] == "1hTicker" for rows in arrays for row in rows)
    assert of(messages, "!ticker@arr") == []


def test_the_average_price(market: SyntheticMarket, messages: list[Message]) -> None:
    rows = of(messages, "btcusdt@avgPrice")
    assert len(rows) >= 7
    assert all(list(row) == [*"eEsiwT"] and row["i"] == "5m" and row["T"] <= row["E"] for row in rows)
    answer = market.average_price("BTCUSDT")
    assert float(answer["price"]) == pytest.approx(float(rows[-1]["w"]), rel=1e-3)
    assert answer["closeTime"] == market.trades("BTCUSDT", from_id=None, limit=1)[0]["time"]


def test_periods_of_another_clock(market: SyntheticMarket, messages: list[Message]) -> None:
    day = of(messages, "btcusdt@kline_1d@+08:00")[-1]["k"]
    assert day["t"] == START_MS // 60_000 * 60_000 == (day["T"] + 1) - 24 * HOUR_MS
    assert day["i"] == "1d"
    same = of(messages, "btcusdt@kline_1m@+08:00")
    assert same == of(messages, "btcusdt@kline_1m")
    assert of(messages, "btcusdt@kline_1h@+08:00") == of(messages, "btcusdt@kline_1h")
    days = market.klines("BTCUSDT", "1d", start_ms=None, end_ms=None, limit=4, zone_ms=8 * HOUR_MS)
    assert [row[0] for row in days] == [day["t"] - 24 * HOUR_MS * back for back in (3, 2, 1, 0)]
    hours = market.klines("BTCUSDT", "1h", start_ms=days[1][0], end_ms=days[1][6], limit=24)
    assert days[1][8] == sum(row[8] for row in hours)
    assert (days[1][1], days[1][4]) == (hours[0][1], hours[-1][4])
    months = market.klines("BTCUSDT", "1M", start_ms=None, end_ms=None, limit=2, zone_ms=8 * HOUR_MS)
    assert [row[0] % (24 * HOUR_MS) for row in months] == [16 * HOUR_MS] * 2
    assert months[0][6] + 1 == months[1][0]
