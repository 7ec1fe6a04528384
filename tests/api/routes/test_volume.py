import random
from typing import Any

import msgspec
import pytest

from api.analytics.profile import VolumeProfile, profile_of
from flows.model import Trade
from sinks.hub.payloads import iso_utc
from tests.fakes.candles import BEGIN
from tests.fakes.interface import BOOK, LIVE, NOW, Deployment, interface, price
from tests.fakes.trade_frames import trade_frame

SECOND = 1_000


def market(count: int, *, step_ms: int = SECOND, untraded: range = range(0)) -> list[Trade]:
    """Trades between 100 and 102, none of them at the cents of `untraded`."""
    rng = random.Random(3)
    trades = []
    for number in range(1, count + 1):
        cents = rng.randrange(10_000, 10_201)
        while cents in untraded:
            cents = rng.randrange(10_000, 10_201)
        time = BEGIN + number * step_ms
        trades.append(
            Trade("BTCUSDT", number, time, cents / 100, rng.randrange(1, 999) / 1_000, rng.random() < 0.5, time)
        )
    return trades


@pytest.fixture
def traded(deployment: Deployment) -> Deployment:
    deployment.list_instruments("BTCUSDT")
    deployment.store_trades(market(1_500, untraded=range(10_080, 10_086)))
    return deployment


async def test_the_profile_of_the_stored_trades(traded: Deployment) -> None:
    async with interface(traded) as running:
        answer = await running.data("/api/volume-profile/btcusdt?hours=168&bins=50&value_area=0.8&step=1")

    found = msgspec.convert(answer["profile"], VolumeProfile)
    trades = market(1_500, untraded=range(10_080, 10_086))
    assert found == profile_of(trade_frame(trades), bins=50, value_area=0.8, step=1)
    assert answer["basis"] == {
        "start": iso_utc(BEGIN + SECOND),
        "end": iso_utc(BEGIN + 1_500 * SECOND),
        "age_ms": None,
        "completeness": 1.0,
    }


async def test_the_hours_end_with_the_newest_trade(deployment: Deployment) -> None:
    deployment.list_instruments("BTCUSDT")
    trades = market(200, step_ms=60 * SECOND)
    deployment.store_trades([one for one in trades if one.id not in {190, 191}])

    async with interface(deployment) as running:
        answer = await running.data("/api/volume-profile/BTCUSDT?hours=1&min_trades=10&tick=0.5")

    assert answer["profile"]["trades"] == 58
    assert answer["profile"]["row_ticks"] == 50
    assert answer["basis"]["start"] == iso_utc(trades[140].time)
    assert answer["basis"]["completeness"] == 58 / 60


async def test_the_profile_of_a_time_has_its_trades_alone(traded: Deployment) -> None:
    trades = market(1_500, untraded=range(10_080, 10_086))
    begin, end = trades[300].time, trades[900].time
    async with interface(traded) as running:
        path = "/api/volume-profile/BTCUSDT?min_trades=1&bins=50"
        of_time = await running.data(f"{path}&start={begin}&end={end}")
        before = await running.data(f"{path}&end={begin}&hours=1")
        too_long = await running.error(f"{path}&start=0&end={168 * 3_600_000 + 1}")
        turned = await running.error(f"{path}&start={end}&end={begin}")
    assert msgspec.convert(of_time["profile"], VolumeProfile) == profile_of(trade_frame(trades[300:900]), bins=50)
    assert of_time["basis"]["completeness"] == 1.0
    assert msgspec.convert(before["profile"], VolumeProfile) == profile_of(trade_frame(trades[:300]), bins=50)
    assert (too_long, turned) == ((400, "range_too_large"), (400, "bad_request"))


