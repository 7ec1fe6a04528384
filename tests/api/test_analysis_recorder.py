"""Analyses of real candles of a real hub are stored in a real server, every minute."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from api.analysis_recorder import SETTLE_MS, AnalysisRecorder, wait_ms
from api.analytics.analysis import Analysis
from api.http.errors import Problem
from api.services import Services, running_services
from flows.dataframes import open_frames
from flows.settings import Analysis as AnalysisSettings
from sinks.mongo.analyses import MARKET_ANALYSIS
from tests.fakes.candle_runs import wandering
from tests.fakes.deployment import free_port
from tests.fakes.interface import LIVE, Deployment, interface, price, until

MINUTE = 60_000
MINUTES = wandering(300)
LAST = MINUTES[-1]
FORMING = msgspec.structs.replace(LAST, is_closed=False, status="forming", event_time=LAST.open_time + 30_000)
NOW = LAST.open_time + 30_000


@pytest.fixture
def stored(deployment: Deployment) -> Deployment:
    """Minutes of a symbol, the last of them forming, and another symbol without data."""
    deployment.store(MINUTES[:-1])
    deployment.start_hub()
    deployment.tell(LIVE, price(101.5, time=NOW), FORMING)
    return deployment


def recorder(services: Services) -> AnalysisRecorder:
    return AnalysisRecorder(services.analysis, services.live, services.mongo, retention_days=7)


@given(st.integers(0, 1 << 42))
def test_a_round_begins_when_a_minute_has_settled(feed_ms: int) -> None:
    assert 0 < wait_ms(feed_ms) <= MINUTE
    assert (feed_ms + wait_ms(feed_ms)) % MINUTE == SETTLE_MS


async def test_stored_analyses_equal_those_of_the_api(stored: Deployment) -> None:
    stored.keeps_analyses = True
    async with interface(stored) as running:
        said = await running.data("/api/analysis/BTCUSDT")
        assert await recorder(running.services).record() == 1
        (moment,) = await running.data("/api/analysis/BTCUSDT/history")
        with open_frames(running.services.settings) as frames:
            (row,) = frames.analysis("BTCUSDT").to_dicts()

    analysis = msgspec.convert(said["analysis"], Analysis)
    assert (row["minute"], row["price"], row["signal"]) == (NOW - NOW % MINUTE, FORMING.close, analysis.signal)
    assert NOW <= row["time"] < NOW - NOW % MINUTE + MINUTE
    for name in ("score", "confidence", "agreement", "data", "calm"):
        assert row[name] == moment[name] == getattr(analysis, name)
    assert row["reasons"] == analysis.reasons
    for analysed, held in zip(analysis.timeframes, row["timeframes"], strict=True):
        assert held == {name: getattr(analysed, name) for name in held}


async def test_a_minute_is_one_document_and_the_next_another(stored: Deployment, mongo_client: Any) -> None:
    stored.keeps_analyses = True
    async with interface(stored) as running:
        record = recorder(running.services)
        await record.record()
        await record.record()
        later = msgspec.structs.replace(FORMING, open_time=LAST.open_time + MINUTE, event_time=NOW + MINUTE)
        stored.tell(msgspec.structs.replace(LAST, revision=1), later, price(102.0, time=NOW + MINUTE))
        await until(lambda: running.services.live.price("BTCUSDT") == 102.0)
        await record.record()
        history = await running.data(f"/api/analysis/BTCUSDT/history?start={NOW}")

    minutes = [one["minute"] for one in mongo_client[stored.database][MARKET_ANALYSIS].find().sort("minute")]
    assert minutes == [LAST.open_time, LAST.open_time + MINUTE]
    assert len(history) == 1


async def test_stale_candles_are_not_read_again_and_again(stored: Deployment) -> None:
    stored.tell(price(101.5, time=NOW + 10 * MINUTE))
    stored.keeps_analyses = True
    async with interface(stored) as running:
        await until(lambda: (tick := running.services.live.tick("BTCUSDT")) is not None and tick.price == 101.5)
        assert (await running.data("/api/analysis/BTCUSDT"))["stale"]
        assert await recorder(running.services).record() == 0


async def test_it_runs_by_itself(stored: Deployment, mongo_client: Any) -> None:
    stored.keeps_analyses = True
    async with interface(stored):
        await until(lambda: mongo_client[stored.database][MARKET_ANALYSIS].count_documents({}) == 1)


async def test_unless_it_is_turned_off(stored: Deployment) -> None:
    def running() -> set[str]:
        return {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}

    stored.keeps_analyses = True
    settings = stored.settings()
    async with running_services(settings):
        assert "AnalysisRecorder.follow" in running()
    assert "AnalysisRecorder.follow" not in running()
    async with running_services(settings.model_copy(update={"analysis": AnalysisSettings(store=False)})):
        assert "AnalysisRecorder.follow" not in running()


@pytest.mark.slow
async def test_a_store_that_is_down_is_logged_and_the_api_goes_on(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, f"mongodb://127.0.0.1:{free_port()}")
    deployment.start_hub()
    try:
        deployment.tell(LIVE, price(101.5, time=NOW), FORMING)
        with capture_logs() as logs:
            deployment.keeps_analyses = True
            async with interface(deployment, store_timeout_s=1) as running:
                with pytest.raises(Problem, match="the candle store does not answer"):
                    await recorder(running.services).record()
                await until(lambda: any(line["event"] == "analyses_not_stored" for line in logs))
                assert (await running.data("/api/prices/BTCUSDT"))["price"] == 101.5
    finally:
        await deployment.stop_hub()
