import json
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from flows.websocket import encode_frame
from sources.replay.exchange.binance.accounts.session import AccountSession, EventEncoding
from sources.replay.exchange.binance.dialect import build_accounts
from sources.replay.exchange.binance.rest_api import market_endpoints
from sources.replay.exchange.binance.routes import ApiHandshake, parse_api_handshake
from sources.replay.exchange.binance.ws_api import ApiConversation
from sources.replay.exchange.binance.ws_methods import market_methods
from sources.replay.exchange.dialect import HandshakeError
from sources.replay.exchange.limits import SPOT_LIMITS, Refusal
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import OddReply, Refuse, RefuseSubscribe, Shutdown
from sources.replay.market.market import MarketKind, Message
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket
from tests.fakes.weighed_view import WeighedView

NOW_S = BEGIN_MS / 1_000 + 10
SHOWN = ApiHandshake(shows_limits=True, microseconds=False)


def opened(
    view: WeighedView | None = None, handshake: ApiHandshake = SHOWN, *, kind: MarketKind = "spot"
) -> ApiConversation:
    view = view or WeighedView(kind=kind)
    methods = market_methods(kind, market_endpoints(kind, view))
    session = AccountSession(kind, build_accounts(kind, view), view)
    return ApiConversation(kind, handshake, methods=methods, session=session, view=view, wall_s=lambda: NOW_S)


def answer(client: ApiConversation, **sent: Any) -> Any:
    (reply,) = client.answer(json.dumps(sent))
    return json.loads(reply)


def test_an_answer_has_its_id_its_result_and_the_weight_that_was_used() -> None:
    client = opened()
    assert answer(client, id="a-1", method="avgPrice", params={"symbol": "BTCUSDT"}) == {
        "id": "a-1",
        "status": 200,
        "result": {"mins": 5, "price": "1.50000000", "closeTime": BEGIN_MS},
        "rateLimits": [
            # Two for the opening, two for the request.
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6_000, "count": 4}
        ],
    }


def test_limits_are_shown_as_the_request_or_else_the_address_says() -> None:
    hidden = opened(handshake=ApiHandshake(shows_limits=False, microseconds=False))
    assert answer(hidden, id=1, method="ping") == {"id": 1, "status": 200, "result": {}}
    assert "rateLimits" in answer(hidden, id=1, method="ping", params={"returnRateLimits": True})
    assert "rateLimits" not in answer(opened(), id=1, method="ping", params={"returnRateLimits": False})
    assert answer(opened(), id=1, method="ping", params={"returnRateLimits": "no"})["error"]["code"] == -1130


def test_a_refused_request_has_the_error_of_rest_and_costs_one() -> None:
    refused = answer(opened(), id=None, method="klines", params={"symbol": "BTCUSDT"})
    assert (refused["id"], refused["status"], refused["rateLimits"][0]["count"]) == (None, 400, 3)
    assert refused["error"] == {
        "code": -1102,
        "msg": "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.",
    }


@pytest.mark.parametrize(
    ("text", "request_id", "code"),
    [
        ("no json", None, -1135),
        ("[1]", None, -1135),
        ("[" * 100_000, None, -1135),
        ('{"id":{"a":1},"method":"ping"}', None, -1135),
        ('{"id":"a b","method":"ping"}', None, -1135),
        ('{"id":1.5,"method":"ping"}', None, -1135),
        ('{"id":7}', 7, -1135),
        ('{"id":7,"method":"ping","params":[]}', 7, -1135),
        ('{"id":7,"method":"order.place"}', 7, -1020),
        ('{"id":7,"method":"ping","params":{"symbol":"BTCUSDT"}}', 7, -1101),
        ('{"id":7,"method":"depth","params":{"symbol":"NOSUCH"}}', 7, -1121),
        ('{"id":7,"method":"depth","params":{"symbol":{"a":[1]}}}', 7, -1100),
    ],
)
def test_what_is_refused(text: str, request_id: object, code: int) -> None:
    (reply,) = opened().answer(text)
    refused = json.loads(reply)
    assert (refused["id"], refused["status"], refused["error"]["code"]) == (request_id, 400, code)


@given(st.text() | st.binary())
def test_any_text_has_one_answer(text: str | bytes) -> None:
    (reply,) = opened().answer(text)
    assert json.loads(reply)["status"] == 400


def test_over_the_limit_is_429_with_the_time_from_which_on_to_try_again_and_going_on_is_418() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, weight_per_minute=10, forgiven=1, ban_s=7)
    client = opened(WeighedView(limits))
    replies = [answer(client, id=1, method="exchangeInfo") for _ in range(3)]
    assert [reply["status"] for reply in replies] == [429, 418, 418]
    assert {reply["error"]["code"] for reply in replies} == {-1003}
    now_ms = int(NOW_S * 1_000)
    assert replies[0]["error"]["data"] == {"serverTime": now_ms, "retryAfter": now_ms + 50_000}
    assert replies[1]["error"]["data"] == {"serverTime": now_ms, "retryAfter": now_ms + 7_000}


