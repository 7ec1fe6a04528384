"""Read access to the stores for a verification: beside a live flow, in bounded pieces, without writes."""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from flows.loop_thread import EventLoopThread
from flows.model import Kline, Trade, timeframe_ms
from flows.queries import DisputedTradesQuery, KlinesQuery, TradesQuery
from flows.verification.checks.claims import StoredCandle, stored_candle
from flows.verification.checks.ledger import READ, Ledger
from flows.verification.checks.symbol import Klines
from sinks.mongo.documents import CANDLE_VALUES, INCIDENTS, MARKET_DATA, incident_of
from sinks.trades.codec import END_MS
from sinks.trades.reader import TradeReader
from sources.archive.csv_reader import klines_of
from sources.archive.fetch import check, files_in
from sources.archive.files import ArchiveFile
from sources.binance.rest import BinanceRest

MOST_INCIDENTS = 100_000
"""Most incidents read of a day; later ones are not."""
MOST_OUTSIDE = 100
"""Most candles of impossible times that are reported, of each symbol and timeframe."""

_FIELDS = ("open_time", "close_time", *CANDLE_VALUES)


class VenueStores:
    """The stored data of a venue; without a `reader` there are no trades. `PyMongoError` when the database does not
    answer; `TradeStoreError` or an exception of rocksdict when the trade store cannot be read.
    """

    def __init__(self, database: Database[dict[str, Any]], reader: TradeReader | None, *, venue: str) -> None:
        self._database = database
        self._reader = reader
        self._venue = venue

    def symbols(self) -> list[str]:
        """The symbols with stored candles or trades, in alphabetical order."""
        candles = self._database[MARKET_DATA].distinct("symbol", {"venue": self._venue})
        return sorted({*map(str, candles), *(self._reader.symbols() if self._reader else ())})

    def timeframes(self) -> list[str]:
        """The timeframes of the stored candles, as stored."""
        return sorted(map(str, self._database[MARKET_DATA].distinct("timeframe", {"venue": self._venue})))

    def catch_up(self) -> None:
        """Updates the trade reader to the current state of the store."""
        if self._reader:
            self._reader.catch_up()

    def frames(self, symbol: str, start: int, end: int) -> Iterator[pl.DataFrame]:
        """The trades in `[start, end)`, with every kind of fill."""
        if self._reader is not None and start <= END_MS:
            yield from self._reader.iterate(symbol, start, min(end, END_MS), every_fill=True, every_version=True)

    def trade_span(self, symbol: str, start: int, end: int) -> tuple[int, int] | None:
        """Times of the first and the last trade in `[start, end)`; None without any."""
        if self._reader is None:
            return None
        first, last = self._reader.first_time(symbol), self._reader.last_time(symbol)
        if first is None or last is None or last < start or first >= end:
            return None
        return max(first, start), min(last, end - 1)

    def candle_span(self, symbol: str, timeframe: str, start: int, end: int) -> tuple[int, int] | None:
        """Open times of the first and the last candle in `[start, end)`; None without any."""
        of = {**self._of(symbol, timeframe), "open_time": {"$gte": start, "$lt": end}}
        collection = self._database[MARKET_DATA]
        first = collection.find_one(of, {"open_time": True}, sort=[("open_time", ASCENDING)])
        last = collection.find_one(of, {"open_time": True}, sort=[("open_time", DESCENDING)])
        return (int(first["open_time"]), int(last["open_time"])) if first and last else None

    def candles(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        """The candles that open in `[start, end)`, oldest first."""
        return self._found(symbol, timeframe, {"open_time": {"$gte": start, "$lt": end}})

    def candles_outside(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        """The first `MOST_OUTSIDE` that do not open in `[start, end)`, or without a valid open time."""
        inside = {"open_time": {"$not": {"$gte": start, "$lt": end}}}
        return self._found(symbol, timeframe, inside, most=MOST_OUTSIDE)

    def ledger(self, symbol: str, start: int, end: int) -> Ledger:
        """The incidents that touch `[start, end)`."""
        of = {"venue": self._venue, "symbol": {"$in": [symbol, ""]}, "kind": {"$in": list(READ)}}
        touching = {"begin": {"$lt": end}, "end": {"$gte": start}}
        found = self._database[INCIDENTS].find({**of, **touching}).sort("begin", ASCENDING).limit(MOST_INCIDENTS)
        # What is noted at once is stored at once: a repair is then of a loss beside it.
        in_order = sorted(found, key=lambda one: (int(one["created_at"].timestamp() * 1_000), one["kind"] == "repair"))
        return Ledger(incident_of(document) for document in in_order)

    def _of(self, symbol: str, timeframe: str) -> dict[str, Any]:
        return {"venue": self._venue, "symbol": symbol, "timeframe": timeframe}

    def _found(self, symbol: str, timeframe: str, which: Mapping[str, Any], *, most: int = 0) -> list[StoredCandle]:
        fields = {"_id": False, **dict.fromkeys(_FIELDS, True)}
        found = self._database[MARKET_DATA].find({**self._of(symbol, timeframe), **which}, fields)
        documents = found.sort("open_time", ASCENDING).limit(most)
        return [stored_candle(document, self._venue, symbol, timeframe) for document in documents]


class RestVenue:
    """The exchange by its REST side, within its request weight and after more urgent queries."""

    def __init__(self, rest: BinanceRest, network: EventLoopThread) -> None:
        self._rest = rest
        self._network = network

    def klines(self, symbol: str, timeframe: str, start: int, end: int) -> Klines:
        """The candles that open in `[start, end)`. `VenueError` when the venue does not answer."""
        length = timeframe_ms(timeframe)
        first, last = -(-start // length) * length, (end - 1) // length * length
        if last < first:
            return Klines({}, (0, 0))
        found = self._network.start(
            self._rest.klines(KlinesQuery(symbol, timeframe, first, last, checks=True))
        ).result()
        closed = {kline.open_time: kline for kline in found if kline.is_closed}
        return Klines(closed, (min(closed), max(closed) + length) if closed else (0, 0))

    def trades(self, query: TradesQuery) -> list[Trade]:
        """The trades of a query that the venue still has. `VenueError` when it does not answer, `QueryError` when it
        does not serve this kind.
        """
        if isinstance(query, DisputedTradesQuery):
            return self._network.start(self._rest.disputed_trades(query)).result()
        return self._network.start(self._rest.trades(query)).result()


class ArchiveKlines:
    """The exchange's candles from files of its archive in a folder."""

    def __init__(self, folder: Path, symbols: tuple[str, ...]) -> None:
        """`ArchiveError` when there is no such folder."""
        self._paths = {file: path for file, path in files_in(folder, symbols).items() if not file.is_trades}
        self._read: Callable[[ArchiveFile], list[Kline]] = lru_cache(maxsize=8)(self._klines_of)

    @property
    def files(self) -> int:
        """Number of files of candles."""
        return len(self._paths)

    def __call__(self, symbol: str, timeframe: str, start: int, end: int) -> Klines:
        """The candles that open in `[start, end)`. `ArchiveError` when a file cannot be read."""
        klines: dict[int, Kline] = {}
        covered: list[tuple[int, int]] = []
        for file in self._paths:
            if (file.symbol, file.kind) == (symbol, timeframe) and file.begin < end and file.end > start:
                klines |= {k.open_time: k for k in self._read(file) if start <= k.open_time < end}
                covered.append((max(start, file.begin), min(end, file.end)))
        return Klines(klines, max(covered, key=lambda part: part[1] - part[0], default=(0, 0)))

    def _klines_of(self, file: ArchiveFile) -> list[Kline]:
        check(self._paths[file])
        return klines_of(file, self._paths[file], file.begin, file.end)
