"""Stored candles, trades, statistics, incidents and values of derivatives as polars frames, also while the flow writes.

    with open_frames(load_settings()) as frames:  # of `flows.dataframes`
        frames.candles("BTCUSDT", "1h", start=datetime(2025, 1, 1, tzinfo=UTC))

Spans are `[start, end)`, each bound a time in ms UTC or an aware `datetime`, unbounded where it is left out. Every
frame has its times as the exchange gave them, Int64 in ms UTC, and as its last column `timestamp`, the first of them as
UTC datetime in milliseconds. Prices and values made of them are in the quote currency, volumes and quantities in the
base currency unless they are called `quote_volume`; both Float64. A field that is not stored is null.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeAlias, get_args

import polars as pl
from bson import CodecOptions, decode_all
from bson.codec_options import DEFAULT_CODEC_OPTIONS
from msgspec import Struct
from msgspec.structs import fields
from polars.io.plugins import register_io_source
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import PyMongoError

from flows.foreign import visible
from flows.model import AggregateTrade, Candle, Funding, Incident, Liquidation, MarkPrice, OpenInterest, Stats24h
from flows.model.instrument import is_timeframe
from flows.texts import database_reason
from sinks.bars.frame import bar_frame
from sinks.bars.rule import BarRule
from sinks.bars.span import SpanBars
from sinks.document_rows import frame_of
from sinks.lake.candles import LakeCandles
from sinks.lake.place import Lake
from sinks.lake.trades import older_trades
from sinks.mongo.analyses import MARKET_ANALYSIS
from sinks.mongo.derivatives import FUNDING_RATES, LIQUIDATIONS, MARK_PRICES, OPEN_INTEREST
from sinks.mongo.documents import (
    CANDLE_VALUES,
    INCIDENTS,
    MARKET_DATA,
    MARKET_STATS,
)
from sinks.mongo.writer import MongoAddress, open_client
from sinks.trades.codec import COLUMNS, END_MS
from sinks.trades.reader import FRAME_ROWS, TradeReader, TradeView

Moment: TypeAlias = int | datetime
TIMESTAMP: Final = pl.Datetime("ms", "UTC")

_START: Final = (
    "start the deployment with marketflow run, or its database alone with python -m sinks.mongod, or set mongo.uri to "
    "the address of the one that you mean"
)
_LONGEST_REASON: Final = 200

_COLUMN_TYPES: Final[Mapping[Any, type[pl.DataType]]] = {
    int: pl.Int64, float: pl.Float64, Decimal: pl.Float64, bool: pl.Boolean,
}  # fmt: skip


def columns(model: type[Struct], names: Iterable[str]) -> Mapping[str, pl.DataType]:
    """Columns for these fields of the model, with their types there; every other type is text."""
    types = {field.name: field.type for field in fields(model)}
    return {name: _COLUMN_TYPES.get(_plain(types[name]), pl.String)() for name in names}


def _plain(kind: Any) -> Any:
    """The type of a field that may be null, without that."""
    return next((part for part in get_args(kind) if part in _COLUMN_TYPES), kind)


CANDLE_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "open_time": pl.Int64(),
    "close_time": pl.Int64(),
    **columns(Candle, CANDLE_VALUES),
}
TRADE_SCHEMA: Final = columns(AggregateTrade, COLUMNS)
STATS_SCHEMA: Final = columns(
    Stats24h, ("time", *(name for name in Stats24h.__struct_fields__ if name not in ("venue", "symbol", "time")))
)
READING_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "timeframe": pl.String(),
    "candles": pl.Int64(),
    "weight": pl.Float64(),
    "score": pl.Float64(),
    "trend": pl.Float64(),
    "momentum": pl.Float64(),
    "volume": pl.Float64(),
    "volatility": pl.Float64(),
}
ANALYSIS_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "minute": pl.Int64(),
    "time": pl.Int64(),
    "price": pl.Float64(),
    "signal": pl.String(),
    "score": pl.Float64(),
    "confidence": pl.Float64(),
    "agreement": pl.Float64(),
    "data": pl.Float64(),
    "calm": pl.Float64(),
    "timeframes": pl.List(pl.Struct(READING_SCHEMA)),
    "reasons": pl.List(pl.String()),
}
MARK_SCHEMA: Final = columns(
    MarkPrice, ("event_time", "mark_price", "index_price", "settle_price", "funding_rate", "next_funding_time")
)
FUNDING_SCHEMA: Final = columns(Funding, ("time", "rate", "mark_price"))
INTEREST_SCHEMA: Final = columns(OpenInterest, ("time", "quantity", "value"))
LIQUIDATION_SCHEMA: Final = columns(
    Liquidation, ("time", "side", "price", "average_price", "quantity", "filled", "event_time")
)
INCIDENT_SCHEMA: Final = columns(
    Incident, ("begin", "end", "kind", "symbol", "cause", "outcome", "first_id", "last_id")
)


class DatabaseAwayError(ConnectionError):
    """The database does not answer; one line, with what to do."""


@contextmanager
def _answered() -> Iterator[None]:
    """`DatabaseAwayError` for what the driver raises inside."""
    try:
        yield
    except PyMongoError as error:
        reason = visible(database_reason(error), limit=_LONGEST_REASON)
        raise DatabaseAwayError(f"the database does not answer ({reason}): {_START}") from error


class Frames:
    """Reads the stores of a venue. `trades` is the directory of the trade stores of all venues.

    Without stored data the frame is empty. `DatabaseAwayError` when the database does not answer, `FileNotFoundError`
    without a trade store, `TradeStoreError` when that cannot be read. One record of trades that cannot be read is a
    `TradeStoreError` too, one document a `DocumentError`: no frame leaves anything out. Close it, or use it as a
    context manager.
    """

    def __init__(self, mongo: MongoAddress, trades: Path, *, venue: str, lake: Lake | Path | str | None = None) -> None:
        """Candles and trades that the stores have no more are read from the `lake`: a `LakeError` where it cannot be,
        or of trades a `TradeStoreError`. `MongoAddressError` for an invalid address.
        """
        self.venue = venue
        self._client = open_client(mongo)
        self._database = self._client[mongo.database]
        self.trades_path = trades
        self._reader: TradeReader | None = None
        self._lake = lake if isinstance(lake, Lake) or lake is None else Lake(lake)
        self._old_candles = LakeCandles(self._lake, venue)

    def close(self) -> None:
        """Closes the stores."""
        self._client.close()
        if self._reader:
            self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def candles(self, symbol: str, timeframe: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """The candles that open in the span, oldest first, the forming one included.

        `open_time`, `close_time` (its last millisecond); `open high low close`; `volume`, `quote_volume`, and what
        takers bought of them, `taker_buy_volume` and `taker_buy_quote_volume`; `trades` (Int64), `first_id`, `last_id`
        of those; `is_closed`; `status` (`forming final repaired venue partial unproven`), `revision` (Int64, how often
        it was amended) and `proof` (how it compared with the exchange's own, empty while it was not).
        """
        parts = list(self.iterate_candles(symbol, timeframe, start, end))
        return pl.concat(parts) if parts else _stamped(pl.DataFrame(schema=CANDLE_SCHEMA), "open_time")

    def iterate_candles(
        self, symbol: str, timeframe: str, start: Moment = 0, end: Moment = END_MS, *, rows: int = 0
    ) -> Iterator[pl.DataFrame]:
        """The same in frames of at most `rows` rows, or of a day of the lake; 0: as the database delivers them."""
        of = {"venue": self.venue, "symbol": symbol, "timeframe": timeframe}
        found = self.iterate_documents(MARKET_DATA, of, "open_time", start, end, CANDLE_SCHEMA, rows=rows)
        stored = (frame.drop("timestamp") for frame in found)
        whole = self._old_candles.filled(stored, symbol, timeframe, _ms(start), _ms(end))
        return (_stamped(frame, "open_time") for frame in whole)

    def last_candle(self, symbol: str, timeframe: str) -> int | None:
        """When the newest candle opened, ms UTC; None without any."""
        with _answered():
            of = {"venue": self.venue, "symbol": symbol, "timeframe": timeframe}
            found = self._database[MARKET_DATA].find_one(of, {"open_time": 1}, sort=[("open_time", DESCENDING)])
        return found["open_time"] if found else None

    def stats(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """The 24-hour statistics of the span, the newest of each minute, oldest first.

        `time` (of what made them), `open_time` (begin of their first minute); `open high low last`; `volume`,
        `quote_volume`; `change`, `change_percent` (3.5 is 3.5 %), `weighted_average`; `trades` (Int64); `complete`:
        whether nothing of the 24 hours is missing.
        """
        return self._documents(MARKET_STATS, {"venue": self.venue, "symbol": symbol}, "time", start, end, STATS_SCHEMA)

    def analysis(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Results of the analysis in the span, one a minute, oldest first: those that the API stored
        (`analysis.store`).

        `minute`, `time` (when it was made); `price`; `signal`; `score` from -1 to 1; `confidence`, of which
        `agreement`, `data` and `calm` are the factors, from 0 to 1 each; `timeframes`, a list of structs with the
        columns of `READING_SCHEMA`; `reasons`, a list of texts. For one row a timeframe:

            frame.explode("timeframes").select("timestamp", pl.col("timeframes").struct.unnest())
        """
        of = {"venue": self.venue, "symbol": symbol}
        return self._documents(MARKET_ANALYSIS, of, "minute", start, end, ANALYSIS_SCHEMA)

    def mark_prices(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Mark prices of a derivative in the span, one a minute, oldest first.

        `event_time`; `mark_price`, `index_price`, `settle_price` (0.0 where the exchange reports none);
        `funding_rate` (a share, 0.0001 is 0.01 %; null without funding) that would be settled at `next_funding_time`.
        """
        of = {"venue": self.venue, "symbol": symbol}
        return self._documents(MARK_PRICES, of, "event_time", start, end, MARK_SCHEMA)

    def funding(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Settled funding of a derivative in the span, oldest first: `time`, `rate` (a share; a positive one was paid
        by longs to shorts), `mark_price` (null where the exchange reports none).
        """
        of = {"venue": self.venue, "symbol": symbol}
        return self._documents(FUNDING_RATES, of, "time", start, end, FUNDING_SCHEMA)

    def open_interest(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Open interest of a derivative in the span, oldest first: `time`, `quantity`, and its `value` in the quote
        currency, null where it was polled.
        """
        of = {"venue": self.venue, "symbol": symbol}
        return self._documents(OPEN_INTEREST, of, "time", start, end, INTEREST_SCHEMA)

    def liquidations(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Liquidations of a derivative in the span, oldest first: `time`, `side` of the order (`SELL` ended a long
        position), `price` (its limit), `average_price`, `quantity`, `filled`, `event_time` (of the report).
        """
        of = {"venue": self.venue, "symbol": symbol}
        return self._documents(LIQUIDATIONS, of, "time", start, end, LIQUIDATION_SCHEMA)

    def incidents(self, symbol: str | None = None, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Incidents that began in the span, oldest first: those of a symbol and of the whole venue (whose `symbol` is
        empty), or all.

        `begin`, `end`; `kind` (`gap`, `mismatch`, …), `symbol`, `cause` and `outcome` as text; `first_id`, `last_id`
        (Int64) of the trades that it concerns, -1 for none.
        """
        of = {"venue": self.venue} | ({} if symbol is None else {"symbol": {"$in": [symbol, ""]}})
        return self._documents(INCIDENTS, of, "begin", start, end, INCIDENT_SCHEMA)

    def trades(
        self, symbol: str, start: Moment = 0, end: Moment = END_MS, *, columns: Sequence[str] = COLUMNS
    ) -> pl.DataFrame:
        """The trades of the span in the order of their ids, fills that are not of the market left out.

        `id`, `first_id` and `last_id` of what an aggregate covers (the same where it is none), `time`, `price`,
        `quantity`, `buyer_is_maker` (Boolean: the taker sold). Name the columns that are needed: all of them take 60
        bytes of memory a trade.
        """
        read = _with_time(columns)
        return _stamped(self.trade_view().trades(symbol, _ms(start), _ms(end), columns=read), "time")

    def iterate_trades(
        self,
        symbol: str,
        start: Moment = 0,
        end: Moment = END_MS,
        *,
        rows: int = FRAME_ROWS,
        columns: Sequence[str] = COLUMNS,
    ) -> Iterator[pl.DataFrame]:
        """The same in frames of about `rows` rows, for spans larger than memory."""
        read = _with_time(columns)
        for frame in self.trade_view().iterate(symbol, _ms(start), _ms(end), rows=rows, columns=read):
            yield _stamped(frame, "time")

    def bars(self, symbol: str, rule: BarRule, start: Moment = 0, end: Moment = END_MS) -> pl.DataFrame:
        """Bars of the trades of the span, oldest first: of time, by number of trades, by volume or by value
        (`rule_of("dollar", "1000000")` of `sinks.bars.rule`). They have the columns of candles but `status`, `revision`
        and `proof`.
        """
        parts = list(self.iterate_bars(symbol, rule, start, end))
        return pl.concat(parts) if parts else _stamped(bar_frame([]), "open_time")

    def iterate_bars(
        self, symbol: str, rule: BarRule, start: Moment = 0, end: Moment = END_MS
    ) -> Iterator[pl.DataFrame]:
        """The same in frames, for spans larger than memory."""
        for rows in filter(None, SpanBars(self.trade_view(), symbol, rule, _ms(start), _ms(end))):
            yield _stamped(bar_frame(rows), "open_time")

    def scan_trades(self, symbol: str, start: Moment = 0, end: Moment = END_MS) -> pl.LazyFrame:
        """The same as a query that polars runs part by part: it reads only the columns that are used, and stops when it
        has enough rows.

            frames.scan_trades("BTCUSDT").group_by("buyer_is_maker").agg(pl.col("quantity").sum()).collect()
        """
        source = partial(self._scanned, symbol, _ms(start), _ms(end))
        return register_io_source(source, schema={**TRADE_SCHEMA, "timestamp": TIMESTAMP})

    def _scanned(
        self,
        symbol: str,
        start_ms: int,
        end_ms: int,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """The callback of a polars IO source."""
        wanted = [*TRADE_SCHEMA, "timestamp"] if with_columns is None else with_columns
        left = END_MS if n_rows is None else n_rows
        stored = [name for name in wanted if name != "timestamp"]
        for frame in self.iterate_trades(symbol, start_ms, end_ms, rows=batch_size or FRAME_ROWS, columns=stored):
            rows = frame.select(wanted).head(left)
            left -= rows.height
            yield rows if predicate is None else rows.filter(predicate)
            if not left:
                return

    def candle_symbols(self) -> list[str]:
        """The symbols with stored candles."""
        with _answered():
            found = self._database[MARKET_DATA].distinct("symbol", {"venue": self.venue})
        return sorted({*self._old_candles.symbols(), *(symbol for symbol in found if isinstance(symbol, str))})

    def timeframes(self, symbol: str) -> list[str]:
        """The timeframes with stored candles of a symbol."""
        with _answered():
            found = self._database[MARKET_DATA].distinct("timeframe", {"venue": self.venue, "symbol": symbol})
        return sorted({*self._old_candles.timeframes(symbol), *(name for name in found if is_timeframe(name))})

    def trade_view(self) -> TradeView:
        """The trades as they are stored now."""
        self._reader = self._reader or TradeReader(
            self.trades_path / self.venue, older=older_trades(self._lake, self.venue)
        )
        self._reader.catch_up()
        return self._reader

    def _documents(
        self,
        collection: str,
        of: Mapping[str, Any],
        time: str,
        start: Moment,
        end: Moment,
        schema: Mapping[str, pl.DataType],
    ) -> pl.DataFrame:
        parts = list(self.iterate_documents(collection, of, time, start, end, schema))
        return pl.concat(parts) if parts else _stamped(pl.DataFrame(schema=schema), time)

    def iterate_documents(
        self,
        collection: str,
        of: Mapping[str, Any],
        time: str,
        start: Moment,
        end: Moment,
        schema: Mapping[str, pl.DataType],
        *,
        rows: int = 0,
        options: CodecOptions[Any] = DEFAULT_CODEC_OPTIONS,
    ) -> Iterator[pl.DataFrame]:
        """The documents of the span in frames of at most `rows`; 0: as many as the database delivers at once. `options`
        say what values become.
        """
        span = {**of, time: {"$gte": _ms(start), "$lt": _ms(end)}}
        fields = {"_id": 0, **dict.fromkeys(schema, 1)}
        # Raw batches: a document is an object only until its batch is columns.
        batches: Any = self._database[collection].find_raw_batches(span, fields, batch_size=rows).sort(time, ASCENDING)
        with _answered():
            for batch in batches:
                yield _stamped(frame_of(decode_all(batch, options), schema, collection), time)


def _with_time(columns: Sequence[str]) -> Sequence[str]:
    return columns if "time" in columns else ["time", *columns]


def _stamped(frame: pl.DataFrame, time: str) -> pl.DataFrame:
    return frame.with_columns(timestamp=pl.col(time).cast(TIMESTAMP))


def _ms(moment: Moment) -> int:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone: write datetime(…, tzinfo=UTC)")
        return round(moment.timestamp() * 1_000)
    return moment
