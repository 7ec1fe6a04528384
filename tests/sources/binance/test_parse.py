import inspect
import json
import re
from collections import Counter
from typing import Any

import msgspec
import pytest
import zstandard

from flows.model import (
    AggregateTrade,
    BookDelta,
    BookSnapshot,
    BookTicker,
    Kline,
    MarketEvent,
    MiniTicker,
    RawFrames,
    StreamNames,
    Ticker,
    Trade,
)
from sources.binance import wire
from sources.binance.parse import BinanceParser
from sources.binance.parsed import Parsed
from tests.fakes.parsed import runs_of
from tests.fakes.recordings import frames_of, line_of, recording

AGG = {"e": "aggTrade", "E": 1767225600123, "s": "BTCUSDT", "a": 35, "p": "93120.51000000", "q": "0.01250000",
       "f": 541, "l": 543, "T": 1767225600121, "m": True, "M": True}  # fmt: skip


def parse(*payloads: bytes, venue: str = "binance", line: str = "market") -> Parsed:
    return BinanceParser(venue).parse(RawFrames(line, list(payloads), 7))


def wrapped(body: Any, stream: str = "btcusdt@aggTrade") -> bytes:
    return json.dumps({"stream": stream, "data": body}).encode()


def fields(event: MarketEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def only(parsed: Parsed) -> MarketEvent:
    [(symbol, [event])] = parsed.events
    assert (symbol, parsed.rejected, parsed.ignored) == (event.symbol, [], 0)
    return event


# --- each documented message ---


def documented(message: type) -> dict[str, Any]:
    """The payload in a wire type's docstring."""
    text = re.search(r"\{.*\}", inspect.getdoc(message) or "", re.DOTALL)
    assert text
    body: dict[str, Any] = json.loads(text[0])
    return body


@pytest.mark.parametrize(
    ("message", "line", "stream", "model"),
    [
        (wire.AggTradeMessage, "market", "btcusdt@aggTrade", AggregateTrade),
        (wire.TradeMessage, "market", "btcusdt@trade", Trade),
        (wire.KlineMessage, "market", "btcusdt@kline_1m", Kline),
        (wire.TickerMessage, "market", "btcusdt@ticker", Ticker),
        (wire.MiniTickerMessage, "market", "btcusdt@miniTicker", MiniTicker),
        (wire.SpotBookTickerMessage, "public", "btcusdt@bookTicker", BookTicker),
        (wire.DepthMessage, "public", "btcusdt@depth@100ms", BookDelta),
        (wire.PartialDepthMessage, "public", "btcusdt@depth20@100ms", BookSnapshot),
    ],
)
def test_documented_payloads_parse_combined(message: type, line: str, stream: str, model: type) -> None:
    assert isinstance(only(parse(wrapped(documented(message), stream), line=line)), model)


@pytest.mark.parametrize(
    "message",
    [wire.AggTradeMessage, wire.TradeMessage, wire.KlineMessage, wire.TickerMessage, wire.MiniTickerMessage,
     wire.SpotBookTickerMessage, wire.UsdmBookTickerMessage, wire.DepthMessage],
)  # fmt: skip
def test_and_raw_with_the_same_result(message: type) -> None:
    body = documented(message)
    raw = only(parse(json.dumps(body).encode()))
    enveloped = only(parse(wrapped(body, "btcusdt@x"), venue="binance-usdm"))
    assert fields(raw) == fields(enveloped)


def test_values_of_an_aggregate_trade() -> None:
    event = only(parse(wrapped(AGG | {"nq": "0.5", "st": 1, "unheard": {"of": []}})))
    assert fields(event) == {
        "symbol": "BTCUSDT", "id": 35, "time": 1767225600121, "price": 93120.51, "quantity": 0.0125,
        "buyer_is_maker": True, "event_time": 1767225600123, "fill": "MARKET", "first_id": 541, "last_id": 543,
    }  # fmt: skip


def test_values_of_a_closed_kline() -> None:
    event = only(parse(wrapped(documented(wire.KlineMessage), "btcusdt@kline_1m")))
    assert event == Kline(
        symbol="BTCUSDT", timeframe="1m", event_time=1767225662005, open_time=1767225600000, open=93120.51,
        high=93160.0, low=93101.2, close=93155.0, volume=18.4021, quote_volume=1713905.11, trades=1200,
        taker_buy_volume=9.201, taker_buy_quote_volume=856950.42, first_id=5412345001, last_id=5412346200,
        is_closed=True, close_time=1767225659999,
    )  # fmt: skip


def test_fields_that_only_inform_may_be_missing() -> None:
    body = documented(wire.KlineMessage)
    for name in ("q", "V", "Q"):
        del body["k"][name]
    event = only(parse(wrapped(body, "btcusdt@kline_1m")))
    assert isinstance(event, Kline)
    assert (event.quote_volume, event.taker_buy_volume, event.taker_buy_quote_volume) == (0.0, 0.0, 0.0)


def test_futures_fills_off_the_market_keep_their_kind_and_their_zero() -> None:
    body = documented(wire.TradeMessage) | {"X": "NA", "p": "0", "q": "0"}
    event = only(parse(wrapped(body, "btcusdt@trade"), venue="binance-usdm", line="public"))
    assert isinstance(event, Trade)
    assert (event.fill, event.price, event.id) == ("NA", 0.0, 6712345009)


def test_streams_of_all_symbols() -> None:
    tickers = [documented(wire.TickerMessage) | {"s": symbol} for symbol in ("BTCUSDT", "ETHUSDT")]
    parsed = parse(wrapped(tickers, "!ticker@arr"))
    assert [symbol for symbol, _ in parsed.events] == ["BTCUSDT", "ETHUSDT"]


# --- runs ---


def test_events_come_in_runs_of_one_symbol_and_type_in_the_order_of_arrival() -> None:
    frames = [wrapped(AGG | {"s": s, "a": a}, f"{s.lower()}@aggTrade") for s, a in
              (("BTCUSDT", 1), ("ETHUSDT", 5), ("BTCUSDT", 2))]  # fmt: skip
    parsed = parse(*frames)
    assert [(symbol, [t.id for t in run]) for symbol, run in parsed.events] == [  # type: ignore[union-attr]
        ("BTCUSDT", [1, 2]),
        ("ETHUSDT", [5]),
    ]


# --- what is no data ---


@pytest.mark.parametrize(
    "payload",
    [
        b'{"result":null,"id":3}',
        b'{"code":2,"msg":"Invalid request"}',
        b'{"error":{"code":2,"msg":"Invalid request"},"id":4}',
        b'{"stream":"btcusdt@avgPrice","data":{"e":"avgPrice","E":1,"s":"BTCUSDT"}}',
        b'{"e":"serverShutdown","E":1767225600000}',
    ],
)
def test_replies_and_unknown_types_are_ignored_and_counted_and_harm_nobody(payload: bytes) -> None:
    parsed = parse(wrapped(AGG), payload, wrapped(AGG | {"a": 36}))
    [(_, run)] = parsed.events
    assert ([t.id for t in run], parsed.rejected, parsed.ignored) == ([35, 36], [], 1)  # type: ignore[union-attr]


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"p": "0"}, "'float' > 0"),
        ({"p": "-1"}, "'float' > 0"),
        ({"p": "NaN"}, "'float' > 0"),
        ({"p": "Infinity"}, "'float' < 1"),
        ({"p": "abc"}, "Expected 'float'"),
        ({"p": None}, "Expected 'float'"),
        ({"q": "0.0"}, "'float' > 0"),
        ({"T": 1767225600}, "'int' >= 1000000000000"),
        ({"T": "soon"}, "Expected 'int'"),
        ({"a": -4}, "'int' >= 0"),
        ({"a": None}, "Expected 'int'"),
    ],
)
def test_a_bad_field_refuses_its_frame_and_no_other(changes: dict[str, Any], reason: str) -> None:
    bad = wrapped(AGG | changes)
    parsed = parse(wrapped(AGG), bad, wrapped(AGG | {"a": 36}))
    [(_, run)] = parsed.events
    assert [t.id for t in run] == [35, 36]  # type: ignore[union-attr]
    [rejected] = parsed.rejected
    assert reason in rejected.reason
    assert (rejected.venue, rejected.payload, rejected.received_ns) == ("binance", bad, 7)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        ("btcusdt@aggTrade", ("BTCUSDT", "aggTrade")),
        ("btcusdt@kline_1m", ("BTCUSDT", "kline_1m")),
        ("btcusdt@depth@100ms", ("BTCUSDT", "depth")),
        ("!ticker@arr", ("", "")),
        ("ethusdt@aggTrade", ("", "")),
        ("", ("", "")),
    ],
)
@pytest.mark.parametrize("body", [AGG | {"E": "soon"}, AGG | {"s": "ETHUSDT"}])
def test_a_refused_frame_says_of_what_it_was_where_that_was_subscribed(
    stream: str, expected: tuple[str, str], body: dict[str, Any]
) -> None:
    streams = StreamNames(frozenset({"btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@depth@100ms", "!ticker@arr"}))
    frame = msgspec.json.encode({"stream": stream, "data": body})
    parsed = BinanceParser("binance").parse(RawFrames("market", [frame], 7, streams))
    assert {(one.symbol, one.kind) for one in parsed.rejected} <= {expected}


