"""Bars and footprints over HTTP, of a real trade store."""

import csv
from io import StringIO
from typing import Any

import pytest

from api.routes import bars
from flows.model import AggregateTrade, Trade
from flows.operators.candles.bucket import Bucket
from tests.fakes.candles import BEGIN, candle
from tests.fakes.interface import Deployment, Interface, interface

MINUTE = 60_000
PRICES = (100.25, 100.5, 99.75, 100.0, 101.5)


def sold(number: int) -> Trade:
    """A trade each ten seconds, of two fills each."""
    time, raw = BEGIN + number * 10_000, 1_000 + 2 * number
    quantity = round(0.1 * number + 0.03, 2)
    side = number % 3 == 0
    return AggregateTrade(
        symbol="BTCUSDT", id=number, time=time, price=PRICES[number % 5], quantity=quantity, buyer_is_maker=side,
        event_time=time, first_id=raw, last_id=raw + 1,
    )  # fmt: skip


TRADES = [sold(number) for number in range(60) if number not in (14, 15)]
"""Ten minutes, of which two trades are missing."""


def minute(number: int) -> Any:
    """The candle that the flow makes of a minute."""
    bucket = Bucket(BEGIN + number * MINUTE, 0.0)
    bucket.add_trades([one for one in TRADES if (one.time - BEGIN) // MINUTE == number])
    return candle(number, **dict(zip(candle().__struct_fields__[:12], bucket.figures, strict=True)))


async def all_pages(served: Interface, path: str, rows: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await served.data(f"{path}&cursor={cursor}")
        found += page[rows]
        if page["next"] is None:
            return found
        cursor = page["next"]


async def test_bars_and_footprints_are_served_in_pages(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    candles = [minute(number) for number in range(10)]
    deployment.store([*candles, candle(2, status="partial", revision=1)])
    deployment.store_trades(TRADES)
    async with interface(deployment) as served:
        answer = await served.data("/api/bars/btcusdt")
        made = answer["bars"]
        for ours, theirs in zip(made, candles, strict=True):
            assert {name: ours[name] for name in theirs.__struct_fields__[:12]} == {
                name: getattr(theirs, name) for name in theirs.__struct_fields__[:12]
            }
            assert ours["close_time"] == theirs.close_time
        assert [bar["is_closed"] for bar in made] == [True] * 9 + [False]
        gap = {"first_id": 14, "last_id": 15, "begin": BEGIN + 130_000, "end": BEGIN + 160_000}
        expected = {"trades": 2, "gap_count": 1, "gaps": [gap], "doubtful_minutes": 1, "since": None}
        assert answer["lacking"] == expected
        assert await all_pages(served, "/api/bars/BTCUSDT?limit=3", "bars") == made

        span = f"start={BEGIN + 1}&end=2026-01-01T00:05:00Z"
        within = await served.data(f"/api/bars/BTCUSDT?{span}")
        assert within["bars"] == made[1:5], "those that open in the span, with all of their trades"
        for kind, size in (("tick", "7"), ("volume", "9.5"), ("dollar", "1000")):
            path = f"/api/bars/BTCUSDT?kind={kind}&size={size}"
            whole = (await served.data(path))["bars"]
            assert whole == await all_pages(served, f"{path}&limit=2", "bars")
            assert sum(bar["trades"] for bar in whole) == 2 * len(TRADES)
            file = await file_of(served, f"/api/export/bars/BTCUSDT?kind={kind}&size={size}")
            assert [float(row["close"]) for row in file] == [bar["close"] for bar in whole]

        footprint = await served.data("/api/footprint/BTCUSDT/2m")
        prints = footprint["candles"]
        assert footprint["lacking"] == answer["lacking"]
        assert [level["price"] for level in prints[0]["levels"]] == sorted(PRICES)
        assert prints == await all_pages(served, "/api/footprint/BTCUSDT/2m?limit=1", "candles")
        two = (await served.data("/api/bars/BTCUSDT?size=2m"))["bars"]
        for one, bar in zip(prints, two, strict=True):
            assert (one["volume"], one["close"]) == (bar["volume"], bar["close"])
            assert one["delta"] == round(2 * bar["taker_buy_volume"] - bar["volume"], 8)
        assert prints[-1]["cumulative_delta"] == round(sum(one["delta"] for one in prints), 8)
        rough = await served.data("/api/footprint/BTCUSDT/2m?tick=1&limit=1")
        assert [level["price"] for level in rough["candles"][0]["levels"]] == [99.0, 100.0, 101.0]

        assert await served.error("/api/bars/BTCUSDT?kind=tick&size=1m") == (400, "bad_request")
        assert await served.error("/api/bars/BTCUSDT?size=1y") == (400, "bad_request")
        assert await served.error("/api/footprint/BTCUSDT/90") == (400, "bad_request")
        assert await served.error("/api/bars/BTCUSDT?start=5&end=5") == (400, "bad_request")
        assert await served.error("/api/footprint/BTCUSDT/1m?tick=0") == (400, "bad_request")

        monkeypatch.setattr(bars, "MOST_LEVELS", 8)
        limited = await served.data("/api/footprint/BTCUSDT/1m")
        assert (len(limited["candles"]), limited["next"] is None) == (1, False)
        monkeypatch.setattr(bars, "MOST_LEVELS", 3)
        assert await served.error("/api/footprint/BTCUSDT/1m") == (400, "range_too_large")
        monkeypatch.setattr(bars, "MOST_TRADES", 10)
        assert await served.error("/api/bars/BTCUSDT?kind=tick&size=100") == (400, "range_too_large")
        short = await served.data("/api/bars/BTCUSDT?kind=tick&size=20")
        assert ([bar["is_closed"] for bar in short["bars"]], short["next"] is None) == ([True, True], False)


async def test_a_first_period_that_begins_before_the_first_trade_lacks_what_was_before(deployment: Deployment) -> None:
    deployment.store([minute(number) for number in range(10)])
    deployment.store_trades(TRADES)
    async with interface(deployment) as served:
        assert BEGIN % (11 * MINUTE), "the first period of eleven minutes begins before the first trade"
        for path in ("/api/bars/BTCUSDT?size=11m", "/api/footprint/BTCUSDT/11m?"):
            begin = await served.data(f"{path}&limit=1")
            assert begin["lacking"]["since"] == BEGIN, "what was traded before in that period is not known"
            later = await served.data(f"{path}&limit=1&cursor={begin['next']}")
            assert later["lacking"]["since"] is None


async def file_of(served: Interface, path: str) -> list[dict[str, str]]:
    async with served.session.get(served.url + path) as response:
        assert response.status == 200, await response.text()
        return list(csv.DictReader(StringIO(await response.text())))
