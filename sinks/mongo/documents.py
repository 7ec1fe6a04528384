"""The documents of the MongoDB store: candles, statistics and incidents, and their upserts.

Collection `market_data` holds one document for each candle, `market_stats` one for each instrument and minute,
`incidents` one for each incident. Times of the market are integers, ms UTC; `created_at`, `updated_at` and `expires_at`
are BSON dates, as MongoDB's TTL needs them. Writing anything again changes nothing but `updated_at`.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache, lru_cache
from hashlib import blake2b
from math import isfinite, isnan
from typing import Any

import msgspec
from bson import Int64
from bson.datetime_ms import DatetimeMS
from msgspec import structs
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from flows.foreign import visible
from flows.model import DAY_MS, IDS, MAY_BE_UNSTATED, PRICES, VOLUMES, Candle, Incident, Stats24h, timeframe_ms

MARKET_DATA = "market_data"
MARKET_STATS = "market_stats"
INCIDENTS = "incidents"
MINUTE_MS = 60_000

INDEXES: Mapping[str, tuple[IndexModel, ...]] = {
    MARKET_DATA: (
        IndexModel(
            [("venue", ASCENDING), ("symbol", ASCENDING), ("timeframe", ASCENDING), ("open_time", ASCENDING)],
            name="candle",
            unique=True,
        ),
        IndexModel([("symbol", ASCENDING), ("timeframe", ASCENDING), ("open_time", DESCENDING)], name="newest"),
        IndexModel(
            [("symbol", ASCENDING), ("timeframe", ASCENDING), ("open_time", ASCENDING), ("close_time", ASCENDING)],
            name="span",
        ),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    ),
    MARKET_STATS: (
        IndexModel([("venue", ASCENDING), ("symbol", ASCENDING), ("minute", DESCENDING)], name="minute", unique=True),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    ),
    INCIDENTS: (
        IndexModel([("venue", ASCENDING), ("symbol", ASCENDING), ("begin", ASCENDING)], name="place"),
        IndexModel([("kind", ASCENDING)], name="kind"),
    ),
}
"""The indexes of each collection."""

CANDLE_KEY = "venue", "symbol", "timeframe", "open_time"
"""The unique key of a candle."""
_NOT_VALUES = {*CANDLE_KEY, "event_time"}
CANDLE_VALUES = tuple(name for name in Candle.__struct_fields__ if name not in _NOT_VALUES)
"""The other stored fields of a candle, beside its `close_time`."""

_length_ms = cache(timeframe_ms)
_date = lru_cache(maxsize=1_024)(DatetimeMS)  # few are different: candles close together


def candle_document(candle: Candle, *, now_ms: int, retention_days: Mapping[str, int]) -> dict[str, Any]:
    """The whole document of a candle that is stored for the first time at `now_ms` (wall clock).

    `retention_days` gives by timeframe how long it is kept, counted from its own close; other timeframes are kept for
    ever, with `expires_at` null. An empty mapping keeps everything.
    """
    values = _values(candle, now_ms=now_ms, retention_days=retention_days)
    return {**_key(candle), **values, "created_at": _date(now_ms)}


def candle_upsert(candle: Candle, *, now_ms: int, retention_days: Mapping[str, int]) -> UpdateOne:
    """The write of one version of a candle. Versions may come in any order and any number of times: a closed one
    replaces a forming one (whose revision is 0), a lower revision, and, with a proof, its own revision without one; a
    forming one only replaces a forming one with no later trade.

    Where the stored version is newer, the filter does not match, MongoDB tries to insert, and the unique key refuses
    that: this duplicate key error means `already newer`. Two writers that store a candle for the first time at the same
    moment can get the same error; the write is then repeated once to distinguish the two cases.
    """
    older = _key(candle)
    if candle.proof:
        older["$or"] = [{"revision": {"$lt": candle.revision}}, {"revision": candle.revision, "proof": ""}]
    elif candle.revision:
        older["revision"] = {"$lt": candle.revision}
    else:
        older["is_closed"] = False
        if not candle.is_closed:
            older["last_id"] = {"$lte": candle.last_id}
    values = _values(candle, now_ms=now_ms, retention_days=retention_days)
    return UpdateOne(older, {"$set": values, "$setOnInsert": {"created_at": _date(now_ms)}}, upsert=True)


def is_candle_stored(candle: Candle, stored: Candle) -> bool:
    """Whether a stored version is the same except for its `event_time`, or `candle_upsert` leaves it unchanged."""
    if structs.replace(candle, event_time=0) == structs.replace(stored, event_time=0):
        return True
    if candle.proof:
        return stored.revision > candle.revision or (stored.revision == candle.revision and bool(stored.proof))
    if candle.revision:
        return stored.revision >= candle.revision
    return stored.is_closed or not (candle.is_closed or stored.last_id <= candle.last_id)


def _key(candle: Candle) -> dict[str, Any]:
    return {name: getattr(candle, name) for name in CANDLE_KEY}


def _values(candle: Candle, *, now_ms: int, retention_days: Mapping[str, int]) -> dict[str, Any]:
    end_ms = candle.open_time + _length_ms(candle.timeframe)
    days = retention_days.get(candle.timeframe)
    values = structs.asdict(candle)
    for name in _NOT_VALUES:
        del values[name]
    values["close_time"] = end_ms - 1
    values["updated_at"] = _date(now_ms)
    values["expires_at"] = None if days is None else _date(end_ms - 1 + days * DAY_MS)
    return values


class DocumentError(ValueError):
    """A stored document is not what its collection holds; the text names it, its fault, and what to do."""


def candle_of(document: Mapping[str, Any]) -> Candle:
    """The candle of a document. `event_time` is not stored and comes back as 0. `DocumentError` when it is none."""
    if faults := candle_faults(document):
        name = " ".join(visible(str(document.get(field)), limit=_LONGEST_NAME) for field in CANDLE_KEY)
        raise DocumentError(f"the stored candle {name} cannot be read, {faults[0]}: {REPLACES}")
    values = {field: document[field] for field in _STORED_FIELDS}
    for field in _COUNTS:  # the driver gives long ones in a type of its own, which msgspec refuses
        values[field] = int(values[field])
    for field in _NUMBERS:
        values[field] = float(values[field])
    return Candle(**values)


def candle_faults(document: Mapping[str, Any]) -> list[str]:
    """The fields of a document that cannot be those of a candle, each with its value; none when all can."""
    get = document.get
    faults = [name for name in _STATED if not _is_number(get(name))]
    is_venues_own = get("status") == "venue"
    faults += [
        name for name in MAY_BE_UNSTATED if not (_is_number(value := get(name)) or (is_venues_own and _is_nan(value)))
    ]
    faults += [name for name in _COUNTS if not is_count(get(name))]
    faults += [name for name in _WORDS if not isinstance(get(name), str)]
    if not isinstance(get("is_closed"), bool):
        faults.append("is_closed")
    return [f"{name} {get(name)!r:.40}" for name in faults]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)


def is_count(value: Any) -> bool:
    """Whether a value of a document is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


