import struct

import msgpack
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import AggregateTrade, Trade
from sinks.trades.codec import (
    END_MS,
    FILLS,
    TradeColumns,
    decode_frame,
    decode_record,
    decode_start,
    decode_symbol,
    encode_columns,
    encode_key,
    encode_periods,
    encode_record,
    end_of_symbol,
    join_columns,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
SIDES = st.booleans()
KINDS = st.sampled_from(FILLS)
PLAIN = st.builds(Trade, st.just("A"), INT64, INT64, FLOATS, FLOATS, SIDES, st.just(0), KINDS)
AGGREGATES = st.builds(
    AggregateTrade,
    symbol=st.just("A"),
    id=INT64,
    time=INT64,
    price=FLOATS,
    quantity=FLOATS,
    buyer_is_maker=SIDES,
    event_time=st.just(0),
    first_id=INT64,
    last_id=INT64,
)
TRADES = st.lists(st.one_of(PLAIN, AGGREGATES), min_size=1, max_size=20)

Row = tuple[int, int, int, int, float, float, bool, str]


def rows_of(trades: list[Trade]) -> list[Row]:
    """What a reader should see: each id once, the first that came."""
    first = {trade.id: trade for trade in reversed(trades)}
    return [
        (t.id, t.first_id, t.last_id, t.time, t.price, t.quantity, t.buyer_is_maker, t.fill)
        for t in (first[id_] for id_ in sorted(first))
    ]


def trade(number: int, fill: str = "MARKET") -> Trade:
    return Trade("A", number, 1_000 + number, 2.5, 0.5, False, 0, fill)


@given(TRADES)
def test_what_is_encoded_is_decoded(trades: list[Trade]) -> None:
    record = decode_record(encode_record(encode_columns(trades)))

    assert decode_frame([record], every_fill=True).rows() == rows_of(trades)


@given(TRADES, TRADES, TRADES)
def test_joined_parts_are_all_their_trades_and_the_earlier_part_counts(
    first: list[Trade], second: list[Trade], third: list[Trade]
) -> None:
    joined = join_columns([encode_columns(part) for part in (first, second, third)])

    assert decode_frame([joined], every_fill=True).rows() == rows_of(first + second + third)


@given(TRADES, TRADES)
def test_joining_again_changes_nothing(first: list[Trade], second: list[Trade]) -> None:
    joined = join_columns([encode_columns(first), encode_columns(second)])

    assert join_columns([joined, encode_columns(second)]) is joined
    assert join_columns([joined, joined]) is joined


@given(st.lists(PLAIN, min_size=1, max_size=20, unique_by=lambda t: t.id))
def test_seconds_are_cut_by_the_trades_own_times(trades: list[Trade]) -> None:
    seconds = encode_periods(trades)

    assert {start: decode_frame([part], every_fill=True).rows() for start, part in seconds.items()} == {
        start: rows_of([t for t in trades if t.time // 1_000 == start // 1_000]) for start in seconds
    }
    assert set(seconds) == {t.time // 1_000 * 1_000 for t in trades}


def test_a_value_is_a_plain_messagepack_map_of_blobs() -> None:
    trades = [Trade("A", 7, 1_000, 2.5, 0.5, True, 0), Trade("A", 8, 1_001, 3.5, 1.5, False, 0)]

    assert msgpack.unpackb(encode_record(encode_columns(trades))) == {
        "id": struct.pack("<qq", 7, 8),
        "time": struct.pack("<qq", 1_000, 1_001),
        "price": struct.pack("<dd", 2.5, 3.5),
        "quantity": struct.pack("<dd", 0.5, 1.5),
        "buyer_is_maker": b"\x01\x00",
    }


def test_raw_ids_and_kinds_of_fill_are_stored_only_where_they_tell_something() -> None:
    aggregate = AggregateTrade("A", 7, 1_000, 2.5, 0.5, buyer_is_maker=True, event_time=0, first_id=20, last_id=22)

    raw = msgpack.unpackb(encode_record(encode_columns([aggregate, trade(8, "ADL"), trade(9, "SOMETHING_NEW")])))

    assert raw["first_id"] == struct.pack("<qqq", 20, 8, 9)
    assert raw["last_id"] == struct.pack("<qqq", 22, 8, 9)
    assert raw["fill"] == bytes([0, FILLS.index("ADL"), FILLS.index("OTHER")])


def test_only_market_fills_are_shown_unless_asked() -> None:
    parts = [encode_columns([trade(1), trade(2, "INSURANCE_FUND")]), encode_columns([trade(3)])]

    assert decode_frame(parts)["id"].to_list() == [1, 3]
    assert decode_frame(parts, every_fill=True)["fill"].to_list() == ["MARKET", "INSURANCE_FUND", "MARKET"]


def test_an_empty_frame_has_the_same_columns() -> None:
    full = decode_frame([encode_columns([trade(1)])])

    assert decode_frame([]).schema == full.schema
    assert full.schema == {
        "id": pl.Int64,
        "first_id": pl.Int64,
        "last_id": pl.Int64,
        "time": pl.Int64,
        "price": pl.Float64,
        "quantity": pl.Float64,
        "buyer_is_maker": pl.Boolean,
    }


@pytest.mark.parametrize("bad", [Trade("A", 2**63, 0, 1.0, 1.0, False, 0), Trade("A", 1, 0, "1.0", 1.0, False, 0)])  # type: ignore[arg-type]
def test_values_that_are_no_numbers_of_their_column_are_an_error(bad: Trade) -> None:
    with pytest.raises(struct.error):
        encode_columns([bad])


@given(st.text(st.characters(exclude_characters=":;", exclude_categories=["Cs"]), min_size=1), st.integers(0, END_MS))
def test_keys_tell_symbol_and_start(symbol: str, start_ms: int) -> None:
    key = encode_key(symbol, start_ms)

    assert (decode_symbol(key), decode_start(key)) == (symbol, start_ms)
    assert key < end_of_symbol(symbol)


def test_the_key_has_the_documented_form() -> None:
    assert encode_key("BTCUSDT", 1_723_161_254_000) == b"trades:BTCUSDT:1723161254000"


@given(st.integers(0, END_MS), st.integers(0, END_MS))
def test_keys_sort_by_time(one: int, other: int) -> None:
    assert (encode_key("A", one) < encode_key("A", other)) == (one < other)


def test_a_record_counts_its_trades() -> None:
    columns: TradeColumns = encode_columns([trade(1), trade(2), trade(2)])

    assert len(columns) == 2
