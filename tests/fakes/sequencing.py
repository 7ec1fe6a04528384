"""A sequencer whose watermark is kept apart from its other results, and a REST side for any sequencer."""

from typing import Any

from flows.clock import Now
from flows.model import Trade, TradeInput, Watermark
from flows.operators.trades.results import Results
from flows.operators.trades.sequence import Sequencer
from flows.queries import LastTradeQuery, Query, TradesQuery


class WatchedSequencer(Sequencer):
    """Gives everything but watermarks."""

    @property
    def is_stopped(self) -> bool:
        """Whether the watermark has stopped: trades may be missing."""
        return self._watermark.is_stopped

    def on_events(self, events: TradeInput, now: Now) -> Results:
        return without_watermarks(super().on_events(events, now))

    def on_answer(self, query: Query, answer: object, now: Now) -> Results:
        return without_watermarks(super().on_answer(query, answer, now))

    def on_timer(self, now: Now) -> Results:
        return without_watermarks(super().on_timer(now))

    def on_end(self, now: Now) -> Results:
        return without_watermarks(super().on_end(now))


def without_watermarks(out: Results) -> Results:
    return [item for item in out if not isinstance(item, Watermark)]


def answered(machine: Sequencer, out: list[Any], trades: list[Trade], now: Now) -> list[Any]:
    """What comes out when every query is answered from `trades`, whose ids begin with 1; none is stored."""
    given_out: list[Any] = []
    waiting = list(out)
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, LastTradeQuery):
            waiting += machine.on_answer(item, None, now)
        elif isinstance(item, TradesQuery):
            waiting += machine.on_answer(item, trades[item.first_id - 1 : item.last_id], now)
        else:
            given_out.append(item)
    return given_out
