"""Rules of alerts over REST, and what has fired."""

import asyncio
from typing import Any

import pytest
from bson.datetime_ms import DatetimeMS
from pymongo import MongoClient

from flows.model.alerts import MOST_RULES
from sinks.mongo.alerts import ALERTS
from tests.fakes.alerts import alert
from tests.fakes.interface import Deployment, Interface, fill, interface

HIGH = {"kind": "price_above", "symbol": "btc/usdt", "price": 100_000}
OWN = {"low": {"kind": "price_below", "symbol": "btcusdt", "price": 5, "rearm": "on_return"}}


async def made(running: Interface, body: Any, **options: Any) -> Any:
    status, answer = await running.ask("POST", "/api/alerts", json=body, **options)
    assert status == 202, answer
    return answer["data"]


async def refused(running: Interface, body: Any, **options: Any) -> tuple[int, str, str]:
    status, answer = await running.ask("POST", "/api/alerts", json=body, **options)
    return status, answer["error"]["code"], answer["error"]["message"]


async def listed(running: Interface) -> list[Any]:
    rules: list[Any] = (await running.data("/api/alerts"))["rules"]
    return rules


async def test_rules_are_made_listed_and_deleted(deployment: Deployment) -> None:
    fill(deployment)
    deployment.alerts = {"enabled": True, "rules": OWN}
    async with interface(deployment) as running:
        high = await made(running, HIGH)
        assert (high["symbol"], high["venue"], high["origin"], high["watched"], high["rearm"]) == (
            "BTCUSDT", "binance", "api", True, "once",
        )  # fmt: skip
        assert await made(running, HIGH | {"symbol": "BTCUSDT", "venue": "binance"}) == high  # the same terms
        other = await made(running, {"kind": "silence", "for_s": 30, "rearm": "after", "rearm_s": 600})
        assert (other["symbol"], other["venue"]) == ("", "")
        assert [(one["id"], one["origin"], one["last"]) for one in await listed(running)] == [
            ("low", "settings", None), (high["id"], "api", None), (other["id"], "api", None),
        ]  # fmt: skip
        status, answer = await running.ask("DELETE", f"/api/alerts/{high['id']}")
        assert (status, answer["data"]) == (202, high)
        status, answer = await running.ask("DELETE", f"/api/alerts/{high['id']}")
        assert (status, answer["error"]["code"]) == (404, "not_found")
        status, answer = await running.ask("DELETE", "/api/alerts/low")
        assert (status, answer["error"]["code"]) == (409, "conflict")
        assert "alerts.rules" in answer["error"]["message"]
        assert [one["id"] for one in await listed(running)] == ["low", other["id"]]


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"kind": "price_above", "price": 1}, "bad_request", "symbol: price_above needs one"),
        ({"kind": "price_above", "symbol": "BTCUSDT"}, "bad_request", "price: price_above needs it"),
        ({"kind": "price_above", "symbol": "BTCUSDT", "price": 0}, "bad_request", ">"),
        ({"kind": "price_above", "symbol": "BTCUSDT", "price": 1, "for_s": 1}, "bad_request", "for_s: price_above"),
        ({"kind": "price_change", "percent": 5}, "bad_request", "span_s: price_change needs it"),
        ({"kind": "gap", "rearm": "on_return"}, "bad_request", "gap has no end"),
        ({"kind": "gap", "rearm": "after"}, "bad_request", "rearm_s: write the seconds"),
        ({"kind": "gap", "rearm_s": 5}, "bad_request", "rearm_s: it belongs to after"),
        ({"kind": "store_outage", "symbol": "BTCUSDT"}, "bad_request", "store_outage is about a venue"),
        ({"kind": "silence", "direction": "up"}, "bad_request", "direction: silence has none"),
        ({"kind": "silence", "id": "mine"}, "bad_request", "unknown field"),
        ({"kind": "nonsense"}, "bad_request", "nonsense"),
        ({"kind": "price_above", "symbol": "NONE", "price": 1}, "unknown_symbol", "NONE is not known"),
        ({"kind": "silence", "venue": "nowhere"}, "unknown_venue", "nowhere"),
    ],
)
async def test_what_cannot_be_a_rule_is_refused_with_the_reason(
    deployment: Deployment, body: Any, code: str, says: str
) -> None:
    fill(deployment)
    deployment.alerts = {"enabled": True}
    async with interface(deployment) as running:
        status, found, message = await refused(running, body)
        assert (status, found) == (404 if code.startswith("unknown") else 400, code)
        assert says in message
        assert await listed(running) == []


