"""Commands of the API to the flow, through MongoDB: desired subscriptions, and one-off work.

| collection | one document | its fields | written by |
|---|---|---|---|
| `subscriptions` | a symbol | `venue symbol streams wanted updated_at` | the API; the flow, for its settings |
| `requests` | a piece of work | those of `Work`, `state report created_at updated_at expires_at` | both |
| `capabilities` | what is proven of a venue's data | `venue capabilities updated_at` | the flow |
| `instruments` | an instrument of a venue, by its name | those of `ListedInstrument`, `updated_at` | the flow |

A request is `open` until the flow takes it (`running`), and ends as `done` or `failed` with a report for the user; one
that was running when a flow ended is open again. It expires an hour after its last change. Submitting the same work
while it is open or running returns the same request.
Every method raises `PyMongoError` when the server is unavailable, refuses, or takes too long.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar, cast
from uuid import uuid4

import msgspec
import structlog
from bson.datetime_ms import DatetimeMS
from msgspec import Struct
from pymongo import ASCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database

from flows.clock import wall_ms
from flows.foreign import visible
from flows.model import Capability, ListedInstrument
from sinks.mongo.documents import DocumentError, plain

SUBSCRIPTIONS = "subscriptions"
REQUESTS = "requests"
INSTRUMENTS = "instruments"
CAPABILITIES = "capabilities"
KEPT_MS = 3_600_000
"""Time after its last change at which a request expires."""
SEARCHED = 1_000
"""Most open requests that are searched for one to take."""

MOST_NAMED = 100
"""Documents that cannot be read, of which it is remembered that they were named."""

T = TypeVar("T")
log = structlog.get_logger(__name__)

INDEXES: Mapping[str, tuple[IndexModel, ...]] = {
    REQUESTS: (
        IndexModel([("state", ASCENDING), ("created_at", ASCENDING)], name="queue"),
        IndexModel([("venue", ASCENDING), ("symbol", ASCENDING), ("kind", ASCENDING)], name="same"),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    ),
}
"""The indexes of the collections; the other two are queried by `_id`."""

RequestKind: TypeAlias = Literal["refresh", "history", "republish"]
KINDS: tuple[RequestKind, ...] = ("refresh", "history", "republish")
RequestState: TypeAlias = Literal["open", "running", "done", "failed"]
UNDER_WAY: tuple[RequestState, ...] = ("open", "running")


class DesiredSubscription(Struct, frozen=True):
    """Whether a symbol is wanted. No `streams` means those of the setting `feed.streams`."""

    venue: str
    symbol: str
    wanted: bool
    streams: tuple[str, ...] = ()


class VenueCapabilities(Struct, frozen=True):
    """What is proven of each kind of a venue's data."""

    venue: str
    capabilities: list[Capability]


class Work(Struct, frozen=True):
    """A one-off task. `refresh`: fetch the symbol's recent candles again, of all timeframes unless one is named.
    `history`: fetch the candles that open in `[start, end)`, ms UTC; without `end` until now, without `start` the
    newest thousand before `end`, and without both as many as at a start. `republish`: publish the stored candles that
    open in `[start, end)` to the clients, after another process has changed them.
    """

    kind: RequestKind
    venue: str
    symbol: str
    timeframe: str | None = None
    start: int | None = None
    end: int | None = None


class Request(Struct, frozen=True):
    """A piece of work and its state. `report` is a text for the user."""

    id: str
    work: Work
    state: RequestState
    report: str
    created_ms: int
    """Wall clock, ms UTC."""
    updated_ms: int


def request_of(document: Mapping[str, Any]) -> Request:
    """The request of a document. `DocumentError` when it is none."""
    try:
        return Request(
            document["_id"],
            msgspec.convert({field: plain(document[field]) for field in Work.__struct_fields__}, Work),
            msgspec.convert(document["state"], RequestState),
            msgspec.convert(document["report"], str),
            date_ms(document["created_at"]),
            date_ms(document["updated_at"]),
        )
    except _NONE_OF_ITS_KIND as error:
        raise _unreadable(REQUESTS, document, error) from error


_NONE_OF_ITS_KIND = (KeyError, TypeError, ValueError, msgspec.ValidationError)


def _unreadable(collection: str, document: Mapping[str, Any], error: Exception) -> DocumentError:
    name = visible(str(document.get("_id")))
    fault = visible(f"{type(error).__name__} {error}")
    return DocumentError(f"the document {name} of the collection {collection} cannot be read, {fault}: remove it")


def date_ms(date: datetime) -> int:
    """A BSON date as it is read back, in ms UTC."""
    return int(DatetimeMS(date))


def _stamps(now_ms: int) -> dict[str, Any]:
    return {"updated_at": DatetimeMS(now_ms), "expires_at": DatetimeMS(now_ms + KEPT_MS)}


def _match_and_insert(work: Work) -> tuple[dict[str, Any], dict[str, Any]]:
    """The filter that finds a request for the same work, and the other fields of a new one."""
    now_ms = wall_ms()
    same = {**msgspec.structs.asdict(work), "state": {"$in": list(UNDER_WAY)}}
    new = {"_id": uuid4().hex, "state": "open", "report": "", "created_at": DatetimeMS(now_ms), **_stamps(now_ms)}
    return same, new


