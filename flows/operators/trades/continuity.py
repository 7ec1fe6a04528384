"""Whether a run of trades continues an instrument's sequence without a contradiction: to it, or in itself.

Nearly all trades pass here and nowhere else in the step `sequence`, so each is looked at once, in one plain loop, which
is quicker than columns for the short runs of a live feed, and as quick for long ones.
"""

from collections.abc import Sequence
from typing import TypeAlias

from flows.bounds import BACK_MS, MOST_FILLS, TRADE_AHEAD_MS
from flows.model import MARKET_FILL, AggregateTrade, Trade

Place: TypeAlias = tuple[int, int, int]
"""Where a sequence stands: id of the next trade; first fill of the next aggregate, -1 when it is not known; time of the
newest trade, ms UTC.
"""


def times_of_aggregates(trades: Sequence[Trade], place: Place, *, fills_follow: bool) -> tuple[int, int] | None:
    """The least and the largest time of aggregates that continue; None when they do not, or something else is among
    them. Their fills are a chain too: without a gap where `fills_follow`, else rising.
    """
    following, fill, newest = place
    begin = end = trades[0].time
    if fill < 0:
        fill = trades[0].first_id
    try:
        for trade in trades:
            first, last, time = trade.first_id, trade.last_id, trade.time
            if trade.id != following or (first != fill and (fills_follow or first < fill)):
                return None
            if last != first and not first < last < first + MOST_FILLS:
                return None
            following += 1
            fill = last + 1
            if time >= end:
                end = time
            elif time < begin:
                begin = time
    except AttributeError:
        return None
    return (begin, end) if _is_possible(begin, end, newest, trades) else None


def times_of_fills(trades: Sequence[Trade], place: Place) -> tuple[int, int] | None:
    """The same of single fills, all of one type."""
    following, _, newest = place
    begin = end = trades[0].time
    kind = type(trades[0])
    if issubclass(kind, AggregateTrade):
        return None
    try:
        for trade in trades:
            time = trade.time
            if trade.id != following or type(trade) is not kind:  # a tenth of what `isinstance` costs
                return None
            if not (trade.price and trade.quantity) and trade.fill == MARKET_FILL:
                return None
            following += 1
            if time >= end:
                end = time
            elif time < begin:
                begin = time
    except AttributeError:
        return None
    return (begin, end) if _is_possible(begin, end, newest, trades) else None


def _is_possible(begin: int, end: int, newest: int, trades: Sequence[Trade]) -> bool:
    """Whether trades were made between `begin` and `end` after others of which the newest was made at `newest`."""
    return begin >= newest - BACK_MS and end <= trades[-1].event_time + TRADE_AHEAD_MS
