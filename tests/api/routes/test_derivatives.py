"""Mark prices, funding, open interest and liquidations over REST: now from the hub, the past from the store."""

from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from flows.model import (
    ChannelStatus,
    Funding,
    FundingState,
    InstrumentStatus,
    Liquidation,
    MarkPrice,
    OpenInterest,
)
from tests.fakes.interface import LIVE, NOW, Deployment, Interface, fill, interface, price, until

HOUR = 3_600_000
PAYMENTS = [Funding("binance", "BTCUSDT", NOW - hours * HOUR, 0.0001 * hours, 100.0) for hours in (24, 16, 8)]
INTEREST = [OpenInterest("binance", "BTCUSDT", NOW - minutes * 60_000, 5.0 + minutes) for minutes in (3, 2, 1)]
ORDERS = [Liquidation("BTCUSDT", NOW - s, NOW - s, "SELL", 99.0, 99.5, 1.0, 1.0, venue="binance") for s in (30, 20, 10)]
MARK = MarkPrice("BTCUSDT", NOW, 100.5, 100.25, 100.0, 0.0001, NOW + HOUR, venue="binance")
STATE = FundingState("binance", "BTCUSDT", NOW, 0.0001, NOW + HOUR, 8, 0.02, -0.02, PAYMENTS[-1])


@pytest.fixture
async def running(deployment: Deployment) -> AsyncIterator[Interface]:
    fill(deployment)
    deployment.store([*PAYMENTS, *INTEREST, *ORDERS])
    deployment.tell(MARK, STATE, INTEREST[-1])
    async with interface(deployment) as found:
        yield found


async def test_the_mark_price(running: Interface) -> None:
    data = await running.data("/api/mark-price/btcusdt")
    assert {name: data[name] for name in ("venue", "symbol", "mark_price", "index_price", "settle_price")} == {
        "venue": "binance", "symbol": "BTCUSDT", "mark_price": 100.5, "index_price": 100.25, "settle_price": 100.0,
    }  # fmt: skip
    assert data["age_ms"] >= 0


async def test_the_funding_now_and_before(running: Interface) -> None:
    data = await running.data("/api/funding/BTCUSDT", params={"limit": 2})
    assert [row["rate"] for row in data["history"]] == [one.rate for one in PAYMENTS[1:]]
    current = data["current"]
    assert (current["rate"], current["interval_hours"], current["cap"], current["floor"]) == (0.0001, 8, 0.02, -0.02)
    assert current["last"] == data["history"][-1]
    assert 0 < current["in_ms"] <= HOUR


async def test_the_funding_of_all_contracts_now(running: Interface) -> None:
    [found] = await running.data("/api/funding")
    assert found == (await running.data("/api/funding/BTCUSDT"))["current"] | {"in_ms": found["in_ms"]}
    assert await running.data("/api/funding", params={"symbols": "ETHUSDT"}) == []


async def test_a_span_is_from_its_start_to_before_its_end(running: Interface) -> None:
    span = {"start": PAYMENTS[0].time, "end": PAYMENTS[2].time}
    data = await running.data("/api/funding/BTCUSDT", params=span)
    assert [row["rate"] for row in data["history"]] == [one.rate for one in PAYMENTS[:2]]


async def test_the_open_interest_and_the_liquidations(running: Interface) -> None:
    interest = await running.data("/api/open-interest/BTCUSDT")
    assert [row["quantity"] for row in interest["history"]] == [one.quantity for one in INTEREST]
    assert interest["current"]["quantity"] == INTEREST[-1].quantity
    orders = await running.data("/api/liquidations/BTCUSDT", params={"limit": 2})
    assert [(row["side"], row["average_price"]) for row in orders["liquidations"]] == [("SELL", 99.5)] * 2
    assert orders["stale"] is True


async def test_what_a_symbol_has_not_is_no_data(running: Interface) -> None:
    for path in ("mark-price", "funding", "open-interest"):
        status, body = await running.get(f"/api/{path}/ETHUSDT")
        assert (status, body["error"]["code"]) == (404, "no_data")
    assert (await running.data("/api/liquidations/ETHUSDT"))["liquidations"] == []
    status, body = await running.get("/api/funding/NOPEUSDT")
    assert (status, body["error"]["code"]) == (404, "unknown_symbol")


async def test_a_stream_that_is_silent_makes_the_price_stale(deployment: Deployment) -> None:
    fill(deployment)
    silent = ChannelStatus("mark", "silent", NOW, "the exchange sends nothing")
    deployment.tell(MARK, InstrumentStatus("binance", "BTCUSDT", "silent", NOW, "", (silent,)))
    async with deployment.beating(), interface(deployment) as running:

        async def is_silent() -> bool:
            data = await running.data("/api/mark-price/BTCUSDT")
            return (data["stale"], data["state"]) == (True, "silent")

        await until(is_silent)
        deployment.tell(structs.replace(MARK, event_time=NOW + 1), price(1.0), LIVE)
        assert await is_silent()
