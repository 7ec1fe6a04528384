"""Frames of aggregate trades that are read in C are those that the decoder of all messages reads, with equal values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from flows.model import RawFrames, Trade
from sources.binance.envelope import MarketEnvelope
from sources.binance.parse import BinanceParser
from sources.binance.wire import AggTradeMessage
from tests.benchmarks.market import agg_trade_frames
from tests.fakes.parsed import runs_of

quick: Any = pytest.importorskip("sources.binance._agg_trades", reason="nothing is compiled here")

DECODER = json.Decoder(MarketEnvelope, strict=False)
FIELDS = {
    "e": '"aggTrade"', "E": "1767225600123", "s": '"BTCUSDT"', "a": "3512345678", "p": '"93120.51000000"',
    "q": '"0.01250000"', "f": "5412345001", "l": "5412345003", "T": "1767225600121", "m": "true", "M": "true",
}  # fmt: skip


def frame(fields: dict[str, str], stream: str = "btcusdt@aggTrade") -> bytes:
    data = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return f'{{"stream":"{stream}","data":{{{data}}}}}'.encode()


def reader() -> Any:
    found = quick.Reader(AggTradeMessage)
    for symbol in ("BTCUSDT", "ETHUSDT", "币USDT"):
        found.add(f"{symbol.lower()}@aggTrade", symbol)
    return found


def check(payload: bytes) -> bool:
    """A frame that is taken is one of a known stream, as the decoder reads it. Returns whether it is."""
    found = reader().read([payload])
    if found is None or not found[0]:
        assert found in (None, ([], [payload]))
        return False
    envelope = DECODER.decode(payload)
    assert found == ([envelope.data], [])
    assert type(found[0][0]) is AggTradeMessage
    assert envelope.stream == f"{found[0][0].symbol.lower()}@aggTrade"
    return True


def test_usual_frames_are_taken() -> None:
    assert check(frame(FIELDS))
    assert check(frame({name: FIELDS[name] for name in reversed(FIELDS)}))
    assert check(frame({name: value for name, value in FIELDS.items() if name != "M"}))
    assert check(frame({name: ('"0.5","nq":"0.25"' if name == "q" else v) for name, v in FIELDS.items()}))
    assert check(frame(FIELDS | {"s": '"币USDT"'}, "币usdt@aggTrade"))
    for payload in agg_trade_frames(count=200, symbols=1, trades_per_s=10):
        made = quick.Reader(AggTradeMessage)
        made.add("coin00usdt@aggTrade", "COIN00USDT")
        assert made.read([payload]) == ([DECODER.decode(payload).data], [])


DECIMALS = st.builds(
    lambda whole, fraction: f'"{whole}{fraction}"',
    st.integers(0, 10**13) | st.integers(0, 10**5),
    st.just("")
    | st.integers(0, 10**9).map(lambda n: f".{n:08d}")
    | st.text("0123456789", max_size=20).map(".".__add__),
)
WHOLES = st.integers(-1, 2**65).map(str) | st.sampled_from(("0", "00", "01", "1.0", "1e3", '"5"', "", "null"))
TIMES = st.sampled_from((10**12 - 1, 10**12, 10**14 - 1, 10**14, 1767225600123456, 10**17)).map(str)
ODD = st.sampled_from(
    ('"0"', '"0.0"', '"-1"', '"1e5"', '".5"', '"5."', '"1_0"', '"+1"', '" 1"', '"1 "', '"nan"', '"00.1"', "1.5", "true")
)
VALUES = {
    "e": st.sampled_from(('"aggTrade"', '"trade"')), "s": st.sampled_from(('"ETHUSDT"', '"btcusdt"', "1")),
    "E": TIMES | WHOLES, "T": TIMES | WHOLES, "a": WHOLES, "f": WHOLES, "l": WHOLES,
    "p": DECIMALS | ODD, "q": DECIMALS | ODD, "m": st.sampled_from(("false", "True", "1", '"true"', "null")),
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_values_that_are_taken_are_those_of_the_decoder(changes: dict[str, str]) -> None:
    check(frame(FIELDS | changes))


@given(DECIMALS, DECIMALS)
def test_decimals_are_the_floats_next_to_them(price: str, quantity: str) -> None:
    check(frame(FIELDS | {"p": price, "q": quantity}))


def test_decimals_of_any_length_are_read_in_c() -> None:
    for number in ("0.9007199254740993", "123456789.12345678", "999999999999", "0.00000001", "1." + "3" * 30):
        assert check(frame(FIELDS | {"q": f'"{number}"'}))
    assert not check(frame(FIELDS | {"q": '"1.' + "3" * 40 + '"'}))


@given(st.integers(0, len(frame(FIELDS))), st.integers(0, 4), st.binary(max_size=3))
def test_any_bytes_in_any_place_do_no_harm(place: int, length: int, put: bytes) -> None:
    payload = frame(FIELDS)
    check(payload[:place] + put + payload[place + length :])


@given(st.integers(0, len(frame(FIELDS))))
def test_a_frame_that_ends_early_is_not_taken(length: int) -> None:
    assert check(frame(FIELDS)[:length]) is (length == len(frame(FIELDS)))


def test_other_frames_are_left_and_one_of_a_known_stream_in_another_form_leaves_all() -> None:
    usual, other, odd = frame(FIELDS), frame(FIELDS, "xrpusdt@aggTrade"), frame(FIELDS | {"E": "5"})
    trade = DECODER.decode(usual).data
    assert reader().read([usual, other, b"", usual]) == ([trade, trade], [other, b""])
    assert reader().read([usual, odd]) is None
    assert reader().read([]) == ([], [])
    assert quick.Reader(AggTradeMessage).read([usual]) == ([], [usual])
    for wrong in ((usual,), None):
        with pytest.raises(TypeError):
            reader().read(wrong)


def test_many_streams_are_known() -> None:
    many = quick.Reader(AggTradeMessage)
    for number in range(3_000):
        many.add(f"c{number}usdt@aggTrade", f"C{number}USDT")
    payloads = [frame(FIELDS | {"s": f'"C{n}USDT"'}, f"c{n}usdt@aggTrade") for n in range(0, 3_100, 7)]
    trades, others = many.read(payloads)
    assert [t.symbol for t in trades] == [f"C{n}USDT" for n in range(0, 3_000, 7)]
    assert len(others) == len(range(0, 3_100, 7)) - len(trades)


def test_the_parser_gives_the_same_before_and_after_it_knows_a_stream() -> None:
    usual, odd, foreign = frame(FIELDS), frame(FIELDS | {"M": "0"}), frame(FIELDS | {"s": '"ETHUSDT"'})
    parser = BinanceParser("binance")

    def trades(*payloads: bytes) -> list[tuple[str, list[Trade]]]:
        return runs_of(parser.parse(RawFrames("market", list(payloads), 0)))  # type: ignore[return-value]

    first = trades(usual)
    assert first == trades(usual) == [("BTCUSDT", [DECODER.decode(usual).data])]
    assert [len(run) for _, run in trades(usual, odd, usual)] == [3]
    parsed = parser.parse(RawFrames("market", [usual, foreign], 0))
    assert len(parsed.rejected) == 1
    assert "ETHUSDT" in parsed.rejected[0].reason
