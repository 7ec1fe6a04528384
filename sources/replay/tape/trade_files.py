"""Reads files of trades without messages: the exchange's daily files, and rows written by a client of a stream.

- aggregates `<SYMBOL>-aggTrades-<date>.zip` or `.csv`: `a,p,q,f,l,T,m[,M]`;
- trades `<SYMBOL>-trades-<date>.zip` or `.csv`: `id,price,qty,quote_qty,time,is_buyer_maker[,is_best_match]`;
- any other `.csv` with the columns of a `trade` message by name (`EventTime,TransactionTime,Symbol,TradeId,…`).

Daily files of spot have no header and count in microseconds since 2025; those of futures have one, whose names decide
which column is which.
"""

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import polars as pl

from flows.model import DAY_MS
from flows.names import is_symbol
from sources.archive.columns import BYTE_ORDER_MARK, FILLS, TRADES, ColumnsError, Table, columns_of, is_header
from sources.archive.csv_file import UNREADABLE, in_ms, opened

_DAILY = re.compile(r"(?P<symbol>.{1,64})-(?P<kind>aggTrades|trades)-(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})\.(zip|csv)")


class TradeFile(NamedTuple):
    """The rows of a file, prices and quantities as printed."""

    symbol: str
    aggregated: bool
    rows: pl.DataFrame
    """Columns `id first_id last_id time event_time price quantity maker`."""
    end_ms: int | None
    """Until when it is complete, if known: a daily file to the end of its day."""


def is_trade_file(path: Path) -> bool:
    """Whether a file, by its name, may hold trades."""
    return path.suffix == ".csv" or _daily(path) is not None


def read_trades(path: Path) -> list[TradeFile]:
    """The trades of a file, by symbol; none for a `.csv` of another kind."""
    match = _daily(path)
    if match is None:
        return _named_columns(path)
    aggregated = match["kind"] == "aggTrades"
    fills = ("first_id", "last_id") if aggregated else ("id", "id")
    texts = _daily_rows(path, TRADES if aggregated else FILLS)
    rows = _rows(texts, "id", *fills, "time", "time", "price", "quantity", "buyer_is_maker")
    day = datetime.fromisoformat(match["date"]).replace(tzinfo=UTC)
    return [TradeFile(match["symbol"], aggregated, rows, int(day.timestamp() * 1_000) + DAY_MS)]


def _daily(path: Path) -> re.Match[str] | None:
    """The fields in the name of a daily file."""
    match = _DAILY.fullmatch(path.name)
    return match if match and is_symbol(match["symbol"]) else None


def _named_columns(path: Path) -> list[TradeFile]:
    texts = pl.read_csv(path, infer_schema=False)
    if not {"TradeId", "TransactionTime", "Symbol", "IsBuyerMarketMaker"} <= set(texts.columns):
        return []
    names = ("TradeId", "TradeId", "TradeId", "TransactionTime", "EventTime", "Price", "Quantity", "IsBuyerMarketMaker")
    return [
        TradeFile(symbol, aggregated=False, rows=_rows(texts.filter(pl.col("Symbol") == symbol), *names), end_ms=None)
        for symbol in texts["Symbol"].unique(maintain_order=True)
    ]


def _daily_rows(path: Path, table: Table) -> pl.DataFrame:
    """The rows as texts, by the table's names of their columns. `ValueError` when they are not those of the table."""
    try:
        with opened(path) as file:
            content = file.read()
    except UNREADABLE as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    first, _, rest = content.removeprefix(BYTE_ORDER_MARK).partition(b"\n")
    try:
        columns = columns_of(first, table)
    except ColumnsError as error:
        raise ValueError(f"{path} {error}") from error
    rows = rest if is_header(first) else first + b"\n" + rest
    if not rows.strip():
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    return pl.read_csv(io.BytesIO(rows), has_header=False, new_columns=columns, infer_schema=False)


def _rows(
    texts: pl.DataFrame,
    trade_id: str,
    first: str,
    last: str,
    time: str,
    event_time: str,
    price: str,
    quantity: str,
    maker: str,
) -> pl.DataFrame:
    return texts.select(
        pl.col(trade_id).cast(pl.Int64).alias("id"),
        pl.col(first).cast(pl.Int64).alias("first_id"),
        pl.col(last).cast(pl.Int64).alias("last_id"),
        in_ms(pl.col(time).cast(pl.Int64)).alias("time"),
        in_ms(pl.col(event_time).cast(pl.Int64)).alias("event_time"),
        pl.col(price).alias("price"),
        pl.col(quantity).alias("quantity"),
        pl.col(maker).str.to_lowercase().is_in(["true", "1"]).alias("maker"),
    ).sort("id")
