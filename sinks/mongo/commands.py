"""What the API asks of the flow, by way of MongoDB: the symbols that are wanted, and work to be done once.

| collection | one document | its fields | written by |
|---|---|---|---|
| `subscriptions` | a symbol | `venue symbol streams wanted updated_at` | the API, to be followed; the flow, its own |
| `requests` | a piece of work | those of `Work`, `state report created_at updated_at expires_at` | both |
| `instruments` | what can be had | `venue symbol status updated_at` | the flow |

A request is `open` until the flow takes it (`running`), and ends as `done` or `failed` with a report for people; one
that was running when a flow ended is open again. It is forgotten an hour after its last change. Asking for the
same again while it is open or running gives the same request.
Every method raises `PyMongoError` when the server is away, refuses, or takes too long.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast
from uuid import uuid4

import msgspec
from bson.datetime_ms import DatetimeMS
from msgspec import Struct
from pymongo import ASCENDING, IndexModel, ReturnDocument, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database

from flows.clock import wall_ms
from sinks.mongo.documents import plain

SUBSCRIPTIONS = "subscriptions"
REQUESTS = "requests"
INSTRUMENTS = "instruments"
KEPT_MS = 3_600_000
"""Time after its last change at which a request is forgotten."""
SEARCHED = 1_000
"""Most open requests that are looked through for one to take."""

INDEXES: Mapping[str, tuple[IndexModel, ...]] = {
    REQUESTS: (
        IndexModel([("state", ASCENDING), ("created_at", ASCENDING)], name="queue"),
        IndexModel([("venue", ASCENDING), ("symbol", ASCENDING), ("kind", ASCENDING)], name="same"),
        IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
    ),
}
"""What the collections are indexed by; the other two are found by `_id`."""

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


class ListedInstrument(Struct, frozen=True):
    """An instrument that a venue has; `status` in the venue's own word, as in `TRADING`."""

    venue: str
    symbol: str
    status: str


class Work(Struct, frozen=True):
    """What is to be done. `refresh`: fetch the symbol's recent candles again, of all timeframes unless one is named.
    `history`: fetch the candles that open in `[start, end)`, ms UTC; without `end` until now, without `start` the
    newest thousand before `end`, and without both as many as at a start. `republish`: tell the clients what is stored
    of the candles that open in `[start, end)`, as somebody else has changed it.
    """

    kind: RequestKind
    venue: str
    symbol: str
    timeframe: str | None = None
    start: int | None = None
    end: int | None = None


class Request(Struct, frozen=True):
    """A piece of work and how far it is. `report` is for people."""

    id: str
    work: Work
    state: RequestState
    report: str
    created_ms: int
    """Wall clock, ms UTC."""
    updated_ms: int


def request_of(document: Mapping[str, Any]) -> Request:
    """The request of a document."""
    return Request(
        document["_id"],
        Work(**{field: plain(document[field]) for field in Work.__struct_fields__}),
        document["state"],
        document["report"],
        date_ms(document["created_at"]),
        date_ms(document["updated_at"]),
    )


def date_ms(date: datetime) -> int:
    """A BSON date as it is read back, in ms UTC."""
    return int(DatetimeMS(date))


def _stamps(now_ms: int) -> dict[str, Any]:
    return {"updated_at": DatetimeMS(now_ms), "expires_at": DatetimeMS(now_ms + KEPT_MS)}