def leave_request(database: Database[dict[str, Any]], work: Work) -> None:
    """Submits work without waiting for it, for a command that ends before. An open request for the same work is reused;
    a running one is not, as it may have read the data before the change.
    """
    same, new = _match_and_insert(work)
    database[REQUESTS].update_one({**same, "state": "open"}, {"$setOnInsert": new}, upsert=True)


def _subscription_of(document: Mapping[str, Any]) -> DesiredSubscription:
    try:
        named = {field: document[field] for field in DesiredSubscription.__struct_fields__ if field in document}
        return msgspec.convert(named, DesiredSubscription)
    except _NONE_OF_ITS_KIND as error:
        raise _unreadable(SUBSCRIPTIONS, document, error) from error


def _instrument_of(document: Mapping[str, Any]) -> ListedInstrument:
    try:
        return msgspec.convert(
            {field: document[field] for field in ListedInstrument.__struct_fields__ if field in document},
            ListedInstrument,
        )
    except _NONE_OF_ITS_KIND as error:
        raise _unreadable(INSTRUMENTS, document, error) from error


def _capabilities_of(document: Mapping[str, Any]) -> VenueCapabilities:
    try:
        return msgspec.convert(
            {field: document[field] for field in VenueCapabilities.__struct_fields__}, VenueCapabilities
        )
    except _NONE_OF_ITS_KIND as error:
        raise _unreadable(CAPABILITIES, document, error) from error


class CommandClient:
    """The API's side: submits commands and reads their state. `DocumentError` when a document cannot be read."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]
        self._requests = database[REQUESTS]
        self._instruments = database[INSTRUMENTS]
        self._capabilities = database[CAPABILITIES]

    async def ensure_indexes(self) -> None:
        """Creates missing indexes."""
        await self._requests.create_indexes(list(INDEXES[REQUESTS]))

    async def set_subscription(self, subscription: DesiredSubscription) -> None:
        """Stores whether a symbol is wanted; the last call counts."""
        values = {**msgspec.structs.asdict(subscription), "updated_at": DatetimeMS(wall_ms())}
        await self._subscriptions.update_one(
            {"_id": f"{subscription.venue}:{subscription.symbol}"}, {"$set": values}, upsert=True
        )

    async def subscriptions(self, venue: str) -> list[DesiredSubscription]:
        """All stored subscriptions of a venue, symbols in alphabetical order."""
        return [
            _subscription_of(document) async for document in self._subscriptions.find({"venue": venue}).sort("symbol")
        ]

    async def submit(self, work: Work) -> Request:
        """Submits work; returns the open or running request for the same work if there is one."""
        same, new = _match_and_insert(work)
        document = await self._requests.find_one_and_update(
            same, {"$setOnInsert": new}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return request_of(cast("dict[str, Any]", document))  # an upsert always leaves one

    async def request(self, request_id: str) -> Request | None:
        """A request by its id; None when there is none, or it has expired."""
        document = await self._requests.find_one({"_id": request_id})
        return None if document is None else request_of(document)

    async def last_of(self, work: Work) -> Request | None:
        """The newest request for a piece of work."""
        document = await self._requests.find_one(msgspec.structs.asdict(work), sort=[("created_at", -1)])
        return None if document is None else request_of(document)

    async def instruments(self, venue: str) -> list[ListedInstrument]:
        """The venue's instruments as the flow last published them, in alphabetical order; empty before that."""
        found = self._instruments.find({"venue": venue}).sort("symbol")
        return [_instrument_of(document) async for document in found]

    async def capabilities(self) -> list[VenueCapabilities]:
        """What is proven of the data of each venue that a flow has followed, venues in alphabetical order."""
        return [_capabilities_of(document) async for document in self._capabilities.find().sort("venue")]


