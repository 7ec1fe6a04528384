"""The trades of the time before a synthetic market begins, made from its klines when they are wanted.

A piece of the history is taken apart so that its trades have its first, last, highest and lowest price, its number, its
quantities of both sides, and both quotes exactly. Any trade is computed by its place in the piece, so memory is that of
what is returned. Aggregates are of one trade each. Trades go back as far as ids above 0 do.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from sources.replay.market.aggregate import AGGREGATE, TRADE

FEW: Final = 6
"""With fewer trades than these a piece has no prices but its first and its last one."""
LEAST: Final = 2
"""Least trades of a piece: one makes the first price, and another is of one side."""
CORNERS: Final = 4
"""Trades of one lot that takers sold: at the first, the highest, the lowest and the last price."""
_MIX: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))

_Numbers = npt.NDArray[np.int64]


class Piece(NamedTuple):
    """A row of the history, and the side of it that is needed here."""

    open_time: int
    base_ms: int
    first_id: int
    trades: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    taker_volume: int


class Fills(NamedTuple):
    """Prices in ticks, quantities in lots, and whether the taker sold."""

    price: _Numbers
    quantity: _Numbers
    maker: npt.NDArray[np.bool_]


class _Side(NamedTuple):
    """What one side of takers traded, but for the corners: so many trades of so many lots."""

    trades: int
    lots: int
    number: int


def quotes_of(few: pl.Expr, mean: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The quote volumes of pieces, of all trades and of those that takers bought, as `fills_of` takes them apart.
    `mean` is a quarter of the four prices, cut off.
    """
    first, last = pl.col("open").cast(pl.Int128), pl.col("close").cast(pl.Int128)
    rest = pl.sum_horizontal("open", "high", "low", "close") - CORNERS * mean
    whole = pl.when(few).then(first + last * (pl.col("volume") - 1)).otherwise(pl.col("volume") * mean + rest)
    taker = pl.col("taker_volume") * pl.when(few).then(last).otherwise(mean)
    return whole, taker


def fills_of(piece: Piece, places: _Numbers) -> Fills:
    """The trades at some places of a piece, from 0 on."""
    is_few = piece.trades < FEW
    leading, trailing = (1, 0) if is_few else (CORNERS - 1, 1)
    rest = piece.trades - leading - trailing
    sold_lots = piece.volume - piece.taker_volume - leading - trailing
    bought = _buys(rest, piece.taker_volume, sold_lots)
    index = np.clip(places - leading, 0, rest - 1)
    before = index * bought // rest
    is_bought = (index + 1) * bought // rest > before
    mean = piece.close if is_few else (piece.open + piece.high + piece.low + piece.close) // CORNERS
    reach = 0 if is_few else min(mean - piece.low, piece.high - mean)
    buys = _side(piece, _Side(bought, piece.taker_volume, 0), before, reach)
    sells = _side(piece, _Side(rest - bought, sold_lots, 1), index - before, reach)
    off, quantity = (np.where(is_bought, *pair) for pair in zip(buys, sells, strict=True))
    price = mean + off
    maker = ~is_bought
    for place, corner in _corners(piece, is_few=is_few):
        here = places == place
        price[here], quantity[here], maker[here] = corner, 1, True
    return Fills(price, quantity, maker)


def _corners(piece: Piece, *, is_few: bool) -> Iterator[tuple[int, int]]:
    """Places and prices of the trades that make the prices of the piece."""
    yield 0, piece.open
    if not is_few:
        is_high_first = bool(piece.first_id & 1)
        yield 1, piece.high if is_high_first else piece.low
        yield 2, piece.low if is_high_first else piece.high
        yield piece.trades - 1, piece.close


def _buys(rest: int, bought_lots: int, sold_lots: int) -> int:
    """How many of the trades takers bought: each has a lot at least, and each side with lots a trade."""
    least = max(rest - sold_lots, min(bought_lots, 1))
    most = min(bought_lots, rest - min(sold_lots, 1))
    return min(max(round(rest * bought_lots / (bought_lots + sold_lots)), least), most)


