"""The documents of accounts: the newest balances, positions and states, and totals over time.

| collection | one document for each | unique key | kept |
|---|---|---|---|
| `account` | balance, position, state: the newest version | venue, account, kind, name | ever; of nothing `EMPTY_MS` |
| `account_history` | account, quote and minute | venue, account, quote, time | `accounts.history_days` |

Amounts and prices are Decimal128, as exact as the venue reports them. An older version does not replace a newer one: of
a balance or position by its time of the venue; of a state, which the flow has by itself, by the time of writing.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
from bson import CodecOptions, Decimal128
from bson.codec_options import TypeDecoder, TypeRegistry
from bson.datetime_ms import DatetimeMS
from msgspec import structs
from pymongo import ASCENDING, IndexModel, UpdateOne

from flows.foreign import visible
from flows.model import DAY_MS, AccountItem, AccountRecord, AccountState, AccountTotal, Balance, Position
from sinks.mongo.documents import DocumentError, plain

ACCOUNT: Final = "account"
ACCOUNT_HISTORY: Final = "account_history"
EMPTY_MS: Final = DAY_MS
"""How long a document of a balance or position of nothing is kept, so that an older version cannot come back."""

_KIND_OF: Final[Mapping[type, str]] = {Balance: "balance", Position: "position", AccountState: "state"}
_TYPES: Final[Mapping[str, type[AccountItem]]] = {"balance": Balance, "position": Position, "state": AccountState}
_KEYS: Final = {ACCOUNT: ("venue", "account", "kind", "name"), ACCOUNT_HISTORY: ("venue", "account", "quote", "time")}
ACCOUNT_INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {
    collection: (
        IndexModel([(name, ASCENDING) for name in key], name="key", unique=True),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    )
    for collection, key in _KEYS.items()
}
"""The indexes of each collection."""


class _Doubles(TypeDecoder):
    """Reads decimal numbers as doubles, for research."""

    bson_type = Decimal128

    def transform_bson(self, value: Decimal128) -> float:
        return float(value.to_decimal())


AS_DOUBLES: Final[CodecOptions[Mapping[str, Any]]] = CodecOptions(type_registry=TypeRegistry([_Doubles()]))
"""For readers that want no decimal numbers."""


def account_collection(record: AccountRecord) -> str:
    """The collection of a record."""
    return ACCOUNT_HISTORY if isinstance(record, AccountTotal) else ACCOUNT


def account_document(record: AccountRecord, *, now_ms: int, history_days: int) -> dict[str, Any]:
    """The document of a record that is stored at `now_ms` (wall clock)."""
    document = {name: _stored(value) for name, value in structs.asdict(record).items()}
    document["updated_at"] = DatetimeMS(now_ms)
    if isinstance(record, AccountTotal):
        document["expires_at"] = DatetimeMS(record.time + history_days * DAY_MS)
        return document
    document["kind"], document["name"] = _KIND_OF[type(record)], " ".join(record.key[2:])
    document["expires_at"] = DatetimeMS(now_ms + EMPTY_MS) if _is_nothing(record) else None
    return document


def account_key(record: AccountRecord) -> dict[str, Any]:
    """What tells its document from every other."""
    document = account_document(record, now_ms=0, history_days=0)
    return {name: document[name] for name in _KEYS[account_collection(record)]}


def account_upsert(record: AccountRecord, *, now_ms: int, history_days: int) -> UpdateOne:
    """The write of a record. Where a newer version is stored, the unique key refuses it."""
    document = account_document(record, now_ms=now_ms, history_days=history_days)
    where: dict[str, Any] = {name: document.pop(name) for name in _KEYS[account_collection(record)]}
    if isinstance(record, AccountState):
        where["updated_at"] = {"$lte": DatetimeMS(now_ms)}
    elif not isinstance(record, AccountTotal):
        where["event_time"] = {"$lte": record.event_time}
    return UpdateOne(where, {"$set": document}, upsert=True)


def is_account_stored(record: AccountRecord, document: Mapping[str, Any]) -> bool | None:
    """Whether a document of the record's key is the record; None when it is an older version. False: a newer one."""
    if isinstance(record, Balance | Position) and int(document.get("event_time", 0)) > record.event_time:
        return False
    written = account_document(record, now_ms=0, history_days=0)
    values = (name for name in written if name not in ("updated_at", "expires_at"))
    return True if all(document.get(name) == written[name] for name in values) else None


def by_account_collection(records: Sequence[AccountRecord]) -> dict[str, list[AccountRecord]]:
    """The records of each collection, in their order."""
    found: dict[str, list[AccountRecord]] = {}
    for record in records:
        found.setdefault(account_collection(record), []).append(record)
    return found


def account_item_of(document: Mapping[str, Any]) -> AccountItem:
    """The balance, position or state of a document. `DocumentError` when it is none."""
    kind = _TYPES.get(str(document.get("kind")))
    if kind is None:
        raise DocumentError(f"a document of {ACCOUNT} cannot be read: its kind is {visible(str(document.get('kind')))}")
    item: AccountItem = _read(document, kind, ACCOUNT)
    return item


def account_total_of(document: Mapping[str, Any]) -> AccountTotal:
    """The total of a document. `DocumentError` when it is none."""
    total: AccountTotal = _read(document, AccountTotal, ACCOUNT_HISTORY)
    return total


def _read(document: Mapping[str, Any], kind: Any, collection: str) -> Any:
    values = {name: _plain(document[name]) for name in kind.__struct_fields__ if name in document}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise DocumentError(f"a document of {collection} cannot be read: {visible(str(error))}") from error


def _is_nothing(record: AccountItem) -> bool:
    match record:
        case Balance():
            return not record.total
        case Position():
            return not record.quantity
        case AccountState():
            return False


def _stored(value: Any) -> Any:
    return Decimal128(value) if isinstance(value, Decimal) else value


def _plain(value: Any) -> Any:
    return value.to_decimal() if isinstance(value, Decimal128) else plain(value)
