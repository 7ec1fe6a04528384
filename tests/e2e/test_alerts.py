"""Alerts through a whole flow that is killed: each arming fires once in effect, at clients, receiver and store."""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from pymongo import MongoClient

from flows.process.proxy import trusted_by
from flows.recovery import prepare
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.faults import content_faults as contents
from sources.replay.faults import orders as faults
from tests.fakes.alerts import SECRET, receiver
from tests.fakes.deployment import (
    START_S,
    HubClient,
    flow_settings,
    free_port,
    hub_client,
    running_flow,
    running_interface,
)
from tests.fakes.tapes import spot_recording
from tests.fakes.twins import recovering, traded
from tests.fakes.witness import Witness
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

BEGIN_MS: Final = 1_767_225_600_000
OFTEN: Final = {
    "kind": "price_change",
    "symbol": "BTCUSDT",
    "percent": 1e-7,
    "span_s": 60,
    "rearm": "after",
    "rearm_s": 1,
}
ONCE: Final = {"kind": "price_above", "symbol": "BTCUSDT", "price": 1}
NEVER: Final = {"kind": "price_above", "symbol": "BTCUSDT", "price": 1e12}
AWAY: Final = {"kind": "silence", "venue": "binance", "for_s": 2, "rearm": "on_return"}
ATTEMPTS: Final = 6
"""Requests of the first life, three of which are refused."""
MORE: Final = 3


def numbers(alerts: Iterable[dict[str, Any]], rule: str) -> dict[int, set[str]]:
    """By the number of an alert, the ids with it."""
    found: dict[int, set[str]] = {}
    for one in alerts:
        if one["rule"] == rule:
            found.setdefault(int(one["id"].split("-")[1]), set()).add(one["id"])
    return found


async def fired(client: HubClient, rule: str, count: int) -> None:
    """Until so many alerts of a rule came."""
    while len(numbers(client.of_type("Alert"), rule)) < count:
        await client.until(lambda message: message["type"] == "Alert")


async def test_alerts_arrive_once_in_effect_although_the_receiver_fails_and_the_flow_is_killed(
    mongod_uri: str, tmp_path: Path
) -> None:
    prepare(tmp_path / "recovery")
    with (
        receiver() as there,
        exchange_in_thread(YoungMarket(("BTCUSDT",), start_ms=BEGIN_MS, trades_per_s=5), speed=1.0) as exchange,
    ):
        there.refusals = [500, 503, 429]
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic", feed__symbols="BTCUSDT", feed__timeframes="1m", feed__streams="aggTrade,kline",
            hub__port=free_port(), alerts__rules={"often": OFTEN, "once": ONCE, "never": NEVER, "away": AWAY},
            alerts__webhook_url=there.url, alerts__webhook_secret=SECRET,
        )  # fmt: skip
        flags = recovering(tmp_path)
        shown: list[dict[str, Any]] = []
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Alert")
            await fired(client, "often", 1)
            await there.waited(attempts=ATTEMPTS)
            await flow.kill()
            shown += client.of_type("Alert")
        there.refusals = [500]
        before = len(there.taken)
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Alert")
            await fired(client, "often", 1)
            exchange.inject(faults.Drop())  # and the line is cut
            exchange.inject(faults.Gap(stream=AGGREGATES, count=10))
            await fired(client, "often", MORE)
            await there.waited(taken=before + MORE)
            await flow.kill()
            shown += client.of_type("Alert")
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Alert")
            await fired(client, "often", MORE)
            await there.waited(taken=len(there.taken) + MORE)
            assert await flow.stop() == 0, flow.said()
            shown += client.of_type("Alert")
        with closing(Witness(exchange.rest_url)) as witness:
            theirs = {row[0]: row for row in witness.aggregates("BTCUSDT", 0)}
        assert "Traceback" not in flow.said(), flow.said()
    assert there.wrong == []
    taken = [body["data"] for body in there.taken]
    assert {one["rule"] for one in taken} <= {"often", "once", "away"}
    for rule in ("often", "once"):
        by_number = numbers(taken, rule)
        assert list(by_number) == list(range(1, len(by_number) + 1))  # in their order, and none is missing
        assert all(len(ids) == 1 for ids in by_number.values())
        for number, ids in numbers(shown, rule).items():
            assert by_number.get(number, ids) == ids
    assert len(numbers(taken, "once")) == 1
    assert all(one["seen"]["price"] > 1 and one["seen"]["trade_id"] > 0 for one in taken if one["rule"] == "once")
    assert_alike(there.taken)
    for one in taken:
        for seen in filter(None, (one["seen"], one["before"])):
            assert theirs[seen["trade_id"]][1:3] == (seen["timestamp"], seen["price"])
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        stored = {one["_id"] for one in mongo[tmp_path.name]["alert_history"].find()}
    assert {one["id"] for one in taken} <= stored


