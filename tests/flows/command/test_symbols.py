import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from tests.fakes.interface import Deployment, Interface, interface
from tests.flows.command.conftest import Run


@pytest.fixture
async def served(folder: Path, mongod_uri: str) -> AsyncIterator[Interface]:
    """The interface with three listed instruments."""
    deployment = Deployment(folder, mongod_uri)
    deployment.list_instruments("BTCUSDT", "ETHUSDT", "SOLUSDT")
    async with interface(deployment) as running:
        yield running
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        client.drop_database(deployment.database)


async def wanted(served: Interface) -> dict[str, bool]:
    return {one["symbol"]: one["wanted"] for one in await served.data("/api/symbols")}


async def test_symbols_are_added_listed_and_removed(served: Interface, run: Run) -> None:
    added = await run("symbols", "add", "solusdt", "ETHUSDT", "--stream", "aggTrade", "--url", served.url, "--json")
    assert added.exit_code == 0
    assert [(one["symbol"], one["wanted"], one["streams"]) for one in json.loads(added.stdout)] == [
        ("SOLUSDT", True, ["aggTrade"]), ("ETHUSDT", True, ["aggTrade"]),
    ]  # fmt: skip
    listed = await run("symbols", "list", "--url", served.url)
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["binance", "ETHUSDT", "yes", "no", "aggTrade"], ["binance", "SOLUSDT", "yes", "no", "aggTrade"],
    ]  # fmt: skip
    assert (await run("symbols", "remove", "SOLUSDT", "--yes", "--url", served.url)).exit_code == 0
    assert await wanted(served) == {"ETHUSDT": True, "SOLUSDT": False}


async def test_a_removal_is_confirmed(served: Interface, run: Run) -> None:
    await run("symbols", "add", "SOLUSDT", "--url", served.url)
    for answer in ("n\n", ""):
        refused = await run("symbols", "remove", "SOLUSDT", "--url", served.url, typed=answer)
        assert refused.exit_code == 1
        assert "venue" not in refused.stdout
        assert await wanted(served) == {"SOLUSDT": True}
    assert (await run("symbols", "remove", "SOLUSDT", "--url", served.url, typed="y\n")).exit_code == 0
    assert await wanted(served) == {"SOLUSDT": False}


async def test_of_symbols_one_of_which_is_unknown_none_is_added(served: Interface, run: Run) -> None:
    refused = await run("symbols", "add", "SOLUSDT", "SOLUSDD", "--url", served.url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "SOLUSDT" in refused.stderr
    assert await wanted(served) == {}
