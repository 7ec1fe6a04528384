import struct
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import BookSnapshot, Trade
from sources.binance.sbe.decimals import float_of
from sources.binance.sbe.decode import MOST_LEVELS, SbeDecoder, SbeError, end_of, is_sbe
from tests.sources.binance.sbe.vectors import BEST, DEPTH, MEANINGS, MS, SYMBOL, TRADES, US, trades_frame


def refusal_of(frame: bytes) -> str:
    with pytest.raises(SbeError) as refused:
        SbeDecoder().decode(frame)
    return str(refused.value)


@pytest.mark.parametrize(("frame", "stream", "events"), MEANINGS)
def test_the_computed_messages_mean_what_they_were_computed_from(frame: bytes, stream: str, events: list[Any]) -> None:
    decoder = SbeDecoder()
    for _ in range(2):  # the second one by the cached name
        assert decoder.decode(frame) == (stream, "BTCUSDT", events)
        assert decoder.stream_of(frame) == stream
    assert is_sbe(frame)


def test_a_partial_book_is_a_snapshot() -> None:
    frame = struct.pack("<4H2q2b", 18, 10_002, 1, 0, US, 9, -2, -3)
    for levels in ([(10_000, 1_500)], [(10_001, 2_000), (10_002, 1)]):
        frame += struct.pack("<HH", 16, len(levels)) + b"".join(struct.pack("<qq", *level) for level in levels)
    book = BookSnapshot("BTCUSDT", 9, [(100.0, 1.5)], [(100.01, 2.0), (100.02, 0.001)], MS)
    assert SbeDecoder().decode(frame + SYMBOL) == ("btcusdt@depth20", "BTCUSDT", [book])


# --- later versions of the schema ---


@pytest.mark.parametrize(("frame", "stream", "events"), MEANINGS)
def test_a_longer_block_of_a_later_version_is_skipped(frame: bytes, stream: str, events: list[Any]) -> None:
    block, *rest = struct.unpack_from("<4H", frame)
    longer = struct.pack("<4H", block + 5, *rest[:-1], 3) + frame[8 : 8 + block] + b"\xff" * 5 + frame[8 + block :]
    assert SbeDecoder().decode(longer) == (stream, "BTCUSDT", events)
    assert SbeDecoder().stream_of(longer) == stream


@given(st.integers(0, 300), st.integers(25, 400), st.binary(max_size=20))
def test_longer_entries_and_more_at_the_end_of_a_later_version_are_skipped(added: int, size: int, more: bytes) -> None:
    frame = trades_frame((1, 100, 200, 1), (2, 101, 201, 0), header=(18 + added, 10_000, 1, 7), size=size) + more
    trades = [
        Trade("BTCUSDT", 1, MS, 1.0, 200 / 10**8, True, MS),
        Trade("BTCUSDT", 2, MS, 1.01, 201 / 10**8, False, MS),
    ]
    assert SbeDecoder().decode(frame) == ("btcusdt@trade", "BTCUSDT", trades)
    assert SbeDecoder().stream_of(frame) == "btcusdt@trade"


def test_an_unknown_template_is_passed_over() -> None:
    frame = struct.pack("<4H", 4, 10_777, 1, 0) + b"1234"
    assert SbeDecoder().decode(frame) is None
    assert SbeDecoder().stream_of(frame) == ""


# --- values ---

MANTISSAS = st.integers(0, 2**63 - 1)


