"""Prometheus metrics of the API; names begin with `market_data_`."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.live.messages import HubMessage
from api.live.view import LiveEvent, LiveView, Lost
from api.state_metrics import ClosedCandles, state_metrics
from sinks.hub.latency import LATENCY_S, latency_histogram
from sinks.hub.payloads import MarketDataBody

TIMED: Final = ("MarketData", "Trade", "OrderBook")
"""Channels that the hub publishes without delay; a candle may wait for its trades."""


class ApiMetrics:
    """The API's own registry. Values counted elsewhere are read at scrape time."""

    def __init__(self, live: LiveView, *, is_ready: Callable[[], bool] = lambda: False) -> None:
        """`is_ready` says what `/health/ready` does."""
        self._live = live
        self._is_ready = is_ready
        self._closed = ClosedCandles()
        self.registry = CollectorRegistry()
        self.latency = latency_histogram(
            "From the exchange's time of an event to the hub's message, in the feed's time",
            self.registry,
        )
        self.lost = Counter(
            "market_data_live_lost",
            "Messages that the hub dropped because the live view was too slow",
            registry=self.registry,
        )
        self.incidents = Counter(
            "market_data_incidents",
            "Incidents by kind: gap, late, mismatch, reject, …",
            ["venue", "kind"],
            registry=self.registry,
        )
        self.answers = Counter(
            "market_data_api_answers", "Answers by route and status", ["route", "status"], registry=self.registry
        )
        self.errors = Counter("market_data_errors", "Answers of status 500 and above", registry=self.registry)
        self.duration = Histogram(
            "market_data_api_seconds", "Time to answer, by route", ["route"], buckets=LATENCY_S, registry=self.registry
        )
        self._counted: dict[tuple[str, int], tuple[Counter, Histogram]] = {}  # finding them by label takes longer
        self._timed: dict[tuple[str, str, str], int] = {}  # bounded by the symbols that the hubs publish
        self._priced: dict[tuple[str, str], float] = {}
        self.completeness: dict[tuple[str, str], float] = {}
        """By venue and symbol, as last computed."""
        self.registry.register(_OnScrape(self._scrape))
        live.subscribe(self._on_event)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics and their content type: Prometheus' text format, or what of its forms a header `Accept` names."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def on_answer(self, route: str, status: int, seconds: float) -> None:
        """Counts an answer."""
        counted = self._counted.get((route, status))
        if counted is None:
            counted = self._counted[route, status] = self.answers.labels(route, status), self.duration.labels(route)
        counter, duration = counted
        counter.inc()
        duration.observe(seconds)
        self.errors.inc(status >= 500)  # noqa: PLR2004 - the class of statuses

    def _on_event(self, event: LiveEvent) -> None:
        if isinstance(event, Lost):
            self.lost.inc(event.dropped)
        elif isinstance(event, HubMessage):
            if event.channel == "Incident":
                self.incidents.labels(event.venue, event.body.kind).inc()
            elif event.channel == "Candle":
                self._closed.take(event)
            elif event.channel in TIMED and (stamp := getattr(event.body, "timestamp", None)):
                self._observe_latency(event, stamp)

    def _observe_latency(self, event: HubMessage, time_ms: int) -> None:
        """Observes the latency once an exchange time; of prices, only of a new one. One that came again with later
        trades is published with the next 24-hour figures, however late these are.
        """
        key = event.venue, event.channel, event.symbol
        is_new = time_ms != self._timed.get(key)
        self._timed[key] = time_ms
        if isinstance(event.body, MarketDataBody):
            is_new = self._priced.get(key[::2]) != event.body.price
            self._priced[key[::2]] = event.body.price
        if is_new:
            self.latency.labels(event.venue).observe(max(0, event.stamp_ms - time_ms) / 1_000)

    def _scrape(self) -> Iterator[Metric]:
        cache = self._live.candles
        yield GaugeMetricFamily("market_data_ready", "Whether /health/ready is 200", float(self._is_ready()))
        yield from state_metrics(self._live.venue_states(), self._closed)
        yield GaugeMetricFamily("market_data_cache_size", "Candles held in memory", len(cache))
        yield CounterMetricFamily("market_data_cache_hits", "Answered from memory", cache.counters.hits)
        yield CounterMetricFamily("market_data_cache_misses", "Answered from the store", cache.counters.misses)
        updates = CounterMetricFamily("market_data_updates", "Messages of the hub", labels=["venue", "channel"])
        for venue_state in self._live.venue_states():
            for channel, count in venue_state.counts.items():
                updates.add_metric([venue_state.venue, channel], count)
        yield updates
        reconnections = CounterMetricFamily(
            "market_data_reconnections", "Times the connection to the hub was lost", labels=["url"]
        )
        up = GaugeMetricFamily("market_data_hub_up", "Whether the hub is connected", labels=["url"])
        for connection in self._live.connections:
            reconnections.add_metric([connection.state.url], connection.state.reconnections)
            up.add_metric([connection.state.url], connection.state.connected)
        yield reconnections
        yield up
        completeness = GaugeMetricFamily(
            "market_data_completeness",
            "Stored trades as a share of the ids issued, as last computed",
            labels=["venue", "symbol"],
        )
        for (venue, symbol), share in self.completeness.items():
            completeness.add_metric([venue, symbol], share)
        yield completeness


class _OnScrape(Collector):
    def __init__(self, scrape: Callable[[], Iterator[Metric]]) -> None:
        self._scrape = scrape

    def collect(self) -> Iterator[Metric]:
        return self._scrape()
