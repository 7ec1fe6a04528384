"""The current analysis of an instrument, from stored and live candles."""

from typing import NamedTuple

from msgspec import Struct

from api.analytics.analysis import NEEDED, Analysis, Weights, analyse
from api.live.candle_cache import SeriesKey
from api.live.freshness import OF_CANDLES, age_ms, is_stale, state_name
from api.live.view import LiveView
from api.stores.history import History
from flows.model import Candle, timeframe_ms
from flows.settings import Settings


class AnalysisResult(Struct, frozen=True):
    """An analysis and its age in milliseconds. `newest` is the last candle of the shortest timeframe; without any
    candle it is None, and the result stale.
    """

    analysis: Analysis
    newest: Candle | None
    age_ms: int | None
    stale: bool
    state: str | None = None
    """How current the instrument's trades are; None where the flow publishes no states."""


class CandleAge(NamedTuple):
    """Time since a candle's end, ms: 0 for a forming one, None when the venue's time is unknown; and its freshness."""

    ms: int | None
    stale: bool
    state: str | None


class AnalysisService:
    """Analyses instruments with the weights of the settings."""

    def __init__(self, settings: Settings, history: History, live: LiveView) -> None:
        weights = settings.analysis
        timeframes = {timeframe: float(weight) for timeframe, weight in weights.timeframes.items()}
        self._weights = Weights(timeframes, weights.trend, weights.momentum, weights.volume)
        self._limit_ms = int(settings.api.indicator_age_s * 1_000)
        self._history = history
        self._live = live

    async def read(self, venue: str, symbol: str, *, from_memory: bool = False) -> AnalysisResult:
        """The analysis of an instrument; `from_memory` as in `History.newest`. `Problem` when the
        candles are only in the store, and it is down.
        """
        series = {
            timeframe: await self._history.newest(SeriesKey(venue, symbol, timeframe), NEEDED, from_memory=from_memory)
            for timeframe, weight in self._weights.timeframes.items()
            if weight
        }
        last = [candles[-1] for candles in series.values() if candles]
        newest = min(last, key=lambda one: timeframe_ms(one.timeframe), default=None)
        age = self.age(venue, symbol, newest)
        return AnalysisResult(analyse(series, self._weights), newest, age.ms, age.stale, age.state)

    def age(self, venue: str, symbol: str, candle: Candle | None) -> CandleAge:
        """Age of the newest candle of a series. Even in a current state it is stale when a whole period after it is
        missing; without a candle it always is.
        """
        state = self._live.state(symbol, venue, OF_CANDLES)
        word = state_name(state)
        if candle is None:
            return CandleAge(None, True, word)
        age = age_ms(self._live.venue_states(venue), candle.close_time)
        missing_ms = self._limit_ms + timeframe_ms(candle.timeframe)
        is_missing = state is not None and (age is None or age > missing_ms)
        return CandleAge(age, is_missing or is_stale(state, age, self._limit_ms), word)