@pytest.mark.parametrize("name", sorted(set(AGG) - {"e", "M"}))
def test_a_missing_field_too(name: str) -> None:
    parsed = parse(wrapped({key: value for key, value in AGG.items() if key != name}))
    assert (parsed.events, len(parsed.rejected)) == ([], 1)


@pytest.mark.parametrize("payload", [b"not json", b"[1,2]", b'{"stream":"btcusdt@aggTrade"}', b"\xff\xfe", b"{}"])
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    parsed = parse(wrapped(AGG), payload)
    assert [rejected.payload for rejected in parsed.rejected] == [payload]


# --- real messages ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("venue", "folder", "counts"),
    [
        ("binance", "binance-spot-2024-08-08", {"TradeMessage": 19_904 + 14_515, "DepthMessage": 6_495 + 6_470}),
        ("binance-usdm", "binance-usdm-2024-08-08", {}),
    ],
)
def test_the_recordings_parse_without_a_reject(venue: str, folder: str, counts: dict[str, int]) -> None:
    found: Counter[str] = Counter()
    for path in sorted(recording(folder).glob("*.gz")):
        frames = list(frames_of(path))
        for line in ("market", "public"):
            parsed = parse(*[frame for frame in frames if line_of(frame) == line], venue=venue, line=line)
            assert (parsed.rejected, parsed.ignored) == ([], 0)
            found.update({type(run[0]).__name__: len(run) for _, run in parsed.events})
    assert {name: found[name] for name in counts} == counts


