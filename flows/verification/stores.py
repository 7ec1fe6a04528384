"""Read access to the stores for a verification: beside a live flow, in bounded pieces, without writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from flows.foreign import visible
from flows.loop_thread import EventLoopThread
from flows.model import IDS, PRICES, VOLUMES, Candle, Kline, Trade, timeframe_ms
from flows.queries import DisputedTradesQuery, KlinesQuery, TradesQuery
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.held import FirstSeen
from flows.verification.checks.ledger import READ, Ledger
from flows.verification.checks.reading import Klines, OnBad
from flows.verification.checks.unreadable import UnreadableDocument, UnreadableRecord
from sinks.mongo.documents import (
    CANDLE_KEY,
    CANDLE_VALUES,
    INCIDENTS,
    MARKET_DATA,
    candle_faults,
    incident_fault,
    incident_of,
    is_count,
)
from sinks.trades.begins import TradeBegins
from sinks.trades.codec import END_MS, encode_key
from sinks.trades.reader import TradeReader
from sinks.trades.record_checks import BadRecord
from sinks.trades.stored_records import leave_out
from sources.archive.csv_reader import klines_of
from sources.archive.fetch import check, files_in
from sources.archive.files import ArchiveFile
from sources.venue import VenueRest

MOST_INCIDENTS = 100_000
"""Most incidents read of a day; later ones are not."""
MOST_STRAYS = 1_000
"""Most documents of no series that are reported, and repaired at once; also of the ledger."""
MOST_OUTSIDE = 100
"""Most candles of impossible times that are reported, of each symbol and timeframe."""

_FIELDS = ("open_time", "close_time", *CANDLE_VALUES)


class VenueStores:
    """The stored data of a venue; without a `reader` there are no trades. `PyMongoError` when the database does not
    answer; `TradeStoreError` or an exception of rocksdict when the trade store cannot be read.
    """

    def __init__(
        self,
        database: Database[dict[str, Any]],
        reader: TradeReader | None,
        *,
        venue: str,
        begins: TradeBegins | None = None,
        has_unnamed: bool = True,
    ) -> None:
        """`has_unnamed`: documents that name no venue are found as this one's."""
        self._database = database
        self._reader = reader
        self._begins = begins
        self._venue = venue
        self._has_unnamed = has_unnamed

    def symbols(self) -> list[str]:
        """The symbols with stored candles or trades, or with a trade that was to be, in alphabetical order."""
        candles = self._database[MARKET_DATA].distinct("symbol", {"venue": self._venue})
        seen = self._begins.symbols() if self._begins else ()
        return sorted({*_texts(candles), *seen, *(self._reader.symbols() if self._reader else ())})

    def timeframes(self) -> list[str]:
        """The timeframes of the stored candles, as stored."""
        return sorted(_texts(self._database[MARKET_DATA].distinct("timeframe", {"venue": self._venue})))

    def stray_records(self) -> list[UnreadableRecord]:
        """What the trade store holds under keys that are none of a record, of no symbol."""
        stores = self._reader.stores if self._reader else ()
        return [_unreadable(stray) for store in stores for stray in store.strays()]

    def misplaced_records(self, symbol: str, start: int, end: int) -> list[UnreadableRecord]:
        """The records of a symbol that do not begin in `[start, end)`."""
        spans = ((0, start), (end, END_MS))
        return [
            UnreadableRecord(store.path, key, key.decode(), begin, begin, "its trades have a time that cannot be")
            for store in (self._reader.stores if self._reader else ())
            for span in spans
            for begin in store.starts(symbol, *span)
            for key in (encode_key(symbol, begin),)
        ]

    def stray_documents(self) -> list[UnreadableDocument]:
        """The first `MOST_STRAYS` documents of candles without a venue, symbol or timeframe, and as many entries of the
        ledger that cannot be read.
        """
        nameless = [{"venue": {"$not": {"$type": "string"}}}] if self._has_unnamed else []
        own = {"$or": [{"venue": self._venue}, *nameless]}
        unnamed = {"$or": [{name: {"$not": {"$type": "string"}}} for name in ("venue", "symbol", "timeframe")]}
        candles = self._database[MARKET_DATA].find({"$and": [own, unnamed]}).limit(MOST_STRAYS)
        found = [_stray(MARKET_DATA, one, _unnamed(one)) for one in candles]
        entries = self._database[INCIDENTS].find({"$and": [own, {"$or": _OF_NO_INCIDENT}]}).limit(MOST_STRAYS)
        return found + [_stray(INCIDENTS, one, fault) for one in entries if (fault := incident_fault(one))]

    @property
    def has_trades(self) -> bool:
        """Whether there is a trade store at all."""
        return self._reader is not None

    def first_seen(self, symbol: str) -> FirstSeen | None:
        """The first trade that was ever to be stored; None where that is not known."""
        first = self._begins.read(symbol) if self._begins else None
        return None if first is None else FirstSeen(first.id, first.time, first.deleted_until)

    def kept_ms(self, symbol: str, timeframe: str) -> int | None:
        """How long the first stored candle is kept behind its end; None for ever, or without any candle."""
        fields = {"open_time": True, "expires_at": True}
        one = self._database[MARKET_DATA].find_one(self._of(symbol, timeframe), fields, sort=[("open_time", ASCENDING)])
        expires = one.get("expires_at") if one else None
        if one is None or not isinstance(expires, datetime) or not is_count(one["open_time"]):
            return None
        expires_ms = int(expires.replace(tzinfo=expires.tzinfo or UTC).timestamp() * 1_000)
        return expires_ms - int(one["open_time"]) - timeframe_ms(timeframe) + 1

    def is_made_elsewhere(self, symbol: str, timeframe: str, start: int, end: int) -> bool:
        """Whether another symbol has a `final` candle that opens in `[start, end)`."""
        made = {"open_time": {"$gte": start, "$lt": end}, "status": "final"}
        others = (other for other in self.symbols() if other != symbol)
        return any(self._database[MARKET_DATA].find_one({**self._of(one, timeframe), **made}) for one in others)

    def catch_up(self) -> None:
        """Updates the trade reader to the current state of the store."""
        if self._reader:
            self._reader.catch_up()

    def frames(self, symbol: str, start: int, end: int, on_bad: OnBad) -> Iterator[pl.DataFrame]:
        """The trades in `[start, end)`, with every kind of fill; `on_bad` gets the records that cannot be read."""
        if self._reader is not None and start <= END_MS:
            yield from self._reader.iterate(
                symbol,
                start,
                min(end, END_MS),
                every_fill=True,
                every_version=True,
                on_bad=lambda record: on_bad(_unreadable(record)),
            )

    def trade_span(self, symbol: str, start: int, end: int) -> tuple[int, int] | None:
        """Times of the first and the last trade in `[start, end)` that can be read; None without any."""
        if self._reader is None:
            return None
        first = self._reader.first_time(symbol, start, on_bad=leave_out)
        last = self._reader.last_time(symbol, min(end, END_MS), on_bad=leave_out)
        return None if first is None or last is None or first >= end else (first, last)

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
        """The incidents that touch `[start, end)`, without what is none."""
        of = {"venue": self._venue, "symbol": {"$in": [symbol, ""]}, "kind": {"$in": list(READ)}}
        touching = {"begin": {"$lt": end}, "end": {"$gte": start}}
        found = self._database[INCIDENTS].find({**of, **touching}).sort("begin", ASCENDING).limit(MOST_INCIDENTS)
        entries = (document for document in found if not incident_fault(document))
        # What is noted at once is stored at once: a repair is then of a loss beside it.
        in_order = sorted(
            entries, key=lambda one: (int(one["created_at"].timestamp() * 1_000), one["kind"] == "repair")
        )
        return Ledger(incident_of(document) for document in in_order)

    def _of(self, symbol: str, timeframe: str) -> dict[str, Any]:
        return {"venue": self._venue, "symbol": symbol, "timeframe": timeframe}

    def _found(self, symbol: str, timeframe: str, which: Mapping[str, Any], *, most: int = 0) -> list[StoredCandle]:
        fields = {"_id": False, **dict.fromkeys(_FIELDS, True)}
        found = self._database[MARKET_DATA].find({**self._of(symbol, timeframe), **which}, fields)
        documents = found.sort("open_time", ASCENDING).limit(most)
        return [stored_candle(document, self._venue, symbol, timeframe) for document in documents]