def _side(piece: Piece, side: _Side, rank: _Numbers, reach: int) -> tuple[_Numbers, _Numbers]:
    """How far the trades of a side are off the mean price, and their lots, by their rank in it.

    Two trades that follow one another have the same lots and are as far above the mean as below it, and of two such
    pairs one has as many lots more as the other has less. The last trades make up for what does not divide.
    """
    count = max(side.trades, 1)
    lots, extra = divmod(side.lots, count)
    pairs = (count - 1) // 2
    pair = rank // 2
    off = _random(piece, side.number, pair, 0, reach + 1) * np.where(rank % 2, -1, 1)
    more = _random(piece, side.number, pair | 1, 1, max(lots, 1)) * np.where(pair % 2, -1, 1)
    quantity = lots + np.where((pair | 1) < pairs, more, 0) + np.where(rank == count - 1, extra, 0)
    return np.where(pair < pairs, off, 0), quantity


def _random(piece: Piece, side: int, number: _Numbers, use: int, bound: int) -> _Numbers:
    """A number below a bound, the same whenever it is looked at: SplitMix64 of the piece and a number in it."""
    with np.errstate(over="ignore"):
        mixed = np.uint64(piece.first_id % 2**62) * _MIX[2] + (number.astype(np.uint64) * np.uint64(4))
        mixed = (mixed + np.uint64(2 * use + side)) * _MIX[0]
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX[1]
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[2]
        mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(bound)).astype(np.int64)


class MadePast:
    """The trades of a history (`HISTORY`). Implements `Past`."""

    def __init__(self, history: Callable[[], pl.DataFrame], *, end_id: int, aggregate_end_id: int) -> None:
        """`end_id` and `aggregate_end_id` are the first ids that are not of the past."""
        self._history = history
        self._shift = aggregate_end_id - end_id
        self.end_id = end_id
        """The first trade that is not of the past."""
        self.aggregate_end_id = aggregate_end_id
        """The same of aggregates."""
        self.first_id = max(1, 1 - self._shift)
        """The oldest trade whose id, and whose aggregate's, is above 0."""
        self.aggregate_first_id = self.first_id + self._shift
        """Its aggregate."""

    def aggregates(self, begin: int, end: int) -> pl.DataFrame:
        """Aggregates (`AGGREGATE`) by id, from `begin` to before `end`, as far as they are of the past."""
        rows = self.trades(begin - self._shift, end - self._shift)
        own = [pl.col("id").alias("first_id"), pl.col("id").alias("last_id"), pl.col("id") + self._shift]
        return rows.with_columns(*own).select(*AGGREGATE)

    def trades(self, begin: int, end: int) -> pl.DataFrame:
        """Trades (`TRADE`) by id, from `begin` to before `end`, as far as they are of the past."""
        begin, end = max(begin, self.first_id), min(end, self.end_id)
        if begin >= end:
            return pl.DataFrame(schema=TRADE)
        return pl.concat(list(self._parts(begin, end)))

    def aggregate_at(self, time_ms: int) -> int:
        """The id of the first aggregate at or after a time; `aggregate_end_id` when it is not of the past."""
        history = self._history()
        row = history["open_time"].search_sorted(time_ms, side="right") - 1
        if row < 0:
            return self.aggregate_first_id
        piece = _piece(history, row)
        place = -(-(time_ms - piece.open_time) * piece.trades // piece.base_ms)
        found = piece.first_id + min(place, piece.trades)
        return min(max(found, self.first_id), self.end_id) + self._shift

    def _parts(self, begin: int, end: int) -> Iterator[pl.DataFrame]:
        history = self._history()
        row = max(int(history["first_id"].search_sorted(begin, side="right")) - 1, 0)
        while begin < end and row < history.height:
            piece = _piece(history, row)
            last = min(end, piece.first_id + piece.trades)
            if begin < last:
                yield _frame(piece, np.arange(begin - piece.first_id, last - piece.first_id))
                begin = last
            row += 1


def _piece(history: pl.DataFrame, row: int) -> Piece:
    return Piece(*(int(history[name][row]) for name in Piece._fields))


def _frame(piece: Piece, places: _Numbers) -> pl.DataFrame:
    fills = fills_of(piece, places)
    time = piece.open_time + places * piece.base_ms // piece.trades
    return pl.DataFrame(
        {
            "id": piece.first_id + places,
            "time": time,
            "event_time": time,
            "due": time,
            "place": np.zeros_like(places),
            "price": fills.price,
            "quantity": fills.quantity,
            "maker": fills.maker,
        },
        schema=TRADE,
    )
