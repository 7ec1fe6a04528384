"""Payloads of derivatives: the `data` of messages about mark prices, funding, open interest and liquidations.

Prices are in the quote currency, quantities in the base currency, rates of funding shares of a position's value,
times ms UTC since the epoch.
"""

from typing import ClassVar

from msgspec import Struct

from flows.model import Funding, FundingState, Liquidation, MarkPrice, OpenInterest
from sinks.hub.payloads.form import Payload


class MarkPriceBody(Payload[MarkPrice], frozen=True, gc=False):
    """The price by which positions are valued, the index that it follows, and the estimate of the price of the next
    settlement, each 0.0 where the venue does not report it.
    """

    venue: str
    symbol: str
    mark_price: float
    index_price: float
    settle_price: float
    timestamp: int

    times: ClassVar = {"timestamp": "event_time"}


class FundingRow(Payload[Funding], frozen=True, gc=False):
    """A settled payment; `mark_price` is null where the venue does not report it."""

    time: int
    rate: float
    mark_price: float | None


class FundingBody(Struct, frozen=True):
    """The funding at present. `rate` would be settled at `next_time`, as far as it is known now; both are null for a
    contract without funding. `interval_hours`, `cap` and `floor` are null while they are not known, `last` before the
    first settled payment is.
    """

    venue: str
    symbol: str
    rate: float | None
    next_time: int | None
    interval_hours: int | None
    cap: float | None
    floor: float | None
    last: FundingRow | None
    timestamp: int

    @classmethod
    def of(cls, state: FundingState) -> "FundingBody":
        """From the model."""
        return cls(
            venue=state.venue,
            symbol=state.symbol,
            rate=state.rate,
            next_time=state.next_time or None,
            interval_hours=state.interval_hours,
            cap=state.cap,
            floor=state.floor,
            last=FundingRow.of(state.last) if state.last else None,
            timestamp=state.event_time,
        )


class OpenInterestBody(Payload[OpenInterest], frozen=True, gc=False):
    """The quantity of open contracts; `value`, in the quote currency, is null where the venue does not report it."""

    venue: str
    symbol: str
    quantity: float
    value: float | None
    timestamp: int

    times: ClassVar = {"timestamp": "time"}


class LiquidationBody(Payload[Liquidation], frozen=True, gc=False):
    """An order that closes the position of someone who lacks margin; `side` is the order's: `SELL` ends a long one."""

    venue: str
    symbol: str
    side: str
    price: float
    average_price: float
    quantity: float
    filled: float
    timestamp: int

    times: ClassVar = {"timestamp": "time"}
