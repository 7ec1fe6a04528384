"""Encoding of trades in the store: one record for each symbol and second, later for each symbol and minute.

Key: `trades:{symbol}:{unix_timestamp_ms}`, the start of the period, 13 digits: keys sort by time until the year 2286.

Value: a MessagePack map from column name to one blob each, little-endian, without a header, all of the same number of
rows, in the order of the trade ids. Read one by e.g. `numpy.frombuffer(record["price"], "<f8")`.

| column | element | |
|---|---|---|
| `id` | int64 | the trade's id, or the aggregate's |
| `first_id`, `last_id` | int64 | raw trade ids it covers; omitted together where both equal `id` |
| `time` | int64 | exchange time, ms UTC |
| `price`, `quantity` | float64 | |
| `buyer_is_maker` | uint8 | 1: the taker sold |
| `fill` | uint8 | index into `FILLS`; omitted where every trade is a `MARKET` fill |

Blobs join by concatenation, which keeps rewriting a second cheap; zstd removes the redundancy.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter, le, lt
from struct import pack, unpack
from typing import TYPE_CHECKING, Any

import msgspec

from flows.model import MARKET_FILL, AggregateTrade, Trade
from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
else:
    np = late_module("numpy")
    pl = late_module("polars")

SECOND_MS = 1_000
MINUTE_MS = 60_000
END_MS = 9_999_999_999_999
"""The last time that a key can hold."""

COLUMNS = ("id", "first_id", "last_id", "time", "price", "quantity", "buyer_is_maker")
"""Columns of a frame of trades."""

FILLS = (MARKET_FILL, "INSURANCE_FUND", "ADL", "NA", "OTHER")
"""Kinds of fill by their stored code; an unknown one is stored as the last."""

PREFIX = b"trades:"
"""Begin of every key."""
_OTHER = len(FILLS) - 1
_MARKET_ONLY = {MARKET_FILL}
_FILL_CODES = {name: code for code, name in enumerate(FILLS)}
_FORMS = {
    "id": "q",
    "first_id": "q",
    "last_id": "q",
    "time": "q",
    "price": "d",
    "quantity": "d",
    "buyer_is_maker": "B",
    "fill": "B",
}
_ELEMENTS = {**_FORMS, "buyer_is_maker": "?"}
_OPTIONAL = {"first_id", "last_id", "fill"}
_BY_ID = attrgetter("id")
Row = tuple[Any, ...]
"""One trade, in the order of the columns."""


class TradeColumns(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A record's value. Ids rise strictly; an empty optional column has the meaning in the table above. What else a
    record must be, `record_checks.py` says.
    """

    id: bytes
    first_id: bytes = b""
    last_id: bytes = b""
    time: bytes
    price: bytes
    quantity: bytes
    buyer_is_maker: bytes
    fill: bytes = b""

    def __len__(self) -> int:
        """Number of trades."""
        return len(self.buyer_is_maker)

    def column(self, name: str) -> bytes:
        """The blob of any column, also of an omitted one."""
        blob: bytes = getattr(self, name)
        return blob or (bytes(len(self)) if name == "fill" else self.id)

    def part(self, begin: int, end: int) -> TradeColumns:
        """The trades from the `begin`-th up to the `end`-th, exclusive."""
        wide = slice(8 * begin, 8 * end)
        return TradeColumns(
            id=self.id[wide],
            first_id=self.first_id[wide],
            last_id=self.last_id[wide],
            time=self.time[wide],
            price=self.price[wide],
            quantity=self.quantity[wide],
            buyer_is_maker=self.buyer_is_maker[begin:end],
            fill=self.fill[begin:end],
        )

    def rows(self) -> Iterator[Row]:
        """The trades one by one, in the order of the columns."""
        return zip(*(unpack(f"<{len(self)}{form}", self.column(name)) for name, form in _FORMS.items()), strict=True)


encode_record = msgspec.msgpack.Encoder().encode
decode_record = msgspec.msgpack.Decoder(TradeColumns).decode


def minute_of(time_ms: int) -> int:
    """Start of the minute that a time lies in."""
    return time_ms - time_ms % MINUTE_MS


def encode_key(symbol: str, start_ms: int) -> bytes:
    """Key of the record of a symbol that starts at `start_ms`; times out of range are clamped."""
    return b"%b%b:%013d" % (PREFIX, symbol.encode(), min(max(start_ms, 0), END_MS))


def begin_of_symbol(symbol: str) -> bytes:
    """The begin of the keys of a symbol's records, which comes before all of them."""
    return b"%b%b:" % (PREFIX, symbol.encode())


def decode_start(key: Any) -> int:
    """Start of the record of a key (`bytes`)."""
    return int(key[-13:])


def decode_symbol(key: Any) -> str:
    """Symbol of the record of a key (`bytes`)."""
    return str(key[len(PREFIX) : -14], "utf-8")


def end_of_symbol(symbol: str) -> bytes:
    """A key after all records of a symbol and before those of the next one."""
    return b"%b%b;" % (PREFIX, symbol.encode())  # `;` follows `:`


def period_ms(start_ms: int) -> int:
    """The longest time that the record which starts then may be of: a minute, or a second within one."""
    return SECOND_MS if start_ms % MINUTE_MS else MINUTE_MS


