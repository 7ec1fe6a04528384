"""The `data` of the hub's messages, one shape a channel: field order and names are the contract with the clients.

Times are ISO-8601 text in UTC.
"""

from sinks.hub.payloads.form import iso_utc
from sinks.hub.payloads.market import (
    BookTickerBody,
    CandleBody,
    ChartCandle,
    ChartNews,
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
    HeartbeatBody,
    HeartbeatNews,
    IncidentBody,
    InstrumentBody,
    InstrumentNews,
    LineNews,
    StatusBody,
    status_body,
)

__all__ = [
    "BookTickerBody",
    "CandleBody",
    "ChannelBody",
    "ChartCandle",
    "ChartNews",
    "ChartUpdateBody",
    "FullCandle",
    "HeartbeatBody",
    "HeartbeatNews",
    "IncidentBody",
    "InstrumentBody",
    "InstrumentNews",
    "LineNews",
    "MarketDataBody",
    "OrderBookBody",
    "StatsBody",
    "StatusBody",
    "TickerBody",
    "TradeBody",
    "TradeRow",
    "iso_utc",
    "status_body",
]
