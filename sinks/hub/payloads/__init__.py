"""The `data` of the hub's messages, one struct for each channel: names and order of the fields are the contract.

Times of market data are ms UTC since the epoch, those of states and incidents ISO-8601 text in UTC.
"""

from sinks.hub.payloads.accounts import AccountBody, BalanceBody, PositionBody
from sinks.hub.payloads.alerts import AlertBody, PricePointBody
from sinks.hub.payloads.derivatives import FundingBody, FundingRow, LiquidationBody, MarkPriceBody, OpenInterestBody
from sinks.hub.payloads.form import iso_utc
from sinks.hub.payloads.market import (
    BookTickerBody,
    CandleBody,
    ChartCandle,
    ChartUpdate,
    ChartUpdateBody,
    FullCandle,
    MarketDataBody,
    OrderBookBody,
    StatsBody,
    TickerBody,
    TradeBody,
    TradeRow,
)
from sinks.hub.payloads.status import (
    ChannelBody,
    FeedStatusUpdate,
    HeartbeatBody,
    HeartbeatUpdate,
    IncidentBody,
    InstrumentBody,
    InstrumentStatusUpdate,
    StatusBody,
    status_body,
)

__all__ = [
    "AccountBody",
    "AlertBody",
    "BalanceBody",
    "BookTickerBody",
    "CandleBody",
    "ChannelBody",
    "ChartCandle",
    "ChartUpdate",
    "ChartUpdateBody",
    "FeedStatusUpdate",
    "FullCandle",
    "FundingBody",
    "FundingRow",
    "HeartbeatBody",
    "HeartbeatUpdate",
    "IncidentBody",
    "InstrumentBody",
    "InstrumentStatusUpdate",
    "LiquidationBody",
    "MarkPriceBody",
    "MarketDataBody",
    "OpenInterestBody",
    "OrderBookBody",
    "PositionBody",
    "PricePointBody",
    "StatsBody",
    "StatusBody",
    "TickerBody",
    "TradeBody",
    "TradeRow",
    "iso_utc",
    "status_body",
]