def _asked(work: Work) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a request for the same is found by, and the rest of a new one."""
    now_ms = wall_ms()
    same = {**msgspec.structs.asdict(work), "state": {"$in": list(UNDER_WAY)}}
    new = {"_id": uuid4().hex, "state": "open", "report": "", "created_at": DatetimeMS(now_ms), **_stamps(now_ms)}
    return same, new


def leave_request(database: Database[dict[str, Any]], work: Work) -> None:
    """Asks for work, and does not wait for it: for a command that ends before. Where one for the same is open, that one
    will do; one that is running may have read already what has changed since.
    """
    same, new = _asked(work)
    database[REQUESTS].update_one({**same, "state": "open"}, {"$setOnInsert": new}, upsert=True)


def _wish_of(document: Mapping[str, Any]) -> DesiredSubscription:
    return DesiredSubscription(document["venue"], document["symbol"], document["wanted"], tuple(document["streams"]))


class CommandClient:
    """The API's side: it asks, and looks how far things are."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]
        self._requests = database[REQUESTS]
        self._instruments = database[INSTRUMENTS]

    async def ensure_indexes(self) -> None:
        """Makes the indexes that are missing."""
        await self._requests.create_indexes(list(INDEXES[REQUESTS]))

    async def wish(self, wish: DesiredSubscription) -> None:
        """Writes down whether a symbol is wanted; the last word counts."""
        values = {**msgspec.structs.asdict(wish), "updated_at": DatetimeMS(wall_ms())}
        await self._subscriptions.update_one({"_id": f"{wish.venue}:{wish.symbol}"}, {"$set": values}, upsert=True)

    async def wishes(self, venue: str) -> list[DesiredSubscription]:
        """All that was ever wished of a venue, symbols in alphabetical order."""
        return [_wish_of(document) async for document in self._subscriptions.find({"venue": venue}).sort("symbol")]

    async def ask(self, work: Work) -> Request:
        """Asks for work; the request that is under way if there is one for the same."""
        same, new = _asked(work)
        document = await self._requests.find_one_and_update(
            same, {"$setOnInsert": new}, upsert=True, return_document=ReturnDocument.AFTER
        )
        return request_of(cast("dict[str, Any]", document))  # an upsert always leaves one

    async def request(self, request_id: str) -> Request | None:
        """A request by its id; None when there is none, or no more."""
        document = await self._requests.find_one({"_id": request_id})
        return None if document is None else request_of(document)

    async def last_of(self, work: Work) -> Request | None:
        """The newest request for a piece of work."""
        document = await self._requests.find_one(msgspec.structs.asdict(work), sort=[("created_at", -1)])
        return None if document is None else request_of(document)

    async def instruments(self, venue: str) -> list[ListedInstrument]:
        """What the venue has, as the flow last heard it, in alphabetical order; nothing when it never did."""
        found = self._instruments.find({"venue": venue}).sort("symbol")
        return [ListedInstrument(venue, document["symbol"], document["status"]) async for document in found]


class CommandConsumer:
    """The flow's side: it reads what is wanted, takes work and says what became of it."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]
        self._requests = database[REQUESTS]
        self._instruments = database[INSTRUMENTS]

    def ensure_indexes(self) -> None:
        """Makes the indexes that are missing."""
        self._requests.create_indexes(list(INDEXES[REQUESTS]))

    def wishes(self, venue: str) -> list[DesiredSubscription]:
        """All that was ever wished of a venue, symbols in alphabetical order."""
        return [_wish_of(document) for document in self._subscriptions.find({"venue": venue}).sort("symbol")]

    def propose(self, wishes: Iterable[DesiredSubscription]) -> None:
        """Writes down wishes about symbols of which nobody has said anything yet."""
        now = DatetimeMS(wall_ms())
        inserts = [
            UpdateOne(
                {"_id": f"{wish.venue}:{wish.symbol}"},
                {"$setOnInsert": {**msgspec.structs.asdict(wish), "updated_at": now}},
                upsert=True,
            )
            for wish in wishes
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
        """The oldest open request about a symbol that `is_own`, which is `running` from now on; None when nothing
        waits among the oldest thousand. Two processes never get the same.
        """
        waiting = {"venue": venue, "kind": {"$in": list(kinds)}, "state": "open"}
        for found in self._requests.find(waiting, {"symbol": 1}).sort("created_at").limit(SEARCHED):
            if is_own(found["symbol"]) and (taken := self._take_one(found["_id"])) is not None:
                return taken
        return None

    def _take_one(self, request_id: str) -> Request | None:
        document = self._requests.find_one_and_update(
            {"_id": request_id, "state": "open"},
            {"$set": {"state": "running", **_stamps(wall_ms())}},
            return_document=ReturnDocument.AFTER,
        )
        return None if document is None else request_of(document)

    def running(self, venue: str) -> list[Request]:
        """The requests that were taken and have not ended."""
        return [request_of(document) for document in self._requests.find({"venue": venue, "state": "running"})]

    def reopen(self, request_ids: Iterable[str]) -> None:
        """Gives running requests back, to be taken and done from the beginning."""
        running = {"_id": {"$in": list(request_ids)}, "state": "running"}
        self._requests.update_many(running, {"$set": {"state": "open", **_stamps(wall_ms())}})

    def report(self, request_id: str, state: RequestState, report: str) -> None:
        """Says how far a request is, or what became of it. One that has ended or is forgotten stays so."""
        values = {"state": state, "report": report, **_stamps(wall_ms())}
        self._requests.update_one({"_id": request_id, "state": {"$in": list(UNDER_WAY)}}, {"$set": values})

    def publish_instruments(self, venue: str, instruments: Iterable[ListedInstrument]) -> None:
        """Writes what the venue has now; what it has no more is taken out."""
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


class NoCommands(CommandConsumer):
    """The flow's side where there is no MongoDB: nothing is wished beyond the settings, and no work comes."""

    def __init__(self) -> None:
        """It has no database."""

    def ensure_indexes(self) -> None:
        """There is none."""

    def wishes(self, venue: str) -> list[DesiredSubscription]:  # noqa: ARG002 - as in the base class
        """None."""
        return []

    def propose(self, wishes: Iterable[DesiredSubscription]) -> None:
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
