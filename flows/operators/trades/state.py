"""What a sequence of trades is recovered from: plain values, so that it depends on no other class of the program."""

from typing import Final, NamedTuple

from flows.model import AggregateTrade, Trade
from flows.operators.trades.gaps import GapState

STATE_VERSION: Final = 4
NAME: Final = "the sequence of trades"


class HeldState(NamedTuple):
    """A held trade."""

    symbol: str
    id: int
    time: int
    price: float
    quantity: float
    buyer_is_maker: bool
    event_time: int
    fill: str
    fills: tuple[int, int] | None
    """First and last fill of an aggregate; None for a single fill."""

    @classmethod
    def of(cls, trade: Trade) -> "HeldState":
        """The state of a trade, whether of the model or a venue's own subtype."""
        fills = (trade.first_id, trade.last_id) if isinstance(trade, AggregateTrade) else None
        return cls(
            trade.symbol,
            trade.id,
            trade.time,
            trade.price,
            trade.quantity,
            trade.buyer_is_maker,
            trade.event_time,
            trade.fill,
            fills,
        )

    def trade(self) -> Trade:
        """The trade again."""
        symbol, number, time, price, quantity, buyer_is_maker, event_time, fill, fills = self
        if fills is None:
            return Trade(symbol, number, time, price, quantity, buyer_is_maker, event_time, fill)
        first_id, last_id = fills
        return AggregateTrade(
            symbol, number, time, price, quantity, buyer_is_maker, event_time, fill, first_id=first_id, last_id=last_id
        )


class SequenceState(NamedTuple):
    """The state of version `STATE_VERSION`. What is not in it is queried again."""

    version: int
    next_id: int | None
    next_fill: int | None
    last_time: int
    """ms UTC."""
    counts_fills: bool
    held: list[HeldState]
    """In the order of arrival; empty where missing trades are queried, as these are then part of the restart's gap."""
    held_since: int | None
    """Feed's time, ms UTC."""
    gaps: list[GapState]
