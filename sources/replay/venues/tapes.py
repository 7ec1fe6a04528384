"""Plays tapes of other venues than Binance: trades and books of the recorded frames, sent again by the venue's dialect.

Times are kept to the millisecond. A recorded book has the depth of its subscription: what others pushed out of it is
removed here, as every client does.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl

from sources.replay.market.aggregate import TRADE
from sources.replay.market.book import DepthSnapshot, Level
from sources.replay.market.decimals import Decimals, printed_decimals, scaled
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.playback import Playback
from sources.replay.market.streams.derived import Derive
from sources.replay.tape.recordings import TAPE_FORMAT, TAPE_SUFFIX
from sources.replay.tape.symbol_tape import Channel, SymbolTape, tape_of_trades
from sources.replay.tape.tapes import playback_of
from sources.replay.tape.whole_lines import check_exists, whole_lines

_LOT_DECIMALS = 8
_TEXTS = {
    **dict.fromkeys(("id", "time", "place"), pl.Int64),
    **dict.fromkeys(("p", "q"), pl.String),
    "maker": pl.Boolean,
}
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
    builders: dict[str, _Builder] = defaultdict(_Builder)
    for path in paths:
        for number, frame in _frames(path, venue):
            try:
                for one in read(frame):
                    builders[one.symbol].add(one)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise ValueError(f"{path}, line {number}: {error!r}") from error
    tapes = [builder.tape(symbol) for symbol, builder in builders.items()]
    if not tapes:
        raise ValueError(f"nothing to play in {', '.join(map(str, paths)) or 'no file'}")
    return playback_of(tapes, kind="spot", times=times, loop=loop, derive=derive)


def _frames(path: Path, venue: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The frames of a tape with the numbers of their lines."""
    check_exists(path)
    if not path.name.endswith(TAPE_SUFFIX):
        raise ValueError(f"{path}: its name is not one of a tape")
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            frame = json.loads(line if number == 1 else line.partition(b" ")[2], parse_float=str)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if number == 1:
            _check(path, frame, venue)
        elif isinstance(frame, dict):
            yield number, frame


def _check(path: Path, header: Mapping[str, Any], venue: str) -> None:
    if header.get("format") != TAPE_FORMAT or header.get("version") != 1:
        raise ValueError(f"{path} is no {TAPE_FORMAT} of version 1")
    if header.get("venue") != venue:
        raise ValueError(f"{path} is a tape of {header.get('venue')}, not of {venue}")


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
