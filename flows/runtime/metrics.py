"""Metrics of the flow for Prometheus: names begin with `market_data_`, as the API's do.

The parts keep counts anyway; they are only read on a request, and cost nothing until then. All of them exist from the
start, as 0: a metric that appears with its first event has no rate for it.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Protocol, get_args

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.clock import FeedClock, wall_ms
from flows.model import IncidentKind
from flows.runtime.metrics_server import MetricsServer
from flows.settings import Metrics
from sinks.alerts.writer import MOST_WAITING, AlertWriter
from sinks.hub.broadcast import HANDOFF_ITEMS, Broadcast
from sinks.hub.latency import latency_histogram
from sinks.hub.messages import CHANNELS
from sinks.ledger import IncidentWriter, RejectWriter
from sinks.mongo.writer import MongoWriter
from sinks.trades.writer import TradeWriter

_log = structlog.get_logger(__name__)


class ConnectionPool(Protocol):
    """The venue's connections, and their queues of frames that wait for the flow."""

    def waiting(self) -> dict[str, int]:
        """Number of frames by line, in its fullest queue."""

    def lines(self) -> dict[str, bool]:
        """Whether all connections of a line are up."""


class RequestLimit(Protocol):
    """What the venue's REST side says of the number of requests."""

    @property
    def bans(self) -> int:
        """How often it refused them."""

    @property
    def banned_for_s(self) -> float:
        """Time until it takes some again."""

    @property
    def used(self) -> int:
        """Weight of the requests that count at this moment."""

    @property
    def limit(self) -> int:
        """Most weight that may count at a moment."""


class Publishing(Protocol):
    """A publisher: to the bus, or to Kafka."""

    failures: int

    @property
    def published(self) -> dict[str, int]:
        """Messages that it has taken, by kind."""

    @property
    def waiting(self) -> int:
        """What waits for it."""

    @property
    def capacity(self) -> int:
        """Most that may wait."""

    @property
    def outage(self) -> str:
        """Why it takes nothing now."""


class VenueMetrics(Struct, frozen=True):
    """The measured parts of a venue. `trades` grows as the engine opens partitions; None where the store is off."""

    source: ConnectionPool
    trades: Sequence[TradeWriter] | None
    rest: RequestLimit
    clock: FeedClock
    venue: str
    origin: str
    queue_frames: int
    """Most frames in a queue of the source."""


class Parts(Struct, frozen=True):
    """The measured parts; None where one is switched off."""

    ledger: IncidentWriter
    rejects: RejectWriter
    broadcast: Broadcast | None
    documents: MongoWriter | None
    venues: Sequence[VenueMetrics]
    folders: Mapping[str, Path]
    """By name, folders whose disks must not fill up; they need not exist yet."""
    alerts: AlertWriter | None = None
    bus: Publishing | None = None
    kafka: Publishing | None = None

    @property
    def published(self) -> dict[str, Publishing]:
        """The publishers by name."""
        return {name: one for name, one in (("bus", self.bus), ("kafka", self.kafka)) if one}

    @property
    def trades(self) -> list[TradeWriter] | None:
        """The trade stores of all venues."""
        stores = [venue.trades for venue in self.venues if venue.trades is not None]
        return [writer for store in stores for writer in store] if stores else None


