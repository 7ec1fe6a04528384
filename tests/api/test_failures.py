"""Each thing that can be missing or wrong has its error response."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from sinks.mongod.bundled import MongodError, bundled_binary
from sinks.mongod.server import running_mongod
from tests.fakes.candles import BEGIN
from tests.fakes.deployment import free_port
from tests.fakes.interface import PATIENCE_S, Deployment, Interface, fill, interface, stored_candles, trade, until

MINUTE = 60_000
ELSEWHERE = "https://elsewhere.example"
SHORT_S = 2.0
"""Longest wait for a document store that is away."""


async def test_without_the_hub_stored_data_is_served_and_the_status_says_so(deployment: Deployment) -> None:
    deployment.store(stored_candles())
    deployment.store_trades([trade(1, BEGIN)])
    async with interface(deployment) as running:
        assert len((await running.data("/api/chart/BTCUSDT/1m?limit=10"))["candles"]) == 10
        assert len((await running.data("/api/trades?symbol=BTCUSDT"))["trades"]) == 1
        assert await running.data("/api/prices") == []
        assert await running.error("/api/prices/BTCUSDT") == (404, "no_data")
        status = await running.data("/api/status")
        (missing,) = status["missing"]
        assert missing.startswith("hub ws://127.0.0.1:1/ws is down since 20")
        assert status["origin"] is None
        assert await running.error("/health/ready") == (503, "not_ready")
        assert (await running.data("/health/live"))["alive"]


async def test_when_the_hub_goes_the_last_prices_stay_and_are_stale(served: Interface, deployment: Deployment) -> None:
    await deployment.stop_hub()
    live = served.services.live
    await until(lambda: not live.connections[0].state.connected)
    age = live.latest("MarketData", "BTCUSDT")
    assert age is not None
    await until(lambda: (found := live.latest("MarketData", "BTCUSDT")) is not None and found[1] > 1_000)
    price = await served.data("/api/prices/BTCUSDT")
    assert (price["price"], price["stale"]) == (100.0, True)
    assert any(line.startswith("hub ") for line in (await served.data("/api/status"))["missing"])


@pytest.mark.slow
async def test_without_mongod_what_is_live_and_the_trades_are_served(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, f"mongodb://127.0.0.1:{free_port()}")
    deployment.store_trades([trade(1, BEGIN)])
    deployment.start_hub()
    try:
        async with interface(deployment, store_timeout_s=SHORT_S) as running:
            assert len((await running.data("/api/trades?symbol=BTCUSDT"))["trades"]) == 1
            for path in ("/api/chart/BTCUSDT/1m", "/api/prices/NONE", "/api/symbols", "/api/quality"):
                assert await running.error(path) == (503, "store_unavailable")
            status, body = await running.ask("POST", "/api/symbols", json={"symbol": "BTCUSDT"})
            assert (status, body["error"]["code"]) == (503, "store_unavailable")
            (missing,) = (await running.data("/api/status"))["missing"]
            assert missing.startswith("mongodb is down since")
    finally:
        await deployment.stop_hub()


@pytest.mark.e2e
async def test_mongod_may_go_and_come_back(tmp_path: Path) -> None:
    try:
        bundled_binary()
    except MongodError as error:
        pytest.skip(str(error))
    port = free_port()
    deployment = Deployment(tmp_path, f"mongodb://127.0.0.1:{port}")
    folder = tmp_path / "mongod"
    with running_mongod(folder, port=port):
        deployment.store(stored_candles(500))
        running_interface = interface(deployment, store_timeout_s=SHORT_S)
        running = await running_interface.__aenter__()
        chart = await running.data("/api/chart/BTCUSDT/1m?limit=100")
    watch = running.services.mongo.watch
    try:
        assert await running.error("/api/candles/BTCUSDT/1m?start=0") == (503, "store_unavailable")
        assert not watch.state.up
        assert (await running.data("/api/chart/BTCUSDT/1m?limit=100"))["candles"] == chart["candles"]
        with running_mongod(folder, port=port):
            await until(lambda: watch.state.up)
            assert len((await running.data("/api/candles/BTCUSDT/1m?start=0"))["candles"]) == 500
    finally:
        await running_interface.__aexit__(None, None, None)


async def test_without_a_trade_store_only_trades_are_missing(deployment: Deployment) -> None:
    deployment.store(stored_candles())
    async with interface(deployment) as running:
        for path in ("/api/trades?symbol=BTCUSDT", "/trades.arrow?symbol=BTCUSDT"):
            assert await running.error(path) == (503, "trade_store_absent")
        assert (await running.data("/api/quality"))["trades"] is None
        assert any("trade_store is down" in line for line in (await running.data("/api/status"))["missing"])
        deployment.store_trades([trade(1, BEGIN)])
        assert len((await running.data("/api/trades?symbol=BTCUSDT"))["trades"]) == 1


async def test_an_unknown_symbol_gets_the_nearest_names(served: Interface) -> None:
    for method, path, options in (
        ("GET", "/api/chart/BTCUSD/1m", {}),
        ("GET", "/api/trades?symbol=BTCUSD", {}),
        ("POST", "/api/symbols", {"json": {"symbol": "BTCUSD"}}),
        ("DELETE", "/api/symbols/BTCUSD", {}),
        ("POST", "/api/subscribe", {"json": {"symbols": ["ETHUSDT", "BTCUSD"]}}),
    ):
        status, body = await served.ask(method, path, **options)
        assert (status, body["error"]["code"]) == (404, "unknown_symbol")
        assert body["error"]["nearest"][0] == "BTCUSDT"
    assert {state["symbol"] for state in await served.data("/api/symbols")} == {"BTCUSDT", "ETHUSDT"}
    assert await served.error("/api/prices/BTCUSDT?venue=nowhere") == (404, "unknown_venue")


ABSURD = {
    "/api/chart/BTCUSDT/1m?limit=1001": "bad_request",
    "/api/chart/BTCUSDT/1m?limit=0": "bad_request",
    "/api/chart/BTCUSDT/7m": "bad_request",
    "/api/chart/BTCUSDT/soon": "bad_request",
    "/api/chart/BTCUSDT/1m?start=10&end=10": "bad_request",
    "/api/chart/BTCUSDT/1m?start=0&end=9999999999999": "range_too_large",
    "/api/chart/BTCUSDT/1m?start=99999999999999": "bad_request",
    "/api/charts?symbols=BTCUSDT,ETHUSDT,SOLUSDT&timeframes=1m,5m,15m,1h,4h,1d,2h,3m&limit=1000": "range_too_large",
    "/api/charts": "bad_request",
    "/api/trades?symbol=BTCUSDT&limit=10001": "bad_request",
    "/api/trades?symbol=BTCUSDT&start=9&end=3": "bad_request",
    "/api/trades?symbol=BTCUSDT&cursor=x": "bad_request",
    "/api/prices?nonsense=1": "bad_request",
    "/api/orderbook/BTC.USDT": "bad_request",
    "/api/quality?hours=25": "bad_request",
    "/trades.arrow?symbol=BTCUSDT&venue=../../etc": "bad_request",
}


async def test_an_absurd_request_is_refused(served: Interface) -> None:
    refused = {path: await served.error(path) for path in ABSURD}
    assert refused == {path: (400, code) for path, code in ABSURD.items()}


async def test_a_word_that_is_not_allowed_is_refused_with_those_that_are(served: Interface) -> None:
    status, body = await served.ask("GET", "/api/alerts/history?state=x&kind=y")
    assert status == 400
    status, body = await served.ask("GET", "/api/prices?nonsense=1")
    assert body["error"]["message"].endswith("unknown field `nonsense`: write symbols or venue")
    status, body = await served.ask("GET", "/api/volume-profile/BTCUSDT?step=7")
    assert (status, body["error"]["message"]) == (
        400, "the request cannot be right: Invalid enum value 7 - at `$.step`: write 1 or 2"
    )  # fmt: skip


async def test_a_body_that_cannot_be_is_refused(served: Interface) -> None:
    json_type = {"Content-Type": "application/json"}
    cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
        ({"data": b"x" * 70_000, "headers": json_type}, (413, "body_too_large")),
        ({"data": b"{", "headers": json_type}, (400, "bad_request")),
        ({"data": b'{"symbol":"A","x":' + b"[" * 5_000, "headers": json_type}, (400, "bad_request")),
        ({"data": b"\xff\xfe", "headers": json_type}, (400, "bad_request")),
        ({"json": {"symbol": 7}}, (400, "bad_request")),
        ({"json": {"symbol": "BTCUSDT", "more": 1}}, (400, "bad_request")),
        ({"data": b'{"symbol":"BTCUSDT"}', "headers": {"Content-Type": "text/plain"}}, (415, "unsupported_media_type")),
    ]
    for options, expected in cases:
        status, body = await served.ask("POST", "/api/symbols", **options)
        assert (status, body["error"]["code"]) == expected


async def test_what_is_not_there_and_what_cannot_be_done_there(served: Interface) -> None:
    assert await served.error("/api/nothing") == (404, "not_found")
    for path in ("/api/prices", "/api/ticks", "/api/symbols", "/api/instruments"):
        assert await served.error(f"{path}?venue=nowhere") == (404, "unknown_venue")
    async with served.session.put(f"{served.url}/api/symbols") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD,POST")
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_marks_in_the_address_of_a_page_are_ignored(served: Interface) -> None:
    for path in ("/", "/docs"):
        async with served.session.get(f"{served.url}{path}?utm_source=letter") as response:
            assert (response.status, response.content_type) == (200, "text/html")


async def test_a_health_check_of_http_1_0_needs_no_host(served: Interface) -> None:
    answers = {}
    for path in ("/health/live", "/api/prices"):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(served.url).port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answers[path] = (await asyncio.wait_for(reader.read(), PATIENCE_S)).split()[1]
        writer.close()
    assert answers == {"/health/live": b"200", "/api/prices": b"403"}


async def test_an_unknown_expectation_is_ignored(served: Interface) -> None:
    async with served.session.get(f"{served.url}/api/prices", headers={"Expect": "nonsense"}) as response:
        assert (response.status, (await response.json())["success"]) == (200, True)
    status, answer = await served.ask("POST", "/api/symbols", json={"symbol": "SOLUSDT"}, expect100=True)
    assert (status, answer["success"]) == (202, True)


async def test_a_bug_is_an_answer_too(served: Interface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served.services.live.candles, "counters", None)
    assert await served.error("/api/status") == (500, "internal")


async def test_a_token_is_needed_where_one_is_set(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, token="secret") as running:
        for path in ("/api/prices", "/metrics", "/trades.arrow?symbol=BTCUSDT", "/api/prices?token=wrong"):
            assert await running.error(path) == (401, "unauthorized")
        bearer = {"Authorization": "Bearer secret"}
        assert len(await running.data("/api/prices", headers=bearer)) == 2
        assert len(await running.data("/api/prices?token=secret")) == 2
        assert await running.error("/api/prices", headers={"Authorization": "Bearer é"}) == (401, "unauthorized")
        assert (await running.data("/health/live"))["alive"]
        async with running.session.get(f"{running.url}/docs") as response:
            assert response.status == 200


async def test_a_page_from_elsewhere_is_refused_and_one_that_is_named_may_read(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, cors=("https://ours.example",)) as running:
        assert await running.error("/api/prices", headers={"Origin": ELSEWHERE}) == (403, "wrong_origin")
        assert await running.error("/api/prices", headers={"Origin": "null"}) == (403, "wrong_origin")
        for origin in ("https://ours.example", "http://localhost:3000"):
            async with running.session.get(f"{running.url}/api/prices", headers={"Origin": origin}) as response:
                assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, origin)
                assert response.headers["Vary"] == "Accept-Encoding, Origin"
        preflight = {"Origin": "https://ours.example", "Access-Control-Request-Method": "POST"}
        async with running.session.options(f"{running.url}/api/symbols", headers=preflight) as response:
            assert response.status == 204
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        preflight["Origin"] = ELSEWHERE
        async with running.session.options(f"{running.url}/api/symbols", headers=preflight) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_name_that_was_rebound_to_this_machine_is_refused(served: Interface) -> None:
    assert await served.error("/api/prices", headers={"Host": "rebound.example"}) == (403, "wrong_host")


async def test_a_path_out_of_the_static_files_leads_nowhere(served: Interface) -> None:
    async with (
        ClientSession() as session,
        session.get(URL(f"{served.url}/static/..%2f..%2fpyproject.toml", encoded=True)) as response,
    ):
        assert response.status in {403, 404}


async def test_many_at_once_are_all_answered(served: Interface) -> None:
    paths = ["/api/chart/BTCUSDT/1m?limit=11", "/api/trades?symbol=BTCUSDT", "/api/prices", "/api/quality"] * 20
    answers = await asyncio.gather(*(served.get(path) for path in paths))
    assert {status for status, _ in answers} == {200}