REPLACES = "marketflow verify --repair --against rest replaces it"
_LONGEST_NAME = 40
_STORED_FIELDS = tuple(field for field in Candle.__struct_fields__ if field != "event_time")
_NUMBERS = (*PRICES, *VOLUMES)
_STATED = tuple(name for name in _NUMBERS if name not in MAY_BE_UNSTATED)
_COUNTS = ("open_time", "trades", *IDS, "revision")
_WORDS = ("venue", "symbol", "timeframe", "status", "proof")


def stats_document(stats: Stats24h, *, now_ms: int, retention_days: Mapping[str, int]) -> dict[str, Any]:
    """The document of an instrument's statistics; `minute` is the begin of the minute in which they were made. They are
    kept as long as 1m candles.
    """
    days = retention_days.get("1m")
    return {
        **msgspec.structs.asdict(stats),
        "minute": stats_minute(stats),
        "updated_at": _date(now_ms),
        "expires_at": None if days is None else _date(stats.time + days * DAY_MS),
    }


def stats_upsert(stats: Stats24h, *, now_ms: int, retention_days: Mapping[str, int]) -> UpdateOne:
    """The write of statistics; the newest of a minute are kept. Where the stored ones are newer, the unique key refuses
    the write, as with candles.
    """
    document = stats_document(stats, now_ms=now_ms, retention_days=retention_days)
    older = {name: document.pop(name) for name in ("venue", "symbol", "minute")}
    return UpdateOne({**older, "time": {"$lte": stats.time}}, {"$set": document}, upsert=True)


def stats_minute(stats: Stats24h) -> int:
    """Begin of the minute in which statistics were made, ms UTC."""
    return stats.time - stats.time % MINUTE_MS


def incident_document(incident: Incident, *, now_ms: int) -> dict[str, Any]:
    """The document of an incident. Its `_id` is derived from all its fields, so the same incident always has the same
    `_id`.
    """
    return {
        "_id": incident_id(incident),
        **msgspec.structs.asdict(incident),
        "created_at": _date(now_ms),
    }


def incident_id(incident: Incident) -> str:
    """The `_id` of an incident's document."""
    digest = blake2b(msgspec.msgpack.encode(incident), digest_size=8).hexdigest()
    return f"{incident.kind}:{incident.venue}:{incident.symbol}:{incident.begin}:{digest}"


def incident_of(document: Mapping[str, Any]) -> Incident:
    """The incident of a document. `DocumentError` when it is none."""
    if fault := incident_fault(document):
        name = visible(str(document.get("_id")))
        raise DocumentError(f"the entry {name} of the ledger cannot be read, {fault}: {REMOVES}")
    return Incident(**{field: plain(document[field]) for field in Incident.__struct_fields__})


def incident_fault(document: Mapping[str, Any]) -> str:
    """The first field of a document that cannot be that of an incident, with its value; empty when all can."""
    counts = ("begin", "end", "first_id", "last_id")
    for name in Incident.__struct_fields__:
        value = document.get(name)
        if not (is_count(value) if name in counts else isinstance(value, str)):
            return f"{name} {value!r:.40}"
    return "" if isinstance(document.get("created_at"), datetime) else f"created_at {document.get('created_at')!r:.40}"


REMOVES = "marketflow verify --repair removes it"


def plain(value: Any) -> Any:
    """A value of a document without the driver's own type of long integers, which msgspec cannot encode."""
    return int(value) if isinstance(value, Int64) else value


def incident_upsert(incident: Incident, *, now_ms: int) -> UpdateOne:
    """The write of an incident; a stored one is left unchanged."""
    document = incident_document(incident, now_ms=now_ms)
    return UpdateOne({"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True)