def stored_candle(document: Mapping[str, Any], venue: str, symbol: str, timeframe: str) -> StoredCandle:
    """The candle of a document of the collection `market_data`, with any content."""
    named = {**document, "venue": venue, "symbol": symbol, "timeframe": timeframe}
    faults = candle_faults(named)
    if not is_count(document.get("close_time")):
        faults.append(f"close_time {document.get('close_time')!r:.40}")
    bad = {fault.partition(" ")[0] for fault in faults}
    values: dict[str, Any] = {name: 0.0 if name in bad else float(document[name]) for name in (*PRICES, *VOLUMES)}
    values |= {name: 0 if name in bad else int(document[name]) for name in _COUNTS}
    if isinstance(place := document.get("open_time"), float) and isfinite(place):
        values["open_time"] = int(place)  # its period is known all the same
    values |= {name: str(document.get(name)) for name in ("status", "proof")}
    close_time: int = values.pop("close_time")
    candle = Candle(
        venue=venue, symbol=symbol, timeframe=timeframe, is_closed=document.get("is_closed") is True, **values
    )
    return StoredCandle(candle, close_time, ", ".join(faults))


_COUNTS = ("open_time", "close_time", "trades", *IDS, "revision")
_OF_NO_INCIDENT: list[dict[str, Any]] = [
    *({name: {"$not": {"$type": "string"}}} for name in ("kind", "venue", "symbol", "cause", "outcome")),
    *({name: {"$not": {"$type": ["int", "long"]}}} for name in ("begin", "end", *IDS)),
    {"created_at": {"$not": {"$type": "date"}}},
]
"""Any of these makes a document none of the ledger."""


def _texts(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str)]


def _unreadable(record: BadRecord) -> UnreadableRecord:
    return UnreadableRecord(record.path, record.key, record.name, record.start, record.end, record.reason)


def _stray(collection: str, document: Mapping[str, Any], fault: str) -> UnreadableDocument:
    number = document["_id"]
    return UnreadableDocument(collection, number, visible(str(number)), fault, collection == INCIDENTS)


def _unnamed(document: Mapping[str, Any]) -> str:
    """The names that a candle's document lacks."""
    lacking = (name for name in CANDLE_KEY if not isinstance(document.get(name), str) and name != "open_time")
    return ", ".join(f"{name} {document.get(name)!r:.40}" for name in lacking)


class RestVenue:
    """The exchange by its REST side, within its request weight and after more urgent queries."""

    def __init__(self, rest: VenueRest, network: EventLoopThread) -> None:
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
