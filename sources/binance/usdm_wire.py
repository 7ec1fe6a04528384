"""Messages of USD-M futures that spot does not have (`websocket-market-streams`: Mark Price Stream, Liquidation Order
Streams, Contract Info Stream). As in `wire`, a frame that breaks a bound is rejected as a whole.

`ps` and `st`, the pair and the kind of market, stand beside `o` in the documentation of liquidations and within it on
the wire; nothing here needs them.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from flows import model
from sources.binance.wire import Price, PriceOrZero, Quantity, QuantityOrZero, Time

Rate = Annotated[float, Meta(gt=-1, lt=1)]
"""A rate of funding; the largest that the exchange allows are a few hundredths."""
NoRate: TypeAlias = Literal[""]
"""In the place of a rate, for a contract that has no funding."""
TimeOrZero = Annotated[int, Meta(ge=0, lt=10**17)]
Word = Annotated[str, Meta(min_length=1, max_length=40)]


class MarkPriceMessage(
    Struct,
    frozen=True,
    gc=False,
    tag_field="e",
    tag="markPriceUpdate",
    rename={
        "event_time": "E",
        "symbol": "s",
        "mark_price": "p",
        "index_price": "i",
        "settle_price": "P",
        "funding_rate": "r",
        "next_funding_time": "T",
    },
):
    """`<symbol>@markPrice@1s`. A contract with a delivery date has the rate "" and the time 0.

    {"e":"markPriceUpdate","E":1767225601000,"s":"BTCUSDT","p":"93120.51076232","P":"93119.09090930",
     "i":"93150.87304348","r":"0.00010000","T":1767254400000,"st":1}
    """

    event_time: Time
    symbol: str
    mark_price: Price
    index_price: PriceOrZero = 0.0
    settle_price: PriceOrZero = 0.0
    funding_rate: Rate | NoRate = ""
    next_funding_time: TimeOrZero = 0

    @property
    def event(self) -> model.MarkReport:
        """In the model."""
        return model.MarkReport(
            symbol=self.symbol,
            event_time=self.event_time,
            mark_price=self.mark_price,
            index_price=self.index_price,
            settle_price=self.settle_price,
            funding_rate=None if isinstance(self.funding_rate, str) else self.funding_rate,
            next_funding_time=self.next_funding_time,
        )


class LiquidationOrder(Struct, frozen=True, gc=False):
    """The inside of a message of a liquidation."""

    s: str
    S: Literal["BUY", "SELL"]
    q: Quantity
    p: PriceOrZero
    T: Time
    ap: PriceOrZero = 0.0
    z: QuantityOrZero = 0.0


class ForceOrderMessage(Struct, frozen=True, gc=False, tag_field="e", tag="forceOrder"):
    """`<symbol>@forceOrder`: of the liquidations of a second the newest.

    {"e":"forceOrder","E":1767225600893,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"92910.00",
     "ap":"93012.50","X":"FILLED","l":"0.014","z":"0.014","T":1767225600889,"ps":"BTCUSDT","st":1}}
    """

    E: Time
    o: LiquidationOrder

    @property
    def symbol(self) -> str:
        """Of the order."""
        return self.o.s

    @property
    def event(self) -> model.LiquidationReport:
        """In the model."""
        order = self.o
        return model.LiquidationReport(
            symbol=order.s,
            event_time=self.E,
            time=order.T,
            side=order.S,
            price=order.p,
            average_price=order.ap,
            quantity=order.q,
            filled=order.z,
        )


class ContractInfoMessage(
    Struct,
    frozen=True,
    gc=False,
    tag_field="e",
    tag="contractInfo",
    rename={"event_time": "E", "symbol": "s", "kind": "ct", "status": "cs", "delivery_time": "dt"},
):
    """`!contractInfo`, of all contracts: only when something of one changes. Brackets (`bks`) are not used.

    {"e":"contractInfo","E":1767225600375,"s":"BTCUSDT","ps":"BTCUSDT","ct":"PERPETUAL","dt":4133404800000,
     "ot":1569398400000,"cs":"TRADING","bks":[{"bs":1,"bnf":0,"bnc":5000,"mmr":0.01,"cf":0,"mi":21,"ma":50}]}
    """

    event_time: Time
    symbol: str
    kind: Word
    status: Word
    delivery_time: TimeOrZero = 0

    @property
    def event(self) -> model.ContractReport:
        """In the model."""
        return model.ContractReport(self.symbol, self.event_time, self.kind, self.status, self.delivery_time)
