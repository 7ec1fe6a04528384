"""Alerts in MongoDB: the rules that were made at the interface, and what has fired.

| collection | one document for each | `_id` | its fields | kept |
|---|---|---|---|---|
| `alerts` | rule | its id | those of `AlertRule`, `created_at` | until it is deleted |
| `alert_history` | alert | the alert's id | `rule kind venue symbol time number alert`, `created_at` | `KEPT_DAYS` |

An alert that is written again changes nothing. Every method raises `PyMongoError` when the server is unavailable,
refuses, or takes too long, and `DocumentError` when a document cannot be read.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast
from uuid import uuid4

import msgspec
from bson.datetime_ms import DatetimeMS
from msgspec import Struct, structs
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database

from flows.clock import wall_ms
from flows.foreign import visible
from flows.model import DAY_MS
from flows.model.alerts import MOST_RULES, Alert, AlertRule, fault_of_rule
from sinks.mongo.commands import date_ms
from sinks.mongo.documents import DocumentError, plain

ALERTS: Final = "alerts"
ALERT_HISTORY: Final = "alert_history"
KEPT_DAYS: Final = 365
"""Days after which what has fired is deleted."""

ALERT_INDEXES: Final[Mapping[str, tuple[IndexModel, ...]]] = {
    ALERT_HISTORY: (
        IndexModel([("rule", ASCENDING), ("created_at", DESCENDING)], name="rule"),
        IndexModel([("created_at", DESCENDING)], name="newest"),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    ),
}
"""The indexes; rules are few."""

_T = TypeVar("_T", bound=Struct)
_TERMS: Final = tuple(name for name in AlertRule.__struct_fields__ if name not in ("id", "is_stored"))


class StoredRule(Struct, frozen=True):
    """A rule, and when it was made."""

    rule: AlertRule
    created_ms: int
    """Wall clock, ms UTC."""


class StoredAlert(Struct, frozen=True):
    """An alert, and when it was stored."""

    alert: Alert
    created_ms: int


# --- what has fired ---


def alert_document(alert: Alert, *, now_ms: int) -> dict[str, Any]:
    """The document of an alert that is stored for the first time at `now_ms` (wall clock)."""
    rule = alert.rule
    return {
        "_id": alert.id,
        "rule": rule.id,
        "kind": rule.kind,
        "venue": alert.venue,
        "symbol": alert.symbol,
        "time": alert.time,
        "number": alert.number,
        "alert": msgspec.to_builtins(alert),
        "created_at": DatetimeMS(now_ms),
        "expires_at": DatetimeMS(now_ms + KEPT_DAYS * DAY_MS),
    }


def alert_upsert(alert: Alert, *, now_ms: int) -> UpdateOne:
    """The write of an alert; a stored one is left unchanged."""
    document = alert_document(alert, now_ms=now_ms)
    return UpdateOne({"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True)


def alert_of(document: Mapping[str, Any]) -> StoredAlert:
    """The alert of a document. `DocumentError` when it is none."""
    return _read(ALERT_HISTORY, document, lambda: StoredAlert(_converted(document["alert"], Alert), _created(document)))


# --- rules ---


def rule_of(document: Mapping[str, Any]) -> StoredRule:
    """The rule of a document. `DocumentError` when it is none."""
    return _read(ALERTS, document, lambda: StoredRule(_rule_of(document), _created(document)))


def _rule_of(document: Mapping[str, Any]) -> AlertRule:
    terms = {name: document[name] for name in _TERMS if name in document}
    rule = _converted({"id": document["_id"], "is_stored": True, **terms}, AlertRule)
    if fault := fault_of_rule(rule):
        raise ValueError(fault)
    return rule


def read_rules(database: Database[dict[str, Any]], unreadable: Callable[[str], None]) -> list[StoredRule]:
    """All rules, the oldest first; of more than `MOST_RULES` those alone. What cannot be read is left out, and
    `unreadable` is called with the reason.
    """
    rules = []
    for document in database[ALERTS].find().sort([("created_at", ASCENDING), ("_id", ASCENDING)]).limit(MOST_RULES):
        try:
            rules.append(rule_of(document))
        except DocumentError as error:
            unreadable(str(error))
    return rules


class AlertClient:
    """The API's side: makes and deletes rules, and reads what has fired."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._rules = database[ALERTS]
        self._history = database[ALERT_HISTORY]

    async def rules(self) -> list[StoredRule]:
        """All rules, the oldest first; of more than `MOST_RULES` those alone."""
        found = self._rules.find().sort([("created_at", ASCENDING), ("_id", ASCENDING)]).limit(MOST_RULES)
        return [rule_of(document) async for document in found]

    async def count(self) -> int:
        """Number of rules."""
        return await self._rules.count_documents({})

    async def add(self, rule: AlertRule) -> StoredRule:
        """Stores a rule under an id of its own, and returns it; one with the same terms is returned as it is."""
        terms = {name: value for name, value in structs.asdict(rule).items() if name in _TERMS}
        new = {"_id": uuid4().hex, "created_at": DatetimeMS(wall_ms())}
        document = await self._rules.find_one_and_update(
            terms, {"$setOnInsert": new}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return rule_of(cast("dict[str, Any]", document))  # an upsert always leaves one

    async def remove(self, rule_id: str) -> StoredRule | None:
        """Deletes a rule, and returns it; None when there is none."""
        document = await self._rules.find_one_and_delete({"_id": rule_id})
        return None if document is None else rule_of(document)

    async def last_of_each(self) -> dict[str, StoredAlert]:
        """The newest alert by rule."""
        pipeline: list[Mapping[str, Any]] = [
            {"$sort": {"rule": 1, "created_at": -1}},
            {"$group": {"_id": "$rule", "newest": {"$first": "$$ROOT"}}},
        ]
        cursor = await self._history.aggregate(pipeline)
        return {str(found["_id"]): alert_of(found["newest"]) async for found in cursor}

    async def history(
        self, where: Mapping[str, str], *, start_ms: int, end_ms: int | None, count: int
    ) -> list[StoredAlert]:
        """The newest `count` alerts that were stored in `[start_ms, end_ms)` (wall clock), newest first. `where` are
        values of fields of the document.
        """
        span = {"$gte": DatetimeMS(start_ms)} | ({} if end_ms is None else {"$lt": DatetimeMS(end_ms)})
        order = [("created_at", DESCENDING), ("_id", DESCENDING)]
        found = self._history.find({**where, "created_at": span}).sort(order).limit(count)
        return [alert_of(document) async for document in found]


def _created(document: Mapping[str, Any]) -> int:
    return date_ms(document["created_at"])


def _converted(value: Any, kind: type[_T]) -> _T:
    return msgspec.convert(_plain(value), kind)


def _plain(value: Any) -> Any:
    """Without the driver's own type of long integers, however deep."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return plain(value)


def _read(collection: str, document: Mapping[str, Any], read: Callable[[], _T]) -> _T:
    try:
        return read()
    except (KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        name, fault = visible(str(document.get("_id"))), visible(f"{type(error).__name__} {error}")
        raise DocumentError(f"the document {name} of {collection} cannot be read, {fault}: remove it") from error
