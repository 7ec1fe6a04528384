import json
from typing import Any

import pytest

from flows.settings import Feed
from sources.feed import Ack, ConnectionPlan, Refusal
from sources.kraken.feed import KrakenFeed
from tests.fakes.kraken_frames import book_frame, ohlc_frame, recorded_frames, ticker_frame, trade_frame


def feed(**settings: Any) -> KrakenFeed:
    usual = {"venue": "kraken", "symbols": ("BTC-USD",), "timeframes": ("1m", "3m", "5m")}
    return KrakenFeed(Feed.model_validate({**usual, **settings}))


def plan_of(plans: list[ConnectionPlan], line: str) -> ConnectionPlan:
    [plan] = [plan for plan in plans if plan.line == line]
    return plan


def test_an_instruments_streams_are_named_by_what_is_subscribed() -> None:
    plans = feed().plans({"BTC-USD": ()})
    assert plan_of(plans, "market").names == {
        "BTC-USD@trade": ("BTC-USD", "aggTrade"),
        "BTC-USD@kline_1m": ("BTC-USD", "kline_1m"),
        "BTC-USD@kline_5m": ("BTC-USD", "kline_5m"),
        "BTC-USD@ticker@trades": ("BTC-USD", "ticker"),
    }
    assert plan_of(plans, "book").names == {"BTC-USD@depth@100": ("BTC-USD", "depth")}
    assert {plan.url for plan in plans} == {"wss://ws.kraken.com/v2"}


def test_without_a_book_best_bid_and_ask_come_with_the_ticker() -> None:
    plans = feed(book_levels=10).plans({"BTC-USD": ("trade", "ticker", "bookTicker"), "ETH-USD": ("bookTicker",)})
    assert plan_of(plans, "market").names == {
        "BTC-USD@trade": ("BTC-USD", "trade"),
        "BTC-USD@ticker@bbo": ("BTC-USD", "ticker"),
        "ETH-USD@ticker@bbo": ("ETH-USD", "bookTicker"),
    }
    assert [plan.line for plan in plans] == ["market"]


def test_streams_stay_on_their_connection() -> None:
    venue = feed(streams_per_connection=3)
    before = venue.plans({"BTC-USD": ("trade", "ticker"), "ETH-USD": ("trade", "ticker")})
    after = venue.plans({"ETH-USD": ("trade", "ticker"), "SOL-USD": ("trade",)}, before)
    assert [plan.symbols for plan in before] == [("BTC-USD",), ("ETH-USD",)]
    assert [plan.symbols for plan in after] == [("SOL-USD",), ("ETH-USD",)]


def test_a_request_names_the_instruments_of_one_channel() -> None:
    venue = feed()
    names = plan_of(venue.plans({"BTC-USD": (), "ETH-USD": ()}), "market").streams
    requests = venue.subscribe_requests((*names, "BTC-USD@depth@100"))
    assert [request_id for request_id, _ in requests] == [1, 2, 3, 4, 5, 6]
    both = ["BTC/USD", "ETH/USD"]
    assert [json.loads(text)["params"] for _, text in requests] == [
        {"channel": "instrument", "snapshot": True},
        {"channel": "trade", "snapshot": False, "symbol": both},
        {"channel": "ohlc", "interval": 1, "snapshot": False, "symbol": both},
        {"channel": "ohlc", "interval": 5, "snapshot": False, "symbol": both},
        {"channel": "ticker", "event_trigger": "trades", "symbol": both},
        {"channel": "book", "depth": 100, "symbol": ["BTC/USD"]},
    ]
    assert {json.loads(text)["method"] for _, text in requests} == {"subscribe"}
    assert [json.loads(text)["req_id"] for _, text in requests] == [1, 2, 3, 4, 5, 6]
    [(_, text)] = venue.unsubscribe_requests(("BTC-USD@kline_1m",))
    assert json.loads(text) == {
        "method": "unsubscribe", "params": {"channel": "ohlc", "interval": 1, "symbol": ["BTC/USD"]}, "req_id": 7,
    }  # fmt: skip


def test_requests_name_at_most_fifty_instruments() -> None:
    requests = feed().subscribe_requests(tuple(f"A{number}-USD@trade" for number in range(120)))
    assert [len(json.loads(text)["params"]["symbol"]) for _, text in requests] == [50, 50, 20]


def reply(request_id: int, instrument: str, **values: Any) -> bytes:
    body = {"method": "subscribe", "req_id": request_id, "success": True, "time_in": "t", "time_out": "t"}
    if values.get("success", True):
        body["result"] = {"channel": "trade", "snapshot": False, "symbol": instrument}
    else:
        body["symbol"] = instrument
    return json.dumps(body | values).encode()


