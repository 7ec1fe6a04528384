"""Candles, statistics and incidents in MongoDB: collections, indexes, and bulk writes that can be repeated.

Every call has a time limit. Only writes that the unique key makes ambiguous are tried again.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import bson
import pymongo
import structlog
from bson.errors import BSONError
from msgspec import Struct, structs
from pymongo import UpdateOne, WriteConcern
from pymongo.database import Database
from pymongo.errors import BulkWriteError

from flows.clock import wall_ms
from flows.model import AccountRecord, Candle, DerivativeRecord, Incident, Stats24h
from flows.model.alerts import Alert
from sinks.mongo.accounts import (
    ACCOUNT_INDEXES,
    account_document,
    account_key,
    account_upsert,
    by_account_collection,
    is_account_stored,
)
from sinks.mongo.alerts import ALERT_HISTORY, ALERT_INDEXES, alert_document, alert_upsert
from sinks.mongo.buffer import Storable
from sinks.mongo.derivatives import (
    RECORD_INDEXES,
    by_collection,
    is_record_stored,
    record_document,
    record_key,
    record_upsert,
)
from sinks.mongo.documents import (
    CANDLE_KEY,
    INCIDENTS,
    INDEXES,
    MARKET_DATA,
    MARKET_STATS,
    DocumentError,
    candle_document,
    candle_of,
    candle_upsert,
    incident_document,
    incident_id,
    incident_upsert,
    is_candle_stored,
    stats_document,
    stats_minute,
    stats_upsert,
)

log = structlog.get_logger(__name__)

ACKNOWLEDGED = WriteConcern(w="majority", j=True)
INDEX_TIMEOUT_S = 60.0
"""Longest time to build the indexes; on a new database it takes none."""
_DUPLICATE_KEY = 11_000
_NO_DOCUMENT = BSONError, ArithmeticError, UnicodeError
_Place: TypeAlias = tuple[str, str, str, int]
"""Venue, symbol, timeframe and open time of a candle."""


class Stored(Struct):
    """Result of a write: how many `closed` candles, `forming` versions, incidents, minutes of `statistics` and
    records of derivatives, accounts and alerts were new to the store, and for how many it has the same or a newer
    version.
    """

    closed: int = 0
    forming: int = 0
    incidents: int = 0
    statistics: int = 0
    already_newer: int = 0
    records: int = 0

    def update(self, other: "Stored", /) -> None:
        """Adds `other`."""
        for field in self.__struct_fields__:
            setattr(self, field, getattr(self, field) + getattr(other, field))


class CandleStore:
    """One database. Every method raises `PyMongoError` when the server is unavailable, refuses, or takes too long."""

    def __init__(
        self,
        database: Database[dict[str, Any]],
        *,
        retention_days: Mapping[str, int],
        kept_for_ever: Container[str] = (),
        history_days: int = 365,
    ) -> None:
        """Candles of the venues in `kept_for_ever` are not deleted, whatever their retention. Totals of accounts are
        kept for `history_days`.
        """
        self._database = database.with_options(write_concern=ACKNOWLEDGED)
        self._days = retention_days
        self._kept_for_ever = kept_for_ever
        self._history_days = history_days

    def _retention_of(self, venue: str) -> Mapping[str, int]:
        return {} if venue in self._kept_for_ever else self._days

    def ensure_indexes(self, *, timeout_s: float) -> None:
        """Creates missing collections and indexes. The server must answer within `timeout_s`; building may take
        `INDEX_TIMEOUT_S`.
        """
        with pymongo.timeout(timeout_s):
            self._database.command("ping")
        with pymongo.timeout(INDEX_TIMEOUT_S):
            for collection, indexes in {**INDEXES, **RECORD_INDEXES, **ACCOUNT_INDEXES, **ALERT_INDEXES}.items():
                self._database[collection].create_indexes(list(indexes))

    def store(self, items: Sequence[Storable], *, timeout_s: float) -> Stored:
        """Writes items, acknowledged by a majority and in the journal; after an error some may be stored, and all can
        be written again. An item that cannot be encoded is left out with an ERROR line, so that it does not block the
        rest.
        """
        with pymongo.timeout(timeout_s):
            try:
                return self._store(items)
            except _NO_DOCUMENT:
                return self._store([item for item in items if self._fits(item)])

    def missing(self, items: Sequence[Storable], *, timeout_s: float) -> tuple[list[Storable], Stored]:
        """The items that are not stored, and the counts of the others, which a write without an answer has stored
        durably, or of which there is a newer version. Items that cannot be encoded are missing.
        """
        with pymongo.timeout(timeout_s):
            fit = [item for item in items if self._fits(item)]
            # What was read may not be in the journal yet; an acknowledged write, even of nothing, waits for that.
            stored = self._those_stored(fit)
            self._database[MARKET_DATA].find_one_and_update({"_id": None}, {"$set": {"_id": None}})
        became, rest = Stored(), []
        for item in items:
            is_same = stored.get(id(item))
            if is_same is None:
                rest.append(item)
            else:
                _count(became, item, is_same=is_same)
        return rest, became

    def _those_stored(self, items: Sequence[Storable]) -> dict[int, bool]:
        """By `id()` of each stored item whether the stored version is the same, and not a newer one."""
        candles = [item for item in items if isinstance(item, Candle)]
        found: dict[int, bool] = {}
        known = self._candles_at(candles)
        for candle in candles:
            stored = known.get(_place(candle))
            if stored is not None and is_candle_stored(candle, stored):
                found[id(candle)] = structs.replace(candle, event_time=0) == stored
        incidents = {incident_id(item): item for item in items if isinstance(item, Incident)}
        if incidents:
            for document in self._database[INCIDENTS].find({"_id": {"$in": list(incidents)}}, {"_id": True}):
                found[id(incidents[document["_id"]])] = True
        for stats in (item for item in items if isinstance(item, Stats24h)):
            of = {"venue": stats.venue, "symbol": stats.symbol, "minute": stats_minute(stats)}
            minute = self._database[MARKET_STATS].find_one({**of, "time": {"$gte": stats.time}}, {"time": True})
            if minute is not None:
                found[id(stats)] = minute["time"] == stats.time
        alerts = {item.id: item for item in items if isinstance(item, Alert)}
        if alerts:
            for document in self._database[ALERT_HISTORY].find({"_id": {"$in": list(alerts)}}, {"_id": True}):
                found[id(alerts[document["_id"]])] = True
        found |= self._records_stored([item for item in items if isinstance(item, DerivativeRecord)])
        return found | self._accounts_stored([item for item in items if isinstance(item, AccountRecord)])

    def _accounts_stored(self, records: Sequence[AccountRecord]) -> dict[int, bool]:
        """The same, of accounts."""
        found: dict[int, bool] = {}
        for collection, of_kind in by_account_collection(records).items():
            for record in of_kind:
                document = self._database[collection].find_one(account_key(record))
                if document and (is_same := is_account_stored(record, document)) is not None:
                    found[id(record)] = is_same
        return found

    def _records_stored(self, records: Sequence[DerivativeRecord]) -> dict[int, bool]:
        """The same, of records of derivatives."""
        found: dict[int, bool] = {}
        for collection, of_kind in by_collection(records).items():
            by_key: dict[tuple[tuple[str, Any], ...], list[DerivativeRecord]] = {}
            for record in of_kind:
                by_key.setdefault(tuple(record_key(record).items()), []).append(record)
            names = [name for name, _ in next(iter(by_key))]
            for document in self._database[collection].find({"$or": [dict(key) for key in by_key]}):
                for record in by_key.get(tuple((name, document.get(name)) for name in names), ()):
                    if (is_same := is_record_stored(record, document)) is not None:
                        found[id(record)] = is_same
        return found

    def _candles_at(self, candles: Iterable[Candle]) -> dict[_Place, Candle]:
        """The stored versions of some candles."""
        times: dict[tuple[str, str, str], list[int]] = {}
        for venue, symbol, timeframe, open_time in map(_place, candles):
            times.setdefault((venue, symbol, timeframe), []).append(open_time)
        if not times:
            return {}
        places = [
            {"venue": venue, "symbol": symbol, "timeframe": timeframe, "open_time": {"$in": open_times}}
            for (venue, symbol, timeframe), open_times in times.items()
        ]
        stored: dict[_Place, Candle] = {}
        for document in self._database[MARKET_DATA].find({"$or": places}):
            with suppress(DocumentError):  # it is not what was written
                candle = candle_of(document)
                stored[_place(candle)] = candle
        return stored

    def replace(self, candle: Candle, *, timeout_s: float) -> None:
        """Puts a candle in the place of a document that cannot be read, whatever versions that claims."""
        key: dict[str, Any] = {name: getattr(candle, name) for name in CANDLE_KEY}
        key["open_time"] = {"$gte": candle.open_time, "$lt": candle.open_time + 1}  # it may be no whole number
        document = candle_document(candle, now_ms=wall_ms(), retention_days=self._retention_of(candle.venue))
        with pymongo.timeout(timeout_s):
            self._database[MARKET_DATA].replace_one(key, document, upsert=True)

    def remove(self, collection: str, where: Mapping[str, Any], *, timeout_s: float) -> int:
        """Removes documents; returns their number."""
        with pymongo.timeout(timeout_s):
            return self._database[collection].delete_many(where).deleted_count

    def _fits(self, item: Storable) -> bool:
        try:
            if isinstance(item, Candle):
                bson.encode(candle_document(item, now_ms=0, retention_days=self._days))
            elif isinstance(item, Stats24h):
                bson.encode(stats_document(item, now_ms=0, retention_days=self._days))
            elif isinstance(item, DerivativeRecord):
                bson.encode(record_document(item, now_ms=0, retention_days=self._days))
            elif isinstance(item, AccountRecord):
                bson.encode(account_document(item, now_ms=0, history_days=self._history_days))
            elif isinstance(item, Alert):
                bson.encode(alert_document(item, now_ms=0))
            else:
                bson.encode(incident_document(item, now_ms=0))
        except _NO_DOCUMENT as error:
            log.error("unencodable_item_dropped", **_named(item, error))  # noqa: TRY400
            return False
        return True

    def _store(self, items: Sequence[Storable]) -> Stored:
        now_ms = wall_ms()
        candles = [item for item in items if isinstance(item, Candle)]
        incidents = [item for item in items if isinstance(item, Incident)]
        statistics = [item for item in items if isinstance(item, Stats24h)]
        upserts = [
            candle_upsert(candle, now_ms=now_ms, retention_days=self._retention_of(candle.venue)) for candle in candles
        ]
        # first what says why: after a kill in between the same candles are written again, and no line lacks
        self._upsert(INCIDENTS, [incident_upsert(incident, now_ms=now_ms) for incident in incidents])
        newer = self._upsert(MARKET_DATA, upserts)
        minutes = [
            stats_upsert(stats, now_ms=now_ms, retention_days=self._retention_of(stats.venue)) for stats in statistics
        ]
        newer_minutes = self._upsert(MARKET_STATS, minutes)
        records, newer_records = self._store_records(items, now_ms)
        closed = sum(1 for place, candle in enumerate(candles) if candle.is_closed and place not in newer)
        forming = len(candles) - len(newer) - closed
        return Stored(
            closed=closed,
            forming=forming,
            incidents=len(incidents),
            statistics=len(statistics) - len(newer_minutes),
            already_newer=len(newer) + len(newer_minutes) + newer_records,
            records=records,
        )

    def _store_records(self, items: Sequence[Storable], now_ms: int) -> tuple[int, int]:
        """How many records of derivatives, accounts and alerts were written, and of how many a newer version is
        stored.
        """
        written = newer = 0
        for collection, records in by_collection(
            [item for item in items if isinstance(item, DerivativeRecord)]
        ).items():
            upserts = [
                record_upsert(one, now_ms=now_ms, retention_days=self._retention_of(one.venue)) for one in records
            ]
            refused = len(self._upsert(collection, upserts))
            written, newer = written + len(records) - refused, newer + refused
        accounts = [item for item in items if isinstance(item, AccountRecord)]
        for collection, of_accounts in by_account_collection(accounts).items():
            upserts = [account_upsert(one, now_ms=now_ms, history_days=self._history_days) for one in of_accounts]
            refused = len(self._upsert(collection, upserts))
            written, newer = written + len(of_accounts) - refused, newer + refused
        alerts = [alert_upsert(item, now_ms=now_ms) for item in items if isinstance(item, Alert)]
        self._upsert(ALERT_HISTORY, alerts)
        return written + len(alerts), newer

    def _upsert(self, collection: str, upserts: list[UpdateOne]) -> set[int]:
        """Returns the indexes of the operations that found a newer version."""
        refused = self._bulk(collection, upserts)
        # Once more: another writer may have inserted the document in between, and that one need not be newer.
        again = self._bulk(collection, [upserts[place] for place in refused])
        return {refused[place] for place in again}

    def _bulk(self, collection: str, upserts: list[UpdateOne]) -> list[int]:
        """One unordered bulk write. Returns the indexes of the operations refused with a duplicate key."""
        if not upserts:
            return []
        try:
            self._database[collection].bulk_write(upserts, ordered=False)
        except BulkWriteError as error:
            refusals = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(r["code"] != _DUPLICATE_KEY for r in refusals):
                raise
            return [refusal["index"] for refusal in refusals]
        return []


def _place(candle: Candle) -> _Place:
    return candle.venue, candle.symbol, candle.timeframe, candle.open_time


def _named(item: Storable, error: Exception) -> dict[str, Any]:
    """What the log says of an item that is no document: of an account neither amounts nor assets."""
    if isinstance(item, AccountRecord):
        return {"item": type(item).__name__, "venue": item.venue, "reason": type(error).__name__}
    return {"item": item, "reason": str(error)}


def _count(stored: Stored, item: Storable, *, is_same: bool) -> None:
    """Counts one item that is stored, itself or in a newer version."""
    if not is_same:
        stored.already_newer += 1
    elif isinstance(item, Candle):
        stored.closed += item.is_closed
        stored.forming += not item.is_closed
    elif isinstance(item, Stats24h):
        stored.statistics += 1
    elif isinstance(item, DerivativeRecord | AccountRecord | Alert):
        stored.records += 1
    else:
        stored.incidents += 1
