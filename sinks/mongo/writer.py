"""Writes candles and incidents to MongoDB.

The flow's thread only puts them into a buffer; a thread of the writer's own stores them. The flow never waits for the
server.
"""

import warnings
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pymongo
import structlog
from msgspec import structs
from pymongo import MongoClient
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError

from flows.clock import monotonic_ms
from flows.model import Candle, Incident
from flows.texts import counted, database_reason
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from sinks.buffered.summary import Summary
from sinks.buffered.writer import CLOSE_TIMEOUT_S, BufferedWriter
from sinks.mongo.buffer import CandleBuffer, Loss, Storable
from sinks.mongo.identity import KnownDatabase, OnReplaced, read_identity
from sinks.mongo.store import CandleStore, Stored

log = structlog.get_logger(__name__)

Client: TypeAlias = MongoClient[dict[str, Any]]

BULK_ITEMS = 1_000
"""Items in one bulk write: about 50 ms of server time."""
SENDERS = 2
"""Concurrent bulk writes: while the server works on one, the next is built."""
ANSWER_TIMEOUT_S = 2.0
"""How long a server may take to be found and to answer, before it counts as unavailable."""
WRITE_TIMEOUT_S = 4.0
"""Longest bulk write; less than `CLOSE_TIMEOUT_S`, so that a server that hangs does not delay the close."""
LOOK_S = 5.0
"""Time between two checks of the database's identity, while there is something to write: an empty one may replace it
between two writes. The check is a round trip, and so are the indexes."""
HINT = "start the server that the setting mongo.uri names, or correct the address there"
"""What to do when candles cannot be stored."""
_LEAST_TIMEOUT_S = 0.01  # to the driver, 0 means for ever


class MongoAddress(Protocol):
    """Where the documents are; the section `mongo` describes each."""

    uri: str
    database: str
    pool: int


class MongoSettings(MongoAddress, Protocol):
    """The settings that a writer uses; the section `mongo` describes each."""

    buffer: int
    forming_ms: int
    retention_days: dict[str, int]


class MongoAddressError(ValueError):
    """`mongo.uri` cannot be used; the text has the reason."""


