"""The flow's metrics through the interface: of a real server of them, one that is away, and one that is off."""

from prometheus_client import CollectorRegistry, Gauge

from flows.runtime.metrics_server import MetricsServer
from tests.fakes.interface import Deployment, interface


async def test_the_flows_metrics_are_served_while_it_serves_them(deployment: Deployment) -> None:
    registry = CollectorRegistry()
    Gauge("market_data_queue_depth", "Waiting", ["queue"], registry=registry).labels("hub").set(7)
    server = MetricsServer(registry, host="127.0.0.1", port=0)
    deployment.metrics = {"port": server.port}
    deployment.start_hub()
    async with interface(deployment) as running:
        try:
            async with running.session.get(f"{running.url}/metrics/flow") as answer:
                assert (answer.status, answer.content_type) == (200, "text/plain")
                assert 'market_data_queue_depth{queue="hub"} 7.0' in await answer.text()
        finally:
            server.close()
        assert await running.error("/metrics/flow") == (503, "not_ready")


async def test_where_the_flow_serves_none_there_are_none(deployment: Deployment) -> None:
    deployment.start_hub()
    async with interface(deployment) as running:
        assert await running.error("/metrics/flow") == (404, "not_found")
