import msgspec
from hypothesis import given
from hypothesis import strategies as st

from api.live.candle_cache import SeriesKey
from api.stores.chart_json_cache import ChartJsonCache
from flows.model import Candle
from sinks.hub.payloads import ChartCandle
from tests.fakes.candles import candle, forming

KEY = SeriesKey("binance", "BTCUSDT", "1m")


def decoded(rendered: ChartJsonCache, candles: list[Candle]) -> list[ChartCandle]:
    return msgspec.json.decode(rendered.json(KEY, candles), type=list[ChartCandle])


def shown(candles: list[Candle]) -> list[ChartCandle]:
    return [
        ChartCandle(
            one.open_time, one.open, one.high, one.low, one.close, one.volume, one.is_closed, one.status,
            one.revision,
        )
        for one in candles
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), min_size=1, max_size=20))
def test_the_json_is_current_whatever_was_requested_before(questions: list[tuple[int, int]]) -> None:
    rendered = ChartJsonCache()
    for first, close in questions:
        candles = [candle(minute) for minute in range(first, 9)] + [forming(9, last_id=close)]
        candles[0] = candle(first, close=float(close), revision=close, status="repaired")
        assert decoded(rendered, candles) == shown(candles)


def test_no_candles_and_one() -> None:
    rendered = ChartJsonCache()
    assert decoded(rendered, []) == []
    assert decoded(rendered, [candle(1)]) == shown([candle(1)])


def test_the_least_recently_used_series_is_dropped_first() -> None:
    rendered = ChartJsonCache(most=1)
    other = KEY._replace(symbol="ETHUSDT")
    candles, others = [candle(1), candle(2)], [candle(1, symbol="ETHUSDT", close=9.0), candle(2, symbol="ETHUSDT")]
    for _ in range(2):
        assert decoded(rendered, candles) == shown(candles)
        assert msgspec.json.decode(rendered.json(other, others), type=list[ChartCandle]) == shown(others)
