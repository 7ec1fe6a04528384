"""The replay exchange behind a flow over REST: one on loopback, one that is not there, and venues without one."""

from typing import Any

import pytest

from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import free_port
from tests.fakes.interface import Deployment, Interface, interface

BEGIN = 1_767_225_600_000


async def posted(running: Interface, path: str, body: Any) -> tuple[int, Any]:
    """Status, and data or the error's code and text."""
    status, answer = await running.ask("POST", path, json=body)
    error = answer["error"] and (answer["error"]["code"], answer["error"]["message"])
    return status, answer["data"] if answer["success"] else error


async def test_a_replay_is_paused_paced_and_given_faults(deployment: Deployment) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT",), seed=7, start_ms=BEGIN)
    with exchange_in_thread(market, speed=2.0, start_now=True) as exchange:
        feed = {"origin": "synthetic", "rest_url": exchange.rest_url, "ws_url": exchange.ws_url}
        deployment.start_hub()
        async with interface_of(deployment, feed) as running:
            [state] = await running.data("/api/replay")
            assert (state["venue"], state["reached"], state["begin"]) == ("binance", True, BEGIN)
            assert (state["speed"], state["paused"], state["faults"]) == (2.0, False, [])
            status, [changed] = await posted(running, "/api/replay", {"speed": 50, "paused": True})
            assert (status, changed["speed"], changed["paused"]) == (200, 50.0, True)
            [stands] = await running.data("/api/replay?venue=binance")
            assert (stands["now"], stands["paused"]) == (changed["now"], True)
            status, [resumed] = await posted(running, "/api/replay", {"paused": False})
            assert (status, resumed["paused"], resumed["speed"]) == (200, False, 50.0)
            kinds = await running.data("/api/replay/faults")
            silence = next(kind for kind in kinds if kind["name"] == "silence")
            status, [faulty] = await posted(running, "/api/replay/faults", {"order": silence["example"]})
            assert (status, [one["fault"] for one in faulty["faults"]]) == (200, ["silence"])
            for order in ({"fault": "nonsense"}, {"fault": "silence", "for_ms": "x"}, {}):
                status, (code, text) = await posted(running, "/api/replay/faults", {"order": order})
                assert (status, code, bool(text)) == (400, "bad_request", True)
            assert (await running.ask("DELETE", "/api/replay/faults"))[1]["data"][0]["faults"] == []
            for body in ({}, {"speed": 0}, {"speed": 1e9}, {"paused": "x"}, {"now": 5}):
                assert (await posted(running, "/api/replay", body))[0] == 400, body
            headers = {"Origin": "http://elsewhere.example"}
            assert (await running.ask("POST", "/api/replay", json={"paused": True}, headers=headers))[0] == 403


def interface_of(deployment: Deployment, feed: dict[str, Any]) -> Any:
    """The interface with a feed of these settings."""
    usual = deployment.settings
    deployment.settings = lambda **api: usual(feed=feed, **api)  # type: ignore[method-assign]
    return interface(deployment)


@pytest.mark.parametrize("answers", ["nothing", "an interface"])
async def test_an_exchange_that_is_not_there_is_named_and_nothing_else_is_reached(
    deployment: Deployment, answers: str
) -> None:
    deployment.start_hub()
    url = f"http://127.0.0.1:{free_port()}"
    async with interface(deployment) as other:
        feed = {
            "origin": "replay", "rest_url": url if answers == "nothing" else other.url, "ws_url": "ws://127.0.0.1:1",
        }  # fmt: skip
        async with interface_of(deployment, feed) as running:
            [state] = await running.data("/api/replay")
            assert (state["reached"], state["now"]) == (False, None)
            assert (await posted(running, "/api/replay", {"paused": True}))[1][0] == "not_ready"
            assert await running.error("/api/replay/faults") == (503, "not_ready")


async def test_a_live_venue_has_no_replay(deployment: Deployment) -> None:
    deployment.start_hub()
    async with interface(deployment) as running:
        assert await running.data("/api/replay") == []
        for path in ("/api/replay?venue=binance", "/api/replay/faults"):
            assert await running.error(path) == (404, "not_found")
        assert (await posted(running, "/api/replay", {"speed": 5}))[1][0] == "not_found"
        assert await running.error("/api/replay?venue=nowhere") == (404, "unknown_venue")
