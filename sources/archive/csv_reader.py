"""Reads the files of the archive: CSV, zipped or not, with a header row or without, in milliseconds or microseconds.

A month of a busy symbol is several gigabytes of text, so files are read block by block. Changes that other programs
make to such files (a byte order mark, other line ends, blank lines, quotes, `1` for `true`) are read correctly, or the
file is refused.
"""

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import IO

import polars as pl
import structlog
from msgspec import Struct, structs

from flows.bounds import MOST_FILLS, fault_of
from flows.foreign import visible
from flows.model import HIDDEN_FILLS, WITHDRAWN_FILL, AggregateTrade, Kline, Vouched, timeframe_ms
from sources.archive.columns import BYTE_ORDER_MARK, KLINES, TRADES, ColumnsError, Table, columns_of, is_header
from sources.archive.csv_file import UNREADABLE, in_ms, opened
from sources.archive.disorder import Stretch, disorders
from sources.archive.files import ArchiveFile
from sources.archive.order import OrderError, are_rising, in_order

BATCH = 2_000
"""Trades per batch: few enough to stay in the processor's cache on their way through the flow."""
BLOCK_BYTES = 4 << 20
"""Bytes of text that are parsed at once, some fifty thousand trades."""

_TYPES: dict[str, type[pl.DataType]] = {
    **dict.fromkeys((*TRADES.columns, *KLINES.columns), pl.Float64),
    **dict.fromkeys(("id", "first_id", "last_id", "time", "open_time", "close_time", "trades"), pl.Int64),
    "buyer_is_maker": pl.String,
}
_FLAGS = ("buyer_is_maker", "is_best_match")

_TRUE, _FALSE = ("true", "1"), ("false", "0")
_LINE_ENDS = b"\r\n"
BESIDE_MS = 60_000
"""How far outside the days of its file a trade may lie: the exchange cuts at a moment near midnight."""

_LONGEST_TEXT = 2_000

_log = structlog.get_logger("flows.backfill")


class ArchiveError(Exception):
    """A file cannot be used; the text names the file and the reason."""

    def __init__(self, text: str) -> None:
        super().__init__(visible(text, limit=_LONGEST_TEXT))  # it may repeat parts of the file, or of an answer


class ArchiveReader(Struct, frozen=True):
    """A file of the archive; implements `FileReader`."""

    file: ArchiveFile
    path: Path
    known_from: int = 0
    vouched: Vouched = ""

    def trades(self, begin: int, end: int) -> Iterator[list[AggregateTrade]]:
        """Its trades in `[begin, end)`, withdrawn ones included."""
        return trades_of(self.file, self.path, begin, end, withdrawn=True)

    def doubts(self) -> tuple[Stretch, ...]:
        """The times in which the trades are not in order, unless the exchange vouches for the file."""
        return () if self.vouched else disorders(_ordered(self.file, self.path), self.file.begin)

    def klines(self, begin: int, end: int) -> list[Kline]:
        """Its klines that open in `[begin, end)`."""
        return klines_of(self.file, self.path, begin, end)


def trades_of(
    file: ArchiveFile, path: Path, begin: int, end: int, *, withdrawn: bool = False
) -> Iterator[list[AggregateTrade]]:
    """The trades in `[begin, end)` of a file, ms UTC, ids rising, at most `BATCH` at a time. `ArchiveError` when it
    cannot be read, possibly after some of them.

    The exchange keeps the ids of trades that it withdrew, in rows without price and quantity. On request they are
    returned, marked as `WITHDRAWN_FILL`.
    """
    wanted = pl.col("time").is_between(begin, end, closed="left")
    if not withdrawn:
        wanted &= ~_IS_WITHDRAWN

    for block in _ordered(file, path):
        frame = block.filter(wanted)
        for start in range(0, frame.height, BATCH):
            yield _trades(file.symbol, frame[start : start + BATCH])


