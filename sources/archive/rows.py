"""Reads the files of the archive: CSV, zipped or not, with a header row or without, in milliseconds or microseconds.

A month of a busy symbol is several gigabytes of text, so files are read block by block.
"""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import IO

import polars as pl
from msgspec import Struct

from flows.bounds import MOST_FILLS, fault_of
from flows.foreign import visible
from flows.model import AggregateTrade, Kline
from sources.archive.names import ArchiveFile

BATCH = 2_000
"""Trades handed on at once: few enough to stay in the processor's cache on their way through the flow."""
BLOCK_BYTES = 4 << 20
"""Text that is parsed at once, some fifty thousand trades."""
MICROSECONDS_FROM = 10**14
"""A time from here on counts microseconds."""

_TRADE_COLUMNS = ("id", "price", "quantity", "first_id", "last_id", "time", "buyer_is_maker")
_KLINE_COLUMNS = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades",
    "taker_buy_volume", "taker_buy_quote_volume",
)  # fmt: skip
_TYPES = {
    "id": pl.Int64, "first_id": pl.Int64, "last_id": pl.Int64, "time": pl.Int64, "open_time": pl.Int64,
    "close_time": pl.Int64, "trades": pl.Int64, "buyer_is_maker": pl.String,
}  # fmt: skip

_NUMBERS = ("price", "quantity")

_LONGEST_TEXT = 2_000


class ArchiveError(Exception):
    """A file cannot be used; the text says which, and why."""

    def __init__(self, text: str) -> None:
        super().__init__(visible(text, limit=_LONGEST_TEXT))  # it may repeat parts of the file, or of an answer


class FileVolume(Struct, frozen=True):
    """A file of the archive, as the source reads it."""

    file: ArchiveFile
    path: Path
    known_from: int = 0

    def trades(self, begin: int, end: int) -> Iterator[list[AggregateTrade]]:
        """Its trades in `[begin, end)`."""
        return trades_of(self.file, self.path, begin, end)

    def klines(self, begin: int, end: int) -> list[Kline]:
        """Its klines that open in `[begin, end)`."""
        return klines_of(self.file, self.path, begin, end)


def trades_of(file: ArchiveFile, path: Path, begin: int, end: int) -> Iterator[list[AggregateTrade]]:
    """The trades in `[begin, end)` of a file, ms UTC, at most `BATCH` at a time. `ArchiveError` when it cannot be read,
    which may show only after some of them.

    Rows without a price and quantity stay out: the exchange keeps the ids of trades that it took back.
    """
    wanted = pl.col("time").is_between(begin, end, closed="left") & (pl.col("price") > 0) & (pl.col("quantity") > 0)
    is_maker = pl.col("buyer_is_maker").str.to_lowercase() == "true"
    for block in _frames(path, _TRADE_COLUMNS):
        timed = block.with_columns(_in_ms("time"), is_maker)
        _check_days(file, path, timed["time"])
        _check_values(path, timed)
        frame = timed.filter(wanted).sort("id", maintain_order=True)
        for start in range(0, frame.height, BATCH):
            yield _trades(file.symbol, frame[start : start + BATCH])


def _trades(symbol: str, frame: pl.DataFrame) -> list[AggregateTrade]:
    columns = (frame[name].to_list() for name in _TRADE_COLUMNS)
    return [
        AggregateTrade(symbol, number, time, price, quantity, is_maker, time, first_id=first_id, last_id=last_id)
        for symbol, number, price, quantity, first_id, last_id, time, is_maker in zip(
            repeat(symbol), *columns, strict=False
        )
    ]


def klines_of(file: ArchiveFile, path: Path, begin: int, end: int) -> list[Kline]:
    """The klines that open in `[begin, end)`, oldest first, all closed, without ids. `ArchiveError` when they cannot be
    read.
    """
    wanted = pl.col("open_time").is_between(begin, end, closed="left")
    blocks = []
    for block in _frames(path, _KLINE_COLUMNS):
        timed = block.with_columns(_in_ms("open_time"), _in_ms("close_time"))
        _check_days(file, path, timed["open_time"])
        blocks.append(timed.filter(wanted))
    klines = [
        Kline(
            symbol=file.symbol, timeframe=file.kind, event_time=row["close_time"], open_time=row["open_time"],
            open=row["open"], high=row["high"], low=row["low"], close=row["close"], volume=row["volume"],
            quote_volume=row["quote_volume"], trades=row["trades"], taker_buy_volume=row["taker_buy_volume"],
            taker_buy_quote_volume=row["taker_buy_quote_volume"], first_id=-1, last_id=-1, is_closed=True,
        )
        for block in blocks
        for row in block.iter_rows(named=True)
    ]  # fmt: skip
    for kline in klines:
        if reason := fault_of(kline):
            raise ArchiveError(f"{path} cannot be true: at {kline.open_time} it has {reason}")
    return sorted(klines, key=lambda kline: kline.open_time)


def _check_values(path: Path, trades: pl.DataFrame) -> None:
    """A value that no trade can have says that the file is not what the exchange has written."""
    is_number = pl.all_horizontal(
        pl.col("price", "quantity").is_finite() & pl.col("price", "quantity").is_between(0, 1e18)
    )
    is_chain = (pl.col("last_id") - pl.col("first_id")).is_between(-1, MOST_FILLS) & (pl.col("id") >= 0)
    wrong = trades.filter(~(is_number & is_chain))
    if wrong.height:
        raise ArchiveError(f"{path} cannot be true: it has a trade {wrong.row(0, named=True)}")


def _check_days(file: ArchiveFile, path: Path, times: pl.Series) -> None:
    """A single trade may stand a moment beside its day; a whole block of them is a file under a wrong name."""
    if not times.is_between(file.begin, file.end, closed="left").any():
        raise ArchiveError(f"{path} holds other days than its name says")


def _frames(path: Path, columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    """The rows of a file, block by block."""
    try:
        with _opened(path) as file:
            first = file.readline()
            schema = _schema(path, columns, first)
            if not first[:1].isdigit():  # a header
                first = b""
            for block in _blocks(file, first):
                frame = pl.read_csv(block, has_header=False, schema=schema).select(columns)
                if any(frame.null_count().row(0)):
                    raise ArchiveError(f"{path} cannot be read: it has rows that are cut off")
                yield frame
    except (OSError, EOFError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _schema(path: Path, columns: tuple[str, ...], row: bytes) -> dict[str, type[pl.DataType]]:
    """The types of all columns of a file, by one of its rows or its header."""
    extra = row.count(b",") + 1 - len(columns)
    if extra < 0:
        raise ArchiveError(f"{path} holds no table of {', '.join(columns)}")
    known = {name: _TYPES.get(name, pl.Float64) for name in columns}
    return known | {f"unused_{number}": pl.String for number in range(extra)}


def _blocks(file: IO[bytes], first: bytes) -> Iterator[bytes]:
    """Text in whole lines."""
    block = first
    while text := file.read(BLOCK_BYTES):
        yield block + text + file.readline()
        block = b""
    if block:
        yield block


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix != ".zip":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise ArchiveError(f"{path} holds {len(names)} CSV files, and should hold one")
        with archive.open(names[0]) as member:
            yield member


def _in_ms(name: str) -> pl.Expr:
    column = pl.col(name)
    return pl.when(column >= MICROSECONDS_FROM).then(column // 1_000).otherwise(column).alias(name)
