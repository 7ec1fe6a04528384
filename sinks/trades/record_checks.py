"""What a stored record must be, and what is wrong with one that is something else.

RocksDB's checksums prove that bytes are as they were written, and nothing about what was written: another program, or
an error of this one, may have stored anything. The trades of a record that is none cannot be believed, so a reader
gets an error or, if it asks for that, a `BadRecord`; never a part of it.

A record's key names a symbol and a whole second or minute. Its columns are of one length, its ids rise, its times are
in its period, and every trade is one that can be.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
from msgspec import Struct

from flows.bounds import MOST_FILLS, MOST_VALUE
from flows.foreign import visible
from flows.model import Incident, Trade
from flows.modules.compiled import compiled
from flows.modules.late import late_module
from flows.names import is_symbol
from sinks.trades.codec import (
    END_MS,
    FILLS,
    PREFIX,
    SECOND_MS,
    Row,
    TradeColumns,
    decode_record,
    decode_start,
    decode_symbol,
    encode_columns,
    minute_of,
    period_ms,
)
from sinks.trades.database import TradeStoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")

_records = compiled("sinks.trades._records", "are_within")

REMEDY = "marketflow verify --repair --against rest replaces it"
CHUNK_RECORDS = 256
"""Records that are checked at once: a check of one costs as much as one of many."""
CHUNK_BYTES = 500_000
StoredRecord: TypeAlias = tuple[bytes, int, bytes]
"""Key, the start that it names or -1, and value."""
Longs: TypeAlias = "npt.NDArray[np.int64]"
_DIGITS = 13
_LONGEST = 200
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_WIDE = ("id", "time", "price", "quantity")


class BadRecord(Struct, frozen=True):
    """A record that cannot be read."""

    path: Path
    """The partition that has it."""
    key: bytes
    symbol: str
    """Empty when the key names none."""
    start: int
    """The begin of its period by its key, ms UTC; -1 when the key names none."""
    reason: str

    @property
    def name(self) -> str:
        """The key as a text."""
        text = repr(self.key.decode(errors="backslashreplace"))[1:-1]
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"

    @property
    def end(self) -> int:
        """The last millisecond of its period; -1 without one."""
        return -1 if self.start < 0 else self.start + period_ms(self.start) - 1


def incident_of(record: BadRecord, venue: str, outcome: str) -> Incident:
    """The incident about a record. It names no ids: those that it has cannot be believed, and would explain a gap."""
    cause = f"the stored record {record.name} cannot be read, {record.reason}"
    remedy = "marketflow verify --repair --against rest fetches its trades"
    return Incident("store_outage", venue, record.symbol, record.start, record.end, cause, f"{outcome}; {remedy}")


OnBad = Callable[[BadRecord], None]
"""Called with a record that is left out because it cannot be read."""


class RecordError(TradeStoreError):
    """A record cannot be read. The rest of the store can."""

    def __init__(self, record: BadRecord) -> None:
        what = f"the trade store {record.path} has a record {record.name} that cannot be read"
        super().__init__(f"{what}, {record.reason}: {REMEDY}")
        self.record = record


def place_of(key: bytes) -> tuple[str, int] | None:
    """Symbol and start of a record by its key; None when it is no key of a record."""
    name, colon, digits = key[len(PREFIX) :].rpartition(b":")
    if not key.startswith(PREFIX) or not colon or len(digits) != _DIGITS or not digits.isdigit():
        return None
    try:
        symbol = name.decode()
    except UnicodeDecodeError:
        return None
    return (symbol, int(digits)) if is_symbol(symbol) else None


def start_of(key: bytes, prefix: bytes) -> int:
    """The start in a key that begins with the `begin_of_symbol` of a symbol; -1 when there is none."""
    digits = key[len(prefix) :]
    return int(digits) if len(digits) == _DIGITS and digits.isdigit() else -1


def checked(raw: Iterable[StoredRecord], path: Path, symbol: str, on_bad: OnBad) -> Iterator[tuple[int, TradeColumns]]:
    """Start and columns of the records of a symbol in the partition at `path`; `on_bad` gets what is none."""
    for chunk in _chunks(raw):
        if (parts := _sound(chunk)) is not None:
            yield from zip((start for _, start, _ in chunk), parts, strict=True)
            continue
        for key, start, value in chunk:
            columns, reason = _decoded(value)
            reason = _fault_of_start(start) or reason or ("" if columns is None else fault_of(start, columns))
            if reason:
                on_bad(BadRecord(path, key, symbol, start, reason))
            elif columns is not None:
                yield start, columns


def _sound(chunk: Sequence[StoredRecord]) -> list[TradeColumns] | None:
    """The columns of records, of which nearly always all are what they must be; else None."""
    starts = [start for _, start, _ in chunk]
    try:
        parts = [decode_record(value) for _, _, value in chunk]
    except _UNDECODABLE:
        return None
    return parts if _are_of_form(parts) and are_sound(starts, parts) else None


def read_record(path: Path, key: bytes, value: bytes) -> TradeColumns | BadRecord:
    """The columns of a single record by its `encode_key` in the partition at `path`, or what is wrong with it."""
    start = decode_start(key)
    columns, reason = _decoded(value)
    if columns is not None:
        if are_sound([start], [columns]):
            return columns
        reason = _fault_of_start(start) or fault_of(start, columns)
    return BadRecord(path, key, decode_symbol(key), start, reason)


def stray_of(path: Path, key: bytes) -> BadRecord:
    """What is stored under a key that is none of a record."""
    return BadRecord(path, key, "", -1, _fault_of_start(-1))


def _chunks(raw: Iterable[StoredRecord]) -> Iterator[list[StoredRecord]]:
    chunk: list[StoredRecord] = []
    size = 0
    for record in raw:
        chunk.append(record)
        size += len(record[2])
        if len(chunk) >= CHUNK_RECORDS or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


# --- the form ---


def _decoded(value: bytes) -> tuple[TradeColumns | None, str]:
    """The columns of a value; or None, and what is wrong with it."""
    try:
        columns = decode_record(value)
    except _UNDECODABLE as error:
        return None, f"its value is no columns of trades: {visible(str(error), limit=_LONGEST)}"
    return (columns, "") if _are_of_form([columns]) else (None, _fault_of_form(columns))


def _are_of_form(parts: Sequence[TradeColumns]) -> bool:
    """Whether the columns of each record are of one length, which is not 0."""
    counts = [len(part.buyer_is_maker) for part in parts]
    wide = [8 * count for count in counts]
    return (
        all(counts)
        and wide == [len(part.id) for part in parts]
        and wide == [len(part.time) for part in parts]
        and wide == [len(part.price) for part in parts]
        and wide == [len(part.quantity) for part in parts]
        and all(
            len(part.first_id) == len(part.last_id) in (0, size) and len(part.fill) in (0, count)
            for part, size, count in zip(parts, wide, counts, strict=True)
            if part.first_id or part.last_id or part.fill
        )
    )


def _fault_of_form(columns: TradeColumns) -> str:
    count = len(columns)
    if not count:
        return "it has no trades"
    expected = {**dict.fromkeys((*_WIDE, "first_id", "last_id"), 8 * count), "fill": count}
    sizes = {name: len(getattr(columns, name)) for name in expected}
    wrong = next((name for name, size in sizes.items() if size != expected[name] and (size or name in _WIDE)), "")
    if not wrong:
        return "it has one of the columns first_id and last_id without the other"
    return f"its column {wrong} has {sizes[wrong]} bytes, and {count} trades have {expected[wrong]}"


def _fault_of_start(start: int) -> str:
    if start < 0:
        return "its key names no symbol and time"
    return "its key names no whole second" if start % SECOND_MS else ""


# --- the trades ---


def are_sound(starts: Sequence[int], parts: Sequence[TradeColumns]) -> bool:
    """Whether records of a good form are what they must be; true for none."""
    if not parts:
        return True
    if min(starts) < 0 or max(starts) > END_MS:
        return False
    if _records is not None:
        ends = [start + period_ms(start) for start in starts]
        is_whole = not any(start % SECOND_MS for start in starts)
        within: bool = _records.are_within([*starts], ends, [*parts], MOST_VALUE, MOST_FILLS, len(FILLS))
        return is_whole and within
    counts = [len(part.buyer_is_maker) for part in parts]
    firsts = np.array([0, *islice(accumulate(counts), len(counts) - 1)])
    begins = np.array(starts, dtype=np.int64)
    return bool(
        not (begins % SECOND_MS).any()
        and _rise(_column([part.id for part in parts]), firsts)
        and _are_within(_column([part.time for part in parts]), firsts, begins)
        and _are_possible(parts)
    )


def _rise(ids: Longs, firsts: Longs) -> bool:
    """Whether the ids of each record rise, from 0 on. `firsts` are the places of the records' first trades."""
    rises = ids[1:] > ids[:-1]
    if not rises.all():
        rises[firsts[1:] - 1] = True  # from record to record they need not
    return bool(rises.all() and ids[firsts].min() >= 0)


