"""Runs of trades, looked at and added up in plain Python: what is there wherever nothing could be compiled."""

from collections import defaultdict
from collections.abc import Iterable
from math import fsum
from operator import mul

from flows.model import AggregateTrade, Trade
from flows.model.printed import printed

Parts = list[float]
"""Parts that together are exactly a sum."""


def scan_aggregates(
    trades: list[Trade],
    following: int,
    fill: int,
    fills_follow: bool,
    most_fills: int,
) -> tuple[int, int] | None:
    """The least and the largest time of aggregates whose ids are `following` and so on; None when they are not, or
    something else is among them. Their fills are a chain too, from `fill` on unless that is negative: without a gap
    where `fills_follow`, else rising. None has `most_fills` or more behind its first one.
    """
    begin = end = trades[0].time
    if fill < 0:
        fill = trades[0].first_id
    try:
        for trade in trades:
            first, last, time = trade.first_id, trade.last_id, trade.time
            if trade.id != following or (first != fill and (fills_follow or first < fill)):
                return None
            if last != first and not first < last < first + most_fills:
                return None
            following += 1
            fill = last + 1
            if time >= end:
                end = time
            elif time < begin:
                begin = time
    except AttributeError:
        return None
    return begin, end


def scan_fills(trades: list[Trade], following: int, market: str) -> tuple[int, int] | None:
    """The same of single fills, all of one type; those of the kind `market` have a price and a quantity."""
    begin = end = trades[0].time
    kind = type(trades[0])
    try:
        for trade in trades:
            time = trade.time
            if trade.id != following or type(trade) is not kind:  # a tenth of what `isinstance` costs
                return None
            if not (trade.price and trade.quantity) and trade.fill == market:
                return None
            following += 1
            if time >= end:
                end = time
            elif time < begin:
                begin = time
    except AttributeError:
        return None
    return begin, end


def add_up(
    trades: list[Trade], volume: Parts, quote_volume: Parts, bought: Parts, bought_value: Parts
) -> tuple[float, float, int]:
    """Adds the trades to the parts of four exact sums: of all and of what takers have bought, quantities and values.
    Returns the highest and lowest price, and how many raw trades they are.
    """
    of_takers = [t for t in trades if not t.buyer_is_maker]
    high = low = trades[0].price
    if of_takers:
        high, low = _add_side(of_takers, (volume, bought), (quote_volume, bought_value))
    if len(of_takers) < len(trades):
        of_makers = [t for t in trades if t.buyer_is_maker] if of_takers else trades
        highest, lowest = _add_side(of_makers, (volume,), (quote_volume,))
        if not of_takers or highest > high:
            high = highest
        if not of_takers or lowest < low:
            low = lowest
    return high, low, _raw_trades(trades)


def shown_sum(first: Parts, second: Parts) -> float:
    """The sum of two together, as it is printed."""
    return printed(fsum(first + second))


def by_symbol(trades: Iterable[Trade]) -> dict[str, list[Trade]]:
    """The trades of each symbol, in their order."""
    runs: defaultdict[str, list[Trade]] = defaultdict(list)
    for trade in trades:
        runs[trade.symbol].append(trade)
    return runs


def newest_event(trades: list[Trade]) -> int:
    """The newest of their event times, ms UTC; 0 of none."""
    return max([trade.event_time for trade in trades], default=0)


def exact_parts(values: list[float], least: float) -> tuple[float, ...]:
    """Parts of the exact sum of `values`, none of which is below `least`. The list is used up.

    All values are multiples of the last place of `least`, and so are their quick sum and what that has lost. No more
    than `least`, this is at most 2⁵³ of these places: then it is a float64, and `fsum` has not rounded it.
    """
    part = sum(values, 0.0)
    values.append(-part)
    rest = fsum(values)
    if -least <= rest <= least:
        return part, rest
    parts = [part]
    while rest:
        parts.append(rest)
        values.append(-rest)
        rest = fsum(values)
    return tuple(parts)


def _add_side(trades: list[Trade], volumes: tuple[Parts, ...], values: tuple[Parts, ...]) -> tuple[float, float]:
    """Adds trades that takers have bought, or sold, all of them. Returns the highest and lowest price."""
    prices = [t.price for t in trades]
    quantities = [t.quantity for t in trades]
    products = list(map(mul, prices, quantities))
    ordered = sorted(prices)  # for floats it costs less than min() and max()
    low, least = ordered[0], min(quantities)
    volume, value = exact_parts(quantities, least), exact_parts(products, low * least)
    for parts in volumes:
        parts.extend(volume)
    for parts in values:
        parts.extend(value)
    return ordered[-1], low


def _raw_trades(trades: list[Trade]) -> int:
    """Aggregates count as the raw trades that they cover, as the exchange counts them."""
    if not isinstance(trades[0], AggregateTrade):
        return len(trades)
    spanned = trades[-1].last_id - trades[0].first_id + 1
    return spanned if spanned == len(trades) else sum([t.last_id - t.first_id + 1 for t in trades])
