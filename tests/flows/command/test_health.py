from typing import Any

import pytest

from tests.fakes.deployment import free_port
from tests.fakes.interface import LIVE, Deployment, price, state, until
from tests.flows.command.conftest import Run
from tests.flows.command.test_status import served


@pytest.fixture
def deployment(folder: Any) -> Deployment:
    return Deployment(folder, "mongodb://127.0.0.1:1")


async def test_the_api_is_asked_where_the_settings_have_it(
    deployment: Deployment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(deployment, token="secret") as (url, services):
        monkeypatch.setenv("MARKETFLOW_API__PORT", url.rpartition(":")[2])
        assert (await run("health", "live")).exit_code == 0
        async with deployment.beating():
            deployment.tell(LIVE, price(100.0), state("silent"))
            await until(lambda: len(next(iter(services.live.venue_states())).states) == 1)
            refused = await run("health")
            assert refused.exit_code == 1
            assert "marketflow: HTTP 503: missing: data of now (BTCUSDT is silent" in refused.stderr
            deployment.tell(state("live"))
            await until(lambda: not services.readiness.missing())
            assert (await run("health", "ready")).exit_code == 0


async def test_the_flow_is_well_while_its_heartbeats_come(
    deployment: Deployment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = deployment.start_hub()
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", str(hub.port))
    try:
        async with deployment.beating():
            assert (await run("health", "flow", "--timeout", "60")).exit_code == 0
        silent = await run("health", "flow", "--timeout", "0.2")
        assert (silent.exit_code, "no heartbeat came within 0.2 s" in silent.stderr) == (1, True)
    finally:
        await deployment.stop_hub()


@pytest.mark.parametrize("what", ["ready", "live", "flow"])
async def test_nobody_there_is_not_well(run: Run, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    port = free_port()
    monkeypatch.setenv("MARKETFLOW_HUB__PORT" if what == "flow" else "MARKETFLOW_API__PORT", str(port))
    asked = await run("health", what)
    assert (asked.exit_code, f"127.0.0.1:{port}" in asked.stderr) == (1, True)