class MongoWriter(BufferedWriter[Loss, Stored]):
    """Stores candles and incidents.

    Closed candles and incidents are written at once, forming candles all together every `forming_ms`, the newest
    version of each. While the server is unavailable, writes are retried, see `BufferedWriter`. After a write without an
    answer in time the writer queries what of it is stored, and only writes the rest again.

    At most `capacity` items are held; `CandleBuffer` defines what happens at that bound. Losses there cost an ERROR
    line and an incident for each instrument, when the outage is over and every `summary_s` until then.

    `on_incident` is called from the writer's thread and may hand the incident to `write`.
    """

    def __init__(
        self,
        client: Client,
        *,
        database: str,
        retention_days: Mapping[str, int],
        kept_for_ever: Container[str] = (),
        history_days: int = 365,
        forming_ms: int = 1_000,
        capacity: int = 200_000,
        venue: str = "",
        summary_s: float = 60.0,
        write_timeout_s: float = WRITE_TIMEOUT_S,
        on_incident: OnIncident = lambda _: None,
        identity_file: Path | None = None,
        on_replaced: OnReplaced = lambda: None,
    ) -> None:
        """Connects at once, in the background. The writer owns `client` and closes it. `venue` is the one that its
        incidents concern; empty for all. Candles of the venues in `kept_for_ever` are not deleted; totals of
        accounts are kept for `history_days`. When another database answers than the one written before, also by the
        process that left `identity_file`, that is an ERROR and an incident, and `on_replaced` is called from the
        writer's thread.
        """
        self._client = client
        self._database = client[database]
        self._known = KnownDatabase(identity_file)
        self._on_replaced = on_replaced
        self._venue = venue
        self._store = CandleStore(
            client[database], retention_days=retention_days, kept_for_ever=kept_for_ever, history_days=history_days
        )
        self._buffer = CandleBuffer(capacity=capacity, forming_ms=forming_ms)
        super().__init__(
            thread_name="mongo-writer",
            buffer=self._buffer,
            outages=OutageWatch(StoreNames("candles", "the server", venue, HINT), on_incident=on_incident),
            summary=Summary(Stored, _log_stored, interval_s=summary_s),
        )
        self._write_timeout_s = write_timeout_s
        self._look_ms = monotonic_ms()
        """When to check the database again, before the next write."""
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="mongo-sender")
        self._start()

    @property
    def stored(self) -> Stored:
        """Counts of all that was written so far."""
        return self._summary.total

    def write(self, batch: Sequence[Storable]) -> None:
        """Takes candles and incidents, from any thread; about a microsecond each."""
        if not self._buffer.put(batch):
            log.error("written_after_close", items=len(batch))

    def pending(self) -> list[Storable]:
        """What a restart must write again, if this process ends now."""
        return self._buffer.lasting()

    def mark(self) -> Callable[[], bool]:
        """Marks the closed candles that are held now. The function returned tells whether all of them are stored, or
        given up with an incident; from any thread.
        """
        waiting = self._buffer.closed_candles()

        def is_stored() -> bool:
            waiting.intersection_update(self._buffer.closed_candles() if waiting else ())
            return not waiting

        return is_stored

    def close(self) -> None:
        """Writes what is held, for at most `CLOSE_TIMEOUT_S`; the rest is reported as lost."""
        self._begin_close()
        self._thread.join(CLOSE_TIMEOUT_S + 1)
        if self._thread.is_alive():
            log.error("mongo_close_timed_out", items_not_stored=len(self._buffer))

    # --- the writer's thread ---

    def _wait(self) -> bool:
        return self._buffer.wait(self._outages.pause_s)

    def _write_due(self) -> tuple[bool, str]:
        items = self._buffer.take(most=SENDERS * BULK_ITEMS)
        self._outages.on_feed_time(max((item.event_time for item in items if isinstance(item, Candle)), default=0))
        failed, cause = self._send_all(items)
        if cause:
            self._look_ms = monotonic_ms()
            self._buffer.put_back(failed)
        return not cause, cause

    def _report_losses(self, losses: list[Loss]) -> None:
        super()._report_losses(losses)
        if dropped := self._buffer.take_forming_dropped():
            log.warning("forming_candles_not_stored", versions=dropped)

    def _report_loss(self, loss: Loss) -> None:
        log.error("candles_lost", **structs.asdict(loss))
        cause = "the server confirmed no candles, and the buffer took no more of them"
        records = (
            f", {counted(loss.records, 'record')} of funding, open interest, liquidations and alerts"
            if loss.records
            else ""
        )
        lost = f"{counted(loss.candles, 'candle')} and {counted(loss.incidents, 'incident')}{records}"
        outcome = f"{lost} are not known to be stored"
        self._outages.notify(Incident("store_outage", loss.venue, loss.symbol, loss.begin, loss.end, cause, outcome))

    def _release(self) -> None:
        self._senders.shutdown()
        with pymongo.timeout(ANSWER_TIMEOUT_S):  # a server that hangs would block it for ever
            self._client.close()

    def _send_all(self, items: list[Storable]) -> tuple[list[Storable], str]:
        """Returns what could not be written and the last cause; no cause when all was written."""
        if monotonic_ms() >= self._look_ms:  # as at the start, and after an outage
            if cause := self._attempt(self._make_indexes):
                return items, cause
            self._look_ms = monotonic_ms() + int(LOOK_S * 1_000)
        bulks = [items[start : start + BULK_ITEMS] for start in range(0, len(items), BULK_ITEMS)]
        failed: list[Storable] = []
        last_cause = ""
        for rest, cause in self._senders.map(self._send, bulks):
            failed += rest
            last_cause = cause or last_cause
        return failed, last_cause

    def _send(self, bulk: list[Storable]) -> tuple[list[Storable], str]:
        """Writes one bulk, in a sender thread. Returns the items not known to be stored, and why."""
        try:
            stored = self._store.store(bulk, timeout_s=self._timeout_s(self._write_timeout_s))
        except ServerSelectionTimeoutError as error:
            return bulk, _cause(error)
        except PyMongoError as error:
            return self._look_for(bulk, _cause(error))
        except Exception as error:
            log.exception("candle_writer_failed")  # a bug must not silence the writer for good
            return bulk, repr(error)
        self._settle(bulk, stored)
        return [], ""

    def _look_for(self, bulk: list[Storable], cause: str) -> tuple[list[Storable], str]:
        """Queries what is stored of a bulk whose write has failed: a write without an answer may have happened. Returns
        the items that are not stored, and why.
        """
        try:
            rest, stored = self._store.missing(bulk, timeout_s=self._timeout_s(self._write_timeout_s))
        except PyMongoError as error:
            what = counted(len(bulk), "item is", "items are")
            return bulk, f"{cause}; whether {what} stored is not known: {_cause(error)}"
        except Exception as error:
            log.exception("candle_writer_failed")
            return bulk, repr(error)
        missing = {id(item) for item in rest}
        self._settle([item for item in bulk if id(item) not in missing], stored)
        if not rest:
            log.warning("stored_without_answer", items=len(bulk), cause=cause)
            return [], ""
        return rest, f"{cause}; of {counted(len(bulk), 'item')}, {len(bulk) - len(rest)} stored"

    def _settle(self, items: list[Storable], stored: Stored) -> None:
        self._buffer.settle(items)
        self._summary.count(stored)

    def _make_indexes(self) -> None:
        self._store.ensure_indexes(timeout_s=self._timeout_s(ANSWER_TIMEOUT_S))
        if self._known.is_another(read_identity(self._database, timeout_s=self._timeout_s(ANSWER_TIMEOUT_S))):
            self._report_replaced()
            self._on_replaced()

    def _report_replaced(self) -> None:
        name = self._database.name
        log.error("database_replaced", database=name, venue=self._venue)
        self._outages.report(
            f"the database {name} is another one than before: what that held is not in it",
            "the newest candles are fetched from the exchange again; older ones only an import brings back",
        )

    def _attempt(self, step: Callable[[], None]) -> str:
        try:
            step()
        except PyMongoError as error:
            return _cause(error)
        except Exception as error:
            log.exception("candle_writer_failed")  # a bug must not silence the writer for good
            return repr(error)
        return ""

    def _timeout_s(self, longest_s: float) -> float:
        return max(min(longest_s, self._time_left_s()), _LEAST_TIMEOUT_S)


