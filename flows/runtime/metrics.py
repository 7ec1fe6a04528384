"""Metrics of the flow for Prometheus: names begin with `market_data_`, as the API's do.

The parts keep counts anyway; they are only read on a request, and cost nothing until then. All of them exist from the
start, as 0: a metric that appears with its first event has no rate for it.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, get_args

import structlog
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flows.model import IncidentKind
from flows.runtime.metrics_server import MetricsServer
from flows.settings import Metrics
from sinks.hub.broadcast import Broadcast
from sinks.hub.latency import latency_histogram
from sinks.hub.messages import CHANNELS
from sinks.ledger import IncidentWriter, RejectWriter
from sinks.mongo.writer import MongoWriter
from sinks.trades.writer import TradeWriter

_log = structlog.get_logger(__name__)


class ConnectionPool(Protocol):
    """Queues of frames that wait for the flow."""

    def waiting(self) -> dict[str, int]:
        """Number of frames by line."""


class Parts(Struct, frozen=True):
    """The measured parts; None where one is switched off. `trades` grows as the engine opens partitions."""

    ledger: IncidentWriter
    rejects: RejectWriter
    source: ConnectionPool
    broadcast: Broadcast | None
    documents: MongoWriter | None
    trades: Sequence[TradeWriter] | None


class FlowMetrics(Collector):
    """The metrics of one flow."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.latency = latency_histogram(
            "Delay from the exchange's time of the newest event of a batch to the hub, in the feed's time",
            self.registry,
        )
        self._parts: Parts | None = None

    def follow(self, parts: Parts) -> None:
        """Sets the measured parts."""
        self._parts = parts
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        if self._parts is not None:
            yield from _incident_counts(self._parts)
            yield from _stored(self._parts)
            yield from _waiting(self._parts)
            if self._parts.broadcast:
                yield from _broadcast_counts(self._parts.broadcast)


def _incident_counts(parts: Parts) -> Iterator[Metric]:
    kinds = dict(parts.ledger.counts)
    incidents = CounterMetricFamily(
        "market_data_incidents", "Incidents by kind: gap, repair, mismatch, …", labels=["kind"]
    )
    for kind in get_args(IncidentKind):
        incidents.add_metric([kind], kinds.get(kind, 0))
    yield incidents
    for name, kind, text in (
        ("gaps", "gap", "Gaps in the trade ids that were not filled in time"),
        ("repairs", "repair", "Gaps in the trade ids that were filled"),
        ("mismatches", "mismatch", "Closed candles that differ from the exchange's"),
        ("reconnections", "reconnect", "Reconnects to the exchange"),
    ):
        yield CounterMetricFamily(f"market_data_{name}", text, kinds.get(kind, 0))
    yield CounterMetricFamily("market_data_errors", "Messages of the exchange that were refused", parts.rejects.total)


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
    yield writes
    yield errors


def _waiting(parts: Parts) -> Iterator[Metric]:
    waiting = GaugeMetricFamily("market_data_queue_depth", "Waiting items by queue", labels=["queue"])
    for line, frames in parts.source.waiting().items():
        waiting.add_metric([f"frames {line}"], frames)
    if parts.documents:
        waiting.add_metric(["mongodb"], parts.documents.held)
    if parts.trades is not None:
        waiting.add_metric(["rocksdb"], sum(writer.held for writer in parts.trades))
    yield waiting


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
