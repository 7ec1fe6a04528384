"""What is subscribed at Coinbase, where, and what its replies mean."""

from typing import Any

import msgspec
import pytest

from flows.settings import Feed
from sources.coinbase.feed import CoinbaseFeed
from sources.feed import IN_ORDER, Ack, Refusal
from tests.fakes.coinbase import advanced_frames, exchange_frames, exchange_messages

EXCHANGE, ADVANCED = "wss://ws-feed.exchange.coinbase.com", "wss://advanced-trade-ws.coinbase.com"


def feed(**changes: Any) -> CoinbaseFeed:
    return CoinbaseFeed(Feed(**{"venue": "coinbase", "symbols": ("BTC-USD", "ETH-USD")} | changes))


def bodies(requests: list[tuple[int, str]]) -> list[Any]:
    return [msgspec.json.decode(text) for _, text in requests]


def test_trades_come_with_what_names_the_newest_and_books_by_a_line_of_their_own() -> None:
    market, books = feed().plans({"BTC-USD": ()})
    assert (market.line, market.url, market.number) == ("market", EXCHANGE, b"")
    assert market.streams == ("BTC-USD@trade", "BTC-USD@heartbeat", "BTC-USD@ticker")
    assert market.names["BTC-USD@heartbeat"] == ("BTC-USD", "heartbeat")
    assert (books.line, books.url, books.number) == ("books", ADVANCED, b'"sequence_num":')
    assert books.names == {"BTC-USD@depth": ("BTC-USD", "depth")}


def test_a_symbol_may_have_other_kinds_than_the_setting() -> None:
    [market] = feed().plans({"BTC-USD": ("trade",)})
    assert market.kinds == {"BTC-USD": ("trade", "heartbeat")}
    assert feed().plans({"BTC-USD": ("kline_1m", "bookTicker")}) == []


def test_symbols_stay_on_their_connections() -> None:
    fed = feed(streams_per_connection=4, streams=("aggTrade", "depth"))
    first = fed.plans(dict.fromkeys("ABC", ()))
    assert [(plan.line, plan.symbols) for plan in first] == [
        ("market", ("A", "C")),
        ("market", ("B",)),
        ("books", ("A", "B", "C")),
    ]
    second = fed.plans(dict.fromkeys("BCD", ()), first, not_trading=frozenset("C"))
    assert [plan.symbols for plan in second] == [("C", "D"), ("B",), ("B", "C", "D")]
    assert second[0].not_trading == frozenset("C")


@pytest.mark.parametrize(
    ("changes", "addresses"),
    [
        ({}, [EXCHANGE, ADVANCED]),
        ({"origin": "replay", "ws_url": "ws://127.0.0.1:9443/"}, ["ws://127.0.0.1:9443"] * 2),
        ({"ws_url": "ws://127.0.0.1:1"}, ["ws://127.0.0.1:1", ADVANCED]),
        ({"book_ws_url": "ws://127.0.0.1:2/"}, [EXCHANGE, "ws://127.0.0.1:2"]),
        ({"origin": "testnet"}, ["wss://ws-feed-public.sandbox.exchange.coinbase.com"]),
    ],
)
def test_addresses(changes: dict[str, Any], addresses: list[str]) -> None:
    assert [plan.url for plan in feed(**changes).plans({"BTC-USD": ()})] == addresses


def test_an_origin_without_an_address_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(ValueError, match=r"set feed\.ws_url"):
        feed(origin="synthetic")


def test_the_exchange_feed_is_subscribed_with_one_request() -> None:
    fed = feed()
    streams = ("BTC-USD@trade", "BTC-USD@heartbeat", "ETH-USD@trade", "ETH-USD@ticker")
    channels = [
        {"name": "matches", "product_ids": ["BTC-USD", "ETH-USD"]},
        {"name": "heartbeat", "product_ids": ["BTC-USD"]},
        {"name": "ticker", "product_ids": ["ETH-USD"]},
    ]
    assert bodies(fed.subscribe_requests(streams)) == [
        {"type": "subscribe", "channels": [*channels, {"name": "status"}]}
    ]
    assert bodies(fed.unsubscribe_requests(streams)) == [{"type": "unsubscribe", "channels": channels}]
    assert fed.subscribe_requests(()) == fed.unsubscribe_requests(()) == []


def test_books_are_subscribed_with_heartbeats_and_each_request_has_an_id_of_its_own() -> None:
    fed = feed()
    streams = ("BTC-USD@depth", "ETH-USD@depth")
    requests = fed.subscribe_requests(streams)
    assert bodies(requests) == [
        {"type": "subscribe", "channel": "level2", "product_ids": ["BTC-USD", "ETH-USD"]},
        {"type": "subscribe", "channel": "heartbeats"},
    ]
    ended = fed.unsubscribe_requests(streams)
    assert bodies(ended) == [{"type": "unsubscribe", "channel": "level2", "product_ids": ["BTC-USD", "ETH-USD"]}]
    assert len({number for number, _ in (*requests, *ended)}) == 3


@pytest.mark.parametrize(
    ("frame", "meaning"),
    [
        (b'{"type":"subscriptions","channels":[]}', Ack(IN_ORDER)),
        (b'{"channel":"subscriptions","timestamp":"","sequence_num":2,"events":[]}', Ack(IN_ORDER)),
        (
            b'{"type":"error","message":"Failed to subscribe","reason":"X-Y is not a valid product"}',
            Refusal('the exchange says: "Failed to subscribe: X-Y is not a valid product"', IN_ORDER),
        ),
        (b'{"type":"error","message":7}', Refusal("the exchange says nothing", IN_ORDER)),
        (b'{"type":"status"}', None),
        (b"[1]", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_replies(frame: bytes, meaning: Any) -> None:
    fed = feed()
    assert fed.channel_of(frame) == ""
    assert fed.control_of(frame) == meaning


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b'{"type":"match",',
        b'{"type":"match","product_id":"',
        b'{"type":"match"}',
        b'{"type":"x","product_id":"B"}',
    ],
)
def test_a_frame_that_names_no_stream_has_none(frame: bytes) -> None:
    assert feed().channel_of(frame) == ""


def test_streams_of_recorded_frames() -> None:
    fed = feed()
    kinds = {"match": "trade", "last_match": "trade", "heartbeat": "heartbeat"}
    wanted = [f"{m['product_id']}@{kinds[m['type']]}" if m["type"] in kinds else "" for m in exchange_messages()]
    assert [fed.channel_of(frame) for frame in exchange_frames()] == wanted
    for frame in advanced_frames():
        body = msgspec.json.decode(frame)
        match body["channel"]:
            case "l2_data":
                expected = f"{body['events'][0]['product_id']}@depth"
            case "market_trades":
                expected = f"{body['events'][0]['trades'][0]['product_id']}@trade"
            case channel:
                expected = "heartbeats" if channel == "heartbeats" else ""
        assert fed.channel_of(frame) == expected
        assert (fed.control_of(frame) == Ack(IN_ORDER)) is (body["channel"] == "subscriptions")


def test_heartbeats_are_the_sign_of_life_of_the_line_of_books() -> None:
    fed = feed()
    assert fed.channel_of(b'{"channel":"heartbeats","sequence_num":3,"events":[]}') == "heartbeats"
    plans = fed.plans({"BTC-USD": ("trade", "depth")})
    assert {plan.line: plan.heartbeat for plan in plans} == {"market": "", "books": "heartbeats"}
