from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from sources.replay.exchange.limits import SPOT_LIMITS
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import AnswerForm, ClockSkew, Refuse, StaleDepth, WrongAnswer
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket

pytestmark = pytest.mark.usefixtures("stopped_clock_s")


@pytest.fixture
async def spot() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        yield client


async def test_every_answer_has_the_weight_that_was_used_and_may_be_read_by_any_page(spot: httpx.AsyncClient) -> None:
    reply = await spot.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": 2})
    assert reply.json() == {
        "lastUpdateId": 1_000,
        "bids": [["100.00000000", "1.00000000"], ["99.99000000", "1.00000000"]],
        "asks": [["101.00000000", "2.00000000"], ["101.01000000", "2.00000000"]],
    }
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["x-mbx-used-weight-1m"] == "5"
    later = await spot.get("/api/v3/klines", params={"symbol": "BTCUSDT"})
    assert later.status_code == 400
    assert later.json() == {
        "code": -1102,
        "msg": "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.",
    }
    assert later.headers["x-mbx-used-weight-1m"] == "6"


async def test_a_parameter_twice_is_refused(spot: httpx.AsyncClient) -> None:
    twice = await spot.get("/api/v3/depth?symbol=BTCUSDT&symbol=ETHUSDT")
    assert (twice.status_code, twice.json()["code"]) == (400, -1101)
    blank = await spot.get("/api/v3/ticker/price", params={"symbols": '["BTCUSDT", "ETHUSDT"]'})
    assert (blank.status_code, blank.json()["code"]) == (400, -1100)


async def test_methods_and_paths(spot: httpx.AsyncClient) -> None:
    assert (await spot.options("/api/v3/time")).headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    head = await spot.head("/api/v3/time")
    assert (head.status_code, head.content) == (200, b"")
    assert (await spot.post("/api/v3/time")).status_code == 405
    assert (await spot.get("/fapi/v1/time")).status_code == 404


async def test_microseconds_by_header(spot: httpx.AsyncClient) -> None:
    micro = await spot.get("/api/v3/time", headers={"X-MBX-TIME-UNIT": "microsecond"})
    assert micro.json() == {"serverTime": BEGIN_MS * 1_000}
    bad = await spot.get("/api/v3/time", headers={"X-MBX-TIME-UNIT": "second"})
    assert bad.json()["code"] == -1194


async def test_unknown_paths_of_usdm() -> None:
    async with (
        running_exchange(ScriptedMarket(kind="usdm")) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        reply = await client.get("/fapi/v1/nothing")
        assert (reply.status_code, reply.json()) == (
            404,
            {"code": -5000, "msg": "Path /fapi/v1/nothing, Method GET is invalid"},
        )
        assert (await client.get("/fapi/v1/ping")).json() == {}


async def test_over_the_limit_is_429_and_going_on_is_418() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, weight_per_minute=10, forgiven=2, ban_s=7)
    async with (
        running_exchange(ScriptedMarket(), limits=limits) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        replies = [await client.get("/api/v3/exchangeInfo") for _ in range(4)]
        assert [reply.status_code for reply in replies] == [429, 429, 418, 418]
        assert [reply.json()["code"] for reply in replies] == [-1003] * 4
        assert replies[0].json()["msg"].startswith("Too much request weight used; current limit is 10 request weight")
        assert 1 <= int(replies[0].headers["retry-after"]) <= 60
        assert replies[2].json()["msg"].startswith("Way too much request weight used; IP banned until ")
        assert replies[2].headers["retry-after"] == "7"


async def test_ordered_refusals_hit_the_paths_they_name() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        exchange.inject(Refuse(status=429, path="/api/v3/depth", count=2, retry_after_s=3))
        exchange.inject(Refuse(status=503))
        asked = ("depth?symbol=BTCUSDT", "ping", "ping", "depth?symbol=BTCUSDT", "depth?symbol=BTCUSDT")
        replies = [await client.get(f"/api/v3/{path}") for path in asked]
        assert [reply.status_code for reply in replies] == [429, 503, 200, 429, 200]
        assert [reply.headers.get("retry-after") for reply in replies] == ["3", None, None, "3", None]
        exchange.inject(Refuse(status=418, retry_after_s=120))
        assert (await client.get("/api/v3/ping")).json()["code"] == -1003


async def test_the_server_time_may_be_wrong() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        exchange.inject(ClockSkew(by_ms=-1_270))
        assert (await client.get("/api/v3/time")).json() == {"serverTime": BEGIN_MS - 1_270}
        exchange.clear_faults()
        assert (await client.get("/api/v3/time")).json() == {"serverTime": BEGIN_MS}


async def test_a_stale_snapshot_is_the_book_of_the_moment_it_was_ordered() -> None:
    market = ScriptedMarket()
    async with (
        running_exchange(market) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        exchange.inject(StaleDepth(symbol="BTCUSDT", count=1))
        market._update_id = 2_000
        asked = [await client.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": 3}) for _ in range(2)]
        assert [reply.json()["lastUpdateId"] for reply in asked] == [1_000, 2_000]
        assert [len(reply.json()["bids"]) for reply in asked] == [3, 3]


async def test_an_ordered_error_has_the_text_that_was_ordered() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        exchange.inject(Refuse(status=400, code=-1121, text="<script>alert(1)</script>"))
        reply = await client.get("/api/v3/time")
        assert (reply.status_code, reply.json()) == (400, {"code": -1121, "msg": "<script>alert(1)</script>"})
        assert (await client.get("/api/v3/time")).status_code == 200


async def test_wrong_answers_are_for_the_paths_and_as_often_as_ordered() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        exchange.inject(WrongAnswer(path="/api/v3/time", form="text", text="<html>"))
        assert (await client.get("/api/v3/ping")).json() == {}
        wrong = await client.get("/api/v3/time")
        assert (wrong.status_code, wrong.text, wrong.headers["x-mbx-used-weight-1m"]) == (200, "<html>", "2")
        assert (await client.get("/api/v3/time")).json() == {"serverTime": BEGIN_MS}
        exchange.inject(WrongAnswer(form="page", count=None))
        exchange.inject(Refuse(status=503))
        assert (await client.get("/api/v3/time")).status_code == 503
        for _ in range(3):
            page = await client.get("/api/v3/time")
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html;charset=utf-8")
        exchange.clear_faults()
        assert (await client.get("/api/v3/time")).json() == {"serverTime": BEGIN_MS}


@pytest.mark.parametrize(("form", "least"), [("endless", 1_000_000), ("stalled", 1)])
async def test_a_body_without_end_lasts_until_the_client_leaves(form: AnswerForm, least: int) -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client,
    ):
        exchange.inject(WrongAnswer(form=form))
        received = 0
        async with client.stream("GET", "/api/v3/time", timeout=60) as reply:
            async for chunk in reply.aiter_raw():
                received += len(chunk)
                if received >= least:
                    break
        assert received >= least
        if form == "stalled":
            exchange.inject(WrongAnswer(form=form))
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/api/v3/time", timeout=0.2)
        assert (await client.get("/api/v3/time")).json() == {"serverTime": BEGIN_MS}
