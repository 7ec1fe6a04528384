import msgspec
import pytest

from api.analytics.analysis import Analysis
from api.analytics.bars import Bars
from api.analytics.indicators import IndicatorSeries, compute, parse_wanted
from api.routes.indicators import joining
from flows.model import Candle
from tests.fakes.candle_runs import wandering
from tests.fakes.interface import LIVE, Deployment, interface, price

COUNT = 400
MINUTES = wandering(COUNT)
HOURS = wandering(60, timeframe="1h", seed=8)
LAST = MINUTES[-1]
FORMING = msgspec.structs.replace(LAST, is_closed=False, status="forming", event_time=LAST.open_time + 30_000)


def values(candles: list[Candle], text: str, last: int) -> IndicatorSeries:
    return compute(Bars.of(candles), parse_wanted(text), last)


@pytest.fixture
def stored(deployment: Deployment) -> Deployment:
    """Minutes, the last of which only the hub knows and is forming, and some hours."""
    deployment.list_instruments("BTCUSDT", "SOLUSDT")
    deployment.store([*MINUTES[:-1], *HOURS])
    deployment.start_hub()
    deployment.tell(LIVE, price(101.5, time=LAST.open_time + 30_000), FORMING)
    return deployment


async def test_indicators_of_stored_candles_and_the_forming_one(stored: Deployment) -> None:
    async with interface(stored) as running:
        answer = await running.data("/api/indicators/btcusdt/1m?names=rsi,bbands:10:2.5,sma&limit=50")

    assert answer["timestamps"] == [candle.open_time for candle in MINUTES[-50:]]
    found = msgspec.convert(answer["indicators"], list[IndicatorSeries])
    candles = MINUTES[-50 - parse_wanted("rsi").memory :]
    assert found == [values(candles, text, 50) for text in ("rsi", "bbands:10:2.5", "sma")]
    assert (answer["is_closed"], answer["settled"], answer["statuses"]) == (False, True, {"final": 49, "forming": 1})
    assert (answer["age_ms"], answer["stale"]) == (0, False)


@pytest.mark.parametrize(("missing", "kept"), [((), 50), ((49,), 0), ((10, 30), 19), ((0,), 49)])
def test_what_lies_behind_a_hole_warms_nothing_up(missing: tuple[int, ...], kept: int) -> None:
    before = [candle for number, candle in enumerate(MINUTES[:50]) if number not in missing]
    assert joining(before, MINUTES[50:]) == MINUTES[50 - kept : 50]


async def test_the_latest_only(stored: Deployment) -> None:
    async with interface(stored) as running:
        answer = await running.data("/api/indicators/BTCUSDT/1m?names=ema:20&limit=1")

    assert answer["timestamps"] == [LAST.open_time]
    assert answer["indicators"][0]["label"] == "ema:20"
    assert answer["indicators"][0]["values"]["ema"] == pytest.approx(
        values(MINUTES, "ema:20", 1).values["ema"], rel=1e-9
    )


async def test_candles_that_are_too_few_are_not_settled_and_old_ones_are_stale(stored: Deployment) -> None:
    await stored.stop_hub()
    async with interface(stored) as running:
        answer = await running.data("/api/indicators/BTCUSDT/1h?limit=60")

    assert (answer["settled"], answer["is_closed"]) == (False, True)
    assert (answer["age_ms"], answer["stale"]) == (None, True)
    assert answer["indicators"][0]["values"]["rsi"][:14] == [None] * 14


async def test_the_analysis_by_its_address(stored: Deployment) -> None:
    async with interface(stored) as running:
        answer = await running.data("/api/analysis/BTCUSDT")

    analysis = msgspec.convert(answer["analysis"], Analysis)
    assert [one.timeframe for one in analysis.timeframes] == ["1m", "5m", "15m", "1h", "4h", "1d"]
    assert analysis.data < 1
    assert "5m: 0 candles are too few, a score needs 52" in analysis.timeframes[1].reasons


async def test_the_overview_has_a_row_for_every_followed_symbol(stored: Deployment) -> None:
    async with interface(stored) as running:
        everything = await running.data("/api/overview")
        chosen = await running.data("/api/overview?symbols=btcusdt")
        analysis = (await running.data("/api/analysis/BTCUSDT"))["analysis"]

    assert [line["symbol"] for line in everything] == ["BTCUSDT", "ETHUSDT"]
    (line,) = chosen
    assert (line["price"], line["price_change_percent_24h"], line["volume_24h"]) == (101.5, 0.25, 1_000.0)
    assert (line["signal"], line["score"]) == (analysis["signal"], analysis["score"])
    bare = everything[1]
    assert (bare["price"], bare["signal"], bare["score"], bare["confidence"], bare["stale"]) == (
        None,
        "neutral",
        None,
        0.0,
        True,
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("indicators/BTCUSDT/1m?names=rsi:1", (400, "bad_request")),
        ("indicators/BTCUSDT/1m?names=magic", (400, "bad_request")),
        ("indicators/BTCUSDT/1m?names=", (400, "bad_request")),
        ("indicators/BTCUSDT/7m", (400, "bad_request")),
        ("indicators/BTCUSDX/1m", (404, "unknown_symbol")),
        ("indicators/SOLUSDT/1m", (404, "no_data")),
        ("analysis/SOLUSDT", (404, "no_data")),
        ("overview?venue=kraken", (404, "unknown_venue")),
    ],
)
async def test_what_cannot_be_is_refused(stored: Deployment, path: str, expected: tuple[int, str]) -> None:
    async with interface(stored) as running:
        assert await running.error(f"/api/{path}") == expected
