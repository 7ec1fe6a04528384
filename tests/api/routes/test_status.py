"""All answers agree: they have the state that the flow publishes, or `unknown` without its heartbeats."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from api.live.freshness import UNKNOWN_MS
from api.live.messages import ms_of
from api.readiness import InstrumentState, describe
from flows.model import ChannelStatus, FeedStatus
from sinks.hub.payloads import iso_utc
from tests.fakes.interface import LIVE, NOW, Deployment, Interface, fill, interface, price, state, until

ANSWERS = (
    "/api/prices/BTCUSDT",
    "/api/orderbook/BTCUSDT",
    "/api/chart/BTCUSDT/1m?limit=3",
    "/api/candles/BTCUSDT/1m?limit=3",
    "/api/ohlcv?symbol=BTCUSDT&timeframe=1m&limit=3",
    "/api/indicators/BTCUSDT/1m?names=ema:3&limit=1",
    "/api/analysis/BTCUSDT",
    "/api/volume-profile/BTCUSDT?min_trades=1",
    "/api/liquidity-vacuums/BTCUSDT?min_trades=1",
)
LISTS = ("/api/prices", "/api/ticks", "/api/overview", "/api/charts?symbols=BTCUSDT&timeframes=1m&limit=3")


async def states_of(served: Interface) -> dict[str, tuple[str, bool]]:
    """State and staleness in every answer about a symbol."""
    found = {path: await served.data(path) for path in ANSWERS}
    for path in LISTS:
        found[path] = next(one for one in await served.data(path) if one["symbol"] == "BTCUSDT")
    return {path: (answer["state"], answer["stale"]) for path, answer in found.items()}


async def said(served: Interface, symbol: str, word: str) -> None:
    """Waits until the API has received the state of a symbol."""
    await until(lambda: (found := served.services.live.state(symbol)) is not None and found.state == word)


@pytest.mark.parametrize("word", ["live", "quiet", "silent", "behind", "cut", "connecting", "halted", "gone"])
async def test_every_answer_has_the_state_of_the_flow(served: Interface, deployment: Deployment, word: Any) -> None:
    async with deployment.beating():
        deployment.tell(price(50.0, "ETHUSDT", time=NOW + 10_000))  # the price and the book of BTCUSDT are old
        deployment.tell(state(word), state("live", symbol="ETHUSDT"))
        await said(served, "BTCUSDT", word)
        expected = (word, word not in ("live", "quiet"))
        assert await states_of(served) == dict.fromkeys((*ANSWERS, *LISTS), expected)


async def test_the_book_has_a_state_of_its_own(served: Interface, deployment: Deployment) -> None:
    channels = [ChannelStatus("trades", "live", NOW), ChannelStatus("book", "unsynced", NOW, "not in step")]
    async with deployment.beating():
        deployment.tell(state("unsynced", *channels))
        await said(served, "BTCUSDT", "unsynced")
        book, of_price = await served.data("/api/orderbook/BTCUSDT"), await served.data("/api/prices/BTCUSDT")
        assert (book["state"], book["stale"]) == ("unsynced", True)
        assert (of_price["state"], of_price["stale"]) == ("live", False)


async def test_a_flow_that_hangs_is_unknown(served: Interface, deployment: Deployment) -> None:
    async with deployment.beating():
        deployment.tell(state("live"))
        await said(served, "BTCUSDT", "live")
        assert (await served.get("/health/ready"))[0] == 200
    await asyncio.sleep(UNKNOWN_MS / 1_000)
    await said(served, "BTCUSDT", "unknown")
    assert set((await states_of(served)).values()) == {("unknown", True)}
    status = await served.data("/api/status")
    assert [(flow["venue"], flow["alive"]) for flow in status["flows"]] == [("binance", False)]
    assert status["flows"][0]["heartbeat_ms_ago"] >= UNKNOWN_MS
    assert any(line.startswith("BTCUSDT is unknown since 20") for line in status["missing"])
    assert "the flow of binance" in (await served.get("/health/ready"))[1]["error"]["message"]
    async with deployment.beating():
        await said(served, "BTCUSDT", "live")
        assert (await served.get("/health/ready"))[0] == 200


async def test_ages_and_durations_go_on_while_the_venues_clock_is_unsure(
    served: Interface, deployment: Deployment
) -> None:
    async def read() -> tuple[str, list[int], set[str]]:
        status = await served.data("/api/status")
        answers = [(await served.data("/api/prices"))[0], (await served.data("/api/ticks"))[0]]
        answers += [await served.data(f"/api/{name}/BTCUSDT") for name in ("prices", "orderbook")]
        ages = [answer["age_ms"] for answer in answers] + [status["instruments"][0]["for_ms"]]
        flow = status["flows"][0]
        return flow["time"], ages, {flow["clock"], *(answer["clock"] for answer in answers)}

    async with deployment.beating():
        deployment.tell(state("silent"))
        await said(served, "BTCUSDT", "silent")
        assert (await read())[2] == {"sure"}
        deployment.stands_at = deployment.clock.now().feed
        await until(lambda: served.services.live.clock("BTCUSDT") == "unsure")
        time, ages, clocks = await read()
        await asyncio.sleep(1)
        later_time, later_ages, later_clocks = await read()
        assert clocks == later_clocks == {"unsure"}
        assert ms_of(later_time) >= ms_of(time) + 1_000
        assert all(later >= age + 1_000 for age, later in zip(ages, later_ages, strict=True))
        deployment.stands_at = 0
        await until(lambda: served.services.live.clock("BTCUSDT") == "sure")


@pytest.mark.parametrize("reason", ["the exchange has not confirmed the streams yet", ""])
async def test_a_line_that_is_not_live_is_missing_for_a_reason(
    served: Interface, deployment: Deployment, reason: str
) -> None:
    deployment.tell(FeedStatus("binance", "market", "connected", ("BTCUSDT",), reason))
    expected = f"line market is connected: {reason or 'no reason is told'}"

    async def is_told() -> bool:
        return expected in (await served.data("/api/status"))["missing"]

    await until(is_told)


async def test_a_hub_that_is_cut_makes_everything_unknown(served: Interface, deployment: Deployment) -> None:
    async with deployment.beating():
        deployment.tell(state("live"))
        await said(served, "BTCUSDT", "live")
    await deployment.stop_hub()
    await said(served, "BTCUSDT", "unknown")
    assert set((await states_of(served)).values()) == {("unknown", True)}
    status = await served.data("/api/status")
    assert [one["state"] for one in status["instruments"]] == ["unknown"]
    (missing,) = status["missing"]
    assert missing.startswith("hub ")


async def test_the_status_names_each_instrument_that_is_not_of_now(served: Interface, deployment: Deployment) -> None:
    async with deployment.beating():
        deployment.tell(state("silent", since=NOW - 34_000), state("quiet", symbol="ETHUSDT"))
        await said(served, "BTCUSDT", "silent")
        status = await served.data("/api/status")
        one, two = status["instruments"]
        assert (one["symbol"], one["state"], one["since"]) == ("BTCUSDT", "silent", iso_utc(NOW - 34_000))
        assert one["for_ms"] >= 34_000
        assert one["reason"] == "because it is silent"
        assert one["channels"] == [
            {"channel": "trades", "state": "silent", "since": one["since"], "reason": one["reason"]}
        ]
        assert (two["symbol"], two["state"], two["reason"]) == ("ETHUSDT", "quiet", "")
        (missing,) = status["missing"]
        assert missing.startswith(f"BTCUSDT is silent since {iso_utc(NOW - 34_000)} (3")
        assert missing.endswith("s): because it is silent")
        assert (await served.get("/health/ready"))[0] == 200, "another instrument is of now"


async def test_it_is_not_ready_when_no_instrument_is_of_now(served: Interface, deployment: Deployment) -> None:
    async with deployment.beating():
        deployment.tell(state("cut"), state("halted", symbol="ETHUSDT"))
        await said(served, "ETHUSDT", "halted")
        code, answer = await served.get("/health/ready")
        assert (code, answer["error"]["code"]) == (503, "not_ready")
        for words in ("data of now", "BTCUSDT is cut", "ETHUSDT is halted"):
            assert words in answer["error"]["message"]
        deployment.tell(state("live"))
        await said(served, "BTCUSDT", "live")
        assert (await served.get("/health/ready"))[0] == 200


async def test_it_is_not_ready_while_a_store_of_the_flow_is_out(served: Interface, deployment: Deployment) -> None:
    channels = [ChannelStatus("trades", "live", NOW), ChannelStatus("store", "not stored", NOW, "trades: disk full")]
    async with deployment.beating():
        deployment.tell(structs.replace(state("not stored", *channels), reason="trades: disk full"))
        await said(served, "BTCUSDT", "not stored")
        code, answer = await served.get("/health/ready")
        assert (code, answer["error"]["message"]) == (503, "missing: a store (trades: disk full)")
        of_price = await served.data("/api/prices/BTCUSDT")
        assert (of_price["state"], of_price["stale"]) == ("live", False)


async def test_a_flow_without_a_connection_is_not_ready(deployment: Deployment) -> None:
    deployment.start_hub()
    deployment.store_trades([])
    async with interface(deployment) as running, deployment.beating():
        await until(lambda: running.services.live.connections[0].venue_state.publishes_states)
        assert "a line to binance" in (await running.get("/health/ready"))[1]["error"]["message"]


async def test_without_published_states_the_age_decides(served: Interface) -> None:
    async def is_ready() -> bool:
        return (await served.get("/health/ready"))[0] == 200

    await until(is_ready)  # once a heartbeat is not waited for any more
    assert (await served.data("/api/status"))["instruments"] == []


async def test_a_time_that_cannot_be_makes_nothing_young_or_old(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as running, deployment.beating():
        deployment.tell(state("live"), LIVE)
        await said(running, "BTCUSDT", "live")
        before = deployment.clock.now().feed
        assert deployment.broadcast is not None
        deployment.broadcast.write([price(51.0, "ETHUSDT", time=NOW + 10**9)])
        await until(lambda: running.services.live.price("ETHUSDT") == 51.0)
        btc, eth = await running.data("/api/prices")
        passed = deployment.clock.now().feed - before
        assert btc["age_ms"] <= before - NOW + passed + 1_000
        assert eth["age_ms"] <= passed + 1_000


def test_equal_states_of_many_symbols_are_merged() -> None:
    many = [
        InstrumentState("binance", f"S{number}", "cut", iso_utc(NOW), 5_000, "line cut", []) for number in range(12)
    ]
    other = InstrumentState("binance", "X", "gone", None, None, "not listed", [])
    fine = InstrumentState("binance", "Y", "quiet", iso_utc(NOW), 0, "", [])
    assert describe([*many, other, fine]) == [
        f"S0, S1, S2, S3, S4 and 7 more are cut since {iso_utc(NOW)} (5 s): line cut",
        "X is gone since the start: not listed",
    ]


async def test_the_page_may_reach_the_hubs_by_other_addresses(deployment: Deployment) -> None:
    fill(deployment)
    assert deployment.broadcast is not None
    own = f"ws://127.0.0.1:{deployment.broadcast.port}/ws"
    async with interface(deployment) as served:
        assert (await served.data("/api/status"))["hub_urls"] == [own]
    async with interface(deployment, page_hub_urls=("wss://hub.example.com/ws",)) as served:
        status = await served.data("/api/status")
        assert status["hub_urls"] == ["wss://hub.example.com/ws"]
        assert f"hub {own}" in {part["name"] for part in status["parts"]}
