"""The composition root: builds the parts from the settings, and `flow` from the parts.

    python -m bytewax.run flows.main

Importing this module reads the settings, opens the hub's port and installs handlers of SIGINT and SIGTERM. No other
module acts at import, except `flows.process.interrupts`.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import structlog
from bytewax.dataflow import Dataflow

from flows.clock import FeedClock, wall_ms
from flows.graph import Sinks, market_flow
from flows.logs import set_up_logs
from flows.model import Incident, RefreshRequest
from flows.process.descriptors import raise_descriptor_limit
from flows.process.exit_codes import refuse_to_run
from flows.process.gc import tune_garbage_collector
from flows.recovered import state_fault
from flows.recovery import EngineFlags, RecoveryError, check, engine_flags
from flows.runtime.commands import CommandPoller
from flows.runtime.metrics import FlowMetrics, Parts, serve
from flows.runtime.query_handlers import open_database, open_query_handlers
from flows.runtime.subscriptions import SubscriptionController, is_own, listed_in, wanted
from flows.settings import Settings, SettingsError, load_settings
from sinks.bridge import PartitionedWriterSink, SharedWriter, WriterSink
from sinks.hub.broadcast import Broadcast
from sinks.ledger import IncidentWriter, RejectWriter
from sinks.mongo.commands import CommandConsumer, NoCommands
from sinks.mongo.identity import IDENTITY_FILE
from sinks.mongo.writer import MongoWriter, open_mongo_writer
from sinks.trades.compaction import Clocks
from sinks.trades.store import TradeStoreError, check_store
from sinks.trades.writer import TradeWriter, open_trade_writer, part_of, partition_names
from sources.bridge import FeedSource
from sources.feed import UnknownSymbolError, check_symbols
from sources.rest.client import VenueError
from sources.venues import VENUES

CHECK_S = 5.0
"""Longest wait for the venue's list of symbols at the start; without it the flow starts all the same."""
RETRY_S = 0.1
SYMBOLS_NAMED = 20
"""Most symbols named in the error when none of them is listed."""
REPLACED = "database replaced"
"""Id of the requests for the history of all symbols, when another database answers than before."""
DRAIN_S = 15.0
"""Longest time between a request to stop and the end of the process."""

_log = structlog.get_logger("flows.main")


def build_flow(
    settings: Settings,
    stop: threading.Event,
    statuses: Mapping[str, str] | None = None,
    *,
    recovery: Path | None = None,
) -> Dataflow:
    """The complete system of one process. `stop` ends its input, and with it the flow. `statuses` are the venue's
    instruments, if known. `recovery` is the directory of the recovered state, if there is one.
    """
    feed, venue = settings.feed, VENUES[settings.feed.venue]
    ledger, rejects = IncidentWriter(), RejectWriter()
    metrics, clock = FlowMetrics(), FeedClock()

    hub = _open_broadcast(settings, metrics, clock) if settings.hub.enabled else None
    broadcast: SharedWriter[Any] | None = SharedWriter(hub) if hub else None
    source = FeedSource(venue.feed(feed), settings=feed, stop=stop)
    documents = (
        _open_mongo(settings, ledger.report, recovery, partial(_fetch_past, source, feed.own_symbols))
        if settings.mongo.enabled
        else None
    )
    mongo: SharedWriter[Any] | None = SharedWriter(documents) if documents else None
    if mongo:
        ledger.add_sink(mongo.open())
    if broadcast:
        ledger.add_sink(broadcast.open(), gets_flow_incidents=True)
    incidents, refused = SharedWriter(ledger), SharedWriter(rejects)
    partitions: list[TradeWriter] = []

    def open_partition(part: str) -> TradeWriter:
        try:
            writer = open_trade_writer(
                settings.trades,
                venue=venue.name,
                partition=part,
                on_incident=ledger.report,
                summary_s=settings.log.summary_s,
                clocks=Clocks(
                    venue_now=lambda: clock.now().feed if clock.is_sure else None,
                    wall_bound=wall_ms if settings.feed.is_timely else None,
                ),
            )
        except TradeStoreError as error:
            _end_at_once(error)
        partitions.append(writer)
        return writer

    rest = venue.rest(feed, settings.rest)
    metrics.follow(
        Parts(
            ledger=ledger,
            rejects=rejects,
            source=source,
            broadcast=hub,
            documents=documents,
            trades=partitions if settings.trades.enabled else None,
            rest=rest.rate_limit,
            clock=clock,
            venue=venue.name,
            origin=feed.origin,
            queue_frames=feed.queue_frames,
            folders=_folders(settings),
        )
    )
    if settings.metrics.enabled:
        serve(metrics, settings.metrics)
    requests = _open_requests(settings, source, ledger.report, statuses)

    parts = partition_names(settings.trades.partitions)
    return market_flow(
        source=source,
        parser=venue.parser(),
        feed=feed,
        runner=open_query_handlers(settings, renew=source.renew, rest=rest),
        clock=clock,
        rules=venue.rules,
        books=settings.books,
        outages=partial(_outages, documents, partitions) if documents or settings.trades.enabled else None,
        sinks=Sinks(
            candles=PartitionedWriterSink(["mongodb"], lambda _: mongo.open()) if mongo else None,
            trades=PartitionedWriterSink(parts, open_partition, lambda key: part_of(key, len(parts)))
            if settings.trades.enabled
            else None,
            broadcast=PartitionedWriterSink(["hub"], lambda _: broadcast.open()) if broadcast else None,
            rejects=WriterSink(refused.open),
            incidents=WriterSink(incidents.open),
            commands=WriterSink(lambda: requests),
        ),
    )


