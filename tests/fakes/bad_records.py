"""Records of trades that are none: a true one, of which key or value is changed in one way."""

import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec
from hypothesis import strategies as st
from rocksdict import WriteBatch

from flows.model import Trade
from sinks.trades.codec import encode_columns, encode_key, encode_record
from sinks.trades.store import TradeStore

Stored = tuple[bytes, bytes]
"""Key and value."""
Columns = dict[str, Any]


def put(store: TradeStore, key: bytes, value: bytes) -> None:
    """Writes any bytes into a store."""
    batch = WriteBatch(raw_mode=True)
    batch.put(key, value)
    store.write(batch)


def delete(store: TradeStore, key: bytes) -> None:
    """Removes a record, whatever it is."""
    batch = WriteBatch(raw_mode=True)
    batch.delete(key)
    store.write(batch)


def record_of(trades: list[Trade], start: int) -> Stored:
    """The record of trades."""
    return encode_key(trades[0].symbol, start), encode_record(encode_columns(trades))


def columns_of(value: bytes) -> Columns:
    """The columns of a value, to be changed."""
    found: Columns = msgspec.msgpack.decode(value)
    return found


def value_of(columns: Columns) -> bytes:
    """The value of changed columns."""
    return msgspec.msgpack.encode(columns)


def with_cell(value: bytes, name: str, place: int, form: str, cell: float) -> bytes:
    """The value with one cell of one column changed."""
    columns = columns_of(value)
    cells = bytearray(columns[name])
    struct.pack_into(form, cells, place * struct.calcsize(form), cell)
    return value_of(columns | {name: bytes(cells)})


def shifted(value: bytes, by_ms: int) -> bytes:
    """The value with all times shifted."""
    columns = columns_of(value)
    times = [time + by_ms for (time,) in struct.iter_unpack("<q", columns["time"])]
    return value_of(columns | {"time": struct.pack(f"<{len(times)}q", *times)})


CHANGES: Final[dict[str, Callable[[Stored], Stored]]] = {
    "value empty": lambda record: (record[0], b""),
    "value cut": lambda record: (record[0], record[1][: len(record[1]) // 2]),
    "value longer": lambda record: (record[0], record[1] + b"\0"),
    "value of something else": lambda record: (record[0], b"\xff" * 20),
    "value nested": lambda record: (record[0], b"\x91" * 5_000),
    "value no map": lambda record: (record[0], msgspec.msgpack.encode(["trades"])),
    "no trades": lambda record: (record[0], value_of(dict.fromkeys(columns_of(record[1]), b""))),
    "column missing": lambda record: (
        record[0], value_of({name: blob for name, blob in columns_of(record[1]).items() if name != "price"})
    ),
    "column of another type": lambda record: (record[0], value_of(columns_of(record[1]) | {"price": 5.0})),
    "column unknown": lambda record: (record[0], value_of(columns_of(record[1]) | {"other": b""})),
    "column cut": lambda record: (
        record[0], value_of(columns_of(record[1]) | {"quantity": columns_of(record[1])["quantity"][:-3]})
    ),
    "column longer": lambda record: (record[0], value_of(columns_of(record[1]) | {"fill": b"\0" * 999})),
    "one of two columns": lambda record: (
        record[0], value_of({**columns_of(record[1]), "first_id": columns_of(record[1])["id"]})
    ),
    "price NaN": lambda record: (record[0], with_cell(record[1], "price", 0, "<d", float("nan"))),
    "price infinite": lambda record: (record[0], with_cell(record[1], "price", 0, "<d", float("inf"))),
    "price 0": lambda record: (record[0], with_cell(record[1], "price", 0, "<d", 0.0)),
    "price negative": lambda record: (record[0], with_cell(record[1], "price", 0, "<d", -5.0)),
    "quantity NaN": lambda record: (record[0], with_cell(record[1], "quantity", 0, "<d", float("nan"))),
    "quantity 0": lambda record: (record[0], with_cell(record[1], "quantity", 0, "<d", 0.0)),
    "id negative": lambda record: (record[0], with_cell(record[1], "id", 0, "<q", -1)),
    "side of no kind": lambda record: (record[0], with_cell(record[1], "buyer_is_maker", 0, "<B", 7)),
    "fill of no kind": lambda record: (
        record[0],
        value_of(columns_of(record[1]) | {"fill": b"\x09" * len(columns_of(record[1])["buyer_is_maker"])}),
    ),
    "time far away": lambda record: (record[0], with_cell(record[1], "time", 0, "<q", 1_500_000_000_000)),
    "times of another day": lambda record: (record[0], shifted(record[1], 86_400_000)),
    "times before all": lambda record: (record[0], shifted(record[1], -(10**13))),
    "key of another time": lambda record: (record[0][:-4] + b"9000", record[1]),
    "key of no second": lambda record: (record[0][:-1] + b"1", record[1]),
    "key cut": lambda record: (record[0][:-3], record[1]),
    "key longer": lambda record: (record[0] + b"0", record[1]),
    "key without digits": lambda record: (record[0][:-13] + b"sometime ago!", record[1]),
}  # fmt: skip
"""By what is wrong from then on, at least."""


@st.composite
def changed(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes with one to three changes of any kind."""
    part = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(part)))
        match draw(st.sampled_from(["set", "cut", "insert", "remove"])):
            case "set":
                part[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del part[place:]
            case "insert":
                part[place:place] = draw(st.binary(min_size=1, max_size=9))
            case _:
                del part[place : place + draw(st.integers(1, 9))]
    return bytes(part)
