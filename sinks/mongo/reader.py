"""Reads candles back from MongoDB."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pymongo import ASCENDING
from pymongo.database import Database

from flows.model import Candle, timeframe_ms
from sinks.mongo.documents import MARKET_DATA, DocumentError, candle_of

OnBad = Callable[[DocumentError], None]
"""Called with the error of a document that is left out because it is no candle."""


def read_candles(
    database: Database[dict[str, Any]],
    venue: str,
    symbol: str,
    timeframe: str,
    start_ms: int,
    end_ms: int,
    *,
    on_bad: OnBad | None = None,
) -> list[Candle]:
    """The candles that open in `[start_ms, end_ms)`, oldest first, the forming one included; their `event_time` is 0.

    All are in memory: a year of 1m candles is half a million. `PyMongoError` when the server cannot answer;
    `DocumentError` when a document is no candle, unless `on_bad` gets those.
    """
    span = {
        "venue": venue,
        "symbol": symbol,
        "timeframe": timeframe,
        "open_time": {"$gte": start_ms, "$lt": end_ms},
    }
    candles: list[Candle] = []
    for document in database[MARKET_DATA].find(span).sort("open_time", ASCENDING):
        try:
            candles.append(candle_of(document))
        except DocumentError as error:
            if on_bad is None:
                raise
            on_bad(error)
    return candles


class CandleReader:
    """Reads the stored candles of one venue. Every method raises `PyMongoError` when the server cannot answer."""

    def __init__(self, database: Database[dict[str, Any]], *, venue: str) -> None:
        self._database = database
        self._venue = venue

    def complete_times(self, symbol: str, timeframe: str, start_ms: int) -> list[int]:
        """Open times, from `start_ms` on, of the candles that are closed and complete; in order."""
        wanted = {
            "venue": self._venue,
            "symbol": symbol,
            "timeframe": timeframe,
            "open_time": {"$gte": start_ms},
            "is_closed": True,
            "status": {"$nin": ["partial", "unproven"]},
        }
        found = self._database[MARKET_DATA].find(wanted, {"_id": False, "open_time": True})
        return [int(document["open_time"]) for document in found.sort("open_time", ASCENDING)]

    def between(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int, *, on_bad: OnBad | None = None
    ) -> list[Candle]:
        """The candles that open in `[start_ms, end_ms)`, oldest first. `on_bad` as of `read_candles`."""
        return read_candles(self._database, self._venue, symbol, timeframe, start_ms, end_ms, on_bad=on_bad)

    def of_status(self, statuses: Sequence[str], symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        """The closed candles of these statuses that open in `[start_ms, end_ms)`, of all timeframes. `DocumentError`
        when a document is no candle.
        """
        wanted = {
            "venue": self._venue,
            "symbol": symbol,
            "open_time": {"$gte": start_ms, "$lt": end_ms},
            "is_closed": True,
            "status": {"$in": list(statuses)},
        }
        candles = [candle_of(document) for document in self._database[MARKET_DATA].find(wanted)]
        return [candle for candle in candles if _is_of_timeframe(candle)]


def _is_of_timeframe(candle: Candle) -> bool:
    """Whether its timeframe is one: those of another are in no series."""
    with suppress(ValueError):
        return timeframe_ms(candle.timeframe) > 0
    return False
