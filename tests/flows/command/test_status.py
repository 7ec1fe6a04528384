import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.__main__ import running_api
from api.live import freshness
from api.services import Services
from flows.command.status import CURRENT, age, is_live
from flows.settings import Api, Mongo, Settings, Trades
from tests.fakes.deployment import free_port
from tests.fakes.interface import LIVE, Deployment, price, state, until
from tests.flows.command.conftest import Run


@asynccontextmanager
async def served(deployment: Deployment, token: str | None = None) -> AsyncIterator[tuple[str, Services]]:
    """The API beside a hub, without stores."""
    hub = deployment.start_hub()
    settings = Settings(
        mongo=Mongo(enabled=False, uri=deployment.mongod_uri),
        trades=Trades(enabled=False),
        api=Api(port=0, token=token, hub_urls=(f"ws://127.0.0.1:{hub.port}/ws",)),
    )
    try:
        async with running_api(settings) as (url, services):
            await until(lambda: services.live.connections[0].state.connected)
            yield url, services
    finally:
        await deployment.stop_hub()


@pytest.fixture
def deployment(folder: Any) -> Deployment:
    return Deployment(folder, "mongodb://127.0.0.1:1")


async def test_all_is_live(deployment: Deployment, run: Run) -> None:
    async with served(deployment) as (url, services), deployment.beating():
        deployment.tell(LIVE, price(100.0), state("live"), state("quiet", symbol="ETHUSDT"))
        await until(lambda: len(next(iter(services.live.venue_states())).states) == 2)
        ended = await run("status", "--url", url, "--json")
        answer = json.loads(ended.stdout)
        assert (ended.exit_code, answer["missing"]) == (0, [])
        assert [(one["symbol"], one["state"]) for one in answer["instruments"]] == [
            ("BTCUSDT", "live"), ("ETHUSDT", "quiet"),
        ]  # fmt: skip
        table = await run("status", "--url", url)
        assert table.stdout.startswith("binance; replay\n")
        assert table.exit_code == 0
        assert ["binance", "BTCUSDT", "live"] in [line.split()[:3] for line in table.stdout.splitlines()]


async def test_one_instrument_that_is_not_current_is_a_failure(deployment: Deployment, run: Run) -> None:
    async with served(deployment) as (url, services), deployment.beating():
        deployment.tell(LIVE, price(100.0), state("live"), state("silent", symbol="ETHUSDT"))
        await until(lambda: len(next(iter(services.live.venue_states())).states) == 2)
        ended = await run("status", "--url", url)
        assert ended.exit_code == 1
        assert "missing: ETHUSDT is silent" in ended.stdout


async def test_without_a_flow_nothing_is_live(deployment: Deployment, run: Run) -> None:
    async with served(deployment) as (url, _):
        assert (await run("status", "--url", url)).exit_code == 1


async def test_the_token_is_that_of_the_settings(
    deployment: Deployment, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(deployment, token="secret") as (url, _):
        refused = await run("status", "--url", url, "--json")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "a token is needed" in refused.stderr
        monkeypatch.setenv("MARKETFLOW_API__TOKEN", "secret")
        assert json.loads((await run("status", "--url", url, "--json")).stdout)["venue"] == "binance"


async def test_where_nothing_answers_it_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MARKETFLOW_API__PORT", str(port))
    ended = await run("status")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert f"http://127.0.0.1:{port} does not answer" in ended.stderr


@pytest.mark.parametrize("url", ["http://[", "127.0.0.1:8080", "http://127.0.0.1:99999"])
async def test_what_is_no_address_is_wrong(url: str, run: Run) -> None:
    assert (await run("status", "--url", url)).exit_code in (1, 2)


LIVE_ANSWER: dict[str, Any] = {
    "missing": [],
    "parts": [{"up": True}],
    "flows": [{"alive": True}],
    "instruments": [{"state": "live"}, {"state": "quiet"}],
}


@pytest.mark.parametrize(
    ("change", "live"),
    [
        ({}, True),
        ({"parts": []}, True),
        ({"missing": ["a line"]}, False),
        ({"parts": [{"up": False}]}, False),
        ({"flows": []}, False),
        ({"flows": [{"alive": False}]}, False),
        ({"instruments": []}, False),
        ({"instruments": [{"state": "behind"}]}, False),
    ],
)
def test_what_is_live(change: dict[str, Any], *, live: bool) -> None:
    assert is_live(LIVE_ANSWER | change) is live


def test_the_states_are_the_interfaces_own() -> None:
    assert CURRENT == freshness.CURRENT


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(None, ""), (0, "0 ms"), (999, "999 ms"), (61_000, "1 min"), (7_200_000, "2 h"), (90_000_000, "1 d")],
)
def test_an_age_in_words(milliseconds: int | None, words: str) -> None:
    assert age(milliseconds) == words