async def test_without_alerts_in_the_settings_no_rule_is_made_and_stored_ones_are_not_watched(
    deployment: Deployment,
) -> None:
    fill(deployment)
    deployment.alerts = {"enabled": True}
    async with interface(deployment) as running:
        await made(running, HIGH)
    deployment.alerts = {}
    async with interface(deployment) as running:
        status, code, message = await refused(running, HIGH)
        assert (status, code) == (409, "conflict")
        assert "alerts.enabled = true" in message
        assert [one["watched"] for one in await listed(running)] == [False]
        assert (await running.data("/api/alerts"))["watched"] is False


async def test_there_are_at_most_so_many_rules(deployment: Deployment) -> None:
    fill(deployment)
    deployment.alerts = {"enabled": True}
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as mongo:
        rows = [
            {"_id": str(number), "kind": "gap", "symbol": "X", "created_at": DatetimeMS(number)}
            for number in range(MOST_RULES)
        ]
        mongo[deployment.database][ALERTS].insert_many(rows)
    async with interface(deployment) as running:
        status, code, message = await refused(running, HIGH)
        assert (status, code) == (409, "conflict")
        assert "delete one first" in message
        assert len(await listed(running)) == MOST_RULES


async def test_what_has_fired_is_read_back_newest_first(deployment: Deployment) -> None:
    fill(deployment)
    deployment.alerts = {"enabled": True, "rules": OWN}
    fired = [alert(1, rule="low"), alert(2, rule="low"), alert(1, rule="other", symbol="ETHUSDT")]
    deployment.store([fired[0]])
    await asyncio.sleep(0.002)  # it is stored by the millisecond
    deployment.store([fired[0], fired[1]])  # again changes nothing
    deployment.store([fired[2]])
    async with interface(deployment) as running:

        async def ids(**query: Any) -> list[str]:
            return [one["id"] for one in (await running.data("/api/alerts/history", params=query))["alerts"]]

        assert sorted(await ids()) == sorted(one.id for one in fired)
        assert await ids(rule="low") == [fired[1].id, fired[0].id]
        assert await ids(symbol="ethusdt") == [fired[2].id]
        assert await ids(symbol="ethusdt", rule="low") == []
        assert len(await ids(limit=2)) == 2
        assert await ids(end=1) == []
        [low] = [one for one in await listed(running) if one["id"] == "low"]
        assert low["last"]["id"] == fired[1].id
        assert low["last"]["seen"] == {"price": 100.5, "trade_id": 42, "timestamp": fired[1].time}
        [newest] = (await running.data("/api/alerts/history", params={"symbol": "ETHUSDT"}))["alerts"]
        assert newest["text"] == "ETHUSDT at binance: 100.5 is above 100 (trade 41)"
        assert newest["stored"].endswith("Z")
        assert await running.error("/api/alerts/history?rule=a%20b") == (400, "bad_request")


async def test_a_document_that_cannot_be_read_is_named(deployment: Deployment) -> None:
    fill(deployment)
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as mongo:
        mongo[deployment.database][ALERTS].insert_one({"_id": "odd", "kind": "nonsense", "created_at": DatetimeMS(1)})
    async with interface(deployment) as running:
        assert await running.error("/api/alerts") == (500, "unreadable_data")


async def test_making_and_deleting_needs_the_same_as_of_symbols(deployment: Deployment) -> None:
    deployment.tokens = {"token": "market", "account_token": "account"}
    fill(deployment)
    deployment.alerts = {"enabled": True}
    async with interface(deployment) as running:
        for path, body in (("/api/alerts", HIGH), ("/api/symbols", {"symbol": "SOLUSDT"})):
            for token, status in (("", 401), ("wrong", 401), ("market", 202), ("account", 202)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                found, _ = await running.ask("POST", path, json=body, headers=headers)
                assert found == status, (path, token)
            elsewhere = {"Authorization": "Bearer market", "Origin": "https://elsewhere.example"}
            assert (await running.ask("POST", path, json=body, headers=elsewhere))[0] == 403
        for path in ("/api/alerts/x", "/api/symbols/BTCUSDT"):
            assert (await running.ask("DELETE", path))[0] == 401
            headers = {"Authorization": "Bearer market", "Origin": "https://elsewhere.example"}
            assert (await running.ask("DELETE", path, headers=headers))[0] == 403
