"""Decodes Binance's SBE messages into events of the model, each refused with a reason where it cannot be true.

The bounds of single fields are those of the JSON streams (`sources/binance/wire.py`). Times are reduced to
milliseconds. Messages of unknown templates are passed over, and so are fields that a later version of the schema has
added to blocks and entries.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812 - the library's class has a lower-case name
from typing import Any, Final, NamedTuple, TypeAlias

from flows.model import BookDelta, BookSnapshot, BookTicker, Level, Trade
from flows.names import is_symbol
from sources.binance.sbe.decimals import MOST_EXPONENT, SCALES, Scale, multiplied
from sources.binance.sbe.layout import (
    BEST_BID_ASK,
    DEPTH_DIFF,
    DEPTH_SNAPSHOT,
    HEADER,
    SCHEMA,
    TEMPLATES,
    TRADES,
    TRUE,
    VERSION,
    Group,
    entry_of,
)
from sources.frames import MOST_BYTES

MOST_LEVELS: Final = 10_000
"""Most levels of a side of a book in one message, as of the JSON streams."""
MOST_NAMES: Final = 10_000
"""Most names of streams that are cached; others are computed each time."""
EARLIEST_US: Final = 10**15
END_US: Final = 10**17
"""Times are between these, microseconds UTC."""

_NO_JSON = b"\0"
_SCHEMA_BYTES = slice(4, 6)
_COUNT, _COUNT_AT = Struct("<I"), 28
"""The number of trades in such a message, and where it is."""
_USUAL_TRADE = Struct(TEMPLATES[TRADES].groups[0].entry.replace("q", "Q"))
"""Without signs: what is negative is beyond all bounds then."""
MOST_ID: Final = 2**63 - 1
_USUAL = Struct("<8sqq2sHI")
"""Header, block and the head of the group of a message of trades."""
_HEAD_BYTES, _TRADE_BYTES = _USUAL.size, _USUAL_TRADE.size
_USUAL_SCALES = {
    Struct("<bb").pack(-price, -quantity): (
        SCALES[-price].down, SCALES[-price].price_end, SCALES[-quantity].down, SCALES[-quantity].quantity_end,
    )
    for price in range(MOST_EXPONENT + 1)
    for quantity in range(MOST_EXPONENT + 1)
}  # fmt: skip
"""By the exponents as they stand in a message: unit and bound of prices, and of quantities."""
_UNUSUAL = StructError, KeyError
"""What an unusual message raises there."""
_USUAL_TRADES = HEADER.pack(TEMPLATES[TRADES].root.size - HEADER.size, TRADES, SCHEMA, VERSION)


class SbeError(ValueError):
    """Why a message cannot be read, as a text for the user."""


Decoded: TypeAlias = tuple[str, str, list[Any]]
"""A message: its stream as the exchange names it (`btcusdt@bestBidAsk`), its symbol, its events, all of one type of
the model.
"""


class SbeDecoder:
    """Decodes messages. Its only state is a cache of names."""

    def __init__(self) -> None:
        self._names: dict[int, dict[bytes, tuple[str, str]]] = {number: {} for number in TEMPLATES}
        """By template and the end of a message, the name of the stream and the symbol."""
        self._of_trades = self._names[TRADES]

    def stream_of(self, frame: bytes) -> str:
        """The stream of a message; empty for any other frame. Never raises."""
        try:
            if frame.startswith(_USUAL_TRADES):
                [count] = _COUNT.unpack_from(frame, _COUNT_AT)
                usual = self._of_trades.get(frame[_HEAD_BYTES + count * _TRADE_BYTES :])
                if usual is not None:
                    return usual[0]
            elif not is_sbe(frame):
                return ""
            block, number, schema, _ = HEADER.unpack_from(frame)
            at = HEADER.size + block
            for group in TEMPLATES[number].groups:
                size, count = group.head.unpack_from(frame, at)
                at += group.head.size + size * count
            known = self._names[number].get(frame[at:])
            if known is None:
                known = self._name(number, frame[at:], is_longer=True)
        except (StructError, KeyError, SbeError):
            return ""
        return known[0] if schema == SCHEMA else ""

    def decode(self, frame: bytes) -> Decoded | None:
        """The events of a message; None for an unknown template, `SbeError` for one that cannot be true."""
        try:
            _, number, schema, version = HEADER.unpack_from(frame)
            if schema != SCHEMA:
                raise SbeError(f"a message of schema {schema}; known is {SCHEMA}")
            template = TEMPLATES.get(number)
            if template is None:
                return None
            block, _, _, _, *root = template.root.unpack_from(frame)
            least = template.root.size - HEADER.size
            if block < least:
                raise SbeError(f"a block of {block} bytes, {least} are needed")
            spans, at = [], HEADER.size + block
            for group in template.groups:
                spans.append(span := _Span.at(frame, at, group))
                at = span.end
            tail = frame[at:]
            name, symbol = self._names[number].get(tail) or self._name(number, tail, is_longer=version > VERSION)
        except StructError:
            raise SbeError(f"a message that is cut off after {len(frame)} bytes") from None
        if not EARLIEST_US <= root[0] < END_US:
            raise SbeError(f"an event time of {root[0]} microseconds")
        return name, symbol, _EVENTS[number](symbol, root, spans)

    def take_usual(self, frames: Sequence[bytes], at: int, symbols: Mapping[bytes, str], trades: list[Trade]) -> int:
        """Adds the trades of frames from one on to `trades`, up to the first that is no usual message: any other than
        trades of `symbols`, which are known by `end_of`, one to which a later version has added something, and one in
        which anything is wrong; `decode` says what. Returns its index, the number of frames where there is none.
        """
        head_of, rows_of, add = _USUAL.unpack_from, _USUAL_TRADE.iter_unpack, trades.append
        whole = len(trades)
        try:
            for at in range(at, len(frames)):  # noqa: B020, PLR1704 - the hot path: where it stops is its result
                frame, whole = frames[at], len(trades)
                header, event_us, made_us, exponents, size, count = head_of(frame)
                end = _HEAD_BYTES + count * _TRADE_BYTES
                symbol = symbols[frame[end:]]
                price_unit, price_end, quantity_unit, quantity_end = _USUAL_SCALES[exponents]
                if header != _USUAL_TRADES or size != _TRADE_BYTES or end > MOST_BYTES:
                    return at
                if not EARLIEST_US <= event_us < END_US or not EARLIEST_US <= made_us < END_US:
                    return at
                event_time, time = event_us // 1_000, made_us // 1_000
                for number, paid, traded, maker in rows_of(frame[_HEAD_BYTES:end]):
                    if number > MOST_ID or paid >= price_end or traded >= quantity_end or maker > TRUE:
                        del trades[whole:]
                        return at
                    add(
                        Trade(
                            symbol, number, time, paid / price_unit, traded / quantity_unit, maker == TRUE, event_time
                        )
                    )
        except _UNUSUAL:
            del trades[whole:]
            return at
        return len(frames)

    def _name(self, number: int, tail: bytes, *, is_longer: bool) -> tuple[str, str]:
        """Name and symbol from the end of a message, which may be followed by more in later versions of the schema."""
        end = 1 + tail[0] if tail else 1
        if len(tail) < end:
            raise SbeError("a message that is cut off in its symbol")
        if len(tail) > end and not is_longer:
            raise SbeError(f"{len(tail) - end} bytes behind the end of a message")
        try:
            symbol = tail[1:end].decode()
        except UnicodeDecodeError:
            symbol = ""
        if not is_symbol(symbol):
            raise SbeError("a message without a valid symbol")
        name = f"{symbol.lower()}@{TEMPLATES[number].kind}"
        known = self._names[number]
        if len(known) < MOST_NAMES:
            known[tail[:end]] = name, symbol
        return name, symbol


class _Span(NamedTuple):
    """The entries of a group in a message."""

    rows: Iterator[tuple[int, ...]]
    entries: int
    end: int
    """Offset of what follows."""

    @classmethod
    def at(cls, frame: bytes, at: int, group: Group) -> "_Span":
        """The group that begins at an offset. `StructError` where its head is cut off."""
        size, count = group.head.unpack_from(frame, at)
        begin = at + group.head.size
        end = begin + size * count
        if end > len(frame):
            raise SbeError(f"{count} entries of {size} bytes in a message of {len(frame)}")
        if not count:
            return cls(iter(()), 0, end)
        if size < group.size:
            raise SbeError(f"entries of {size} bytes, {group.size} are needed")
        return cls(entry_of(group.entry, size).iter_unpack(frame[begin:end]), count, end)


def end_of(symbol: str) -> bytes:
    """How the messages of a symbol end."""
    name = symbol.encode()
    return bytes((len(name),)) + name


def is_sbe(frame: bytes) -> bool:
    """Whether a frame is no text: no byte of JSON is 0, and the numbers of schemas are below 256."""
    return _NO_JSON in frame[_SCHEMA_BYTES]


def _scales(price: int, quantity: int) -> tuple[Scale, Scale]:
    try:
        return SCALES[price], SCALES[quantity]
    except KeyError:
        raise SbeError(f"exponents of {price} and {quantity}; at most {MOST_EXPONENT} places are known") from None


def _trades(symbol: str, root: list[int], spans: list[_Span]) -> list[Trade]:
    return _trades_of(spans[0].rows, symbol, *root)


def _trades_of(
    rows: Iterator[tuple[int, ...]],
    symbol: str,
    event_us: int,
    made_us: int,
    price_exponent: int,
    quantity_exponent: int,
) -> list[Trade]:
    if not EARLIEST_US <= made_us < END_US:
        raise SbeError(f"a time of a trade of {made_us} microseconds")
    price, quantity = _scales(price_exponent, quantity_exponent)
    (price_up, price_unit, price_end, _), (quantity_up, quantity_unit, _, quantity_end) = price, quantity
    if price_up * quantity_up > 1:
        rows = multiplied(rows, 1, price_up, quantity_up, 1)
    event_time, time, trades = event_us // 1_000, made_us // 1_000, []
    for number, paid, traded, maker in rows:
        if number < 0 or not 0 <= paid < price_end or not 0 <= traded < quantity_end or maker > TRUE:
            raise SbeError(f"trade {number}, mantissas {paid} and {traded}, maker {maker}")
        trades.append(Trade(symbol, number, time, paid / price_unit, traded / quantity_unit, maker == TRUE, event_time))
    return trades


def _best(symbol: str, root: list[int], _: list[_Span]) -> list[BookTicker]:
    event_us, update_id, price_exponent, quantity_exponent, *values = root
    price, quantity = _scales(price_exponent, quantity_exponent)
    bid, bid_quantity, ask, ask_quantity = next(
        multiplied(iter([tuple(values)]), price.up, quantity.up, price.up, quantity.up)
    )
    _check_id(update_id)
    for value, end in (
        (bid, price.price_end), (ask, price.price_end),
        (bid_quantity, quantity.quantity_end), (ask_quantity, quantity.quantity_end),
    ):  # fmt: skip
        if not 0 <= value < end:
            raise SbeError(f"a best price or quantity of mantissa {value}")
    return [
        BookTicker(
            symbol, update_id, bid / price.down, bid_quantity / quantity.down,
            ask / price.down, ask_quantity / quantity.down, event_us // 1_000,
        )
    ]  # fmt: skip


def _snapshot(symbol: str, root: list[int], spans: list[_Span]) -> list[BookSnapshot]:
    event_us, update_id, *exponents = root
    bids, asks = _sides(exponents, spans)
    return [BookSnapshot(symbol, _check_id(update_id), bids, asks, event_us // 1_000)]


def _difference(symbol: str, root: list[int], spans: list[_Span]) -> list[BookDelta]:
    event_us, first_id, last_id, *exponents = root
    bids, asks = _sides(exponents, spans)
    return [BookDelta(symbol, event_us // 1_000, _check_id(first_id), _check_id(last_id), bids, asks)]


def _sides(exponents: list[int], spans: list[_Span]) -> Iterator[list[Level]]:
    price, quantity = _scales(*exponents)
    return (_levels(span, price, quantity) for span in spans)


def _levels(span: _Span, price: Scale, quantity: Scale) -> list[Level]:
    if span.entries > MOST_LEVELS:
        raise SbeError(f"{span.entries} levels of a side of a book")
    rows = span.rows
    if price.up * quantity.up > 1:
        rows = multiplied(rows, price.up, quantity.up)
    levels: list[Level] = []
    (_, price_unit, price_end, _), (_, quantity_unit, _, quantity_end) = price, quantity
    for at, rests in rows:
        if not 0 < at < price_end or not 0 <= rests < quantity_end:
            raise SbeError(f"a level of mantissas {at} and {rests}")
        levels.append((at / price_unit, rests / quantity_unit))
    return levels


def _check_id(update_id: int) -> int:
    if update_id < 0:
        raise SbeError(f"an update id of {update_id}")
    return update_id


_EVENTS: Final[dict[int, Callable[[str, list[int], list[_Span]], list[Any]]]] = {
    TRADES: _trades,
    BEST_BID_ASK: _best,
    DEPTH_SNAPSHOT: _snapshot,
    DEPTH_DIFF: _difference,
}
"""What makes the events of a template, from the symbol, the fields of the block, and the groups."""
