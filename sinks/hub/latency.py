"""How late the news are, counted alike by the flow and by the interface, so that their histograms can be compared."""

from typing import Final

from prometheus_client import CollectorRegistry, Histogram

LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Bounds of the buckets in which delays are counted."""


def latency_histogram(description: str, registry: CollectorRegistry) -> Histogram:
    """Delays from the exchange's time of some news to the hub."""
    return Histogram("market_data_exchange_to_broadcast_seconds", description, buckets=LATENCY_S, registry=registry)
