from typing import Any

import pytest

from flows.settings import Feed
from sources.binance.sbe.feed import SbeFeed
from sources.binance.venue import BINANCE
from sources.feed import Ack, Shutdown
from sources.venues import VENUES
from tests.sources.binance.sbe.vectors import BEST, DEPTH, TRADES


def settings(**changes: Any) -> Feed:
    return Feed(**{"symbols": ("BTCUSDT",), "timeframes": ("1m",), "encoding": "sbe", "api_key": "k3y"} | changes)


def test_trades_and_books_are_binary_and_the_rest_stays_json() -> None:
    feed = VENUES["binance"].feed(settings())
    market, trades, public = feed.plans({"BTCUSDT": ()})
    assert (market.line, market.url, market.headers) == ("market", "wss://stream.binance.com:9443/stream", {})
    assert market.streams == ("btcusdt@kline_1m", "btcusdt@ticker")
    for plan in (trades, public):
        assert plan.url == "wss://stream-sbe.binance.com:9443/stream"
        assert plan.headers == {"X-MBX-APIKEY": "k3y"}
        assert "k3y" not in repr(plan)
    assert (trades.line, trades.names) == ("trades", {"btcusdt@trade": ("BTCUSDT", "trade")})
    assert (public.line, public.names) == (
        "public", {"btcusdt@depth": ("BTCUSDT", "depth"), "btcusdt@bestBidAsk": ("BTCUSDT", "bookTicker")}
    )  # fmt: skip
    assert public.line == BINANCE.rules.book_line


def test_without_the_setting_all_is_json() -> None:
    feed = VENUES["binance"].feed(Feed(symbols=("BTCUSDT",)))
    assert [plan.line for plan in feed.plans({"BTCUSDT": ()})] == ["market", "public"]
    assert not any(plan.headers for plan in feed.plans({"BTCUSDT": ()}))


@pytest.mark.parametrize(
    ("changes", "urls"),
    [
        ({"sbe_ws_url": "wss://127.0.0.1:1/"}, ("wss://stream.binance.com:9443", "wss://127.0.0.1:1")),
        (
            {"origin": "replay", "ws_url": "ws://127.0.0.1:2", "sbe_ws_url": "ws://127.0.0.1:3"},
            ("ws://127.0.0.1:2", "ws://127.0.0.1:3"),
        ),
    ],
)
def test_addresses(changes: dict[str, Any], urls: tuple[str, str]) -> None:
    market, trades, public = SbeFeed(settings(**changes)).plans({"BTCUSDT": ()})
    assert (market.url, trades.url, public.url) == (f"{urls[0]}/stream", f"{urls[1]}/stream", f"{urls[1]}/stream")


def test_the_channel_of_messages_and_texts() -> None:
    feed = SbeFeed(settings())
    assert [feed.channel_of(frame) for frame in (TRADES, BEST, DEPTH, TRADES[:-1])] == [
        "btcusdt@trade", "btcusdt@bestBidAsk", "btcusdt@depth", ""
    ]  # fmt: skip
    assert feed.channel_of(b'{"stream":"btcusdt@kline_1m","data":{}}') == "btcusdt@kline_1m"
    assert feed.control_of(b'{"result":null,"id":1}') == Ack(1)
    assert feed.control_of(b'{"e":"serverShutdown","E":1767225600123}') == Shutdown()
    assert feed.control_of(TRADES[:-1]) is None
