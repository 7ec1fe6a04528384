"""Whether a run of trades continues an instrument's sequence without a contradiction: to it, or in itself.

Nearly all trades pass here and nowhere else in the step `sequence`, so each is looked at once, in one plain loop, which
is quicker than columns for the short runs of a live feed, and as quick for long ones.
"""

from typing import TypeAlias

from flows.bounds import BACK_MS, MOST_FILLS, TRADE_AHEAD_MS
from flows.model import MARKET_FILL, AggregateTrade, Trade
from flows.operators.runs import scan_aggregates, scan_fills

Place: TypeAlias = tuple[int, int, int]
"""Where a sequence stands: id of the next trade; first fill of the next aggregate, -1 when it is not known; time of the
newest trade, ms UTC.
"""


def times_of_aggregates(trades: list[Trade], place: Place, *, fills_follow: bool) -> tuple[int, int] | None:
    """The least and the largest time of aggregates that continue; None when they do not, or something else is among
    them. Their fills are a chain too: without a gap where `fills_follow`, else rising.
    """
    following, fill, newest = place
    times = scan_aggregates(trades, following, fill, fills_follow, MOST_FILLS)
    return times if times is not None and _is_possible(times, newest, trades) else None


def times_of_fills(trades: list[Trade], place: Place) -> tuple[int, int] | None:
    """The same of single fills, all of one type."""
    following, _, newest = place
    if isinstance(trades[0], AggregateTrade):
        return None
    times = scan_fills(trades, following, MARKET_FILL)
    return times if times is not None and _is_possible(times, newest, trades) else None


def _is_possible(times: tuple[int, int], newest: int, trades: list[Trade]) -> bool:
    """Whether trades were made at these times after others of which the newest was made at `newest`."""
    begin, end = times
    return begin >= newest - BACK_MS and end <= trades[-1].event_time + TRADE_AHEAD_MS
