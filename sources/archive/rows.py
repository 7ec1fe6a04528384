"""Reads the files of the archive: CSV, zipped or not, with a header row or without, in milliseconds or microseconds."""

import zipfile
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import polars as pl

from flows.model import AggregateTrade, Kline
from sources.archive.names import ArchiveFile

BATCH = 2_000
"""Trades handed on at once: few enough to stay in the processor's cache on their way through the flow."""
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


class ArchiveError(Exception):
    """A file cannot be used; the text says which, and why."""


def trades_of(file: ArchiveFile, path: Path) -> Iterator[list[AggregateTrade]]:
    """The trades of a file in the order of their ids, `BATCH` at a time. `ArchiveError` when it cannot be read."""
    frame = _read(path, _TRADE_COLUMNS).sort("id", maintain_order=True)
    frame = frame.with_columns(
        _in_ms("time"), (pl.col("buyer_is_maker").str.to_lowercase() == "true").alias("buyer_is_maker")
    )
    symbol = file.symbol
    for start in range(0, frame.height, BATCH):
        columns = (frame[name][start : start + BATCH].to_list() for name in _TRADE_COLUMNS)
        yield [
            AggregateTrade(name, number, time, price, quantity, is_maker, time, first_id=first_id, last_id=last_id)
            for name, number, price, quantity, first_id, last_id, time, is_maker in zip(
                repeat(symbol), *columns, strict=False
            )
        ]


def klines_of(file: ArchiveFile, path: Path) -> list[Kline]:
    """The klines of a file, oldest first, all closed, without ids. `ArchiveError` when it cannot be read."""
    frame = _read(path, _KLINE_COLUMNS).sort("open_time").with_columns(_in_ms("open_time"), _in_ms("close_time"))
    return [
        Kline(
            symbol=file.symbol, timeframe=file.kind, event_time=row["close_time"], open_time=row["open_time"],
            open=row["open"], high=row["high"], low=row["low"], close=row["close"], volume=row["volume"],
            quote_volume=row["quote_volume"], trades=row["trades"], taker_buy_volume=row["taker_buy_volume"],
            taker_buy_quote_volume=row["taker_buy_quote_volume"], first_id=-1, last_id=-1, is_closed=True,
        )
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    try:
        text = _text(path)
        has_header = not text[:1].isdigit()
        extra = text[: text.find(b"\n")].count(b",") + 1 - len(columns)
        if extra < 0:
            raise ArchiveError(f"{path} holds no table of {', '.join(columns)}")
        names = [*columns, *(f"unused_{number}" for number in range(extra))]
        schema = {name: _TYPES.get(name, pl.Float64) if name in columns else pl.String for name in names}
        return pl.read_csv(text, has_header=False, skip_rows=int(has_header), schema=schema).select(columns)
    except (OSError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _text(path: Path) -> bytes:
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise ArchiveError(f"{path} holds {len(names)} CSV files, and should hold one")
        return archive.read(names[0])


def _in_ms(name: str) -> pl.Expr:
    column = pl.col(name)
    return pl.when(column >= MICROSECONDS_FROM).then(column // 1_000).otherwise(column).alias(name)
