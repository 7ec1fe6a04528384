"""What is proven of the data of Binance's venues, and by what. `rules.py` has the rules behind it."""

from typing import Final

from flows.model import Capability

_BEST: Final = Capability(
    "best",
    "each best bid and ask is newer than the one before",
    "their update ids, which are those of the book",
    ("A message that the exchange does not send is not missed: the next one replaces it.",),
)
_TICKER_WITHOUT_IDS: Final = (
    "The exchange's rolling window has no trade ids of its own that could be checked one by one."
)

SPOT: Final = (
    Capability(
        "trades",
        "every trade is there, once and in order",
        "ids that rise by one, fills that follow each other without a hole, and the first and last ids of klines",
        ("The newest trade is confirmed only by what comes after it: a trade, a kline or a ticker.",),
    ),
    Capability(
        "candles",
        "every field is the exchange's: prices, volumes, count of trades, what takers bought",
        "the exchange's own kline of the period, by stream and REST",
        ("A candle is compared when its period has ended; until then its status is `forming`.",),
    ),
    Capability(
        "book",
        "no change is missing since a snapshot",
        "update ids that follow each other, and audits against fresh snapshots of REST",
        (
            "There is no checksum: a wrong level within the stream shows only at the next audit.",
            "Levels below those of the snapshot are not known until they change.",
        ),
    ),
    _BEST,
    Capability(
        "ticker",
        "24-hour figures of our own candles agree with it",
        "the exchange's 24-hour ticker, which counts the same trades",
        (_TICKER_WITHOUT_IDS,),
    ),
)
"""Spot."""

USDM: Final = (
    Capability(
        "trades",
        "every trade on the market is there, once and in order",
        "ids of aggregates that rise by one",
        (
            "Fills of the insurance fund and of auto-deleveraging are in no trade stream, so ids of fills have holes.",
            "The newest trade is confirmed only by what comes after it: a trade, a kline or a ticker.",
        ),
    ),
    Capability(
        "candles",
        "open, high, low and close are the exchange's",
        "the exchange's own kline of the period, by stream and REST",
        (
            "Volumes, counts and ids are not compared: klines count fills that no trade stream has.",
            "A candle is compared when its period has ended; until then its status is `forming`.",
        ),
    ),
    Capability(
        "book",
        "no change is missing since a snapshot",
        "each change names the one before it, and audits against fresh snapshots of REST",
        (
            "There is no checksum: a wrong level within the stream shows only at the next audit.",
            "Levels below the 1,000 of the snapshot are not known until they change.",
        ),
    ),
    _BEST,
    Capability(
        "ticker",
        "",
        "",
        ("The 24-hour ticker may count fewer trades than the candles, so a difference proves nothing.",),
    ),
    Capability(
        "mark",
        "the newest report counts, and one that stands still is noticed",
        "times that rise, and REST where none comes",
        ("Mark and index price are the exchange's own computation: nothing here can repeat it.",),
    ),
    Capability(
        "funding",
        "every settled payment is there, once",
        "the exchange's history of payments by REST, queried on from the newest known one",
        ("The rate to come is an estimate of the exchange until it is settled.",),
    ),
    Capability(
        "open interest",
        "",
        "",
        ("It is polled: what it was between two polls is not known, and nothing else states it.",),
    ),
    Capability(
        "liquidations",
        "",
        "",
        ("They have no ids: one that does not come leaves no hole that shows.",),
    ),
)
"""USD-M futures."""
