"""Where the sequence of an instrument stands: what has been handed on, and which id comes next."""

from msgspec import Struct

from flows.model import WITHDRAWN_FILL, AggregateTrade, Trade


class Position(Struct):
    """The end of what has been handed on. It is shared by the parts of a sequencer, which move it."""

    next_id: int | None = None
    """Id of the next trade; None before the first one."""
    next_fill: int | None = None
    """First fill of the next aggregate, where the ids of fills follow each other; None when it is not known."""
    last_time: int = 0
    """Time of the newest trade, ms UTC."""
    counts_fills: bool = False
    """Ids count single fills; an aggregate that comes by REST stands for all those that it covers."""

    @property
    def last_fill(self) -> int | None:
        """The newest fill that was handed on; None when it is not known."""
        following = self.next_id if self.counts_fills else self.next_fill
        return None if following is None else following - 1

    @property
    def stream(self) -> str:
        """The stream of trades, in the words of the setting `feed.streams`."""
        return "trade" if self.counts_fills else "aggTrade"

    def end_of(self, trade: Trade) -> int:
        """Last id that a trade stands for."""
        return trade.last_id if self.counts_fills and isinstance(trade, AggregateTrade) else trade.id

    def advance(self, trade: Trade) -> None:
        """Moves behind a trade."""
        self.last_time = max(self.last_time, trade.time)
        self.next_id = self.end_of(trade) + 1
        if trade.fill != WITHDRAWN_FILL:  # it has no fills: those around it follow each other
            self.next_fill = trade.last_id + 1
