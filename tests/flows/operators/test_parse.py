from collections.abc import Sequence
from typing import Any, NamedTuple

from msgspec import structs

from flows.model import Connected, Flush, RawFrames, Rejected, Trade, TradesRefused, TradingStatus
from flows.operators.parse import Batch, InstrumentEvent, Parse, Trades, by_instrument
from tests.fakes.trades import BEGIN, trade

BTC_ETH = ("BTCUSDT", "ETHUSDT")


class Found(NamedTuple):
    events: list[Any]
    rejected: list[Rejected]
    ignored: int
    statuses: tuple[TradingStatus, ...] = ()
    trades: tuple[Trade, ...] = ()


class Scripted:
    """A venue's parser that finds what it is told to."""

    def __init__(self, found: Sequence[Found]) -> None:
        self._found = list(found)

    def parse(self, frames: RawFrames) -> Found:
        return self._found.pop(0)


def test_events_become_batches_of_their_instrument_and_refusals_stay_beside_them() -> None:
    refused = Rejected("binance", "no JSON", b"x", 1)
    parse = Parse("binance", Scripted([Found([("BTCUSDT", [trade(1, 0)])], [refused], 2)]))
    out = parse([RawFrames("market", [b"..."], 1), Flush()])
    assert out == [refused, Batch("binance:BTCUSDT", [trade(1, 0)], "market"), Flush()]
    assert parse.ignored == 2


def test_trades_of_several_instruments_stay_as_they_came() -> None:
    eth = structs.replace(trade(7, 5), symbol="ETHUSDT")
    trades = (trade(1, 0), eth, trade(2, 3))
    parse = Parse("binance", Scripted([Found([], [], 0, trades=trades)]))
    [together] = parse([RawFrames("market", [b"..."], 1)])
    assert isinstance(together, Trades)
    assert (together.trades, together.newest, together.line) == ([*trades], BEGIN + 5, "market")
    assert by_instrument([Flush(), together]) == [
        Flush(),
        Batch("binance:BTCUSDT", [trade(1, 0), trade(2, 3)], "market"),
        Batch("binance:ETHUSDT", [eth], "market"),
    ]


def test_a_line_event_reaches_every_instrument_of_the_line_in_its_place() -> None:
    event = Connected("market", BTC_ETH, "ws://x")
    parse = Parse("binance", Scripted([Found([("BTCUSDT", [trade(1, 0)])], [], 0), Found([], [], 0)]))
    out = parse([RawFrames("market", [b"..."], 1), event, RawFrames("market", [b"..."], 1)])
    assert out == [
        Batch("binance:BTCUSDT", [trade(1, 0)], "market"),
        event,
        InstrumentEvent("binance:BTCUSDT", event),
        InstrumentEvent("binance:ETHUSDT", event),
    ]


def test_who_follows_trades_is_told_when_some_could_not_be_read() -> None:
    refused = [
        Rejected("binance", f"odd {number}", b"x", 1, symbol="BTCUSDT", kind=kind)
        for number, kind in enumerate(("aggTrade", "aggTrade", "kline_1m", ""))
    ]
    parse = Parse("binance", Scripted([Found([], refused, 0)]))
    assert parse([RawFrames("market", [b"..."], 1)]) == [
        *refused,
        InstrumentEvent("binance:BTCUSDT", TradesRefused("odd 1")),
    ]


def test_a_status_of_the_venues_streams_reaches_every_instrument_that_it_names() -> None:
    status = TradingStatus(BTC_ETH, "MAINTENANCE")
    parse = Parse("binance", Scripted([Found([], [], 1, (status,))]))
    assert parse([RawFrames("market", [b"..."], 1)]) == [
        status,
        InstrumentEvent("binance:BTCUSDT", status),
        InstrumentEvent("binance:ETHUSDT", status),
    ]
