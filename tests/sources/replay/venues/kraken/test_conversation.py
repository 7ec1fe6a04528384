import json
from itertools import islice
from typing import Any

import pytest

from sources.replay.protocol.conversation import Refused
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.kraken.conversation import KrakenConversation
from sources.replay.venues.kraken.derived import KrakenDerived
from sources.replay.venues.kraken.dialect import synthetic_kraken
from tests.fakes.played import PlayedView, played
from tests.fakes.shapes import fits, parse
from tests.sources.replay.venues.kraken.test_derived import recorded

BEGIN_MS = 1_767_225_600_000


@pytest.fixture(scope="module")
def view() -> PlayedView:
    served = synthetic_kraken(["BTC-USD", "ETH-USD"], seed=5, start_ms=BEGIN_MS)
    assert isinstance(served.market, SyntheticMarket)
    list(islice(played(served.market, lambda stream: stream == "BTC/USD@trade"), 60))
    return PlayedView(served)


@pytest.fixture
def client(view: PlayedView) -> KrakenConversation:
    assert isinstance(view.market.derived, KrakenDerived)
    return KrakenConversation(view, view.market.derived, 4_421_894_013_101_914_413)


def request(method: str = "subscribe", *, req_id: int | None = 7, **params: Any) -> str:
    given = {} if req_id is None else {"req_id": req_id}
    return json.dumps({"method": method, "params": params, **given})


def sent(client: KrakenConversation, text: str) -> list[Any]:
    return [parse(reply) for reply in client.answer(text)]


def test_a_connection_begins_with_the_status_as_recorded(client: KrakenConversation) -> None:
    (status,) = map(parse, client.greet())
    assert fits(status, recorded()[str(("status", "update", None))])
    assert status["data"][0]["connection_id"] > 2**53
    assert client.delivered == frozenset()


@pytest.mark.parametrize("channel", ["trade", "book"])
def test_each_symbol_is_acknowledged_by_itself_as_recorded(client: KrakenConversation, channel: str) -> None:
    replies = sent(client, request(channel=channel, symbol=["BTC/USD", "ETH/USD"], snapshot=False, req_id=None))
    assert [reply["result"]["symbol"] for reply in replies] == ["BTC/USD", "ETH/USD"]
    true = recorded()[str((None, None, "subscribe"))]
    true["result"] = {"channel": "book", "depth": 10, "snapshot": True, "symbol": "BTC/USD"}
    if channel == "trade":
        del true["result"]["depth"]
    assert all(fits(reply, true) for reply in replies)
    assert client.delivered == {
        f"{s}@{'book-10' if channel == 'book' else channel}" for s in ("BTC/USD", "ETH/USD")
    } | {"heartbeat"}


def test_snapshots_follow_the_acknowledgements(client: KrakenConversation) -> None:
    kinds = [reply.get("type") for reply in sent(client, request(channel="book", symbol=["BTC/USD", "ETH/USD"]))]
    assert kinds == [None, None, "snapshot", "snapshot"]
    (_, trades) = sent(client, request(channel="trade", symbol=["BTC/USD"], snapshot=True))
    ids = [row["trade_id"] for row in trades["data"]]
    assert (trades["type"], ids) == ("snapshot", list(range(ids[0], ids[0] + 50)))
    (done, candles) = sent(client, request(channel="ohlc", symbol=["BTC/USD"], interval=5))
    assert done["result"]["warnings"] == ["timestamp is deprecated, use interval_begin"]
    begins = [row["interval_begin"] for row in candles["data"]]
    assert (begins, {row["interval"] for row in candles["data"]}) == (sorted(begins), {5})
    assert all(row["trades"] for row in candles["data"])
    (_, ticker) = sent(client, request(channel="ticker", symbol=["BTC/USD"], event_trigger="bbo"))
    assert (ticker["channel"], ticker["type"]) == ("ticker", "snapshot")
    (_, instruments) = sent(client, request(channel="instrument"))
    rows = {row["symbol"]: (row["price_precision"], row["qty_precision"]) for row in instruments["data"]["pairs"]}
    assert rows == {"BTC/USD": (1, 8), "ETH/USD": (2, 8)}
    assert {row["id"] for row in instruments["data"]["assets"]} == {"BTC", "ETH", "USD"}


