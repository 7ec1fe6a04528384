"""Plays tapes of other venues than Binance: trades and books of the recorded frames, sent again by the venue's dialect.

Times are kept to the millisecond. A recorded book has the depth of its subscription: what others pushed out of it is
removed here, as every client does.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import polars as pl

from flows.bounds import LATEST_MS
from sources.replay.market.aggregate import TRADE
from sources.replay.market.book import DepthSnapshot, Level
from sources.replay.market.decimals import Decimals, printed_decimals, scaled
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.playback import Playback
from sources.replay.market.streams.derived import Derive
from sources.replay.tape.left_out import LeftOut, are_displaced, check_levels, check_trade
from sources.replay.tape.recordings import TAPE_FORMAT, TAPE_SUFFIX, decode_header
from sources.replay.tape.symbol_tape import Channel, SymbolTape, tape_of_trades
from sources.replay.tape.tapes import playback_of
from sources.replay.tape.whole_lines import check_exists, whole_lines

_LOT_DECIMALS = 8
_TEXTS = {
    **dict.fromkeys(("id", "time", "place"), pl.Int64),
    **dict.fromkeys(("p", "q"), pl.String),
    "maker": pl.Boolean,
}
_WRONG = KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError
"""What is raised for a frame that is not what the venue sends."""
_MOST_ID = 1 << 62
_EVERYTHING = 1_000_000
"""The depth of a book that is not cut off."""


class RecordedTrade(NamedTuple):
    """A trade of a frame, numbers as printed."""

    symbol: str
    id: int
    time_ms: int
    price: str
    quantity: str
    maker: bool


class RecordedBook(NamedTuple):
    """A book or its changes, of a frame."""

    symbol: str
    time_ms: int
    is_snapshot: bool
    bids: list[Level]
    asks: list[Level]
    depth: int = _EVERYTHING


Read = Callable[[dict[str, Any]], Iterator[RecordedTrade | RecordedBook]]
"""What is played of a frame of a venue: nothing of most."""


def load_venue_tapes(
    paths: Sequence[Path],
    *,
    venue: str,
    read: Read,
    derive: Derive,
    times: Literal["original", "now"] = "original",
    loop: bool = False,
) -> Playback:
    """The market of some tapes; errors as of `load_tapes`."""
    recorded: dict[str, list[tuple[int, RecordedTrade | RecordedBook]]] = defaultdict(list)
    for path in paths:
        for received_ms, one in _recorded(path, venue, read):
            recorded[one.symbol].append((received_ms, one))
    tapes = [_tape_of(symbol, rows) for symbol, rows in recorded.items()]
    if not tapes:
        raise ValueError(f"nothing to play in {', '.join(map(str, paths)) or 'no file'}")
    return playback_of(tapes, kind="spot", times=times, loop=loop, derive=derive)


def _recorded(path: Path, venue: str, read: Read) -> Iterator[tuple[int, RecordedTrade | RecordedBook]]:
    """What is played of a tape, with the time of its receipt, ms. Frames that are not what the venue sends are left
    out, and a warning says how many.
    """
    check_exists(path)
    if not path.name.endswith(TAPE_SUFFIX):
        raise ValueError(f"{path}: its name is not one of a tape")
    left_out, symbols = LeftOut(), frozenset[str]()
    for number, line in enumerate(whole_lines(path), start=1):
        if number == 1:
            symbols = _symbols(path, line, venue)
            continue
        stamp, _, body = line.partition(b" ")
        if not stamp.isdigit():
            raise ValueError(f"{path}, line {number}: it does not begin with a time of receipt")
        try:
            found = _read(body, read, symbols)
        except _WRONG as error:
            left_out.add(f"line {number}: {error!r:.200}")
            continue
        for one in found:
            yield int(stamp) // 1_000_000, one
    left_out.report(path=str(path))


def _read(body: bytes, read: Read, symbols: frozenset[str]) -> list[RecordedTrade | RecordedBook]:
    """What a frame holds; any error of `_WRONG` where it is not what the venue sends of these symbols."""
    frame = json.loads(body, parse_float=str)
    if not isinstance(frame, dict) or "frame" in frame:
        raise ValueError("it is no message")
    found = list(read(frame))
    for one in found:
        if _plain(one.symbol) not in symbols:
            raise ValueError(f"{one.symbol!r:.80} was not recorded")
        if isinstance(one, RecordedTrade):
            check_trade(one.price, one.quantity)
            if not (0 <= one.id < _MOST_ID and 0 < one.time_ms < LATEST_MS):
                raise ValueError("its id or time is impossible")
        else:
            check_levels((*one.bids, *one.asks))
    return found


def _tape_of(symbol: str, rows: Sequence[tuple[int, RecordedTrade | RecordedBook]]) -> SymbolTape:
    """The tape of a symbol, without what is of another time."""
    builder, left_out = _Builder(), LeftOut()
    displaced = are_displaced([received for received, _ in rows], [one.time_ms for _, one in rows])
    for (_, one), is_displaced in zip(rows, displaced, strict=True):
        if is_displaced:
            left_out.add(f"{type(one).__name__} at {one.time_ms}: its time is far from all others")
        else:
            builder.add(one)
    left_out.report(symbol=symbol)
    return builder.tape(symbol)


def _plain(symbol: str) -> str:
    """A symbol with one form of what stands between its parts: messages and settings may have another one."""
    return symbol.replace("/", "-")


def _symbols(path: Path, line: bytes, venue: str) -> frozenset[str]:
    """The symbols that were recorded, by the header of a tape."""
    try:
        header = decode_header(line)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}, line 1: {error}") from error
    if header.format != TAPE_FORMAT or header.version != 1:
        raise ValueError(f"{path} is no {TAPE_FORMAT} of version 1")
    if header.venue != venue:
        raise ValueError(f"{path} is a tape of {header.venue}, not of {venue}")
    return frozenset(map(_plain, header.symbols))


class _Builder:
    """Collects what was recorded of one symbol."""

    def __init__(self) -> None:
        self._trades: dict[int, tuple[RecordedTrade, int]] = {}
        self._books: list[tuple[int, RecordedBook]] = []
        self._place = 0

    def add(self, one: RecordedTrade | RecordedBook) -> None:
        """Adds a trade, once whatever lines brought it, or a book."""
        self._place += 1
        if isinstance(one, RecordedBook):
            self._books.append((self._place, one))
        else:
            self._trades.setdefault(one.id, (one, self._place))

    def tape(self, symbol: str) -> SymbolTape:
        """The tape of the symbol."""
        rows = [self._trades[number] for number in sorted(self._trades)]
        prices = [row.price for row, _ in rows]
        prices += [price for _, book in self._books for price, _ in (*book.bids, *book.asks)]
        places = printed_decimals(pl.Series(prices, dtype=pl.String))
        decimals = Decimals(places, _LOT_DECIMALS, places, _LOT_DECIMALS, places + _LOT_DECIMALS)
        texts = pl.DataFrame(
            [(row.id, row.time_ms, place, row.price, row.quantity, row.maker) for row, place in rows],
            schema={
                **dict.fromkeys(("id", "time", "place"), pl.Int64),
                "p": pl.String,
                "q": pl.String,
                "maker": pl.Boolean,
            },
            orient="row",
        )
        trades = texts.with_columns(
            pl.col("time").alias("event_time"),
            pl.col("time").cum_max().alias("due"),
            scaled(pl.col("p"), decimals.price).alias("price"),
            scaled(pl.col("q"), decimals.quantity).alias("quantity"),
        ).select(*TRADE)
        channel, snapshots = self._book_channel(PayloadEncoder("spot", symbol, decimals))
        return tape_of_trades(symbol, decimals, trades, {"depth": channel} if self._books else {}, snapshots)

    def _book_channel(self, encoder: PayloadEncoder) -> tuple[Channel, list[tuple[int, DepthSnapshot]]]:
        """The changes as differences with ids of their own, and the snapshots by their place."""
        view = _View()
        payloads: list[bytes] = []
        due: list[int] = []
        places: list[int] = []
        snapshots: list[tuple[int, DepthSnapshot]] = []
        for place, book in self._books:
            bids, asks = view.apply(book)
            last = len(payloads)
            if book.is_snapshot:
                snapshots.append(
                    (place, DepthSnapshot(last, view.levels(bid=True), view.levels(bid=False), book.time_ms))
                )
                bids, asks = [], []
            payloads.append(encoder.depth_update(last + 1, last + 1, last, bids=bids, asks=asks, event_ms=book.time_ms))
            due.append(max(book.time_ms, due[-1] if due else 0))
            places.append(place)
        return Channel(payloads, pl.Series(due, dtype=pl.Int64), pl.Series(places, dtype=pl.Int64)), snapshots


class _View:
    """The book as the recording client had it."""

    def __init__(self) -> None:
        self._sides: dict[bool, dict[str, str]] = {True: {}, False: {}}
        self._depth = _EVERYTHING

    def apply(self, book: RecordedBook) -> tuple[list[Level], list[Level]]:
        """Applies a frame; the changes of both sides, with those that were pushed out of the depth."""
        if book.is_snapshot:
            self._sides = {True: {}, False: {}}
            self._depth = book.depth
        return self._change(book.bids, bid=True), self._change(book.asks, bid=False)

    def levels(self, *, bid: bool) -> list[Level]:
        """The levels of a side."""
        return list(self._sides[bid].items())

    def _change(self, levels: list[Level], *, bid: bool) -> list[Level]:
        side = self._sides[bid]
        for price, quantity in levels:
            if float(quantity):
                side[price] = quantity
            else:
                side.pop(price, None)
        if len(side) <= self._depth:
            return levels
        beyond = sorted(side, key=float, reverse=bid)[self._depth :]
        for price in beyond:
            del side[price]
        return [*levels, *((price, "0") for price in beyond)]


def milliseconds(text: str) -> int:
    """A time in RFC 3339 as ms UTC, cut off."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    return int(datetime.fromisoformat(f"{seconds}+00:00").timestamp()) * 1_000 + int(fraction[:3].ljust(3, "0"))