def test_a_connection_costs_weight_and_is_refused_over_the_limit() -> None:
    view = WeighedView(msgspec.structs.replace(SPOT_LIMITS, weight_per_minute=3))
    opened(view)
    assert view.used_weight(NOW_S) == 2
    with pytest.raises(HandshakeError) as refused:
        opened(view)
    assert (refused.value.status, refused.value.code) == (429, -1003)
    usdm = WeighedView(kind="usdm")
    opened(usdm, kind="usdm")
    assert usdm.used_weight(NOW_S) == 5


def test_ordered_errors_are_for_the_methods_that_they_name() -> None:
    view = WeighedView()
    view.ordered = {
        "/ws-api/v3/time": Refusal(503, 0),
        "/ws-api/v3/ping": Refusal(429, 3),
        "/ws-api/v3/depth": Refusal(400, 0, -1121, "as ordered"),
    }
    client = opened(view)
    assert answer(client, id=1, method="time", params={"returnRateLimits": False}) == {
        "id": 1,
        "status": 503,
        "error": {"code": -1000, "msg": "Service Unavailable"},
    }
    assert answer(client, id=1, method="ping")["error"]["data"]["retryAfter"] == int(NOW_S * 1_000) + 3_000
    assert answer(client, id=1, method="depth")["error"] == {"code": -1121, "msg": "as ordered"}
    assert answer(client, id=1, method="avgPrice", params={"symbol": "BTCUSDT"})["status"] == 200


def test_the_address_says_the_unit_of_times_and_whether_limits_are_shown() -> None:
    assert parse_api_handshake("spot", {}) == SHOWN
    micro = parse_api_handshake("spot", {"timeUnit": "microsecond", "returnRateLimits": "false"})
    assert micro == ApiHandshake(shows_limits=False, microseconds=True)
    assert answer(opened(handshake=micro), id=1, method="time")["result"] == {"serverTime": (BEGIN_MS + 5) * 1_000}
    assert parse_api_handshake("usdm", {"timeUnit": "nonsense"}) == SHOWN
    for wrong in ({"timeUnit": "s"}, {"returnRateLimits": "1"}):
        with pytest.raises(HandshakeError):
            parse_api_handshake("spot", wrong)


def test_events_are_in_an_envelope() -> None:
    event = Message(BEGIN_MS, "", b'{"e":"x","E":%d}' % BEGIN_MS)
    assert EventEncoding(microseconds=False).frame(event) == encode_frame(b'{"event":%b}' % event.data)
    in_micro = b'{"event":{"e":"x","E":%d000}}' % BEGIN_MS
    assert EventEncoding(microseconds=True).frame(event) == encode_frame(in_micro)


async def test_one_connection_has_the_answers_of_rest_and_more_of_them_than_a_stream_may_request() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as rest,
        connect(exchange.ws_url + "/ws-api/v3?returnRateLimits=false") as client,
    ):
        limits = range(1, 3 * SPOT_LIMITS.incoming_per_s)
        for limit in limits:
            sent = {"symbol": "BTCUSDT", "limit": limit}
            await client.send(json.dumps({"id": limit, "method": "depth", "params": sent}))
        for limit in limits:
            reply = await rest.get("/api/v3/depth", params={"symbol": "BTCUSDT", "limit": limit})
            assert json.loads(await client.recv()) == {"id": limit, "status": 200, "result": reply.json()}


async def test_faults_act_on_it_as_on_any_connection() -> None:
    async with (
        running_exchange(ScriptedMarket(kind="usdm")) as exchange,
        connect(exchange.ws_url + "/ws-fapi/v1?returnRateLimits=false") as client,
    ):
        exchange.inject(Refuse(status=503, path="/ws-fapi/v1/depth"))
        exchange.inject(RefuseSubscribe())
        exchange.inject(OddReply(text='{"id":{id}}'))
        request = json.dumps({"id": 5, "method": "depth", "params": {"symbol": "BTCUSDT"}})
        replies = []
        for _ in range(3):
            await client.send(request)
            replies.append(json.loads(await client.recv()))
        # The odd reply stands in place of the error.
        assert replies[0] == {"id": 5}
        assert [reply["status"] for reply in replies[1:]] == [200, 200]
        exchange.inject(Shutdown(close_after_s=0))
        assert json.loads(await client.recv()) == {"event": {"e": "serverShutdown", "E": BEGIN_MS}}
        with pytest.raises(ConnectionClosed):
            await client.recv()


async def test_an_address_that_is_refused_is_answered_with_its_error() -> None:
    async with running_exchange(ScriptedMarket()) as exchange:
        with pytest.raises(InvalidStatus) as refused:
            await connect(exchange.ws_url + "/ws-api/v3?timeUnit=s")
        assert refused.value.response.status_code == 400
        assert json.loads(refused.value.response.body)["code"] == -1194
