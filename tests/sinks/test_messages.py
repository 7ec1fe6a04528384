import json

import msgspec
from websockets.frames import Frame
from websockets.streams import StreamReader

from flows.model import Candle, Incident, MarketData, TradeBatch
from sinks.hub import Entry
from sinks.messages import Format, iso
from tests.fakes.trades import BEGIN, trade


def payload(entry: Entry, form: Format) -> bytes:
    reader = StreamReader()
    reader.feed_data(entry.frame(form))
    parsing = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
    return bytes(frame.data)


def test_market_data_to_the_letter() -> None:
    data = MarketData("binance", "BTCUSDT", 61837.63, BEGIN + 123, -512.3, -0.547, 15321.4)
    entry = Entry(1, "MarketData", data, time_ms=BEGIN)
    assert payload(entry, "json") == (
        b'{"type":"MarketData","data":{"symbol":"BTCUSDT","price":61837.63,"price_change_24h":-512.3,'
        b'"price_change_percent_24h":-0.547,"volume_24h":15321.4,"timestamp":"2026-01-01T00:00:00.123Z"},'
        b'"timestamp":"2026-01-01T00:00:00Z","seq":1}'
    )


def test_a_chart_update_to_the_letter() -> None:
    candle = Candle(
        "binance", "BTCUSDT", "1m", BEGIN, 1.5, 3.0, 1.0, 2.5, 10.0, 20.0, 7, 4.0, 8.0, 11, 17,
        is_closed=True, status="repaired", revision=2, event_time=BEGIN + 60_250,
    )  # fmt: skip
    entry = Entry(9, "ChartUpdate", candle, time_ms=BEGIN + 61_000, price=MarketData("binance", "BTCUSDT", 2.75, BEGIN))
    assert json.loads(payload(entry, "json")) == {
        "type": "ChartUpdate",
        "data": {
            "symbol": "BTCUSDT",
            "timeframe": "1m",
            "candle": {
                "timestamp": "2026-01-01T00:00:00Z",
                "open": 1.5,
                "high": 3.0,
                "low": 1.0,
                "close": 2.5,
                "volume": 10.0,
                "is_closed": True,
                "status": "repaired",
                "revision": 2,
            },
            "latest_price": 2.75,
            "price_change_24h": None,
            "price_change_percent_24h": None,
            "volume_24h": None,
            "timestamp": "2026-01-01T00:01:00.250Z",
        },
        "timestamp": "2026-01-01T00:01:01Z",
        "seq": 9,
    }


def test_both_formats_say_the_same() -> None:
    batch = TradeBatch("binance", "BTCUSDT", [trade(1, 5, 10.0, 2.0), trade(2, 6, 11.0, sold=True)])
    incident = Incident("gap", "binance", "BTCUSDT", 1, 2, "3 trades did not arrive", "open", 7, 9)
    for entry in (Entry(1, "Trade", batch, time_ms=BEGIN), Entry(2, "Incident", incident, time_ms=BEGIN)):
        assert (
            json.loads(payload(entry, "json")) == msgspec.msgpack.decode(payload(entry, "msgpack")) == entry.message()
        )


def test_trades_to_the_letter() -> None:
    message = Entry(1, "Trade", TradeBatch("binance", "BTCUSDT", [trade(7, 5, 10.0, 2.0)]), time_ms=BEGIN).message()
    assert message["data"] == {
        "symbol": "BTCUSDT",
        "late": False,
        "trades": [
            {"id": 7, "price": 10.0, "quantity": 2.0, "buyer_is_maker": False, "fill": "MARKET",
             "timestamp": "2026-01-01T00:00:00.005Z"}
        ],
    }  # fmt: skip


def test_a_message_is_encoded_once() -> None:
    entry = Entry(1, "MarketData", MarketData("binance", "BTCUSDT", 1.0, BEGIN), time_ms=BEGIN)
    assert entry.frame("json") is entry.frame("json")


def test_times() -> None:
    assert [iso(0), iso(1_767_225_600_007)] == ["1970-01-01T00:00:00Z", "2026-01-01T00:00:00.007Z"]