async def test_a_span_that_is_over_is_not_waited_for(deployment: Deployment) -> None:
    deployment.list_instruments("BTCUSDT")
    deployment.store_trades(market(401))
    async with interface(deployment) as running:
        for query, advice in (
            (f"start={BEGIN}&end={BEGIN + 60_000}", "; or choose a longer span, or fewer min_trades"),
            (f"end={BEGIN + 60_000}", "; or set more hours, or fewer min_trades"),
        ):
            async with running.session.get(f"{running.url}/api/volume-profile/BTCUSDT?{query}") as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"], error["collecting"]["wait_s"]) == (409, "collecting", None)
            assert error["message"].endswith(advice)
            assert " more; " not in error["message"]


async def test_too_few_trades_are_an_error_with_the_wait(deployment: Deployment) -> None:
    deployment.list_instruments("BTCUSDT")
    deployment.store_trades(market(401))

    async with interface(deployment) as running:
        for path in ("volume-profile", "liquidity-vacuums"):
            async with running.session.get(f"{running.url}/api/{path}/BTCUSDT") as response:
                body: Any = await response.json()
                assert (response.status, body["data"], response.headers["Retry-After"]) == (409, None, "598")
                assert body["error"]["code"] == "collecting"
                assert body["error"]["message"].startswith("401 of 1,000 trades so far, 1.002 a second, so about 597.5")
                assert body["error"]["collecting"] == {
                    "trades": 401,
                    "min_trades": 1_000,
                    "trades_per_s": 1.002,
                    "wait_s": 597.5,
                }


async def test_vacuums_with_what_rests_in_them(traded: Deployment) -> None:
    traded.start_hub()
    bids, asks = [(100.82, 2.0), (100.0, 1.0)], [(100.84, 3.0), (103.0, 1.0)]
    traded.tell(LIVE, price(100.83), BOOK)
    async with interface(traded) as running:
        without = await running.data("/api/liquidity-vacuums/BTCUSDT?bins=200&width=10")
        venue_state = running.services.live.connections[0].venue_state
        known = venue_state.latest("OrderBook", "BTCUSDT")
        assert known is not None
        body = msgspec.structs.replace(known.body, bids=bids, asks=asks)
        venue_state.take(msgspec.structs.replace(known, body=body, stamp_ms=NOW))
        answer = await running.data("/api/liquidity-vacuums/BTCUSDT?bins=200&width=10")

    zone = answer["vacuums"][0]
    assert (zone["low"], zone["high"], zone["distance"], zone["volume"]) == (100.8, 100.85, 0.0, 0.0)
    assert (zone["bid_quantity"], zone["ask_quantity"]) == (2.0, 3.0)
    assert (without["vacuums"][0]["bid_quantity"], without["price"], without["has_book"]) == (None, 100.83, True)
    distances = [one["distance"] for one in answer["vacuums"]]
    assert distances == sorted(distances)


async def test_without_a_hub_the_price_is_that_of_the_last_trade(traded: Deployment) -> None:
    async with interface(traded) as running:
        answer = await running.data("/api/liquidity-vacuums/BTCUSDT")

    assert (answer["price"], answer["has_book"]) == (market(1_500, untraded=range(10_080, 10_086))[-1].price, False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("volume-profile/BTCUSDT?tick=0.0000001", (400, "bad_request")),
        ("volume-profile/BTCUSDT?tick=nan", (400, "bad_request")),
        ("volume-profile/BTCUSDT?hours=0", (400, "bad_request")),
        ("volume-profile/BTCUSDT?step=3", (400, "bad_request")),
        ("volume-profile/BTCUSDX", (404, "unknown_symbol")),
        ("liquidity-vacuums/BTCUSDT?percentile=0", (400, "bad_request")),
    ],
)
async def test_what_cannot_be_is_refused(traded: Deployment, path: str, expected: tuple[int, str]) -> None:
    async with interface(traded) as running:
        assert await running.error(f"/api/{path}") == expected


async def test_no_store_and_no_trades_are_different_errors(deployment: Deployment) -> None:
    deployment.list_instruments("BTCUSDT", "ETHUSDT")
    async with interface(deployment) as running:
        assert await running.error("/api/volume-profile/ETHUSDT") == (503, "trade_store_absent")
        deployment.store_trades(market(5))
        assert await running.error("/api/volume-profile/ETHUSDT") == (404, "no_data")
