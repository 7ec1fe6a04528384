"""How far the trades of an instrument are known to be complete: at the venue's clock, or no further than the newest
trade in sequence.
"""

from flows.model import Disconnected, Subscribed, TradeBatch, Watermark
from flows.operators.trades.results import Results


class WatermarkTracker:
    """Stops the watermark while trades may be missing: a connection is down, or was down and no trade in sequence has
    come since, or the sequencer knows of trades that are missing or wait.
    """

    __slots__ = ("_is_unsure", "_lines_down", "is_stopped")

    def __init__(self, *, is_resumed: bool) -> None:
        """After a restart it is stopped from the first on."""
        self._lines_down: set[str] = set()
        self._is_unsure = is_resumed
        self.is_stopped = is_resumed
        """As last published; the receiver begins alike."""

    def on_connection(self, event: Disconnected | Subscribed) -> None:
        """A connection went down, or is up again."""
        if isinstance(event, Disconnected):
            self._lines_down.add(event.line)
            self._is_unsure = True
        else:
            self._lines_down.discard(event.line)

    def published(self, out: Results, *, is_behind: bool, last_time: int) -> Results:
        """The sequencer's results with the watermark behind them, if it has stopped or goes on with them. `is_behind`:
        whether trades are known to be missing, or wait; `last_time` is that of the newest trade in sequence, ms UTC.
        """
        if self._is_unsure and any(type(item) is TradeBatch for item in out):
            self._is_unsure = False
        is_stopped = is_behind or self._is_unsure or bool(self._lines_down)
        if is_stopped is self.is_stopped:
            return out
        self.is_stopped = is_stopped
        return [*out, Watermark(last_time if is_stopped else None)]
