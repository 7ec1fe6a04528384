import json
from typing import Any

import msgspec
import pytest
from websockets.frames import Frame
from websockets.streams import StreamReader

from flows.model import (
    BookTicker,
    BookView,
    Candle,
    ChannelStatus,
    FeedStatus,
    Heartbeat,
    Incident,
    InstrumentStatus,
    MarketData,
    TradeBatch,
)
from sinks.hub.messages import Encoding, Message, Topic, exchange_time
from sinks.hub.payloads import ChartUpdate, FeedStatusUpdate, HeartbeatUpdate, InstrumentStatusUpdate, iso_utc
from tests.fakes.candles import stats
from tests.fakes.trades import BEGIN, trade


def payload(message: Message, encoding: Encoding) -> bytes:
    """What a client's library makes of the frame."""
    reader = StreamReader()
    reader.feed_data(message.frame(encoding))
    parsing = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
    return bytes(frame.data)


def test_market_data_to_the_letter() -> None:
    data = MarketData("binance", "BTCUSDT", 61837.63, BEGIN + 123, -512.3, -0.547, 15321.4)
    message = Message(Topic("MarketData", "BTCUSDT"), data, seq=1, stamp_ms=BEGIN)
    assert payload(message, "json") == (
        b'{"type":"MarketData","data":{"symbol":"BTCUSDT","price":61837.63,"price_change_24h":-512.3,'
        b'"price_change_percent_24h":-0.547,"volume_24h":15321.4,"timestamp":1767225600123,'
        b'"venue":"binance"},'
        b'"timestamp":"2026-01-01T00:00:00Z","seq":1}'
    )


def test_a_chart_update_to_the_letter() -> None:
    candle = Candle(
        venue="binance", symbol="BTCUSDT", timeframe="1m", open_time=BEGIN, open=1.5, high=3.0, low=1.0,
        close=2.5, volume=10.0, quote_volume=20.0, trades=7, taker_buy_volume=4.0, taker_buy_quote_volume=8.0,
        first_id=11, last_id=17,
        is_closed=True, status="repaired", revision=2, event_time=BEGIN + 60_250,
    )  # fmt: skip
    update = ChartUpdate(candle, MarketData("binance", "BTCUSDT", 2.75, BEGIN))
    message = Message(Topic("ChartUpdate", "BTCUSDT", "1m"), update, seq=9, stamp_ms=BEGIN + 61_000)
    assert payload(message, "json") == (
        b'{"type":"ChartUpdate","data":{"symbol":"BTCUSDT","timeframe":"1m","candle":{'
        b'"timestamp":1767225600000,"open":1.5,"high":3.0,"low":1.0,"close":2.5,"volume":10.0,'
        b'"is_closed":true,"status":"repaired","revision":2},"latest_price":2.75,"price_change_24h":null,'
        b'"price_change_percent_24h":null,"volume_24h":null,"timestamp":1767225660250,'
        b'"venue":"binance"},'
        b'"timestamp":"2026-01-01T00:01:01Z","seq":9}'
    )


@pytest.mark.parametrize(
    ("channel", "item", "data"),
    [
        (
            "OrderBook",
            BookView("binance", "BTCUSDT", True, 7, BEGIN, [(99.0, 3.0), (98.0, 1.5)], [(101.0, 1.5)]),
            (
                b'{"symbol":"BTCUSDT","synced":true,"update_id":7,"bids":[[99.0,3.0],[98.0,1.5]],"asks":[[101.0,1.5]],'
                b'"spread":2.0,"mid":100.0,"imbalance":0.5,"timestamp":1767225600000,'
                b'"venue":"binance"}'
            ),
        ),
        (
            "OrderBook",
            BookView("binance", "BTCUSDT", synced=False),
            (
                b'{"symbol":"BTCUSDT","synced":false,"update_id":0,"bids":[],"asks":[],"spread":null,"mid":null,'
                b'"imbalance":null,"timestamp":null,"venue":"binance"}'
            ),
        ),
        (
            "BookTicker",
            BookTicker("BTCUSDT", 7, 99.0, 3.0, 101.0, 1.5),
            (
                b'{"symbol":"BTCUSDT","update_id":7,"bid_price":99.0,"bid_quantity":3.0,"ask_price":101.0,'
                b'"ask_quantity":1.5,"timestamp":null,"venue":"binance"}'
            ),
        ),
        (
            "Stats",
            stats(1, seconds=2),
            (
                b'{"symbol":"BTCUSDT","open_time":1767139260000,"open":100.0,"high":110.0,"low":90.0,'
                b'"last":105.0,"volume":2000.0,"quote_volume":201000.0,"change":5.0,"change_percent":5.0,'
                b'"weighted_average":100.5,"trades":12345,"complete":true,"timestamp":1767225662000,'
                b'"venue":"binance"}'
            ),
        ),
    ],
)
def test_books_and_statistics_to_the_letter(channel: str, item: Any, data: bytes) -> None:
    message = Message(Topic(channel, "BTCUSDT", venue="binance"), item, seq=1, stamp_ms=BEGIN)
    wanted = b'{"type":"%b","data":%b,"timestamp":"2026-01-01T00:00:00Z","seq":1}' % (channel.encode(), data)
    assert payload(message, "json") == wanted


