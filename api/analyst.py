"""Reads the market: the analysis of an instrument as it is now, from candles that are stored and that the hubs tell."""

from msgspec import Struct

from api.analytics.analysis import NEEDED, Analysis, Weights, analyse
from api.candle_cache import SeriesKey
from api.freshness import age_ms
from api.history import History
from api.live import LiveView
from flows.model import Candle, timeframe_ms
from flows.settings import Settings


class Reading(Struct, frozen=True):
    """What was found. `newest` is the last candle of the shortest timeframe; without any candle it is None, and the
    reading stale.
    """

    analysis: Analysis
    newest: Candle | None
    age_ms: int | None
    stale: bool


class Analyst:
    """Weighs the timeframes as the settings say."""

    def __init__(self, settings: Settings, history: History, live: LiveView) -> None:
        weights = settings.analysis
        timeframes = {timeframe: float(weight) for timeframe, weight in weights.timeframes.items()}
        self._weights = Weights(timeframes, weights.trend, weights.momentum, weights.volume)
        self._limit_ms = int(settings.api.indicator_age_s * 1_000)
        self._history = history
        self._live = live

    async def read(self, venue: str, symbol: str, *, from_memory: bool = False) -> Reading:
        """The analysis of an instrument; `from_memory` as in `History.newest`. `Problem` when only the store could
        tell, and it does not answer.
        """
        series = {
            timeframe: await self._history.newest(SeriesKey(venue, symbol, timeframe), NEEDED, from_memory=from_memory)
            for timeframe, weight in self._weights.timeframes.items()
            if weight
        }
        last = [candles[-1] for candles in series.values() if candles]
        newest = min(last, key=lambda one: timeframe_ms(one.timeframe), default=None)
        age, stale = self.age(venue, newest) if newest else (None, True)
        return Reading(analyse(series, self._weights), newest, age, stale)

    def age(self, venue: str, candle: Candle) -> tuple[int | None, bool]:
        """How long ago a candle ended, 0 for a forming one, and whether that is too long."""
        age = age_ms(self._live.boards(venue), candle.close_time)
        return age, age is None or age > self._limit_ms