def encode_columns(trades: Sequence[Trade]) -> TradeColumns:
    """Columns of trades in any order; of several with the same id the first one counts.

    `struct.error`, `TypeError` or `OverflowError` when a value does not fit its column's type.
    """
    ids = [trade.id for trade in trades]
    if not all(map(lt, ids, islice(ids, 1, None))):
        trades = sorted({trade.id: trade for trade in reversed(trades)}.values(), key=_BY_ID)
        ids = [trade.id for trade in trades]
    aggregates = any(isinstance(trade, AggregateTrade) for trade in trades)
    kinds = {trade.fill for trade in trades}
    return _columns(
        ids,
        [trade.first_id for trade in trades] if aggregates else ids,
        [trade.last_id for trade in trades] if aggregates else ids,
        [trade.time for trade in trades],
        [trade.price for trade in trades],
        [trade.quantity for trade in trades],
        [trade.buyer_is_maker for trade in trades],
        [] if kinds == _MARKET_ONLY else [_FILL_CODES.get(trade.fill, _OTHER) for trade in trades],
    )


def _columns(
    ids: Sequence[int],
    first_ids: Sequence[int],
    last_ids: Sequence[int],
    times: Sequence[int],
    prices: Sequence[float],
    quantities: Sequence[float],
    sides: Sequence[bool],
    fills: Sequence[int],
) -> TradeColumns:
    int64, float64 = f"<{len(ids)}q", f"<{len(ids)}d"
    own_ids = first_ids == ids == last_ids
    return TradeColumns(
        id=pack(int64, *ids),
        first_id=b"" if own_ids else pack(int64, *first_ids),
        last_id=b"" if own_ids else pack(int64, *last_ids),
        time=pack(int64, *times),
        price=pack(float64, *prices),
        quantity=pack(float64, *quantities),
        buyer_is_maker=bytes(sides),
        fill=bytes(fills) if any(fills) else b"",
    )


def encode_periods(trades: Sequence[Trade], *, length_ms: int = SECOND_MS) -> dict[int, TradeColumns]:
    """Columns of the trades of each second, or of another length, by its start; see `encode_columns`."""
    whole = encode_columns(trades)
    times = unpack(f"<{len(whole)}q", whole.time)
    if not all(map(le, times, islice(times, 1, None))):  # futures' times may run back while the ids rise
        return {start: encode_columns(found) for start, found in _by_period(trades, length_ms).items()}
    periods = {}
    begin = 0
    while begin < len(times):  # packing once and cutting costs less than packing each period
        start = times[begin] - times[begin] % length_ms
        end = bisect_left(times, start + length_ms, begin)
        periods[start] = whole.part(begin, end)
        begin = end
    return periods


def _by_period(trades: Sequence[Trade], length_ms: int) -> dict[int, list[Trade]]:
    periods: dict[int, list[Trade]] = {}
    for trade in trades:
        periods.setdefault(trade.time - trade.time % length_ms, []).append(trade)
    return periods


def join_columns(parts: Sequence[TradeColumns]) -> TradeColumns:
    """All trades of the parts by id, each once; where parts disagree the earlier part counts.

    The first part itself when the others add nothing to it. At least one part is needed.
    """
    if len(parts) == 1:
        return parts[0]
    if all(last_id(before) < first_id(after) for before, after in zip(parts, islice(parts, 1, None), strict=False)):
        return _concatenated(parts)
    rows: dict[int, Row] = {}
    for part in parts:
        for row in part.rows():
            rows.setdefault(row[0], row)
    if len(rows) == len(parts[0]):
        return parts[0]
    return columns_of(rows[id_] for id_ in sorted(rows))


def columns_of(rows: Iterable[Row]) -> TradeColumns:
    """At least one row, ids rising, as columns."""
    return _columns(*zip(*rows, strict=True))


def is_aggregate(row: Row) -> bool:
    """Whether a row is an aggregate of fills with ids of their own."""
    return not row[0] == row[1] == row[2]


def without(columns: TradeColumns, numbers: Container[int]) -> TradeColumns | None:
    """The trades without those of these ids; None when nothing is left."""
    kept = [row for row in columns.rows() if row[0] not in numbers]
    return columns_of(kept) if kept else None


def _concatenated(parts: Sequence[TradeColumns]) -> TradeColumns:
    blobs = {
        name: b"".join([part.column(name) for part in parts]) if any(getattr(part, name) for part in parts) else b""
        for name in _FORMS
    }
    return TradeColumns(**blobs)


def first_id(columns: TradeColumns) -> int:
    """Id of the first trade."""
    return int.from_bytes(columns.id[:8], "little", signed=True)


def last_id(columns: TradeColumns) -> int:
    """Id of the last trade."""
    return int.from_bytes(columns.id[-8:], "little", signed=True)


def decode_frame(
    parts: Sequence[TradeColumns], *, every_fill: bool = False, columns: Sequence[str] = COLUMNS
) -> pl.DataFrame:
    """The parts one after another as one frame of `columns`; `buyer_is_maker` is Boolean.

    Fills that are not `MARKET` are left out; with `every_fill` they stay, and a column `fill` names each. The order of
    the parts is kept, so ids rise only if the parts are in order. No Python runs per trade.
    """
    others = any(part.fill for part in parts)
    wanted = [*columns, "fill"] if others or every_fill else columns
    ids = _series("id", parts)
    own = {name for name in ("first_id", "last_id") if not any(map(attrgetter(name), parts))}
    frame = pl.DataFrame([ids.alias(name) if name == "id" or name in own else _series(name, parts) for name in wanted])
    if every_fill:
        return frame.with_columns(pl.Series("fill", FILLS).gather(frame["fill"]))
    return frame.filter(pl.col("fill") == 0).drop("fill") if others else frame


def _series(name: str, parts: Sequence[TradeColumns]) -> pl.Series:
    blob = b"".join([part.column(name) for part in parts] if name in _OPTIONAL else map(attrgetter(name), parts))
    return pl.Series(name, np.frombuffer(blob, f"<{_ELEMENTS[name]}"))  # polars reads numpy's memory in place