def _ordered(file: ArchiveFile, path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a file by their ids, each once. `ArchiveError` when it cannot be read, possibly after some."""

    def is_in_order() -> bool:
        are_in_order = are_rising(_frames(path, TRADES, only_first=True))
        if not are_in_order:
            _log.info("file_sorted_on_disk", file=path.name)
        return are_in_order

    try:
        yield from in_order(_trade_blocks(file, path), is_in_order)
    except OrderError as error:
        raise ArchiveError(f"{path} cannot be true: {error}") from error


_IS_WITHDRAWN = (pl.col("price") == 0) & (pl.col("quantity") == 0)


def _trade_blocks(file: ArchiveFile, path: Path) -> Iterator[pl.DataFrame]:
    """The rows of a file in its order, after the checks of values and days."""
    for block in _frames(path, TRADES):
        timed = block.with_columns(
            in_ms(pl.col("time")), pl.col("buyer_is_maker").is_in(_forms_of_true(block["buyer_is_maker"]))
        )
        _check_days(file, path, timed["time"])
        _check_values(path, timed)
        yield timed


def _trades(symbol: str, frame: pl.DataFrame) -> list[AggregateTrade]:
    columns = (frame[name].to_list() for name in TRADES.columns)
    trades = [
        AggregateTrade(symbol, number, time, price, quantity, is_maker, time, first_id=first_id, last_id=last_id)
        for symbol, number, price, quantity, first_id, last_id, time, is_maker in zip(
            repeat(symbol), *columns, strict=False
        )
    ]
    if not (frame["quantity"] > 0).all():
        trades = [trade if trade.quantity else _taken_back(trade) for trade in trades]
    return trades


def _taken_back(trade: AggregateTrade) -> AggregateTrade:
    """A withdrawn trade, without fills. Where its row names some, that is kept: it hides them."""
    fills = HIDDEN_FILLS if 0 <= trade.first_id <= trade.last_id else -1
    return structs.replace(trade, fill=WITHDRAWN_FILL, first_id=fills, last_id=fills)


def klines_of(file: ArchiveFile, path: Path, begin: int, end: int) -> list[Kline]:
    """The klines that open in `[begin, end)`, oldest first, all closed, without ids. `ArchiveError` when they cannot be
    read.
    """
    wanted = pl.col("open_time").is_between(begin, end, closed="left")
    blocks = []
    for block in _frames(path, KLINES):
        timed = block.with_columns(in_ms(pl.col("open_time")), in_ms(pl.col("close_time")))
        _check_days(file, path, timed["open_time"])
        blocks.append(timed.filter(wanted))
    klines = [
        Kline(
            **row,
            symbol=file.symbol,
            timeframe=file.kind,
            event_time=row["close_time"],
            first_id=-1,
            last_id=-1,
            is_closed=True,
        )
        for block in blocks
        for row in block.iter_rows(named=True)
    ]
    for kline in klines:
        if reason := fault_of(kline):
            raise ArchiveError(f"{path} cannot be true: at {kline.open_time} it has {reason}")
    return _in_order(path, klines)


def _in_order(path: Path, klines: list[Kline]) -> list[Kline]:
    """Klines in order of time, each period once. `ArchiveError` when two of a period differ."""
    by_time: dict[int, Kline] = {}
    for kline in klines:
        if by_time.setdefault(kline.open_time, kline) != kline:
            raise ArchiveError(f"{path} cannot be true: it has two klines of {kline.open_time} that differ")
    times = sorted(by_time)
    if times:
        length = timeframe_ms(klines[0].timeframe)
        missing = (times[-1] - times[0]) // length + 1 - len(times)
        if missing:
            _log.warning("klines_missing_in_file", file=path.name, periods=missing)
    return [by_time[time] for time in times]


def _check_values(path: Path, trades: pl.DataFrame) -> None:
    """`ArchiveError` for a value that no trade can have: the file is not as the exchange wrote it."""
    numbers = pl.col("price", "quantity")
    is_number = pl.all_horizontal(numbers.is_finite() & numbers.is_between(0, 1e18))
    is_trade = pl.all_horizontal(numbers > 0) & (pl.col("last_id") >= pl.col("first_id"))
    is_chain = (pl.col("last_id") - pl.col("first_id")).is_between(-1, MOST_FILLS - 1) & (pl.col("id") >= 0)
    is_possible = trades.select(is_number & is_chain & (is_trade | _IS_WITHDRAWN)).to_series()
    if not is_possible.all():
        wrong = trades.filter(~is_possible).row(0, named=True)
        raise ArchiveError(f"{path} cannot be true: it has a trade {wrong}")


def _check_days(file: ArchiveFile, path: Path, times: pl.Series) -> None:
    """`ArchiveError` for a trade of another day: the file has a wrong name. `BESIDE_MS` outside its days is allowed."""
    if not times.is_between(file.begin - BESIDE_MS, file.end + BESIDE_MS, closed="left").all():
        raise ArchiveError(f"{path} holds other days than its name says")


def _frames(path: Path, table: Table, *, only_first: bool = False) -> Iterator[pl.DataFrame]:
    """The rows of a file, block by block; or only the first column of all rows, which is faster and checks nothing."""
    columns = table.columns
    try:
        with opened(path) as file:
            first = _first_row(file)
            if not first:
                raise ArchiveError(f"{path} holds no rows")
            found = columns_of(first, table)
            schema = {name: _TYPES.get(name, pl.String) for name in found}
            wanted = [found.index(columns[0])] if only_first else None
            if is_header(first):
                first = b""
            for block in _blocks(file, first):
                frame = pl.read_csv(block, has_header=False, schema=schema, columns=wanted)
                if frame.height:
                    yield frame if only_first else _whole_rows(path, frame, columns)
    except ColumnsError as error:
        raise ArchiveError(f"{path} {error}") from error
    except pl.exceptions.PolarsError as error:  # whose text advises on its own arguments
        raise ArchiveError(f"{path} cannot be read: it has rows that are not {', '.join(columns)}") from error
    except UNREADABLE as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _first_row(file: IO[bytes]) -> bytes:
    """The first line that is not blank, without a byte order mark."""
    row = file.readline().removeprefix(BYTE_ORDER_MARK)
    while row and not row.strip():
        row = file.readline()
    return row


def _whole_rows(path: Path, frame: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """The rows without blank lines. `ArchiveError` when one of them is incomplete: a file that ends in the middle of a
    row has lost more than that row.
    """
    nulls = frame.null_count().row(0, named=True)
    if any(nulls.values()):
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
        nulls = frame.null_count().row(0, named=True)
    is_cut = any(count and (name in columns or count != frame.height) for name, count in nulls.items())
    flags = [name for name in _FLAGS if name in frame.columns]
    if is_cut or not all(_is_flag(value) for name in flags for value in frame[name].unique()):
        raise ArchiveError(f"{path} cannot be read: it has rows that are cut off")
    return frame.select(columns)


def _is_flag(value: str | None) -> bool:
    """Whether a column is true or false in any spelling, or not present."""
    return value is None or value.strip().lower() in _TRUE + _FALSE


def _forms_of_true(values: pl.Series) -> list[str]:
    """The spellings of true in a column; comparing with them avoids a rewrite of the rows."""
    return [value for value in values.unique() if value.strip().lower() in _TRUE]


def _blocks(file: IO[bytes], first: bytes) -> Iterator[bytes]:
    """Blocks of text that end at a line end."""
    block = first
    while text := file.read(BLOCK_BYTES):
        if lines := (block + text + file.readline()).lstrip(_LINE_ENDS):
            yield lines
        block = b""
    if block:
        yield block
