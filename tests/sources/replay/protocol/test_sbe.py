import json
from typing import Any

import pytest

from flows.model import BookDelta, BookSnapshot, BookTicker, RawFrames
from flows.websocket import BINARY, encode_frame
from sources.binance.parse import BinanceParser
from sources.binance.sbe.decode import SbeDecoder
from sources.replay.market.market import Message
from sources.replay.protocol.frames import shutdown_notice
from sources.replay.protocol.sbe import SbeEncoding, market_stream

MS = 1_767_225_600_123
ENCODING = SbeEncoding(combined=True)


def trade(number: int, *, made: int = MS, **changes: Any) -> Message:
    body = {"e": "trade", "E": MS + 1, "s": "BTCUSDT", "t": number, "p": "90123.45000000", "q": "0.00100000", "T": made,
            "m": True, "M": True} | changes  # fmt: skip
    return Message(MS, "btcusdt@trade", json.dumps(body).encode())


def message(stream: str, body: dict[str, Any]) -> Message:
    return Message(MS, stream, json.dumps(body).encode())


def payload_of(frame: bytes) -> bytes:
    """What a short frame carries."""
    assert frame[0] == 0x80 | BINARY
    return frame[2:] if frame[1] < 126 else frame[4:]


def test_trades_of_one_moment_share_a_message_and_mean_what_their_texts_do() -> None:
    trades = [trade(7), trade(8, p="0.00000001", q="92000000000.5", m=False)]
    assert ENCODING.key(trades[0]) == ENCODING.key(trades[1]) is not None
    assert ENCODING.key(trades[0]) != ENCODING.key(trade(9, made=MS - 1))
    decoded = SbeDecoder().decode(payload_of(ENCODING.joined(trades)))
    texts = [b'{"stream":"btcusdt@trade","data":%b}' % one.data for one in trades]
    [(_, expected)] = BinanceParser("binance").parse(RawFrames("market", texts, 0)).events
    assert decoded is not None
    assert decoded[0] == "btcusdt@trade"
    assert [_fields(one) for one in decoded[2]] == [_fields(one) for one in expected]


def _fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


@pytest.mark.parametrize(
    ("sent", "stream", "event"),
    [
        (
            message("btcusdt@bookTicker", {"u": 5, "s": "BTCUSDT", "b": "1.5", "B": "2", "a": "1.6", "A": "0.1"}),
            "btcusdt@bestBidAsk", BookTicker("BTCUSDT", 5, 1.5, 2.0, 1.6, 0.1, MS),
        ),
        (
            message("btcusdt@depth@100ms", {"e": "depthUpdate", "E": MS - 4, "s": "BTCUSDT", "U": 3, "u": 5,
                                            "b": [["1.5", "0"], ["1.4", "7"]], "a": []}),
            "btcusdt@depth", BookDelta("BTCUSDT", MS - 4, 3, 5, [(1.5, 0.0), (1.4, 7.0)], []),
        ),
        (
            message("btcusdt@depth20@100ms", {"lastUpdateId": 9, "bids": [["1.5", "3"]], "asks": [["1.6", "4"]]}),
            "btcusdt@depth20", BookSnapshot("BTCUSDT", 9, [(1.5, 3.0)], [(1.6, 4.0)], MS),
        ),
    ],
)  # fmt: skip
def test_books_and_best_prices(sent: Message, stream: str, event: Any) -> None:
    assert market_stream(stream) == sent.stream
    assert ENCODING.key(sent) is None
    assert SbeDecoder().decode(payload_of(ENCODING.frame(sent))) == (stream, "BTCUSDT", [event])


def test_what_has_no_binary_form_is_sent_as_text() -> None:
    notice = shutdown_notice(MS)
    assert ENCODING.frame(notice) == encode_frame(b'{"stream":"!serverShutdown","data":%b}' % notice.data)
    for odd in (trade(1, p="NaN"), trade(1, p=7), trade(2**70), trade(1, q="1" + "0" * 30)):
        assert SbeEncoding(combined=False).frame(odd) == encode_frame(odd.data)


def test_what_a_fault_sets_is_sent() -> None:
    raw = trade(1)._replace(frame=b"\x00\xff", is_binary=True)
    assert (ENCODING.key(raw), ENCODING.frame(raw)) == (None, encode_frame(b"\x00\xff", BINARY))
    foreign = SbeDecoder().decode(payload_of(ENCODING.frame(trade(1)._replace(name=b"ethusdt@trade"))))
    assert foreign is not None
    assert foreign[0] == "ethusdt@trade"


def test_a_name_of_no_binary_stream_has_no_content() -> None:
    assert [market_stream(name) for name in ("btcusdt@aggTrade", "btcusdt@kline_1m", "btcusdt@trade", "x")] == [
        "", "", "btcusdt@trade", ""
    ]  # fmt: skip
