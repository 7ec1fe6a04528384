"""Where the sequence of an instrument stands: what has been handed on, and which id comes next."""

from msgspec import Struct

from flows.model import HIDDEN_FILLS, WITHDRAWN_FILL, AggregateTrade, Gap, Incident, Trade


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


CAUSE = "trades without price and quantity that hide fills"


class _Run(Struct):
    first: int
    last: int
    begin: int
    """Time of the trade before it, ms UTC."""
    next_fill: int | None
    """The fill that must follow; None where that is not known."""
    is_first: bool
    """Nothing is before it."""
    hides: bool
    """A row itself names fills."""


class WithdrawnTrades:
    """The newest run of trades that the exchange says it took back, until the trade behind it shows whether it did.

    Their rows keep an id, and have neither a price nor a quantity. Such a trade has no fills, so those of the trades
    around it follow each other. A row that hides fills is a lost trade.
    """

    def __init__(self, venue: str, symbol: str, position: Position, *, fills_follow: bool) -> None:
        self._venue, self._symbol = venue, symbol
        self._position = position
        self._fills_follow = fills_follow
        self._run: _Run | None = None

    @property
    def is_open(self) -> bool:
        """Whether the trade behind the newest run has not come."""
        return self._run is not None

    def hides_before(self, trade: Trade) -> bool:
        """Whether the run before this trade hides fills."""
        run = self._run
        if run is None or trade.fill == WITHDRAWN_FILL:
            return False
        if run.hides:
            return True
        if not self._fills_follow:
            return False
        return not run.is_first if run.next_fill is None else trade.first_id != run.next_fill

    def take(self, trade: Trade) -> None:
        """Takes a trade that the position is about to move behind."""
        if trade.fill != WITHDRAWN_FILL:
            self._run = None
            return
        position, run = self._position, self._run
        hides = trade.first_id == HIDDEN_FILLS
        if run is None:
            is_first = position.last_time == 0
            begin = trade.time if is_first else position.last_time
            self._run = _Run(trade.id, trade.id, begin, position.next_fill, is_first, hides)
        else:
            run.last, run.hides = trade.id, run.hides or hides

    def lost(self, time: int) -> list[Gap | Incident]:
        """The run as a gap that ends at this time, ms UTC; empty without one. The fills behind it are not known."""
        run, self._run = self._run, None
        if run is None:
            return []
        self._position.next_fill = None
        begin, end = sorted((run.begin, time))
        where = self._venue, self._symbol
        incident = Incident(
            "gap", *where, begin, end, f"{run.last - run.first + 1} {CAUSE}", "left out", run.first, run.last
        )
        return [Gap(*where, run.first, run.last, begin, end), incident]
