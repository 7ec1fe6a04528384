"""A sequencer whose watermark is kept apart from its other results."""

from flows.clock import Now
from flows.model import TradeInput, Watermark
from flows.operators.trades.results import Results
from flows.operators.trades.sequence import Sequencer
from flows.queries import Query


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