class CommandConsumer:
    """The flow's side: reads desired subscriptions, takes work and reports its result. What cannot be read is named
    once with an ERROR, and left out: the others are served.
    """

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._named: deque[str] = deque(maxlen=MOST_NAMED)
        self._subscriptions = database[SUBSCRIPTIONS]
        self._requests = database[REQUESTS]
        self._instruments = database[INSTRUMENTS]
        self._capabilities = database[CAPABILITIES]

    def ensure_indexes(self) -> None:
        """Creates missing indexes."""
        self._requests.create_indexes(list(INDEXES[REQUESTS]))

    def subscriptions(self, venue: str) -> list[DesiredSubscription]:
        """All stored subscriptions of a venue, symbols in alphabetical order."""
        return self._readable(_subscription_of, self._subscriptions.find({"venue": venue}).sort("symbol"))

    def _readable(self, of: Callable[[Mapping[str, Any]], T], documents: Iterable[Mapping[str, Any]]) -> list[T]:
        found: list[T] = []
        for document in documents:
            try:
                found.append(of(document))
            except DocumentError as error:
                if (reason := str(error)) not in self._named:
                    self._named.append(reason)
                    log.error("document_unreadable", reason=reason)  # noqa: TRY400
        return found

    def propose(self, subscriptions: Iterable[DesiredSubscription]) -> None:
        """Stores subscriptions for symbols that have none yet."""
        now = DatetimeMS(wall_ms())
        inserts = [
            UpdateOne(
                {"_id": f"{subscription.venue}:{subscription.symbol}"},
                {"$setOnInsert": {**msgspec.structs.asdict(subscription), "updated_at": now}},
                upsert=True,
            )
            for subscription in subscriptions
        ]
        if inserts:
            self._subscriptions.bulk_write(inserts, ordered=False)

    def take(
        self,
        venue: str,
        kinds: Sequence[RequestKind] = KINDS,
        *,
        is_own: Callable[[str], bool] = lambda _: True,
    ) -> Request | None:
        """Takes the oldest open request about a symbol that `is_own`, and sets it to `running`; None when there is none
        among the oldest thousand. Two processes never get the same.
        """
        waiting = {"venue": venue, "kind": {"$in": list(kinds)}, "state": "open"}
        for found in self._requests.find(waiting, {"symbol": 1}).sort("created_at").limit(SEARCHED):
            symbol = found.get("symbol")
            if isinstance(symbol, str) and is_own(symbol) and (taken := self._take_one(found["_id"])) is not None:
                return taken
        return None

    def _take_one(self, request_id: str) -> Request | None:
        document = self._requests.find_one_and_update(
            {"_id": request_id, "state": "open"},
            {"$set": {"state": "running", **_stamps(wall_ms())}},
            return_document=ReturnDocument.AFTER,
        )
        if document is None:
            return None
        if not (taken := self._readable(request_of, [document])):
            values = {"state": "failed", "report": "it cannot be read", **_stamps(wall_ms())}
            self._requests.update_one({"_id": request_id}, {"$set": values})
        return next(iter(taken), None)

    def running(self, venue: str) -> list[Request]:
        """The requests that are running."""
        return self._readable(request_of, self._requests.find({"venue": venue, "state": "running"}))

    def reopen(self, request_ids: Iterable[str]) -> None:
        """Sets running requests to `open`, to be done from the beginning."""
        running = {"_id": {"$in": list(request_ids)}, "state": "running"}
        self._requests.update_many(running, {"$set": {"state": "open", **_stamps(wall_ms())}})

    def report(self, request_id: str, state: RequestState, report: str) -> None:
        """Sets a request's state and report. One that has ended or expired is left unchanged."""
        values = {"state": state, "report": report, **_stamps(wall_ms())}
        self._requests.update_one({"_id": request_id, "state": {"$in": list(UNDER_WAY)}}, {"$set": values})

    def publish_instruments(self, venue: str, instruments: Iterable[ListedInstrument]) -> None:
        """Stores the venue's instruments; removes those that it no longer has."""
        now = DatetimeMS(wall_ms())
        values = [{**msgspec.structs.asdict(listed), "updated_at": now} for listed in instruments]
        names = [f"{venue}:{value['symbol']}" for value in values]
        if values:
            upserts = [
                UpdateOne({"_id": name}, {"$set": value}, upsert=True)
                for name, value in zip(names, values, strict=True)
            ]
            self._instruments.bulk_write(upserts, ordered=False)
        self._instruments.delete_many({"venue": venue, "_id": {"$nin": names}})

    def publish_capabilities(self, venue: str, capabilities: Iterable[Capability]) -> None:
        """Stores what is proven of the venue's data."""
        values = {"venue": venue, "capabilities": msgspec.to_builtins(list(capabilities))}
        self._capabilities.replace_one({"_id": venue}, {**values, "updated_at": DatetimeMS(wall_ms())}, upsert=True)


class NoCommands(CommandConsumer):
    """The flow's side without MongoDB: no subscriptions beyond the settings, and no work."""

    def __init__(self) -> None:
        """It has no database."""

    def ensure_indexes(self) -> None:
        """There is none."""

    def subscriptions(self, venue: str) -> list[DesiredSubscription]:  # noqa: ARG002 - as in the base class
        """None."""
        return []

    def propose(self, subscriptions: Iterable[DesiredSubscription]) -> None:
        """Nothing is kept."""

    def take(
        self,
        venue: str,  # noqa: ARG002
        kinds: Sequence[RequestKind] = KINDS,  # noqa: ARG002
        *,
        is_own: Callable[[str], bool] = lambda _: True,  # noqa: ARG002
    ) -> Request | None:
        """None."""
        return None

    def running(self, venue: str) -> list[Request]:  # noqa: ARG002
        """None."""
        return []

    def reopen(self, request_ids: Iterable[str]) -> None:
        """There is none."""

    def report(self, request_id: str, state: RequestState, report: str) -> None:
        """Nothing is kept."""

    def publish_instruments(self, venue: str, instruments: Iterable[ListedInstrument]) -> None:
        """Nothing is kept."""

    def publish_capabilities(self, venue: str, capabilities: Iterable[Capability]) -> None:
        """Nothing is kept."""
