"""The latency histogram, with the same buckets in flow and API, so that the two can be compared."""

from typing import Final

from prometheus_client import CollectorRegistry, Histogram

LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bucket bounds."""


def latency_histogram(description: str, registry: CollectorRegistry) -> Histogram:
    """Delay from the exchange's time of an event to the hub, by venue."""
    return Histogram(
        "market_data_exchange_to_broadcast_seconds", description, ["venue"], buckets=LATENCY_S, registry=registry
    )