def assert_alike(bodies: list[dict[str, Any]]) -> None:
    """One that came twice, as its answer was lost, is the same both times."""
    found: dict[str, dict[str, Any]] = {}
    for body in bodies:
        assert found.setdefault(body["data"]["id"], body) == body


async def test_a_rule_of_the_interface_fires_until_it_is_deleted(mongod_uri: str, tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    with exchange_in_thread(YoungMarket(("BTCUSDT",), start_ms=BEGIN_MS, trades_per_s=5), speed=1.0) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic", feed__symbols="BTCUSDT", feed__timeframes="1m", feed__streams="aggTrade,kline",
            hub__port=free_port(), alerts__enabled=True,
        )  # fmt: skip
        flags = recovering(tmp_path)
        async with running_interface(tmp_path, **settings) as served:
            http = httpx.AsyncClient(base_url=served.url, timeout=START_S, verify=trusted_by(served.url))
            async with http, running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
                await client.subscribe("Alert")
                made = (await http.post("/api/alerts", json={**OFTEN, "symbol": "btcusdt"})).json()["data"]
                await fired(client, made["id"], 2)
                await flow.kill()
                first = client.of_type("Alert")
                async with running_flow(tmp_path, *flags, **settings) as second, hub_client(second.hub_url) as other:
                    await other.subscribe("Alert")
                    await fired(other, made["id"], 2)
                    again = other.of_type("Alert")
                    # the broadcast does not wait for the disk: the newest alert may be said again, under the same id
                    assert max(numbers(first, made["id"])) <= min(numbers(again, made["id"]))
                    assert all(len(ids) == 1 for ids in numbers((*first, *again), made["id"]).values())
                    gone = await http.delete(f"/api/alerts/{made['id']}")
                    assert gone.json()["data"]["id"] == made["id"]
                    assert await second.stop() == 0, second.said()
                ids = {one["id"] for one in (*first, *again)}
                async with asyncio.timeout(START_S):
                    while True:
                        found = (await http.get("/api/alerts/history", params={"rule": made["id"]})).json()["data"]
                        if ids <= {one["id"] for one in found["alerts"]}:
                            break
                        await asyncio.sleep(0.2)


QUALITY: Final = {
    "silence": {"kind": "silence", "symbol": "BTCUSDT", "for_s": 0.5, "rearm": "on_return"},
    "unsynced": {"kind": "unsynced", "symbol": "BTCUSDT", "for_s": 0},
    "gap": {"kind": "gap", "symbol": "BTCUSDT"},
    "mismatch": {"kind": "mismatch", "symbol": "BTCUSDT"},
    "stores": {"kind": "store_outage", "venue": "binance"},
    "other": {"kind": "gap", "symbol": "ETHUSDT"},
}
SPEED: Final = 10.0
AGGREGATES: Final = "btcusdt@aggTrade"


async def test_what_is_wrong_with_the_data_is_an_alert(tmp_path: Path) -> None:
    market = spot_recording()
    with receiver() as there, exchange_in_thread(market, speed=SPEED, paused=True, start_now=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, "mongodb://127.0.0.1:9",  # no server is there
            feed__symbols=["BTCUSDT", "ETHUSDT"], feed__timeframes=["1s", "1m"],
            feed__streams=["aggTrade", "kline", "depth"],
            feed__backoff_min_s=0.1, feed__stale_after_s=2, feed__proof_grace_ms=500, feed__request_pause_ms=0,
            feed__repair_ms=1_000, alerts__rules=QUALITY, alerts__webhook_url=there.url, alerts__webhook_secret=SECRET,
        )  # fmt: skip
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Alert", "Status", "Incident", "Trade")
            await client.until_live()
            exchange.resume()
            await fired(client, "unsynced", 1)
            await fired(client, "stores", 1)
            await traded(client)
            exchange.inject(contents.WrongValue(stream=AGGREGATES, field="p", text="60000.25"))
            await fired(client, "mismatch", 1)
            exchange.inject(faults.Refuse(status=503, path="/api/v3/aggTrades", count=1_000))
            exchange.inject(faults.Gap(stream=AGGREGATES, count=30))
            await fired(client, "gap", 1)
            exchange.clear_faults()
            exchange.inject(faults.Silence(stream="*@aggTrade", for_ms=120_000))
            await fired(client, "silence", 1)
            exchange.clear_faults()
            assert await flow.stop() == 0, flow.said()
    shown = {one["rule"]: one for one in client.of_type("Alert")}
    assert {name: (one["symbol"], one["state"]) for name, one in shown.items()} == {
        "silence": ("BTCUSDT", "silent"), "unsynced": ("BTCUSDT", "unsynced"), "gap": ("BTCUSDT", "gap"),
        "mismatch": ("BTCUSDT", "mismatch"), "stores": ("", "not stored"),
    }  # fmt: skip
    assert all(one["reason"] and one["text"].endswith(one["reason"]) for one in shown.values())
    assert {body["data"]["id"] for body in there.taken} >= {one["id"] for one in shown.values()}
    assert "Traceback" not in flow.said(), flow.said()
