"""What is proven of Kraken's data, and by what. `rules.py` has the rules behind it."""

from typing import Final

from flows.model import Capability

CAPABILITIES: Final = (
    Capability(
        "trades",
        "every trade is there, once and in order",
        "ids that rise by one for each instrument",
        (
            "The newest trade is confirmed only by what comes after it: no message names it alone.",
            "Missing trades come by REST at one request a second, so a long hole takes as long to fill.",
        ),
    ),
    Capability(
        "candles",
        "prices, volume, count of trades, and the average price within a unit of its last decimal",
        "`ohlc` of stream and REST",
        (
            "What takers bought and the quote volume are not stated by the exchange, so they are not compared.",
            "Its candles have no trade ids.",
            "REST has the last 720 candles of a timeframe: older ones cannot be compared.",
        ),
    ),
    Capability(
        "book",
        "the best ten levels of each side after every message",
        "the CRC-32 of their digits in each message",
        ("A Kraken book below level 10 is not covered by the checksum.",),
    ),
    Capability(
        "best",
        "best bid and ask are those of the book, where the book is followed",
        "the checksum of the book",
        ("Without the stream `depth` they come by the ticker, which nothing checks.",),
    ),
    Capability(
        "ticker",
        "",
        "",
        ("The 24-hour ticker may count other trades than the candles, so a difference proves nothing.",),
    ),
)
"""Spot."""
