import msgspec
import pytest

from api.analysis import AnalysisService
from api.analytics.analysis import Weights, analyse
from flows.settings import Analysis as AnalysisSettings
from tests.fakes.candle_runs import wandering
from tests.fakes.interface import LIVE, Deployment, interface, price

MINUTES, HOURS = wandering(300), wandering(60, timeframe="1h", seed=8)
LAST = MINUTES[-1]
FORMING = msgspec.structs.replace(LAST, is_closed=False, status="forming", event_time=LAST.open_time + 30_000)
WEIGHTS = AnalysisSettings(timeframes={"1h": 3, "1m": 1, "4h": 0, "1d": 1}, trend=1)


@pytest.fixture
def stored(deployment: Deployment) -> Deployment:
    deployment.store([*MINUTES[:-1], *HOURS])
    deployment.start_hub()
    deployment.tell(LIVE, price(101.5, time=LAST.open_time + 30_000), FORMING)
    return deployment


@pytest.mark.parametrize("from_memory", [False, True])
async def test_it_reads_the_timeframes_that_have_a_weight(stored: Deployment, *, from_memory: bool) -> None:
    async with interface(stored) as running:
        services = running.services
        settings = services.settings.model_copy(update={"analysis": WEIGHTS})
        analysis = AnalysisService(settings, services.history, services.live)
        result = await analysis.read("binance", "BTCUSDT", from_memory=from_memory)

    series = {"1h": HOURS, "1m": [*MINUTES[-250:-1], FORMING]}
    assert result.analysis == analyse(series, Weights({"1h": 3, "1m": 1, "1d": 1}, 1, 0.3, 0.2))
    assert result.newest is not None
    assert (result.newest.timeframe, result.newest.open_time) == ("1m", LAST.open_time)
    assert (result.age_ms, result.stale) == (0, False)


async def test_nothing_is_known_of_a_symbol_without_candles(stored: Deployment) -> None:
    async with interface(stored) as running:
        result = await running.services.analysis.read("binance", "ETHUSDT")

    assert (result.analysis.signal, result.analysis.score, result.analysis.confidence) == ("neutral", None, 0.0)
    assert (result.newest, result.age_ms, result.stale) == (None, None, True)