def _folders(settings: Settings) -> dict[str, Path]:
    """The folders that grow, by name."""
    found = {"trades": settings.trades.path} if settings.trades.enabled else {}
    if settings.log.file:
        found["log"] = settings.log.file.parent
    return found


def _check_stores(settings: Settings, flags: EngineFlags) -> None:
    """Checks what the engine is going to open, since an error in the middle of its start ends in a panic.
    `RecoveryError` or `TradeStoreError` when that would fail.
    """
    if flags.recovery is not None:
        check(flags.recovery, state_fault)
    if settings.trades.enabled:
        for part in partition_names(settings.trades.partitions):
            check_store(settings.trades.path / settings.feed.venue / part, is_shared=flags.is_cluster)


def _end_at_once(error: Exception) -> NoReturn:
    """Ends the process after an error while the engine runs, which would turn an exception into a panic."""
    sys.stderr.write(f"marketflow: {error}\n")
    sys.stderr.flush()
    os._exit(1)


def _outages(documents: MongoWriter | None, partitions: list[TradeWriter]) -> dict[str, str]:
    """Why each store takes nothing now; "" where it does."""
    found = {"candles": documents.outage} if documents else {}
    if partitions:
        found["trades"] = next((reason for writer in partitions if (reason := writer.outage)), "")
    return found


def _open_broadcast(settings: Settings, metrics: FlowMetrics, clock: FeedClock) -> Broadcast:
    """Opens the port now: a port in use is an error at the start, not at the first message."""
    broadcast = Broadcast(
        settings.hub,
        venue=settings.feed.venue,
        origin=settings.feed.origin,
        on_delay=metrics.latency.observe,
        clock=clock,
    )
    try:
        broadcast.start()
    except OSError as error:
        raise SettingsError(str(error)) from error
    return broadcast


def _fetch_past(source: FeedSource, symbols: Iterable[str]) -> None:
    """Refetches the history of symbols. Those that have not started yet fetch it by themselves."""
    for symbol in symbols:
        source.refresh(RefreshRequest((symbol,), REPLACED))


def _open_mongo(
    settings: Settings, report: Callable[[Incident], None], recovery: Path | None, on_replaced: Callable[[], None]
) -> MongoWriter:
    return open_mongo_writer(
        settings.mongo,
        retention=_retention(settings),
        on_incident=report,
        venue=settings.feed.venue,
        summary_s=settings.log.summary_s,
        identity_file=recovery / IDENTITY_FILE if recovery else None,
        on_replaced=on_replaced,
    )


