"""What the API counts, for Prometheus; names begin with `market_data_`."""

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.live.messages import News, ms_of
from api.live.view import LiveEvent, LiveView, Lost
from sinks.hub.latency import LATENCY_S, latency_histogram

TIMED: Final = ("MarketData", "Trade", "OrderBook")
"""Channels whose news leave the hub as soon as they come; a candle may wait for its trades."""


class Meters:
    """The API's own registry. What others count already is only read when somebody looks."""

    def __init__(self, live: LiveView) -> None:
        self._live = live
        self.registry = CollectorRegistry()
        self.latency = latency_histogram(
            "From the exchange's time of a piece of news to the hub's message, in the feed's time",
            self.registry,
        )
        self.lost = Counter(
            "market_data_live_lost", "Messages that the live view lost by being slow", registry=self.registry
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
        self._timed: dict[tuple[str, str], int] = {}  # as many as the hubs tell of
        self.completeness: dict[tuple[str, str], float] = {}
        """By venue and symbol, as it was found last."""
        self.registry.register(_Looked(self._look))
        live.subscribe(self._on_event)

    def text(self) -> bytes:
        """The exposition that Prometheus reads."""
        return generate_latest(self.registry)

    def on_answer(self, route: str, status: int, seconds: float) -> None:
        """Counts an answer."""
        self.answers.labels(route, status).inc()
        self.duration.labels(route).observe(seconds)
        self.errors.inc(status >= 500)  # noqa: PLR2004 - the class of statuses

    def _on_event(self, event: LiveEvent) -> None:
        if isinstance(event, Lost):
            self.lost.inc(event.dropped)
        elif isinstance(event, News):
            if event.channel == "Incident":
                self.incidents.labels(event.venue, event.body.kind).inc()
            elif event.channel in TIMED and (stamp := getattr(event.body, "timestamp", None)):
                self._observe_latency(event, ms_of(stamp))

    def _observe_latency(self, event: News, time_ms: int) -> None:
        """Counts how long news took. What is published again, as a price with new figures of the day, took no time."""
        key = event.channel, event.symbol
        if time_ms != self._timed.get(key):
            self._timed[key] = time_ms
            self.latency.observe(max(0, event.stamp_ms - time_ms) / 1_000)

    def _look(self) -> Iterator[Metric]:
        cache = self._live.candles
        yield GaugeMetricFamily("market_data_cache_size", "Candles held in memory", len(cache))
        yield CounterMetricFamily("market_data_cache_hits", "Answered from memory", cache.counters.hits)
        yield CounterMetricFamily("market_data_cache_misses", "Answered from the store", cache.counters.misses)
        updates = CounterMetricFamily("market_data_updates", "Messages of the hub", labels=["venue", "channel"])
        for board in self._live.boards():
            for channel, count in board.counts.items():
                updates.add_metric([board.venue, channel], count)
        yield updates
        lines = CounterMetricFamily("market_data_reconnections", "Times the hub was lost", labels=["url"])
        up = GaugeMetricFamily("market_data_hub_up", "Whether the hub is followed", labels=["url"])
        for line in self._live.lines:
            lines.add_metric([line.state.url], line.state.reconnections)
            up.add_metric([line.state.url], line.state.connected)
        yield lines
        yield up
        whole = GaugeMetricFamily(
            "market_data_completeness", "Trades held of the ids issued, as last asked for", labels=["venue", "symbol"]
        )
        for (venue, symbol), share in self.completeness.items():
            whole.add_metric([venue, symbol], share)
        yield whole


class _Looked(Collector):
    def __init__(self, look: Callable[[], Iterator[Metric]]) -> None:
        self._look = look

    def collect(self) -> Iterator[Metric]:
        return self._look()
