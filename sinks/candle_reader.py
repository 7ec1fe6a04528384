"""Reads candles back from MongoDB."""

from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database

from flows.model import Candle
from sinks.documents import MARKET_DATA, candle_of


def read_candles(
    database: Database[dict[str, Any]], venue: str, symbol: str, timeframe: str, start_ms: int, end_ms: int
) -> list[Candle]:
    """The candles that open in `[start_ms, end_ms)`, oldest first, the forming one included; their `event_time` is 0.

    All of them are in memory: 1m candles of a year are half a million. `PyMongoError` when the server cannot answer.
    """
    span = {
        "venue": venue,
        "symbol": symbol,
        "timeframe": timeframe,
        "open_time": {"$gte": start_ms, "$lt": end_ms},
    }
    return [candle_of(document) for document in database[MARKET_DATA].find(span).sort("open_time", ASCENDING)]