@pytest.mark.parametrize(
    ("item", "time"),
    [
        (BookTicker("BTCUSDT", 7, 99.0, 3.0, 101.0, 1.5, event_time=BEGIN), BEGIN),
        (BookView("binance", "BTCUSDT", True, 7, BEGIN), BEGIN),
        (stats(seconds=3), BEGIN + 3_000),
    ],
)
def test_the_exchanges_time_of_books_and_statistics(item: Any, time: int) -> None:
    assert exchange_time(item) == time


def test_both_encodings_say_the_same_and_each_is_made_once() -> None:
    batch = TradeBatch("binance", "BTCUSDT", [trade(1, 5, 10.0, 2.0), trade(2, 6, 11.0, sold=True)])
    incident = Incident("gap", "binance", "BTCUSDT", 1, 2, "3 trades did not arrive", "open", 7, 9)
    for topic, item in ((Topic("Trade", "BTCUSDT"), batch), (Topic("Incident", "BTCUSDT"), incident)):
        message = Message(topic, item, seq=1, stamp_ms=BEGIN)
        assert json.loads(payload(message, "json")) == msgspec.msgpack.decode(payload(message, "msgpack"))
        assert message.frame("json") is message.frame("json")


def test_times_have_milliseconds_only_where_there_are_any() -> None:
    assert [iso_utc(0), iso_utc(BEGIN + 7)] == ["1970-01-01T00:00:00Z", "2026-01-01T00:00:00.007Z"]


def data(item: Any, *, symbol: str = "") -> Any:
    """The `data` of a status."""
    return json.loads(payload(Message(Topic("Status", symbol), item, seq=1, stamp_ms=BEGIN), "json"))["data"]


def test_a_status_has_one_of_three_shapes() -> None:
    line = FeedStatus("binance", "market", "disconnected", ("BTCUSDT",), "line cut")
    assert data(FeedStatusUpdate(line, "replay")) == {
        "venue": "binance", "origin": "replay", "line": "market", "state": "disconnected",
        "symbols": ["BTCUSDT"], "reason": "line cut",
    }  # fmt: skip
    channels = (ChannelStatus("trades", "silent", BEGIN, "no trades"), ChannelStatus("book", "unsynced", 0))
    status = InstrumentStatus("binance", "BTCUSDT", "silent", BEGIN, "no trades", channels)
    assert data(InstrumentStatusUpdate(status, "replay"), symbol="BTCUSDT") == {
        "venue": "binance", "origin": "replay", "symbol": "BTCUSDT",
        "state": "silent", "since": iso_utc(BEGIN), "reason": "no trades",
        "channels": [
            {"channel": "trades", "state": "silent", "since": iso_utc(BEGIN), "reason": "no trades"},
            {"channel": "book", "state": "unsynced", "since": None, "reason": ""},
        ],
    }  # fmt: skip
    assert [
        data(HeartbeatUpdate(beat, "live")) for beat in (Heartbeat("binance", BEGIN), Heartbeat("b", 0, False))
    ] == [
        {"venue": "binance", "origin": "live", "state": "alive", "time": iso_utc(BEGIN), "clock": "sure"},
        {"venue": "b", "origin": "live", "state": "alive", "time": None, "clock": "unsure"},
    ]


@pytest.mark.parametrize("time", [-(10**18), -1, 0, BEGIN, 253_402_300_799_999, 10**15, 2**63])
def test_any_number_can_be_written_as_a_time(time: int) -> None:
    assert "1970-01-01T00:00:00Z" <= iso_utc(time) <= "9999-12-31T23:59:59.999Z"
