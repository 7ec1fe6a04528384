import json

from sources.replay.market.market import Message
from sources.replay.protocol.frames import Encoding, encode_message, in_microseconds, shutdown_notice

RAW, COMBINED, MICRO = Encoding(False, False), Encoding(True, False), Encoding(True, True)


def test_raw_and_combined() -> None:
    message = Message(1, "btcusdt@trade", b'{"e":"trade"}')
    assert encode_message(message, RAW) == b'\x81\x0d{"e":"trade"}'
    assert encode_message(message, COMBINED) == b'\x81\x2f{"stream":"btcusdt@trade","data":{"e":"trade"}}'


def test_microseconds_are_given_to_times_and_to_nothing_else() -> None:
    trade = b'{"e":"trade","E":1767225600123,"t":5412345003123,"p":"1","T":1767225600121,"m":true}'
    assert in_microseconds(Message(1, "btcusdt@trade", trade)) == (
        b'{"e":"trade","E":1767225600123000,"t":5412345003123,"p":"1","T":1767225600121000,"m":true}'
    )
    ticker = b'{"e":"24hrTicker","E":1767225601011,"C":1767225601010,"O":1767139201010,"F":5409000000123}'
    assert json.loads(in_microseconds(Message(1, "btcusdt@ticker", ticker))) == {
        "e": "24hrTicker",
        "E": 1767225601011000,
        "C": 1767225601010000,
        "O": 1767139201010000,
        "F": 5409000000123,
    }


def test_a_kline_ends_with_its_last_microsecond() -> None:
    kline = b'{"e":"kline","E":1767225662005,"k":{"t":1767225600000,"T":1767225659999,"f":5412345001000,"v":"1"}}'
    assert in_microseconds(Message(1, "btcusdt@kline_1m", kline)) == (
        b'{"e":"kline","E":1767225662005000,"k":{"t":1767225600000000,"T":1767225659999999,"f":5412345001000,"v":"1"}}'
    )


def test_shutdown_notice() -> None:
    notice = shutdown_notice(1767225600000)
    assert encode_message(notice, MICRO)[2:] == (
        b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1767225600000000}}'
    )


def test_what_a_fault_sets_is_sent_as_it_is() -> None:
    message = Message(1, "btcusdt@trade", b'{"e":"trade"}')
    assert (
        encode_message(message._replace(name=b"x\xff"), COMBINED) == b'\x81\x24{"stream":"x\xff","data":{"e":"trade"}}'
    )
    for encoding in (RAW, COMBINED, MICRO):
        assert encode_message(message._replace(frame=b"\xff{"), encoding) == b"\x81\x02\xff{"
        assert encode_message(message._replace(frame=b"", is_binary=True), encoding) == b"\x82\x00"