@given(
    st.lists(st.tuples(st.integers(0, 2**63 - 1), MANTISSAS, MANTISSAS, st.integers(0, 1)), max_size=5),
    st.tuples(st.integers(-18, 3), st.integers(-18, 3)),
    st.tuples(st.integers(10**15, 10**17 - 1), st.integers(10**15, 10**17 - 1)),
)
def test_trades_have_the_nearest_floats_or_are_refused(
    rows: list[tuple[int, int, int, int]], exponents: tuple[int, int], times: tuple[int, int]
) -> None:
    frame = trades_frame(*rows, exponents=exponents, times=times)
    trades = [
        Trade("BTCUSDT", number, times[1] // 1_000, float_of(price, exponents[0]), float_of(quantity, exponents[1]),
              maker == 1, times[0] // 1_000)
        for number, price, quantity, maker in rows
    ]  # fmt: skip
    before, decoder = [Trade("BTCUSDT", 0, 0, 0.0, 0.0, False, 0)], SbeDecoder()
    taken = [*before]
    is_usual = decoder.take_usual([frame], 0, {end_of("BTCUSDT"): "BTCUSDT"}, taken) == 1
    assert taken == before + (trades if is_usual else [])
    if all(trade.price < 1e12 and trade.quantity < 1e24 for trade in trades):
        assert decoder.decode(frame) == ("btcusdt@trade", "BTCUSDT", trades)
        assert is_usual == (max(exponents) <= 0)
    else:
        assert not is_usual
        with pytest.raises(SbeError):
            decoder.decode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        BEST, DEPTH, TRADES[:-1], TRADES + b"x", TRADES[:20], trades_frame((1, 1, 1, 1), header=(19, 10_000, 1, 1)),
        trades_frame((1, 1, 1, 1), size=26), trades_frame((1, 1, 1, 1), symbol=b"\x07ETHUSDT"),
        trades_frame((1, 1, 1, 1), (-1, 1, 1, 1)), trades_frame((1, 1, 1, 2)),
        trades_frame((1, 1, 1, 1), times=(US, 0)), trades_frame((1, 1, 1, 1), times=(0, US)),
    ],
)  # fmt: skip
def test_what_is_unusual_is_not_taken_and_nothing_of_it(frame: bytes) -> None:
    usual, symbols, trades = trades_frame((7, 1, 1, 1)), {end_of("BTCUSDT"): "BTCUSDT"}, list[Trade]()
    decoder = SbeDecoder()
    assert decoder.take_usual([usual, usual, frame, usual], 1, symbols, trades) == 2
    assert [trade.id for trade in trades] == [7]
    assert decoder.take_usual([usual, usual, frame, usual], 3, symbols, trades) == 4
    assert [trade.id for trade in trades] == [7, 7]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "a message that is cut off after 0 bytes"),
        (trades_frame((1, 1, 1, 1), header=(18, 10_000, 2, 0)), "a message of schema 2; known is 1"),
        (struct.pack("<4H", 12, 10_000, 1, 0) + TRADES[8:], "a block of 12 bytes, 18 are needed"),
        (trades_frame((-1, 1, 1, 1)), "trade -1, mantissas 1 and 1, maker 1"),
        (trades_frame((1, -5, 1, 1)), "trade 1, mantissas -5 and 1, maker 1"),
        (trades_frame((1, 1, -(2**63), 1)), f"trade 1, mantissas 1 and {-(2**63)}, maker 1"),
        (trades_frame((1, 1, 1, 255)), "trade 1, mantissas 1 and 1, maker 255"),
        (trades_frame((1, 10**14, 1, 0)), f"trade 1, mantissas {10**14} and 1, maker 0"),
        (trades_frame((1, 1, 1, 1), exponents=(-128, -8)),
         "exponents of -128 and -8; at most 18 places are known"),
        (trades_frame((1, 1, 1, 1), times=(0, US)), "an event time of 0 microseconds"),
        (trades_frame((1, 1, 1, 1), times=(US, -1)), "a time of a trade of -1 microseconds"),
        (trades_frame((1, 1, 1, 1), symbol=b"\x09BTC USDT!"), "a message without a valid symbol"),
        (trades_frame((1, 1, 1, 1), symbol=b"\x07btcusdt"), "a message without a valid symbol"),
        (trades_frame((1, 1, 1, 1), symbol=b"\x02\xff\xfe"), "a message without a valid symbol"),
        (trades_frame((1, 1, 1, 1), symbol=b"\x00"), "a message without a valid symbol"),
        (trades_frame((1, 1, 1, 1), symbol=b""), "a message that is cut off in its symbol"),
        (TRADES + b"x", "1 bytes behind the end of a message"),
        (TRADES[:26] + struct.pack("<HI", 25, 2**32 - 1) + TRADES[32:],
         "4294967295 entries of 25 bytes in a message of 90"),
        (TRADES[:26] + struct.pack("<HI", 0, 2**32 - 1) + TRADES[32:], "entries of 0 bytes, 25 are needed"),
        (BEST[:16] + struct.pack("<q", -1) + BEST[24:], "an update id of -1"),
        (BEST[:26] + struct.pack("<q", -1) + BEST[34:], "a best price or quantity of mantissa -1"),
        (DEPTH[:24] + struct.pack("<q", -7) + DEPTH[32:], None),
        (DEPTH[:38] + struct.pack("<q", 0) + DEPTH[46:], "a level of mantissas 0 and 150000000"),
        (struct.pack("<4H3q2b", 26, 10_003, 1, 0, US, 1, 2, 0, 0) + struct.pack("<HH", 16, MOST_LEVELS + 1)
         + bytes(16 * (MOST_LEVELS + 1)) + struct.pack("<HH", 16, 0) + SYMBOL,
         "10001 levels of a side of a book"),
    ],
)  # fmt: skip
def test_what_cannot_be_true_is_refused_with_a_reason(frame: bytes, reason: str | None) -> None:
    said = refusal_of(frame)
    assert reason is None or said == reason


@pytest.mark.parametrize(("frame", "stream", "events"), MEANINGS)
def test_every_truncation_is_refused(frame: bytes, stream: str, events: list[Any]) -> None:
    decoder = SbeDecoder()
    assert decoder.decode(frame) == (stream, "BTCUSDT", events)
    for part in accumulate(bytes((byte,)) for byte in frame[:-1]):
        with pytest.raises(SbeError):
            decoder.decode(part)
        assert decoder.stream_of(part) == ""


@given(st.sampled_from(MEANINGS), st.data())
def test_no_changed_message_raises_anything_else(case: tuple[bytes, str, list[Any]], data: st.DataObject) -> None:
    frame = bytearray(case[0])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    decoder = SbeDecoder()
    decoder.decode(case[0])
    try:
        decoded = decoder.decode(bytes(frame))
    except SbeError:
        decoded = None
    stream = decoder.stream_of(bytes(frame))
    assert decoded is None or stream == decoded[0]


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(frame: bytes) -> None:
    decoder = SbeDecoder()
    decoder.stream_of(frame)
    try:
        decoder.decode(frame)
    except SbeError:
        return


def test_a_text_is_not_binary() -> None:
    assert not is_sbe(b'{"stream":"btcusdt@trade","data":{}}')
    assert not is_sbe(b"")
    assert is_sbe(trades_frame((1, 1, 1, 1), header=(18, 10_000, 2, 0)))
