"""Kraken's klines: what they state, and which of a stream's are closed."""

from math import nan
from typing import Final

from msgspec import structs

from flows.bounds import KLINE_AGE_MS
from flows.model import Kline, timeframe_ms
from sources.kraken.wire import MOST_DIGITS, OhlcRow

_MOST: Final = 100_000
"""Most running klines that are remembered; one more, and all are learnt anew."""


def kline_of(row: OhlcRow, symbol: str, timeframe: str, begin: int, *, event_time: int) -> Kline:
    """A row of the stream; `ValueError` for an average price that is no number."""
    prices = row.open, row.high, row.low, row.close
    return stated(
        symbol, timeframe, begin, prices, bytes(row.vwap).decode(), row.volume, row.trades, event_time=event_time
    )


def stated(
    symbol: str,
    timeframe: str,
    begin: int,
    prices: tuple[float, float, float, float],
    average: str,
    volume: float,
    trades: int,
    *,
    event_time: int,
) -> Kline:
    """A running kline. Kraken states no quote volume but the average price, cut to its printed decimals: the product
    with the volume is short of the truth by less than a unit of that. It says nothing of what takers bought, nor ids.
    """
    whole, _, fraction = average.partition(".")
    if not (whole + fraction).isdigit() or not average.isascii() or len(average) > MOST_DIGITS:
        raise ValueError("an average price that is no plain number")
    opened, high, low, closed = prices
    return Kline(
        symbol=symbol,
        timeframe=timeframe,
        event_time=event_time,
        open_time=begin,
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=volume,
        quote_volume=float(average) * volume,
        trades=trades,
        taker_buy_volume=nan,
        taker_buy_quote_volume=nan,
        first_id=-1,
        last_id=-1,
        is_closed=False,
        close_time=begin + timeframe_ms(timeframe) - 1,
        quote_volume_slack=volume * 10.0 ** -len(fraction),
    )


class RunningKlines:
    """The newest kline of each stream. None says that it is closed, but the next period's first one does: until then
    each trade has brought one.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], Kline] = {}

    def take(self, kline: Kline) -> list[Kline]:
        """The kline; before it the last one of the period before, as closed."""
        key = kline.symbol, kline.timeframe
        last = self._running.get(key)
        if last is not None and kline.open_time < last.open_time:
            return [kline]  # a late one, of another connection
        if len(self._running) >= _MOST:
            self._running.clear()
        self._running[key] = kline
        if last is None or kline.open_time == last.open_time or kline.event_time > last.close_time + KLINE_AGE_MS:
            return [kline]
        return [structs.replace(last, is_closed=True, event_time=kline.event_time), kline]
