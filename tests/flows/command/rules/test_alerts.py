"""`marketflow alerts`, through an interface of a deployment."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pymongo import MongoClient

from flows.command.rules.alerts import Direction, Kind, Rearm
from flows.model import alerts
from tests.fakes.alerts import alert
from tests.fakes.interface import Deployment, Interface, interface
from tests.flows.command.conftest import Run


@pytest.fixture
async def served(folder: Path, mongod_uri: str) -> AsyncIterator[Interface]:
    deployment = Deployment(folder, mongod_uri)
    deployment.alerts = {"enabled": True, "rules": {"own": {"kind": "gap"}}}
    deployment.list_instruments("BTCUSDT", "ETHUSDT")
    deployment.store([alert(1, rule="own")])
    async with interface(deployment) as running:
        yield running
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        client.drop_database(deployment.database)


def test_its_words_are_those_of_the_rules() -> None:
    for ours, theirs in ((Kind, alerts.AlertKind), (Direction, alerts.Direction), (Rearm, alerts.Rearm)):
        assert set(get_args(ours)) == set(get_args(theirs))


async def test_rules_are_made_listed_and_deleted(served: Interface, run: Run) -> None:
    async def call(*arguments: str, typed: str = "") -> Any:
        return await run("alerts", *arguments, "--url", served.url, typed=typed)

    terms = ("add", "price_change", "btc/usdt", "--percent", "2", "--span", "60", "--direction", "up")
    made = await call(*terms, "--rearm-after", "3600", "--json")
    assert made.exit_code == 0, made.stderr
    [rule] = json.loads(made.stdout)
    assert (rule["kind"], rule["symbol"], rule["rearm"], rule["rearm_s"]) == ("price_change", "BTCUSDT", "after", 3600)
    again = await call(*terms, "--rearm-after", "3600", "--json")
    assert json.loads(again.stdout)[0]["id"] == rule["id"]
    assert (await call("add", "silence", "--for", "30")).exit_code == 0
    listed = [line.split() for line in (await call("list")).stdout.splitlines()]
    assert listed[1][:4] == ["own", "gap", "all", "all"]
    assert listed[1][-2:] == ["(trade", "41)"]
    assert listed[2][4:] == ["percent=2", "span_s=60", "up", "after", "3600", "s", "api"]
    assert listed[3][1:] == ["silence", "all", "all", "for_s=30", "once", "api"]

    refused = await call("add", "price_above", "BTCUSDT")
    assert (refused.exit_code, refused.stdout, "price" in refused.stderr) == (1, "", True)
    assert (await call("remove", rule["id"], typed="n\n")).exit_code == 1
    assert "settings" in (await call("remove", "own", "--yes")).stderr
    assert (await call("remove", rule["id"], "--yes")).exit_code == 0
    assert (await call("history", "--symbol", "btcusdt")).stdout.splitlines()[1].split(maxsplit=2)[1:] == [
        "own", "BTCUSDT at binance: 100.5 is above 100 (trade 41)",
    ]  # fmt: skip
    assert json.loads((await call("history", "--rule", "none", "--json")).stdout) == []
    left = json.loads((await call("list", "--json")).stdout)
    assert [one["kind"] for one in left] == ["gap", "silence"]