def test_the_last_instruments_reply_confirms_the_request() -> None:
    venue = feed()
    venue.subscribe_requests(("BTC-USD@trade", "ETH-USD@trade"))
    assert venue.control_of(reply(1, "ETH/USD")) is None
    assert venue.control_of(reply(1, "BTC/USD")) == Ack(1)


def test_a_refused_instrument_is_named_and_the_others_are_confirmed() -> None:
    venue = feed()
    venue.subscribe_requests(("X-USD@trade", "BTC-USD@trade"))
    words = "Currency pair not supported X/USD"
    refusal = venue.control_of(reply(1, "X/USD", success=False, error=words))
    assert isinstance(refusal, Refusal)
    assert (refusal.stream, refusal.id) == ("X-USD@trade", None)
    assert words in refusal.reason
    assert venue.control_of(reply(1, "BTC/USD")) == Ack(1)


def test_a_refusal_that_comes_last_answers_its_request() -> None:
    venue = feed()
    venue.subscribe_requests(("BTC-USD@trade", "X-USD@trade"))
    venue.control_of(reply(1, "BTC/USD"))
    refusal = venue.control_of(reply(1, "X/USD", success=False, error="no"))
    assert isinstance(refusal, Refusal)
    assert (refusal.stream, refusal.id) == ("X-USD@trade", 1)


def test_a_refusal_without_an_instrument_concerns_its_request() -> None:
    venue = feed()
    venue.subscribe_requests(("BTC-USD@trade",))
    refusal = venue.control_of(b'{"error":"Exceeded msg rate","method":"subscribe","success":false,"req_id":1}')
    assert isinstance(refusal, Refusal)
    assert (refusal.stream, refusal.id) == ("", 1)
    unreadable = venue.control_of(b'{"error":"Malformed request","success":false}')
    assert isinstance(unreadable, Refusal)
    assert unreadable.id is None


@pytest.mark.parametrize(
    "frame",
    [b'{"channel":"status","type":"update","data":[]}', b'{"method":"pong","req_id":7}',
     b"[]", b"{", b"\xff", b'{"method":"subscribe","success":true,"result":[],"req_id":"x"}',
     b'{"method":"subscribe","success":true,"result":{"symbol":{}},"req_id":true}', b"[" * 100_000],
)  # fmt: skip
def test_other_frames_mean_nothing_to_a_connection(frame: bytes) -> None:
    assert feed().control_of(frame) is None
    assert feed().channel_of(frame) == ""


def test_the_heartbeat_is_a_sign_of_life_of_every_plan() -> None:
    venue = feed()
    assert venue.channel_of(b'{"channel":"heartbeat"}') == "heartbeat"
    assert {plan.heartbeat for plan in venue.plans({"BTC-USD": ()})} == {"heartbeat"}


def test_a_refused_list_of_instruments_refuses_no_stream() -> None:
    venue = feed()
    (number, _), *_ = venue.subscribe_requests(("BTC-USD@depth@100",))
    answer = {"method": "subscribe", "req_id": number, "success": False, "error": "Subscription channel not supported"}
    assert venue.control_of(json.dumps(answer).encode()) == Ack(number)
    assert venue.control_of(json.dumps(answer).encode()) != Ack(number)


def test_the_stream_of_a_frame_is_that_of_the_plan() -> None:
    venue = feed()
    plans = venue.plans({"BTC-USD": ()})
    for _ in range(2):  # the second time from the cache
        found = {
            venue.channel_of(trade_frame({})),
            venue.channel_of(ohlc_frame(sent="2026-01-01T00:00:30.5Z", rows=[{}])),
            venue.channel_of(ohlc_frame(sent="2026-01-01T00:00:30.5Z", rows=[{"interval": 5}])),
            venue.channel_of(ticker_frame()),
            venue.channel_of(book_frame("update", "1.0 1.0", "", 1)),
        }
        assert found == {name for plan in plans for name in plan.streams}
    assert venue.channel_of(trade_frame({"symbol": "SOL/USD"})) == "SOL-USD@trade"


def test_the_recordings_frames_belong_to_its_streams() -> None:
    venue = feed(book_levels=10, streams=("trade", "depth"))
    names = {name for plan in venue.plans({"BTC-USD": (), "ETH-USD": ()}) for name in plan.streams}
    found = [venue.channel_of(frame) for frame in recorded_frames()]
    assert set(found) - {"", "heartbeat"} == names
    assert found.count("") + found.count("heartbeat") == 28


def test_an_origin_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="ws_url"):
        feed(origin="testnet")