def _open_requests(
    settings: Settings,
    source: FeedSource,
    report: Callable[[Incident], None],
    statuses: Mapping[str, str] | None,
) -> CommandPoller:
    """The source starts with the listed symbols of the settings, and then follows the desired subscriptions."""
    feed = settings.feed
    commands = CommandConsumer(open_database(settings.mongo)) if settings.mongo.enabled else NoCommands()
    begin = wanted(feed, (), listed_in(statuses or {}))
    source.follow(begin.streams, not_trading=begin.not_trading)
    subscriptions = SubscriptionController(
        commands,
        feed=feed,
        follow=source.follow,
        announce=source.announce,
        query_statuses=partial(_query_statuses, settings),
        report=report,
        statuses=statuses,
    )
    requests = CommandPoller(
        commands, venue=feed.venue, refresh=source.refresh, subscriptions=subscriptions, is_own=partial(is_own, feed)
    )
    requests.start()
    return requests


def _retention(settings: Settings) -> bool:
    holds = settings.holds_retention
    _log.info("candle_retention", on=holds, days=settings.mongo.retention_days if holds else "kept for ever")
    return holds


def _query_statuses(settings: Settings) -> dict[str, str] | None:
    """The venue's instruments and the status of each; None when it does not answer."""

    async def query() -> dict[str, str]:
        async with VENUES[settings.feed.venue].rest(settings.feed, settings.rest) as rest, asyncio.timeout(CHECK_S):
            while True:
                try:
                    return await rest.statuses()
                except VenueError as error:
                    # a replay exchange may have been started together with the flow, and not be ready
                    if error.status or not settings.feed.rest_url:
                        raise
                    await asyncio.sleep(RETRY_S)

    try:
        return asyncio.run(query())
    except (VenueError, TimeoutError) as error:
        _log.warning("symbols_not_checked", reason=str(error) or "no answer in time")
        return None


def _check_symbols(settings: Settings) -> dict[str, str] | None:
    """The venue's instruments. It is an error at the start when it lists none of the symbols; a single one is left out.
    A venue that does not answer is no error: its connections are retried.
    """
    statuses = _query_statuses(settings)
    if statuses and not statuses.keys() & set(settings.feed.symbols):
        try:
            check_symbols(settings.feed.symbols[:SYMBOLS_NAMED], list(statuses))
        except UnknownSymbolError as error:
            raise SettingsError(f"feed.symbols: {error}") from error
    return statuses


def _stop_on_signals(stop: threading.Event) -> None:
    """The first signal drains, the second ends at once; a watchdog ends a drain that hangs."""

    def on_signal(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()
        watchdog = threading.Timer(DRAIN_S, _give_up)
        watchdog.daemon = True
        watchdog.start()
        with suppress(RuntimeError):  # the signal may have interrupted a write to the log
            _log.info("stopping", signal=signal.Signals(number).name, hint="once more to end at once")

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)


def _give_up() -> NoReturn:
    _log.error("stop_timed_out", seconds=DRAIN_S)
    os._exit(1)


def _build() -> Dataflow:
    try:
        settings = load_settings()
        set_up_logs(settings.log, name="flow")
        raise_descriptor_limit()
        flags = engine_flags(sys.argv, os.environ)
        _check_stores(settings, flags)
        statuses = _check_symbols(settings)
        stop = threading.Event()
        built = build_flow(settings, stop, statuses, recovery=flags.recovery)
    except (SettingsError, RecoveryError, TradeStoreError, ValueError) as error:
        refuse_to_run(error)
    _stop_on_signals(stop)
    tune_garbage_collector()
    feed = settings.feed
    _log.info("starting", venue=feed.venue, origin=feed.origin, symbols=feed.own_symbols, timeframes=feed.timeframes)
    return built


flow = _build()
