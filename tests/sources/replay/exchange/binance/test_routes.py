import pytest

from sources.replay.exchange.binance.routes import Handshake, Route, carries, parse_handshake
from sources.replay.exchange.dialect import HandshakeError
from sources.replay.market.market import MarketKind

BOOKS = (
    "btcusdt@depth",
    "btcusdt@depth@100ms",
    "btcusdt@depth20@500ms",
    "btcusdt@bookTicker",
    "!bookTicker",
    "btcusdt@trade",
)
OTHERS = (
    "btcusdt@aggTrade",
    "btcusdt@kline_1m",
    "btcusdt@ticker",
    "!miniTicker@arr",
    "btcusdt@markPrice@1s",
    "tradingSession",
)


def test_usdm_delivers_each_stream_on_its_own_route_only() -> None:
    routes: tuple[Route, ...] = ("", "public", "market", "private")
    for stream in BOOKS:
        assert [carries("usdm", route, stream) for route in routes] == [True, True, False, False], stream
    for stream in OTHERS:
        assert [carries("usdm", route, stream) for route in routes] == [False, False, True, False], stream


def test_a_listen_key_is_user_data_of_usdm() -> None:
    listen_key = "a1" * 32
    routes: tuple[Route, ...] = ("", "public", "market", "private")
    assert [carries("usdm", route, listen_key) for route in routes] == [True, False, False, True]
    named = opened("usdm", "ws", listenKey=listen_key, events="ACCOUNT_UPDATE/ORDER_TRADE_UPDATE")
    assert named.streams == (f"{listen_key}@ACCOUNT_UPDATE", f"{listen_key}@ORDER_TRADE_UPDATE")
    assert all(carries("usdm", "private", stream) for stream in named.streams)
    assert not any(carries("usdm", "market", stream) for stream in named.streams)
    assert opened("usdm", "ws", listenKey=listen_key).streams == (listen_key,)
    assert opened("spot", "ws", listenKey=listen_key).streams == ()


def test_spot_delivers_everything() -> None:
    assert all(carries("spot", "", stream) for stream in (*BOOKS, *OTHERS))


def opened(kind: MarketKind = "spot", endpoint: str = "stream", names: str = "", **query: str) -> Handshake:
    return parse_handshake(kind, route="", endpoint=endpoint, names=names, query=query, most=3)


def test_streams_are_named_in_the_path_or_in_the_query() -> None:
    assert opened(streams="a@trade/b@depth@100ms") == Handshake("", True, ("a@trade", "b@depth@100ms"), False)
    assert opened(endpoint="ws", names="a@trade/b@trade/a@trade/") == Handshake(
        "", False, ("a@trade", "b@trade"), False
    )
    assert opened(endpoint="ws") == Handshake("", False, (), False)
    assert opened(streams="a@kline_1d@ 08:00").streams == ("a@kline_1d@+08:00",)


def test_microseconds_are_an_option_of_spot() -> None:
    assert opened(timeUnit="MICROSECOND").microseconds
    assert opened(timeUnit="microsecond").microseconds
    assert not opened(timeUnit="millisecond").microseconds
    assert not opened("usdm", timeUnit="MICROSECOND").microseconds
    with pytest.raises(HandshakeError) as refused:
        opened(timeUnit="Second")
    assert refused.value.code == -1194


def test_too_many_streams_cannot_be_opened() -> None:
    with pytest.raises(HandshakeError, match="At most 3 streams"):
        opened(streams="a/b/c/d")