class FlowMetrics(Collector):
    """The metrics of one flow."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.latency = latency_histogram(
            "Delay from the exchange's time of the newest event of a batch to the hub, in the feed's time",
            self.registry,
        )
        self._parts: Parts | None = None

    def observe_delay(self, venue: str, seconds: float) -> None:
        """Takes the delay of the newest event of a batch."""
        self.latency.labels(venue).observe(seconds)

    def follow(self, parts: Parts) -> None:
        """Sets the measured parts."""
        self._parts = parts
        for one in parts.venues:
            self.latency.labels(one.venue)
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        if self._parts is not None:
            yield from _incident_counts(self._parts)
            yield from _stored(self._parts)
            yield from _waiting(self._parts)
            yield from _venues(self._parts.venues)
            yield from _disks(self._parts.folders)
            if self._parts.alerts:
                yield _alert_counts(self._parts.alerts)
            if self._parts.broadcast:
                yield from _broadcast_counts(self._parts.broadcast)


def _incident_counts(parts: Parts) -> Iterator[Metric]:
    counts, refused = dict(parts.ledger.counts), dict(parts.rejects.counts)
    venues = dict.fromkeys([*(one.venue for one in parts.venues), *(venue for venue, _ in counts), *refused])
    incidents = CounterMetricFamily(
        "market_data_incidents", "Incidents by kind: gap, repair, mismatch, …", labels=["venue", "kind"]
    )
    for venue, kind in product(venues, get_args(IncidentKind)):
        incidents.add_metric([venue, kind], counts.get((venue, kind), 0))
    yield incidents
    for name, kind, text in (
        ("gaps", "gap", "Gaps in the trade ids that were not filled in time"),
        ("repairs", "repair", "Gaps in the trade ids that were filled"),
        ("mismatches", "mismatch", "Closed candles that differ from the exchange's"),
        ("reconnections", "reconnect", "Reconnects to the exchange"),
    ):
        family = CounterMetricFamily(f"market_data_{name}", text, labels=["venue"])
        for venue in venues:
            family.add_metric([venue], counts.get((venue, kind), 0))
        yield family
    errors = CounterMetricFamily("market_data_errors", "Messages of the exchange that were refused", labels=["venue"])
    for venue in venues:
        errors.add_metric([venue], refused.get(venue, 0))
    yield errors


def _stored(parts: Parts) -> Iterator[Metric]:
    writes = CounterMetricFamily("market_data_storage_writes", "Stored items", labels=["store", "kind"])
    errors = CounterMetricFamily("market_data_storage_errors", "Failed writes, which are retried", labels=["store"])
    if parts.documents:
        stored = parts.documents.stored
        for kind in ("closed", "forming", "incidents", "statistics"):
            writes.add_metric(["mongodb", kind], getattr(stored, kind))
        errors.add_metric(["mongodb"], parts.documents.failures)
    if parts.trades is not None:
        writes.add_metric(["rocksdb", "trades"], sum(writer.stored for writer in parts.trades))
        errors.add_metric(["rocksdb"], sum(writer.failures for writer in parts.trades))
    for name, publisher in parts.published.items():
        writes.add_metric([name, "messages"], sum(publisher.published.values()))
        errors.add_metric([name], publisher.failures)
    yield writes
    yield errors
    yield _stores_up(parts)


def _stores_up(parts: Parts) -> Metric:
    up = GaugeMetricFamily("market_data_store_up", "Whether the last write to the store succeeded", labels=["store"])
    if parts.documents:
        up.add_metric(["mongodb"], not parts.documents.outage)
    if parts.trades is not None:
        up.add_metric(["rocksdb"], not any(writer.outage for writer in parts.trades))
    for name, publisher in parts.published.items():
        up.add_metric([name], not publisher.outage)
    return up


def _waiting(parts: Parts) -> Iterator[Metric]:
    names = ["queue", "venue"]
    waiting = GaugeMetricFamily("market_data_queue_depth", "Waiting items by queue", labels=names)
    bounds = GaugeMetricFamily("market_data_queue_capacity", "Most items that wait, by queue", labels=names)

    def add(queue: str, items: int, most: int, venue: str = "") -> None:
        waiting.add_metric([queue, venue], items)
        bounds.add_metric([queue, venue], most)

    for one in parts.venues:
        for line, frames in one.source.waiting().items():
            add(f"frames {line}", frames, one.queue_frames, one.venue)
    if parts.broadcast:
        add("hub", parts.broadcast.waiting, HANDOFF_ITEMS)
    if parts.documents:
        add("mongodb", parts.documents.held, parts.documents.capacity)
    if parts.trades is not None:
        add("rocksdb", sum(one.held for one in parts.trades), sum(one.capacity for one in parts.trades))
    for name, publisher in parts.published.items():
        add(name, publisher.waiting, publisher.capacity)
    if parts.alerts:
        add("alerts", parts.alerts.waiting, MOST_WAITING)
    yield waiting
    yield bounds


def _alert_counts(alerts: AlertWriter) -> Metric:
    counts = CounterMetricFamily("market_data_alerts", "Alerts of rules, by what became of them", labels=["result"])
    for result in ("fired", "delivered"):
        counts.add_metric([result], getattr(alerts.counts, result))
    return counts


def _venues(venues: Sequence[VenueMetrics]) -> Iterator[Metric]:
    """Lines, time and requests of each venue."""
    lines = GaugeMetricFamily(
        "market_data_line_up", "Whether all connections of a line are up and confirmed", labels=["venue", "line"]
    )
    sure = GaugeMetricFamily("market_data_clock_sure", "Whether the exchange's time is known", labels=["venue"])
    offset = GaugeMetricFamily(
        "market_data_clock_offset_seconds",
        "The exchange's time less this machine's; by design anything but 0 for a replay",
        labels=["venue", "origin"],
    )
    refused = CounterMetricFamily(
        "market_data_rate_limited", "Requests that the exchange refused for their number", labels=["venue"]
    )
    banned = GaugeMetricFamily(
        "market_data_banned_seconds", "Time until the exchange takes requests again", labels=["venue"]
    )
    used = GaugeMetricFamily(
        "market_data_request_weight", "Weight of the requests to the exchange that count now", labels=["venue"]
    )
    limit = GaugeMetricFamily("market_data_request_weight_limit", "Most that may count at a moment", labels=["venue"])
    for one in venues:
        used.add_metric([one.venue], one.rest.used)
        limit.add_metric([one.venue], one.rest.limit)
        for line, is_up in one.source.lines().items():
            lines.add_metric([one.venue, line], is_up)
        sure.add_metric([one.venue], float(one.clock.is_sure))
        if now := one.clock.now().feed:
            offset.add_metric([one.venue, one.origin], (now - wall_ms()) / 1_000)
        refused.add_metric([one.venue], one.rest.bans)
        banned.add_metric([one.venue], one.rest.banned_for_s)
    yield from (lines, sure, offset, refused, banned, used, limit)


def _disks(folders: Mapping[str, Path]) -> Iterator[Metric]:
    """Space of the disks of folders; a disk that says nothing is left out."""
    free = GaugeMetricFamily("market_data_disk_free_bytes", "Space left on the disk of a folder", labels=["folder"])
    size = GaugeMetricFamily("market_data_disk_size_bytes", "Size of the disk of a folder", labels=["folder"])
    for name, folder in folders.items():
        try:
            existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
            usage = shutil.disk_usage(existing)
        except OSError:
            continue
        free.add_metric([name], usage.free)
        size.add_metric([name], usage.total)
    yield free
    yield size


def _broadcast_counts(broadcast: Broadcast) -> Iterator[Metric]:
    updates = CounterMetricFamily("market_data_updates", "Messages of the hub", labels=["channel"])
    published = broadcast.published
    for channel in CHANNELS:
        updates.add_metric([channel], published.get(channel, 0))
    yield updates
    counters = broadcast.counters
    yield GaugeMetricFamily("market_data_broadcast_clients", "Clients of the hub", counters.clients)
    yield CounterMetricFamily("market_data_broadcast_sent", "Messages handed to clients", counters.sent)
    yield CounterMetricFamily("market_data_broadcast_dropped", "Messages that slow clients lost", counters.dropped)


def serve(metrics: FlowMetrics, settings: Metrics) -> None:
    """Serves `/metrics` until the process ends. A port in use, e.g. by another process of the same flow, only costs a
    warning.
    """
    try:
        server = MetricsServer(metrics.registry, host=settings.host, port=settings.port)
    except OSError as error:
        reason = error.strerror or str(error)
        where = f"{settings.host}:{settings.port}"
        _log.warning("metrics_not_served", address=where, reason=reason, hint="set another metrics.port")
        return
    _log.info("metrics_served", url=f"http://{settings.host}:{server.port}/metrics")
