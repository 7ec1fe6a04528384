"""What is wrong in what a client sees is found: what is missing, twice, out of order, or not of the stream."""

import msgspec
import pytest

from tests.hosts.compare import StreamSeen
from tests.hosts.members import Meaning, Member, News, news_of, report_of

MINUTE = 60_000


def trades(seq: int, *ids: int) -> bytes:
    return msgspec.json.encode(
        {"type": "Trade", "seq": seq, "data": {"symbol": "BTCUSDT", "trades": [{"id": one} for one in ids]}}
    )


def candle(seq: int, minute: int, *, is_closed: bool = True, revision: int = 0) -> bytes:
    body = {"timestamp": minute * MINUTE, "is_closed": is_closed, "revision": revision}
    data = {"symbol": "BTCUSDT", "timeframe": "1m", "candle": body}
    return msgspec.json.encode({"type": "ChartUpdate", "seq": seq, "data": data})


def seen(*bodies: bytes) -> Member:
    member, meaning = Member(), Meaning()
    for body in bodies:
        member.take(meaning.of(body))
    return member


def test_trades_and_candles_in_order_are_right() -> None:
    bodies = trades(5, 1, 2), candle(6, 0), candle(7, 1, is_closed=False), candle(8, 0, revision=1), trades(9, 3)
    member = seen(*bodies)
    assert member.wrong == []
    assert (member.first_seq, member.seq, member.newest) == (5, 9, {"BTCUSDT": 3})
    assert member.closed == {("BTCUSDT", "1m", 0): 6}


@pytest.mark.parametrize(
    ("bodies", "wrong"),
    [
        ((trades(5, 1), trades(6, 3)), "BTCUSDT: 3 to 3 after 1 in 6"),
        ((trades(5, 1), trades(6, 1)), "BTCUSDT: 1 to 1 after 1 in 6"),
        ((trades(5, 1, 3),), "BTCUSDT: 1 to 3 with a hole after None in 5"),
        ((trades(5, 1, 1),), "BTCUSDT: 1 to 1 with a hole after None in 5"),
        ((trades(6, 1), trades(5, 2)), "5 after 6"),
        ((candle(5, 1), candle(6, 1)), f"candle ('BTCUSDT', '1m', {MINUTE}) twice, in 5 and 6"),
        ((trades(5, 1), b'{"type":"Reset","seq":0,"data":{}}'), "Reset at 5"),
        ((trades(5, 1), b'{"type":"Lagged","data":{"missed":3}}'), "Lagged at 5"),
    ],
)
def test_what_is_wrong_is_found(bodies: tuple[bytes, ...], wrong: str) -> None:
    assert seen(*bodies).wrong == [wrong]


def test_a_message_of_another_kind_is_nothing() -> None:
    assert seen(b'{"type":"Reset"}', b'{"type":"Snapshot","seq":4,"data":[]}').wrong == []


def test_candles_that_only_one_of_client_and_stream_has_are_found() -> None:
    stream = {("BTCUSDT", "1m", 0): 4, ("BTCUSDT", "1m", 1): 6, ("BTCUSDT", "1m", 2): 7, ("BTCUSDT", "1m", 3): 9}
    member = seen(trades(5, 1), candle(7, 9), trades(8, 2))
    assert member.candles_differ(stream, 8) == [
        "candle ('BTCUSDT', '1m', 1) not seen in 6",
        "candle ('BTCUSDT', '1m', 2) not seen in 7",
        f"candle ('BTCUSDT', '1m', {9 * MINUTE}) not of the stream in 7",
    ]
    assert member.candles_differ({("BTCUSDT", "1m", 9 * MINUTE): 7}, 8) == []


def test_all_have_what_the_last_of_them_has() -> None:
    report = report_of([seen(trades(5, 1), trades(6, 2)), seen(trades(5, 1)), seen(trades(7, 3), trades(8, 5))])
    assert (report.newest, report.least_seq) == ({"BTCUSDT": 1}, 5)
    assert report.wrong == ["client 2: BTCUSDT: 5 to 5 after 3 in 8"]
    assert report_of([seen(), seen(trades(5, 1))]).newest == {"BTCUSDT": 0}


def test_the_stream_is_looked_at_in_the_same_way() -> None:
    stream = StreamSeen()
    for body in (trades(1, 1), candle(2, 0), trades(3, 3), candle(4, 0)):
        news: News = news_of(body)
        stream.take(news.seq, news)
    assert stream.wrong == [
        "the stream: BTCUSDT: 3 to 3 after 1 in 3",
        "the stream: candle ('BTCUSDT', '1m', 0) twice, in 2 and 4",
    ]
    assert (stream.seq, stream.newest, stream.closed) == (4, {"BTCUSDT": 3}, {("BTCUSDT", "1m", 0): 4})
