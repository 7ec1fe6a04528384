"""MongoDB for the API: a connection pool, a timeout on every call, and immediate errors while the server is down.

The driver must not be cancelled during a call: it may leak an open socket, or take the cancellation for a broken
connection and retry. So `drain` waits for open calls before the end.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pymongo
import structlog
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient
from pymongo.errors import PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import Nearest, PrimaryPreferred, SecondaryPreferred

from api.http.errors import Problem
from api.live.candle_cache import SeriesKey
from api.stores.health import Watch
from flows.bounds import LATEST_MS
from flows.model import DOUBTFUL, PRIVATE_KINDS, AccountItem, AccountTotal, Candle, Incident
from flows.settings import Mongo
from flows.texts import database_reason
from sinks.mongo.accounts import ACCOUNT, ACCOUNT_HISTORY, account_item_of, account_total_of
from sinks.mongo.alerts import AlertClient
from sinks.mongo.analyses import AnalysisStore
from sinks.mongo.commands import CommandClient
from sinks.mongo.derivatives import KINDS, Record, record_of
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, DocumentError, candle_of, incident_of

CHECK_S: Final = 2.0
"""Time between two pings of the server."""
LOOK_S: Final = 0.05
"""How often it is seen whether all servers have refused, while a call waits for one."""
ANSWER_S: Final = 2.0
"""Longest search and connect: bounds the wait for a server that is down."""
STALE_S: Final = 90
"""How old what a secondary server has may be; the least that servers take."""
MOST_ACCOUNT_ITEMS: Final = 10_000
"""Most balances and positions in one answer."""

_PREFERENCES: Final = {
    "primary": PrimaryPreferred(),
    "secondary": SecondaryPreferred(max_staleness=STALE_S),
    "nearest": Nearest(max_staleness=STALE_S),
}
_COMMITTED: Final = ReadConcern("majority")
"""What a majority has: the others may be taken back when a primary is lost."""

_log = structlog.get_logger(__name__)


class MongoStore:
    """The document store. While the server is down, every method raises `Problem` at once."""

    def __init__(self, settings: Mongo, *, timeout_s: float) -> None:
        answer_ms = int(ANSWER_S * 1_000)
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            settings.uri,
            appname="marketflow-api",
            maxPoolSize=settings.pool,
            serverSelectionTimeoutMS=answer_ms,
            connectTimeoutMS=answer_ms,
            serverMonitoringMode="poll",  # streaming opens sockets of its own, which may be half open at the end
            tz_aware=True,
        )
        self._database = self._client[settings.database]
        current = self._database.with_options(read_preference=PrimaryPreferred(), read_concern=_COMMITTED)
        self._current = current
        """For what is current: while a replica set has no primary, an older answer is better than none."""
        self._past = current.with_options(read_preference=_PREFERENCES[settings.history_from])
        """For what has long been stored."""
        self._timeout_s = timeout_s
        self._indexed = False
        self._first_check: asyncio.Future[None] | None = None
        self._uses = 0
        self._unused = asyncio.Event()
        self._ends = False
        self.commands = CommandClient(self._database)
        """Commands to the flow; use within `guarded`."""
        self.analyses = AnalysisStore(self._database)
        """Stored analyses; use within `guarded`."""
        self.alerts = AlertClient(self._database)
        """Rules of alerts, and what has fired; use within `guarded`."""
        self.watch = Watch("mongodb")

    async def follow(self) -> None:
        """Pings the server until cancelled."""
        if self._first_check:
            await self._first_check
        while True:
            await self.check()
            await asyncio.sleep(CHECK_S)

    async def check_at_start(self) -> None:
        """`check`, but does not wait once every server has refused the connection: `follow` goes on with it."""
        checking = self._first_check = asyncio.ensure_future(self.check())
        while not (await asyncio.wait((checking,), timeout=LOOK_S))[0]:
            if refused := self._refused():
                self._on_failure(refused)
                return

    async def check(self) -> None:
        """Pings the server once; on the first success creates the indexes of the collections that the API writes."""
        try:
            async with self._used(self._timeout_s):  # an answer may take long on a busy machine
                await self._database.command("ping", read_preference=PrimaryPreferred())
                with suppress(ServerSelectionTimeoutError):  # there is no primary now; what can be read is read
                    await self._ensure_indexes()
        except PyMongoError as error:
            self._on_failure(error)
        else:
            self.watch.report(up=True)

    async def _ensure_indexes(self) -> None:
        if not self._indexed:
            await self.commands.ensure_indexes()
            await self.analyses.ensure_indexes()
            self._indexed = True

    async def drain(self) -> None:
        """Waits for open calls, each bounded by its timeout, unless all servers have refused the connection; later
        calls block until cancelled.
        """
        self._ends = True
        while self._uses and not self._refused():
            self._unused.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._unused.wait(), LOOK_S)

    def _refused(self) -> Exception | None:
        """Why no server can be connected to; `None` when one can, or when that is not known yet."""
        servers = self._client.topology_description.server_descriptions().values()
        errors = [one.error for one in servers if one.error]
        return errors[0] if errors and len(errors) == len(servers) else None

    async def close(self) -> None:
        """Closes the connections."""
        with suppress(PyMongoError):
            await self._client.close()

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[None]:
        """Context of every call: sets the timeout, and raises `Problem` when the server is down, or when a document
        cannot be read: nothing is left out of an answer.
        """
        if not self.watch.state.up:
            raise self._unavailable()
        try:
            async with self._used(self._timeout_s):
                yield
        except DocumentError as error:
            raise Problem("unreadable_data", str(error)) from error
        except PyMongoError as error:
            self._on_failure(error)
            raise self._unavailable() from error

    @asynccontextmanager
    async def _used(self, timeout_s: float) -> AsyncIterator[None]:
        if self._ends:
            await asyncio.Event().wait()
        self._uses += 1
        try:
            with pymongo.timeout(timeout_s):
                yield
        finally:
            self._uses -= 1
            self._unused.set()

    def _on_failure(self, error: Exception) -> None:
        reason = database_reason(error)
        if self.watch.state.up:
            _log.error("mongodb_unreachable", reason=reason)
        self.watch.report(up=False, reason=reason)

    def _unavailable(self) -> Problem:
        return Problem(
            "store_unavailable",
            f"the candle store does not answer (mongo.uri): {self.watch.state.reason}",
            retry_after_s=2,
        )

    # --- candles ---

    async def candles(
        self, key: SeriesKey, *, count: int, start_ms: int = 0, before_ms: int | None = None
    ) -> list[Candle]:
        """The newest `count` stored candles that open in `[start_ms, before_ms)`, oldest first."""
        span = {"$gte": start_ms} | ({} if before_ms is None else {"$lt": before_ms})
        found = {**key._asdict(), "open_time": span}
        async with self.guarded():
            database = self._current if before_ms is None else self._past
            newest = database[MARKET_DATA].find(found).sort("open_time", DESCENDING).limit(count)
            return [candle_of(document) for document in reversed(await newest.to_list())]

    async def doubtful_minutes(self, venue: str, symbol: str, start_ms: int, end_ms: int) -> int:
        """How many stored candles of 1m that open in `[start_ms, end_ms)` lack trades, or may lack some."""
        of = {"venue": venue, "symbol": symbol, "timeframe": "1m", "open_time": {"$gte": start_ms, "$lt": end_ms}}
        async with self.guarded():
            return await self._past[MARKET_DATA].count_documents({**of, "status": {"$in": list(DOUBTFUL)}})

    async def venues(self) -> list[str]:
        """The venues of which candles are stored."""
        async with self.guarded():
            return _texts(await self._current[MARKET_DATA].distinct("venue"))

    async def symbols(self, venue: str) -> list[str]:
        """The symbols of which candles are stored."""
        async with self.guarded():
            return _texts(await self._current[MARKET_DATA].distinct("symbol", {"venue": venue}))

    async def candle_counts(self, venue: str, symbol: str | None) -> list[dict[str, Any]]:
        """A row for each symbol, timeframe, `status` and `proof`: number of candles, first and last open time (ms UTC),
        newest write. Reads all candles of the venue. Those without a name, time or date are in no series, and are not
        counted; a `status` or `proof` that is no word is empty.
        """
        of = {"venue": venue} | _OF_SERIES | ({} if symbol is None else {"symbol": symbol})
        group = {
            "_id": {
                "symbol": "$symbol",
                "timeframe": "$timeframe",
                "status": _word("$status"),
                "proof": _word("$proof"),
            },
            "candles": {"$sum": 1},
            "first": {"$min": "$open_time"},
            "last": {"$max": "$open_time"},
            "updated": {"$max": "$updated_at"},
        }
        async with self.guarded():
            cursor = await self._past[MARKET_DATA].aggregate([{"$match": of}, {"$group": group}])
            return await cursor.to_list()

    async def incidents(self, venue: str, symbol: str | None, count: int) -> list[Incident]:
        """The newest incidents but those of accounts, newest first."""
        of: dict[str, Any] = {"venue": venue, "kind": {"$nin": list(PRIVATE_KINDS)}}
        of |= {} if symbol is None else {"symbol": {"$in": [symbol, ""]}}
        async with self.guarded():
            documents = await self._current[INCIDENTS].find(of).sort("begin", DESCENDING).limit(count).to_list()
            return [incident_of(document) for document in documents]

    async def incident_page(
        self,
        venue: str | None,
        symbols: Sequence[str] | None,
        *,
        kinds: Sequence[str] = (),
        start_ms: int = 0,
        end_ms: int | None = None,
        after: tuple[int, str] | None = None,
        count: int,
    ) -> list[tuple[str, Incident]]:
        """The newest incidents that begin in `[start_ms, end_ms)` with their ids, newest first; `after` is begin and id
        of the last one of the page before. A venue, symbols and kinds that are left out may be any. Those of accounts
        are never among them.
        """
        of: dict[str, Any] = {"begin": {"$gte": start_ms} | ({} if end_ms is None else {"$lt": end_ms})}
        if venue is not None:
            of["venue"] = venue
        if symbols is not None:
            of["symbol"] = {"$in": list(symbols)}
        of["kind"] = {"$in": sorted(set(kinds) - PRIVATE_KINDS)} if kinds else {"$nin": list(PRIVATE_KINDS)}
        if after is not None:
            begin, identity = after
            of["$or"] = [{"begin": {"$lt": begin}}, {"begin": begin, "_id": {"$lt": identity}}]
        order = [("begin", DESCENDING), ("_id", DESCENDING)]
        async with self.guarded():
            documents = await self._past[INCIDENTS].find(of).sort(order).limit(count).to_list()
            return [(str(document["_id"]), incident_of(document)) for document in documents]

    async def records(
        self, record: type[Record], venue: str, symbol: str, count: int, start_ms: int = 0, end_ms: int | None = None
    ) -> list[Record]:
        """The newest `count` records of a derivative in `[start_ms, end_ms)`, oldest first."""
        kind = KINDS[record]
        span = {"$gte": start_ms} | ({} if end_ms is None else {"$lt": end_ms})
        of = {"venue": venue, "symbol": symbol, kind.time: span}
        async with self.guarded():
            newest = self._past[kind.collection].find(of).sort(kind.time, DESCENDING).limit(count)
            return [record_of(document, record) for document in reversed(await newest.to_list())]

    # --- accounts ---

    async def account_items(self, venue: str | None, account: str) -> list[AccountItem]:
        """The newest balances, positions and states that are stored; of a venue and an account, or of all."""
        of = _of_accounts(venue, account)
        async with self.guarded():
            order = [("venue", ASCENDING), ("account", ASCENDING), ("kind", ASCENDING), ("name", ASCENDING)]
            documents = await self._current[ACCOUNT].find(of).sort(order).limit(MOST_ACCOUNT_ITEMS).to_list()
            return [account_item_of(document) for document in documents]

    async def account_totals(
        self, venue: str | None, account: str, count: int, start_ms: int = 0, end_ms: int | None = None
    ) -> list[AccountTotal]:
        """The newest `count` totals in `[start_ms, end_ms)`, oldest first."""
        span = {"$gte": start_ms} | ({} if end_ms is None else {"$lt": end_ms})
        of = {**_of_accounts(venue, account), "time": span}
        async with self.guarded():
            newest = self._past[ACCOUNT_HISTORY].find(of).sort("time", DESCENDING).limit(count)
            return [account_total_of(document) for document in reversed(await newest.to_list())]


def _of_accounts(venue: str | None, account: str) -> dict[str, Any]:
    return ({} if venue is None else {"venue": venue}) | ({"account": account} if account else {})


_OF_SERIES: Final = {
    "symbol": {"$type": "string"},
    "timeframe": {"$type": "string"},
    "open_time": {"$gte": 0, "$lt": LATEST_MS},
    "updated_at": {"$type": "date"},
}
"""Of documents that can be counted."""


def _word(field: str) -> dict[str, Any]:
    return {"$cond": [{"$eq": [{"$type": field}, "string"]}, field, ""]}


def _texts(values: Iterable[Any]) -> list[str]:
    """The names among the values of a field, in alphabetical order."""
    return sorted(value for value in values if isinstance(value, str))
