"""What is proven of Coinbase's data, and by what. `rules.py` has the rules behind it."""

from typing import Final

from flows.model import Capability

CAPABILITIES: Final = (
    Capability(
        "trades",
        "every trade is there, once and in order, up to the second before",
        "ids that rise by one, and a heartbeat each second that names the newest",
        ("A trade since the last heartbeat is confirmed by the next one.",),
    ),
    Capability(
        "candles",
        "open, high, low, close and volume are the exchange's",
        "candles of REST, where the period had a trade",
        (
            "Coinbase candles have no count, no quote volume and nothing of what takers bought.",
            "There is no stream of candles: a proof comes with a query, after the period.",
            "A period without trades has no candle that could be compared; the heartbeats prove that it is empty.",
            "Four hours are no candle of the exchange: they are compared with its single hours.",
        ),
    ),
    Capability(
        "book",
        "no change is missing since a snapshot",
        "numbers of all messages of a connection, and audits against whole books of REST",
        (
            "There is no checksum: a wrong level within the stream shows only at the next audit.",
            "Numbers count the messages of a connection: a hole withdraws all its books.",
        ),
    ),
    Capability("best", "best bid and ask are those of the book", "as of the book"),
    Capability(
        "ticker",
        "",
        "",
        ("Nothing says to which moment its 24-hour figures reach back, so they are not compared.",),
    ),
)
"""Spot."""