@pytest.mark.parametrize(
    ("venue", "name"),
    [("binance", "BINANCE"), ("binance-usdm", "BINANCE_FUTURES"), ("binance", "BINANCE_US"), ("binance", "BINANCE_TR")],
)
def test_the_captures_parse_without_a_reject(venue: str, name: str) -> None:
    files = sorted(recording("captures").glob(f"{name}.ws.*"))
    payloads = [line.partition(b": ")[2] for path in files for line in path.read_bytes().splitlines() if b": {" in line]
    parsed = parse(*payloads, venue=venue)
    assert len(payloads) > 100
    assert (parsed.rejected, parsed.ignored) == ([], 0)
    assert sum(len(run) for _, run in parsed.events) == len(payloads)


@pytest.mark.parametrize(("venue", "name"), [("binance", "BINANCE"), ("binance-usdm", "BINANCE_FUTURES")])
def test_the_zstd_captures_parse_without_a_reject(venue: str, name: str) -> None:
    path = recording("captures-jsonl") / f"{name}.jsonl.zst"
    with path.open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    payloads = [row["data"].encode() for line in lines if (row := msgspec.json.decode(line))["t"] == "recv"]
    parsed = parse(*payloads, venue=venue)
    assert len(payloads) > 100
    assert parsed.rejected == []


def test_real_tickers_and_klines_of_2022() -> None:
    lines = (recording("messages") / "binance_24hrTicker_kline.jsonl").read_bytes().splitlines()
    parsed = parse(*[line for line in lines if line.strip()])
    assert (parsed.rejected, parsed.ignored) == ([], 0)
    for ticker in (event for _, run in parsed.events for event in run if isinstance(event, Ticker)):
        assert ticker.last_price - ticker.open == pytest.approx(ticker.price_change, abs=1e-7)


# --- trades of streams that are known ---


@pytest.mark.parametrize("size", [1, 3, 40])
def test_trades_are_the_same_however_a_connection_is_cut_into_polls(size: int) -> None:
    symbols = "BTCUSDT", "ETHUSDT", "SOLUSDT"
    frames = [
        wrapped(AGG | {"a": number, "s": symbols[number % 3]}, f"{symbols[number % 3].lower()}@aggTrade")
        for number in range(120)
    ]
    parser, found = BinanceParser("binance"), dict[str, list[int]]()
    for begin in range(0, len(frames), size):
        parsed = parser.parse(RawFrames("market", frames[begin : begin + size], 7))
        assert (parsed.rejected, parsed.ignored) == ([], 0)
        for symbol, run in runs_of(parsed):
            found.setdefault(symbol, []).extend(trade.id for trade in run)  # type: ignore[union-attr]
    assert found == {symbol: list(range(place, 120, 3)) for place, symbol in enumerate(symbols)}


OTHER = {"e": "trade", "E": AGG["E"], "T": AGG["T"], "s": "BTCUSDT", "t": 1, "p": "1", "q": "1", "m": True}


@pytest.mark.parametrize(
    ("body", "stream"),
    [(AGG | {"s": "ETHUSDT"}, "btcusdt@aggTrade"), (OTHER, "btcusdt@aggTrade"), (AGG, "btcusdt@trade")],
)
def test_a_message_on_a_known_stream_of_trades_that_is_not_its_own_is_refused(body: Any, stream: str) -> None:
    parser = BinanceParser("binance")
    for _ in range(2):
        parser.parse(RawFrames("market", [wrapped(AGG)], 7))
    parsed = parser.parse(RawFrames("market", [wrapped(AGG), wrapped(body, stream), wrapped(AGG)], 7))
    assert [trade.id for trade in parsed.trades] == [35, 35]
    assert len(parsed.rejected) == 1


def test_connections_whose_frames_come_in_turns_are_known_apart() -> None:
    one, other = StreamNames(frozenset(("btcusdt@aggTrade",))), StreamNames(frozenset(("ethusdt@aggTrade",)))
    parser, ether = BinanceParser("binance"), wrapped(AGG | {"s": "ETHUSDT"}, "ethusdt@aggTrade")
    for _ in range(3):
        for streams, own, foreign in ((one, wrapped(AGG), ether), (other, ether, wrapped(AGG))):
            parsed = parser.parse(RawFrames("market", [own, foreign], 7, streams))
            assert sum(len(run) for _, run in runs_of(parsed)) == 1
            assert len(parsed.rejected) == 1
    assert len(parsed.trades) == 1
