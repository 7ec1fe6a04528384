import json
import struct
from itertools import chain, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.model import RawFrames, StreamNames, Trade
from sources.binance.parse import BinanceParser
from sources.binance.parsed import Parsed
from sources.binance.sbe.decode import end_of
from tests.sources.binance.sbe.vectors import BEST, DEPTH, MEANINGS, TRADES, trades_frame

STREAMS = StreamNames(frozenset(("btcusdt@trade", "btcusdt@bestBidAsk", "btcusdt@depth")))
LATER: dict[str, Any] = {"header": (18, 10_000, 1, 1), "size": 26}
"""Of a trade's message by a later version of the schema."""
SHUTDOWN = b'{"e":"serverShutdown","E":1767225600123}'


def parse(*payloads: bytes, streams: StreamNames | None = STREAMS, venue: str = "binance") -> Parsed:
    return BinanceParser(venue).parse(RawFrames("trades", list(payloads), 7, streams))


def test_messages_become_runs_by_stream() -> None:
    parsed = parse(TRADES, BEST, TRADES, DEPTH)
    (_, _, trades), (_, _, best), (_, _, depth) = MEANINGS
    assert parsed == Parsed([("BTCUSDT", trades * 2), ("BTCUSDT", best), ("BTCUSDT", depth)], [], 0)


@given(
    st.lists(st.sampled_from(["BTCUSDT", "ETHUSDT"]), max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
    st.sets(st.integers(0, 11)),
)
def test_the_trades_of_a_symbol_keep_their_order_however_polls_are_cut(
    symbols: list[str], cuts: list[int], longer: set[int]
) -> None:
    """`longer`: which messages have fields of a later version, and so are not usual."""
    frames = [
        trades_frame((number, 1, 1, 0), symbol=end_of(symbol), **(LATER if number in longer else {}))
        for number, symbol in enumerate(symbols)
    ]
    edges = [0, *sorted(min(cut, len(frames)) for cut in cuts), len(frames)]
    streams = StreamNames(frozenset(("btcusdt@trade", "ethusdt@trade")))
    parser = BinanceParser("binance")
    ids: dict[str, list[int]] = {}
    for begin, end in pairwise(edges):
        parsed = parser.parse(RawFrames("trades", frames[begin:end], 7, streams))
        assert parsed.rejected == []
        for trade in chain(parsed.trades, *(run for _, run in parsed.events)):
            assert isinstance(trade, Trade)
            ids.setdefault(trade.symbol, []).append(trade.id)
    assert ids == {
        symbol: [number for number, own in enumerate(symbols) if own == symbol] for symbol in dict.fromkeys(symbols)
    }


def test_a_stream_that_ended_is_forgotten_with_its_subscription() -> None:
    parser, ended = BinanceParser("binance"), StreamNames(frozenset(), frozenset(("btcusdt@trade",)))
    assert parser.parse(RawFrames("trades", [TRADES], 7, STREAMS)).events
    assert list(parser.parse(RawFrames("trades", [TRADES], 7, STREAMS)).trades) == MEANINGS[0][2]
    assert parser.parse(RawFrames("trades", [TRADES, TRADES], 7, ended)) == Parsed([], [], 2)


def test_a_bad_message_is_refused_alone_with_symbol_and_kind() -> None:
    negative = TRADES[:32] + struct.pack("<q", -1) + TRADES[40:]
    wide = BEST[:26] + struct.pack("<q", -1) + BEST[34:]
    parsed = parse(TRADES, negative, wide, TRADES)
    assert parsed.events == [("BTCUSDT", MEANINGS[0][2] * 2)]
    assert [(one.reason, one.symbol, one.kind, one.payload) for one in parsed.rejected] == [
        ("trade -1, mantissas 9012345 and 25000000, maker 1", "BTCUSDT", "trade", negative),
        ("a best price or quantity of mantissa -1", "BTCUSDT", "bookTicker", wide),
    ]


def test_a_stream_without_a_subscription_is_foreign_and_an_ended_one_late() -> None:
    parsed = parse(TRADES, TRADES, DEPTH, streams=StreamNames(frozenset(), frozenset(("btcusdt@depth",))))
    assert (parsed.events, parsed.ignored) == ([], 1)
    [foreign] = parsed.rejected
    assert (foreign.reason, foreign.payload, foreign.count) == (
        "messages of a stream without a subscription", b"btcusdt@trade", 2
    )  # fmt: skip


def test_unknown_templates_and_messages_without_trades_are_passed_over() -> None:
    empty = TRADES[:28] + bytes(4) + TRADES[-8:]
    parsed = parse(struct.pack("<4H", 0, 10_777, 1, 0), empty)
    assert parsed == Parsed([], [], 1)


def test_texts_between_messages_are_read_as_texts() -> None:
    for payloads in ((SHUTDOWN, TRADES), (TRADES, SHUTDOWN), (TRADES, SHUTDOWN, TRADES)):
        parsed = parse(*payloads)
        trades = MEANINGS[0][2] * payloads.count(TRADES)
        assert parsed == Parsed([("BTCUSDT", trades)], [], 1)


def test_too_long_a_message_and_another_schema_are_refused() -> None:
    parsed = parse(TRADES[:4] + b"\x02\x00" + TRADES[6:], TRADES + bytes(1_000_000))
    assert [one.reason for one in parsed.rejected] == [
        "a message of schema 2; known is 1", "a frame of 1000090 bytes"
    ]  # fmt: skip


def test_trades_are_those_of_json() -> None:
    rows = [
        (5_000_000_001, "90123.45000000", "0.25000000", True),
        (5_000_000_002, "90123.46000000", "0.00100000", False),
    ]
    texts = [
        json.dumps({
            "stream": "btcusdt@trade",
            "data": {"e": "trade", "E": 1767225600123, "s": "BTCUSDT", "t": number, "p": price, "q": quantity,
                     "T": 1767225600123, "m": maker, "M": True},
        }).encode()
        for number, price, quantity, maker in rows
    ]  # fmt: skip
    [(_, of_json)], [(_, of_sbe)] = parse(*texts).events, parse(TRADES).events
    fields = Trade.__struct_fields__
    assert [[getattr(one, name) for name in fields] for one in of_json] == [
        [getattr(one, name) for name in fields] for one in of_sbe
    ]


def test_futures_have_no_binary_streams() -> None:
    parsed = parse(TRADES, venue="binance-usdm")
    assert (parsed.events, len(parsed.rejected)) == ([], 1)