def _are_within(times: Longs, firsts: Longs, begins: Longs) -> bool:
    """Whether the times of each record lie in its period."""
    ends = begins + np.array([period_ms(start) for start in begins.tolist()])
    if (times[1:] >= times[:-1]).all():  # nearly always, and that is much faster than to look for the least ones
        earliest, latest = times[firsts], times[np.append(firsts[1:] - 1, len(times) - 1)]
    else:
        earliest, latest = np.minimum.reduceat(times, firsts), np.maximum.reduceat(times, firsts)
    return bool((earliest >= begins).all() and (latest < ends).all())


def _are_possible(parts: Sequence[TradeColumns]) -> bool:
    price, quantity = (
        _column([part.price for part in parts], "<f8"),
        _column([part.quantity for part in parts], "<f8"),
    )
    sides = _column([part.buyer_is_maker for part in parts], "u1")
    if sides.max() > 1 or not (price.max() < MOST_VALUE and quantity.max() < MOST_VALUE):  # NaN is less than nothing
        return False
    if any(part.fill for part in parts):
        fill = _column([part.column("fill") for part in parts], "u1")
        if fill.max() >= len(FILLS) or min(price.min(), quantity.min()) < 0:
            return False
        price, quantity = price[fill == 0], quantity[fill == 0]
    if price.size and not (price.min() > 0 and quantity.min() > 0):
        return False
    if not any(part.first_id for part in parts):
        return True
    first, last = (_column([part.column(name) for part in parts]) for name in ("first_id", "last_id"))
    return bool(first.min() >= 0 and (first <= last).all() and (last - first).max() < MOST_FILLS)


