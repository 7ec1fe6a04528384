"""Whether trades make a candle: they are counted again, as the flow counted them."""

from collections.abc import Iterable
from operator import attrgetter

from flows.model import MARKET_FILL, Candle, Kline, Trade, TradedOhlcv, timeframe_ms
from flows.operators.candles.bucket import Bucket
from flows.operators.candles.compare import differing_fields, has_traded


def is_made_of(candle: Candle | Kline, trades: Iterable[Trade]) -> bool:
    """Whether those of the trades that are in its period, and of the market, make just this candle. In any order."""
    end = candle.open_time + timeframe_ms(candle.timeframe)
    inside = [t for t in trades if candle.open_time <= t.time < end and t.fill == MARKET_FILL]
    if not inside:
        return not has_traded(candle)
    bucket = Bucket(candle.open_time, 0.0)
    bucket.add_trades(sorted(inside, key=attrgetter("id")))
    return not differing_fields(TradedOhlcv(*bucket.figures), candle)
