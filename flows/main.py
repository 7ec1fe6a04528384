"""The composition root: builds the parts from the settings, and `flow` from the parts.

    python -m bytewax.run flows.main

Importing this module reads the settings, opens the hub's port and installs handlers of SIGINT and SIGTERM. No other
module acts at import, except `flows.process.interrupts`.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import structlog
from bytewax.dataflow import Dataflow

from flows.graph import Sinks, VenueParts, venues_flow
from flows.lake.night import LakeNight
from flows.loop_thread import EventLoopThread
from flows.machine import AwaitedQueries
from flows.model import Incident, ListedInstrument
from flows.modules.compiled import parts as compiled_parts
from flows.process.descriptors import raise_descriptor_limit
from flows.process.disk import DiskFullError, explained, is_no_room
from flows.process.engine_end import explain_full_disk
from flows.process.exit_codes import FENCED, TRY_AGAIN, refuse_to_run
from flows.process.gc import tune_garbage_collector, tune_malloc
from flows.process.logs import set_up_logs
from flows.recovered import prefix_of, state_fault
from flows.recovery import EngineFlags, RecoveryError, check, engine_flags
from flows.runtime.accounts import AccountRuntime
from flows.runtime.alerts import AlertRuntime
from flows.runtime.metrics import FlowMetrics, Parts, VenueMetrics, serve
from flows.runtime.query_handlers import open_query_handlers
from flows.runtime.stored_trades import NO_BEGINS, Begin
from flows.runtime.takeover import begins
from flows.runtime.topics import check_topics, open_kafka
from flows.runtime.venue import VenueRuntime, check_venues, with_own_names
from flows.settings import Settings, SettingsError, load_settings
from flows.settings.account import withheld
from flows.settings.extras import needs_extra
from flows.shards.lease import ShardLease, current_lease
from flows.spellings import Catalogue
from sinks.bridge import PartitionedWriterSink, SharedWriter, WriterSink
from sinks.bus.stored import BusError
from sinks.hub.broadcast import Broadcast
from sinks.ledger import IncidentWriter, RejectWriter
from sinks.mongo.identity import IDENTITY_FILE
from sinks.mongo.writer import MongoWriter, open_mongo_writer
from sinks.trades.store import TradeStoreError, check_store
from sinks.trades.writer import TradeWriter, part_of, partition_names
from sources.waiting import SourceWorkers

if TYPE_CHECKING:
    from sinks.bus.writer import BusWriter

REPLACED = "database replaced"
"""Id of the requests for the history of all symbols, when another database answers than before."""
DRAIN_S = 15.0
"""Longest time between a request to stop and the end of the process."""

_log = structlog.get_logger("flows.main")


def build_flow(
    settings: Settings,
    stop: threading.Event,
    instruments: Mapping[str, Sequence[ListedInstrument] | None] | None = None,
    *,
    recovery: Path | None = None,
    lease: ShardLease | None = None,
) -> Dataflow:
    """The complete system of one process. `stop` ends its input, and with it the flow. `instruments` are those
    of each venue, if known. `recovery` is the directory of the recovered state, if there is one. `lease` is that of
    the shard, where flows share them.
    """
    ledger, rejects, metrics = IncidentWriter(), RejectWriter(), FlowMetrics()
    workers = SourceWorkers(min(feed.patience_ms for feed in settings.by_venue.values()) / 1_000)
    catalogue, listed = Catalogue(), instruments or {}
    check_topics(settings)
    venues = [
        VenueRuntime.of(
            settings, with_own_names(feed, listed.get(name)), stop=stop, workers=workers, catalogue=catalogue,
            report=ledger.report,
        )
        for name, feed in settings.by_venue.items()
    ]  # fmt: skip
    hub = _open_broadcast(settings, metrics, venues) if settings.hub.enabled else None
    broadcast: SharedWriter[Any] | None = SharedWriter(hub) if hub else None
    documents = _open_mongo(settings, ledger.report, recovery, venues) if settings.mongo.enabled else None
    mongo: SharedWriter[Any] | None = SharedWriter(documents) if documents else None
    if mongo:
        ledger.add_sink(mongo.open())
    if broadcast:
        ledger.add_sink(broadcast.open(), gets_flow_incidents=True)
    bus = _open_bus(settings, ledger.report, venues, lease) if settings.bus.url else None
    published: SharedWriter[Any] | None = SharedWriter(bus) if bus else None
    if published:
        ledger.add_sink(published.open(), gets_flow_incidents=True)
    kafka = open_kafka(settings, ledger.report, {venue.feed.venue: venue.clock for venue in venues})
    topics: SharedWriter[Any] | None = SharedWriter(kafka) if kafka else None
    if topics:
        ledger.add_sink(topics.open(), gets_flow_incidents=True)
    if settings.lake.path and settings.lake.at:
        LakeNight(settings.lake.at, stop=stop, report=ledger.report, venue=settings.first_feed.venue).start()
    alerts = AlertRuntime(settings, documents, ledger.report) if settings.alerts.is_on else None
    if alerts:
        alerts.name_unlisted(listed)
    alert_writer: SharedWriter[Any] | None = SharedWriter(alerts.writer) if alerts else None
    incidents, refused = SharedWriter(ledger), SharedWriter(rejects)
    metrics.follow(
        Parts(
            ledger=ledger, rejects=rejects, broadcast=hub, documents=documents, folders=_folders(settings),
            venues=[_measured(settings, venue) for venue in venues], alerts=alerts.writer if alerts else None,
            bus=bus, kafka=kafka,
        )
    )  # fmt: skip
    if settings.metrics.enabled:
        serve(metrics, settings.metrics)
    try:
        taken_over = begins(settings, lease.since_ms) if lease and lease.since_ms else {}
    except BusError as error:
        _end_at_once(error)
    return venues_flow(
        [
            _parts_of(
                settings,
                venue,
                documents,
                listed.get(venue.feed.venue),
                stop,
                workers,
                alerts,
                shard=lease.shard if lease else "",
                taken_over=taken_over.get(venue.feed.venue, NO_BEGINS),
            )
            for venue in venues
        ],
        Sinks(
            candles=PartitionedWriterSink(["mongodb"], lambda _: mongo.open()) if mongo else None,
            broadcast=PartitionedWriterSink(["hub"], lambda _: broadcast.open()) if broadcast else None,
            bus=PartitionedWriterSink(["bus"], lambda _: published.open()) if published else None,
            kafka=PartitionedWriterSink(["kafka"], lambda _: topics.open()) if topics else None,
            rejects=WriterSink(refused.open),
            incidents=WriterSink(incidents.open),
            alerts=PartitionedWriterSink(["alerts"], lambda _: alert_writer.open()) if alert_writer else None,
        ),
    )


def _parts_of(
    settings: Settings,
    venue: VenueRuntime,
    documents: MongoWriter | None,
    instruments: Sequence[ListedInstrument] | None,
    stop: threading.Event,
    workers: SourceWorkers,
    alerts: AlertRuntime | None,
    *,
    shard: str,
    taken_over: Mapping[str, Begin],
) -> VenueParts:
    """The part of the flow for one venue. The steps of `feed.venue` have the ids that they have alone."""
    network = EventLoopThread()
    account = AccountRuntime.of(settings, venue, network, stop, workers) if venue.feed.has_account else None
    requests = venue.open_requests(instruments, documents)
    requests.start()
    if instruments is not None or len(settings.by_venue) == 1:  # a venue that does not answer delays no other
        requests.wait_first()
    parts, name = partition_names(settings.trades.partitions, shard), venue.feed.venue

    runner = open_query_handlers(
        settings,
        feed=venue.feed,
        renew=venue.source.renew,
        rest=venue.rest,
        network=network,
        more=account.handlers if account else {},
        begins=taken_over,
    )

    def open_partition(part: str) -> TradeWriter:
        try:
            return venue.open_partition(part)
        except TradeStoreError as error:
            _end_at_once(error)

    return VenueParts(
        source=venue.source,
        parser=venue.venue.parser(),
        feed=venue.feed,
        clock=venue.clock,
        runner=AwaitedQueries(runner, stop) if settings.kafka.stops_at_end else runner,
        rules=venue.venue.rules,
        books=settings.books,
        outages=partial(venue.outages, documents) if documents or settings.trades.enabled else None,
        trades=PartitionedWriterSink(parts, open_partition, lambda key: part_of(key, len(parts)))
        if settings.trades.enabled
        else None,
        commands=WriterSink(lambda: requests),
        account=account.parts if account else None,
        alerts=alerts.parts(name, venue.catalogue) if alerts else None,
        prefix="" if name == settings.feed.venue else prefix_of(name),
    )


def _measured(settings: Settings, venue: VenueRuntime) -> VenueMetrics:
    return VenueMetrics(
        source=venue.source,
        trades=venue.partitions if settings.trades.enabled else None,
        rest=venue.rest.rate_limit,
        clock=venue.clock,
        venue=venue.feed.venue,
        origin=venue.feed.origin,
        queue_frames=venue.feed.queue_frames,
    )


def _folders(settings: Settings) -> dict[str, Path]:
    """The folders that grow, by name."""
    found = {"trades": settings.trades.path} if settings.trades.enabled else {}
    if settings.log.file:
        found["log"] = settings.log.file.parent
    return found


def _check_stores(settings: Settings, flags: EngineFlags, shard: str) -> None:
    """Checks what the engine is going to open, since an error in the middle of its start ends in a panic.
    `RecoveryError` or `TradeStoreError` when that would fail.
    """
    if flags.recovery is not None:
        check(flags.recovery, state_fault)
    if settings.trades.enabled:
        for venue, part in product(settings.by_venue, partition_names(settings.trades.partitions, shard)):
            check_store(settings.trades.path / venue / part, is_shared=flags.is_cluster)


def _end_at_once(error: Exception) -> NoReturn:
    """Ends the process after an error while the engine runs, which would turn an exception into a panic."""
    is_full = is_no_room(error)
    sys.stderr.write(f"marketflow: {explained(error) if is_full else error}\n")
    sys.stderr.flush()
    os._exit(TRY_AGAIN if is_full else 1)


def _open_broadcast(settings: Settings, metrics: FlowMetrics, venues: list[VenueRuntime]) -> Broadcast:
    """Opens the port now: a port in use is an error at the start, not at the first message."""
    broadcast = Broadcast(
        settings.hub,
        origins={venue.feed.venue: venue.feed.origin for venue in venues},
        on_delay=metrics.observe_delay,
        clocks={venue.feed.venue: venue.clock for venue in venues},
        names_of=venues[0].catalogue.symbols,
    )
    try:
        broadcast.start()
    except OSError as error:
        raise SettingsError(str(error)) from error
    return broadcast


def _open_bus(
    settings: Settings, report: Callable[[Incident], None], venues: list[VenueRuntime], lease: ShardLease | None
) -> "BusWriter":
    """The publisher to the bus, whose client library is loaded only with one."""
    with needs_extra("bus", "bus.url"):
        from sinks.bus.client import check_credentials  # noqa: PLC0415
        from sinks.bus.fence import Fence  # noqa: PLC0415
        from sinks.bus.writer import BusWriter  # noqa: PLC0415
    try:
        check_credentials(settings.bus)
    except BusError as error:
        raise SettingsError(str(error)) from error
    return BusWriter(
        settings.bus,
        flow=settings.flow_name,
        rate=settings.hub.rate,
        origins={venue.feed.venue: venue.feed.origin for venue in venues},
        clocks={venue.feed.venue: venue.clock for venue in venues},
        summary_s=settings.log.summary_s,
        on_incident=report,
        fence=Fence(lease.shard, lease.epoch, lease.owner) if lease else None,
        since_ms=lease.since_ms if lease else 0,
        on_fenced=_end_fenced,
        on_heartbeat=lease.beat if lease else _nothing,
    )


def _end_fenced(error: Exception) -> NoReturn:
    """Ends the process at once: another flow owns its shard, and goes on from what this one has stored."""
    _log.error("shard_lost", reason=str(error))
    os._exit(FENCED)


def _nothing() -> None:
    """For a flow without a lease."""


def _open_mongo(
    settings: Settings, report: Callable[[Incident], None], recovery: Path | None, venues: list[VenueRuntime]
) -> MongoWriter:
    def fetch_past() -> None:
        for venue in venues:
            venue.fetch_past(venue.feed.own_symbols, REPLACED)

    return open_mongo_writer(
        settings.mongo,
        kept_for_ever=_kept_for_ever(settings),
        history_days=settings.accounts.history_days,
        on_incident=report,
        venue=venues[0].feed.venue if len(venues) == 1 else "",
        summary_s=settings.log.summary_s,
        identity_file=recovery / IDENTITY_FILE if recovery else None,
        on_replaced=fetch_past,
    )


def _kept_for_ever(settings: Settings) -> frozenset[str]:
    """The venues whose candles are never deleted."""
    for venue in settings.by_venue:
        holds = settings.holds_retention(venue)
        days = settings.mongo.retention_days if holds else "kept for ever"
        _log.info("candle_retention", venue=venue, on=holds, days=days)
    return frozenset(venue for venue in settings.by_venue if not settings.holds_retention(venue))


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
    tune_malloc()
    try:
        settings = load_settings()
        flags = engine_flags(sys.argv, os.environ)
        if flags.recovery is not None:
            explain_full_disk(flags.recovery)
        set_up_logs(settings.log, name="flow")
        raise_descriptor_limit()
        lease = current_lease()
        _check_stores(settings, flags, lease.shard if lease else "")
        instruments = check_venues(settings)
        stop = threading.Event()
        built = build_flow(settings, stop, instruments, recovery=flags.recovery, lease=lease)
    except (SettingsError, RecoveryError, TradeStoreError, DiskFullError, ValueError) as error:
        refuse_to_run(error)
    _stop_on_signals(stop)
    tune_garbage_collector()
    in_c, in_python = compiled_parts()
    _log.info("compiled_parts", in_c=in_c, in_python=in_python)
    if reason := withheld(settings).get("hub"):
        _log.warning("accounts_withheld", reason=reason)
    for name, feed in settings.by_venue.items():
        _log.info("starting", venue=name, origin=feed.origin, symbols=feed.own_symbols, timeframes=feed.timeframes)
    return built


flow = _build()