def _column(blobs: Iterable[bytes], kind: str = "<i8") -> npt.NDArray[Any]:
    return np.frombuffer(b"".join(blobs), kind)


def fault_of(start: int, columns: TradeColumns) -> str:
    """What is wrong with the trades of a record of a good form, with the first that is; empty when nothing is."""
    end = start + period_ms(start)
    before = -1
    for row in columns.rows():
        if not start <= row[3] < end:
            return f"its trade {row[0]} has the time {row[3]}, and the record is of {start} to {end - 1}"
        if row[0] <= before:
            return f"its trade {row[0]} stands behind {before}, and ids rise" if before >= 0 else _impossible("id", row)
        before = row[0]
        if name := _impossible_field(row):
            return _impossible(name, row)
    return ""


def refusal_of(trade: Trade) -> str:
    """Why a trade cannot be part of a record; empty when it can."""
    try:
        columns = encode_columns([trade])
    except (struct.error, TypeError, ValueError, OverflowError) as error:
        return str(error)
    if not 0 <= trade.time <= END_MS:
        return _impossible("time", next(columns.rows()))
    return fault_of(minute_of(trade.time), columns)


_FIELDS = ("id", "first_id", "last_id", "time", "price", "quantity", "buyer_is_maker", "fill")


def _impossible(name: str, row: Row) -> str:
    return f"its trade {row[0]} has the {name} {row[_FIELDS.index(name)]}, which no trade has"


def _impossible_field(row: Row) -> str:
    """The field that no trade can have; empty without one."""
    _, first, last, _, price, quantity, side, fill = row
    if fill >= len(FILLS) or side > 1:
        return "fill" if fill >= len(FILLS) else "buyer_is_maker"
    for name, value in (("price", price), ("quantity", quantity)):
        # futures report fills without a price; they keep their id and stay out of the candles
        if not (0 < value < MOST_VALUE or (fill and value == 0)):
            return name
    if first < 0:
        return "first_id"
    return "" if first <= last < first + MOST_FILLS else "last_id"


# --- what a bad record tells of its trades ---


def ids_in(value: bytes) -> list[int]:
    """The ids that a value names, if they can be believed: all of them rise, whatever the other columns say."""
    found = _lenient(value).get("id", b"")
    if not found or len(found) % 8:
        return []
    ids = np.frombuffer(found, "<i8")
    return ids.tolist() if ids[0] >= 0 and (ids[1:] > ids[:-1]).all() else []


def times_in(value: bytes) -> tuple[int, int] | None:
    """The first and the last time of the trades of a value, ms UTC, if these can be believed: all are in one minute."""
    found = _lenient(value).get("time", b"")
    if not found or len(found) % 8:
        return None
    times = np.frombuffer(found, "<i8")
    first, last = int(times.min()), int(times.max())
    is_one = first > 0 and first // period_ms(0) == last // period_ms(0)
    return (first, last) if is_one else None


def _lenient(value: bytes) -> dict[str, bytes]:
    try:
        found = msgspec.msgpack.decode(value, type=dict[str, Any])
    except _UNDECODABLE:
        return {}
    return {name: blob for name, blob in found.items() if isinstance(blob, bytes)}