@pytest.mark.parametrize(
    ("symbol", "error"),
    [
        ("XBT/USDT", "Currency pair not supported XBT/USDT"),
        ("XBTUSD", "Currency pair not in ISO 4217-A3 format XBTUSD"),
        ("btc/usd", "Currency pair not supported btc/usd"),
    ],
)
def test_a_symbol_that_is_refused_is_named_and_the_others_are_subscribed(
    client: KrakenConversation, symbol: str, error: str
) -> None:
    refused, done = sent(client, request(channel="trade", symbol=[symbol, "BTC/USD"]))
    assert {name: refused[name] for name in ("error", "method", "success", "symbol", "req_id")} == {
        "error": error,
        "method": "subscribe",
        "success": False,
        "symbol": symbol,
        "req_id": 7,
    }
    assert set(refused) - {"error", "method", "success", "symbol", "req_id"} == {"time_in", "time_out"}
    assert done["success"]
    assert client.delivered == {"BTC/USD@trade", "heartbeat"}


def test_a_subscription_ends_and_cannot_end_twice(client: KrakenConversation) -> None:
    client.answer(request(channel="book", symbol=["BTC/USD"], depth=25))
    (twice,) = sent(client, request(channel="book", symbol=["BTC/USD"], depth=25))
    (done,) = sent(client, request("unsubscribe", channel="book", symbol=["BTC/USD"], depth=25))
    (none,) = sent(client, request("unsubscribe", channel="book", symbol=["BTC/USD"], depth=25))
    assert [reply["success"] for reply in (twice, done, none)] == [False, True, False]
    assert done["method"] == "unsubscribe"
    assert client.delivered == frozenset()


def test_a_ping_gets_a_pong(client: KrakenConversation) -> None:
    (pong,) = sent(client, '{"method":"ping","req_id":101}')
    assert (pong["method"], pong["req_id"], set(pong)) == ("pong", 101, {"method", "req_id", "time_in", "time_out"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        b"\xff",
        "[" * 100_000,
        '{"method":1}',
        '{"method":"fly"}',
        '{"method":"subscribe"}',
        '{"method":"subscribe","params":{"channel":"trades","symbol":["BTC/USD"]}}',
        '{"method":"subscribe","params":{"channel":"book","depth":11,"symbol":["BTC/USD"]}}',
        '{"method":"subscribe","params":{"channel":"ohlc","interval":true,"symbol":["BTC/USD"]}}',
        '{"method":"subscribe","params":{"channel":"ticker","event_trigger":[],"symbol":["BTC/USD"]}}',
        '{"method":"subscribe","params":{"channel":"trade","snapshot":1,"symbol":["BTC/USD"]}}',
    ],
)
def test_a_request_that_makes_no_sense_gets_an_error(client: KrakenConversation, text: str | bytes) -> None:
    (reply,) = map(parse, client.answer(text))
    assert (reply["success"], bool(reply["error"])) == (False, True)
    assert client.requested(text) == []
    assert client.delivered == frozenset()


def test_ordered_refusals_are_for_the_streams_that_they_name(client: KrakenConversation) -> None:
    text = request(channel="trade", symbol=["BTC/USD", "ETH/USD"])
    assert client.requested(text) == ["BTC/USD@trade", "ETH/USD@trade"]
    assert client.request_id(text) == 7
    order = Refused(frozenset(["ETH/USD@trade"]), "wrapped", 2, "")
    done, refused = map(parse, client.refuse(text, order))
    assert (done["success"], refused["success"]) == (True, False)
    assert refused["error"] == "Currency pair not supported ETH/USD"
    assert client.delivered == {"BTC/USD@trade", "heartbeat"}
    silent = Refused(frozenset(["ETH/USD@book-10"]), "silent", 2, "")
    (done,) = map(parse, client.refuse(request(channel="book", symbol=["ETH/USD"]), silent))
    assert done["success"]
    assert client.delivered == {"BTC/USD@trade", "heartbeat"}
