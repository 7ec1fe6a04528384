"""The documents of what derivatives have: mark prices, settled funding, open interest, liquidations.

| collection | one document for each | unique key | kept as long as candles of |
|---|---|---|---|
| `mark_prices` | instrument and minute, the newest price of it | venue, symbol, minute | 1m |
| `funding_rates` | settled payment | venue, symbol, time | 1d |
| `open_interest` | value | venue, symbol, time | 5m |
| `liquidations` | liquidation | venue, symbol, time, side, price, quantity | 1h |

Writing one again changes nothing but `updated_at`; an older mark price of a minute does not replace a newer one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar, get_args

import msgspec
from bson.datetime_ms import DatetimeMS
from msgspec import Struct, structs
from pymongo import ASCENDING, IndexModel, UpdateOne

from flows.foreign import visible
from flows.model import DAY_MS, DerivativeRecord, Funding, Liquidation, MarkPrice, OpenInterest
from sinks.mongo.documents import MINUTE_MS, DocumentError

MARK_PRICES: Final = "mark_prices"
FUNDING_RATES: Final = "funding_rates"
OPEN_INTEREST: Final = "open_interest"
LIQUIDATIONS: Final = "liquidations"
RECORD_TYPES: Final[tuple[type, ...]] = get_args(DerivativeRecord)

Record = TypeVar("Record", bound=Struct)


class Kind(Struct, frozen=True):
    """How one type of records is stored."""

    collection: str
    key: tuple[str, ...]
    """Fields of the document that tell one from every other."""
    time: str
    """The field by whose time it is kept, and found."""
    kept_as: str
    """It is kept as long as candles of this timeframe."""

    @property
    def indexes(self) -> tuple[IndexModel, ...]:
        """The unique key, and the end of each document."""
        return (
            IndexModel([(name, ASCENDING) for name in self.key], name="key", unique=True),
            IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
        )


KINDS: Final[Mapping[type, Kind]] = {
    MarkPrice: Kind(MARK_PRICES, ("venue", "symbol", "minute"), "event_time", "1m"),
    Funding: Kind(FUNDING_RATES, ("venue", "symbol", "time"), "time", "1d"),
    OpenInterest: Kind(OPEN_INTEREST, ("venue", "symbol", "time"), "time", "5m"),
    Liquidation: Kind(LIQUIDATIONS, ("venue", "symbol", "time", "side", "price", "quantity"), "time", "1h"),
}
RECORD_INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {kind.collection: kind.indexes for kind in KINDS.values()}


def record_document(record: DerivativeRecord, *, now_ms: int, retention_days: Mapping[str, int]) -> dict[str, Any]:
    """The document of a record that is stored at `now_ms` (wall clock). An empty mapping keeps everything."""
    kind = KINDS[type(record)]
    document = structs.asdict(record)
    if isinstance(record, MarkPrice):
        document["minute"] = record.event_time - record.event_time % MINUTE_MS
    days = retention_days.get(kind.kept_as)
    document["updated_at"] = DatetimeMS(now_ms)
    document["expires_at"] = None if days is None else DatetimeMS(document[kind.time] + days * DAY_MS)
    return document


def record_key(record: DerivativeRecord) -> dict[str, Any]:
    """What tells its document from every other."""
    document = record_document(record, now_ms=0, retention_days={})
    return {name: document[name] for name in KINDS[type(record)].key}


def record_upsert(record: DerivativeRecord, *, now_ms: int, retention_days: Mapping[str, int]) -> UpdateOne:
    """The write of a record. Where a newer mark price of the minute is stored, the unique key refuses it."""
    document = record_document(record, now_ms=now_ms, retention_days=retention_days)
    where: dict[str, Any] = {name: document.pop(name) for name in KINDS[type(record)].key}
    if isinstance(record, MarkPrice):
        where["event_time"] = {"$lte": record.event_time}
    return UpdateOne(where, {"$set": document}, upsert=True)


def is_record_stored(record: DerivativeRecord, document: Mapping[str, Any]) -> bool | None:
    """Whether a document of the record's key is the record; None when it is an older one. False: a newer one."""
    if not isinstance(record, MarkPrice):
        return True
    stored = document.get("event_time")
    return None if not isinstance(stored, int) or stored < record.event_time else stored == record.event_time


def record_of(document: Mapping[str, Any], record: type[Record]) -> Record:
    """The record of a document. `DocumentError` when it is none."""
    values = {name: _plain(document[name]) for name in record.__struct_fields__ if name in document}
    try:
        return msgspec.convert(values, record)
    except msgspec.ValidationError as error:
        kind = KINDS[record]
        name = " ".join(visible(str(document.get(field)), limit=_LONGEST_NAME) for field in kind.key)
        raise DocumentError(
            f"the document {name} of {kind.collection} cannot be read: {visible(str(error))}"
        ) from error


_LONGEST_NAME = 40


def _plain(value: Any) -> Any:
    """Without the driver's type of long integers."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def by_collection(records: Sequence[DerivativeRecord]) -> dict[str, list[DerivativeRecord]]:
    """The records of each collection, in their order."""
    found: dict[str, list[DerivativeRecord]] = {}
    for record in records:
        found.setdefault(KINDS[type(record)].collection, []).append(record)
    return found
