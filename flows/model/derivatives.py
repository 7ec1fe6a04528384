"""Derivatives: mark price, funding, open interest, liquidations, and what the exchange says of a contract.

What arrives names no venue (`MarkReport`, `LiquidationReport`, `ContractReport`); the results of the flow do. Rates are
shares of the position's value (0.0001 is 0.01 %): a positive one is paid by those who are long to those who are short.
"""

from typing import Literal, TypeAlias

from msgspec import Struct

Side: TypeAlias = Literal["BUY", "SELL"]


class MarkReport(Struct, frozen=True, gc=False):
    """The prices by which an exchange values positions, as it reports them, about once a second."""

    symbol: str
    event_time: int
    mark_price: float
    """Positions are valued and liquidated by it."""
    index_price: float
    """The underlying's price on several spot markets; 0.0 where it is not reported."""
    settle_price: float = 0.0
    """Estimate of the price of the next settlement, of use only in the hour before it; 0.0 where not reported."""
    funding_rate: float | None = None
    """The rate that would be settled at `next_funding_time`, as far as it is known now; None for a contract that has no
    funding.
    """
    next_funding_time: int = 0
    """ms UTC; 0 for a contract that has no funding."""


class MarkPrice(MarkReport, frozen=True, gc=False, kw_only=True):
    """The newest mark price of an instrument."""

    venue: str


class LiquidationReport(Struct, frozen=True, gc=False):
    """An order by which the exchange closes the position of someone who lacks margin. Not every one is reported: of
    several within a second Binance names one.
    """

    symbol: str
    event_time: int
    time: int
    """When the order was last filled, ms UTC."""
    side: Side
    """The order's: `SELL` ends a long position."""
    price: float
    """The order's limit."""
    average_price: float
    """Of what is filled; 0.0 while nothing is."""
    quantity: float
    filled: float
    """Quantity that is filled so far."""


class Liquidation(LiquidationReport, frozen=True, gc=False, kw_only=True):
    """A liquidation of an instrument, each once."""

    venue: str

    @property
    def key(self) -> tuple[int, Side, float, float]:
        """By what two of an instrument differ, since they have no ids."""
        return self.time, self.side, self.price, self.quantity


class ContractReport(Struct, frozen=True, gc=False):
    """A contract changes: it is listed, settled, delivered, or has other brackets of leverage."""

    symbol: str
    event_time: int
    kind: str
    """As the exchange calls it: `PERPETUAL`, `CURRENT_QUARTER`, …"""
    status: str
    """As in the list of instruments: `TRADING` while it trades."""
    delivery_time: int = 0
    """When it ends, ms UTC; the year 2100 for one without an end."""


class Funding(Struct, frozen=True, gc=False):
    """A payment that was settled."""

    venue: str
    symbol: str
    time: int
    """When, ms UTC."""
    rate: float
    mark_price: float | None = None
    """By which the payment was computed; None where the exchange does not say."""


class FundingTerms(Struct, frozen=True, gc=False):
    """How an instrument's funding is settled."""

    symbol: str
    interval_hours: int
    cap: float | None = None
    """The largest rate; None where the exchange names none."""
    floor: float | None = None
    """The least."""


class FundingState(Struct, frozen=True, gc=False):
    """The funding of an instrument at present: what is to come, and what was settled last."""

    venue: str
    symbol: str
    event_time: int
    """Exchange time of the report that it is from."""
    rate: float | None
    """What would be settled at `next_time`, as far as it is known now; None where it is not."""
    next_time: int
    """ms UTC; 0 where it is not known."""
    interval_hours: int | None = None
    """None until it is known."""
    cap: float | None = None
    floor: float | None = None
    last: Funding | None = None


class OpenInterest(Struct, frozen=True, gc=False):
    """The contracts of an instrument that are open, each counted once, from the exchange's REST side."""

    venue: str
    symbol: str
    time: int
    """Exchange time, ms UTC."""
    quantity: float
    """In the base currency."""
    value: float | None = None
    """In the quote currency; None where the exchange does not say: only its history does."""


DerivativeReport: TypeAlias = MarkReport | LiquidationReport | ContractReport
"""What arrives on streams."""
DerivativeUpdate: TypeAlias = MarkPrice | FundingState | OpenInterest | Liquidation
"""What clients get."""
DerivativeRecord: TypeAlias = MarkPrice | Funding | OpenInterest | Liquidation
"""What is stored."""