def _log_stored(recent: Stored) -> None:
    log.info(
        "candles_stored",
        candles=recent.closed,
        forming=recent.forming,
        already_newer=recent.already_newer,
        incidents=recent.incidents,
        statistics=recent.statistics,
        records=recent.records,
    )


def _cause(error: PyMongoError) -> str:
    """The server's or the driver's message, without the dumps of topology and documents."""
    if isinstance(error, BulkWriteError):
        refusals = error.details["writeErrors"] + error.details["writeConcernErrors"]
        return "; ".join(dict.fromkeys(refusal["errmsg"] for refusal in refusals))
    return database_reason(error)


def open_mongo_writer(
    settings: MongoSettings,
    *,
    retention: bool = True,
    kept_for_ever: Container[str] = (),
    history_days: int = 365,
    on_incident: OnIncident,
    venue: str = "",
    summary_s: float = 60.0,
    identity_file: Path | None = None,
    on_replaced: OnReplaced = lambda: None,
) -> MongoWriter:
    """The writer of the settings; `retention` off keeps every candle for ever, else those of some venues are.
    `MongoAddressError` for an invalid
    address; an unavailable server is an outage, not an error here.
    """
    return MongoWriter(
        open_client(settings),
        database=settings.database,
        retention_days=settings.retention_days if retention else {},
        kept_for_ever=kept_for_ever,
        history_days=history_days,
        forming_ms=settings.forming_ms,
        capacity=settings.buffer,
        venue=venue,
        summary_s=summary_s,
        on_incident=on_incident,
        identity_file=identity_file,
        on_replaced=on_replaced,
    )


def open_client(settings: MongoAddress) -> Client:
    """A client of `mongo.uri` that fails within seconds when there is no server. `MongoAddressError` for an invalid
    address.
    """
    answer_ms = int(ANSWER_TIMEOUT_S * 1_000)
    try:
        with warnings.catch_warnings(action="error", category=UserWarning):  # unknown options, which it would ignore
            return MongoClient(
                settings.uri,
                appname="marketflow",
                maxPoolSize=settings.pool,
                serverSelectionTimeoutMS=answer_ms,
                connectTimeoutMS=answer_ms,
            )
    except (PyMongoError, ValueError, UserWarning) as error:
        raise MongoAddressError(f"mongo.uri: {error}; write it as mongodb://127.0.0.1:27017") from error
