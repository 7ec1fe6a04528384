"""One symbol of a tape: its recorded messages with their due times, and its trades as frames."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Annotated

import msgspec
import polars as pl
from msgspec import Meta, Struct

from flows.bounds import LATEST_MS, MICROSECONDS_FROM
from sources.archive.csv_file import in_ms
from sources.frames import UNREADABLE, reason_of
from sources.replay.market.aggregate import AGGREGATE, TRADE, aggregates_of, trades_of
from sources.replay.market.book import DepthSnapshot, DepthUpdate, decode_snapshot, decode_update
from sources.replay.market.decimals import Decimals, decimals_of, printed_decimals, scaled, significant_decimals
from sources.replay.market.market import MarketKind
from sources.replay.tape.left_out import LeftOut, are_displaced, check_levels, check_trade
from sources.replay.tape.recordings import SNAPSHOT, Line
from sources.replay.tape.trade_files import TradeFile

_MARKET_FILL = "MARKET"
_DIFF_DEPTH = re.compile(r"depth(@\d+ms)?")


_Id = Annotated[int, Meta(ge=0, le=1 << 62)]
_Time = Annotated[int, Meta(ge=0, lt=LATEST_MS * 1_000)]


class _Stamps(Struct, gc=False):
    """The times of any payload; bookTicker of spot has none."""

    E: _Time = 0
    T: _Time = 0


class _Timed(Struct, gc=False):
    """The times of a payload that has both."""

    E: _Time
    T: _Time


class _Priced(_Timed, gc=False):
    """What a `trade` and an `aggTrade` payload share."""

    p: str
    q: str
    m: bool

    @property
    def trade_id(self) -> int:
        """The id of the trade, or of the aggregate."""
        raise NotImplementedError


class _Fill(_Priced, gc=False):
    """A `trade` payload."""

    t: _Id
    X: str = _MARKET_FILL

    @property
    def trade_id(self) -> int:
        return self.t


class _Aggregate(_Priced, gc=False):
    """An `aggTrade` payload."""

    a: _Id
    f: _Id
    l: _Id  # noqa: E741  # the exchange's name

    @property
    def trade_id(self) -> int:
        return self.a


_decode_stamps = msgspec.json.Decoder(_Stamps).decode
_decode_fill = msgspec.json.Decoder(_Fill).decode
_decode_aggregate = msgspec.json.Decoder(_Aggregate).decode
_TRADES: dict[str, Callable[[bytes], _Priced]] = {"trade": _decode_fill, "aggTrade": _decode_aggregate}


@dataclass(eq=False)
class Channel:
    """The recorded messages of one stream; `due` and `place` as in `aggregate.py`."""

    payloads: Sequence[bytes]
    due: pl.Series
    place: pl.Series


@dataclass(eq=False)
class SymbolTape:
    """One symbol of a tape. It has both trades and aggregates; what is missing in the files is derived."""

    symbol: str
    decimals: Decimals
    trades: pl.DataFrame
    aggregates: pl.DataFrame
    is_market: pl.Series
    """For each trade, whether it is a market fill: others are played and never counted."""
    from_trades: bool
    """Klines count the trades; else the aggregates, of which the trades were derived."""
    channels: dict[str, Channel] = field(default_factory=dict)
    """By what follows the symbol in the stream's name."""
    snapshots: list[tuple[int, DepthSnapshot]] = field(default_factory=list)
    """Book snapshots with their place."""
    end_ms: int | None = None

    @property
    def depth_channel(self) -> str | None:
        """The channel of book diffs, if there is one."""
        return next((name for name in self.channels if _DIFF_DEPTH.fullmatch(name)), None)


def tape_of_lines(kind: MarketKind, symbol: str, lines: Sequence[tuple[int, Line]]) -> SymbolTape:
    """Builds a symbol's tape from its lines and their places in the order of the files. Messages that are not what
    their stream has, or of another time, are left out, and a warning says how many.
    """
    lines, stamps = _playable(symbol, lines)
    due = _due_times(lines, stamps)
    channels: dict[str, Channel] = {}
    names = pl.Series([line.stream.partition("@")[2] for _, line in lines], dtype=pl.String)
    places = pl.Series([place for place, _ in lines], dtype=pl.Int64)
    for name in names.unique(maintain_order=True):
        rows = (names == name).arg_true()
        payloads = [lines[row][1].data for row in rows]
        channels[name] = Channel(payloads, due.gather(rows), places.gather(rows))
    taken = channels.pop(SNAPSHOT, None)
    snapshots = (
        [(int(p), decode_snapshot(data)) for p, data in zip(taken.place, taken.payloads, strict=True)] if taken else []
    )
    fills = _texts(channels.get("trade"), _decode_fill, ("t", "E", "T", "p", "q", "m", "X"))
    aggregates = _texts(channels.get("aggTrade"), _decode_aggregate, ("a", "f", "l", "E", "T", "p", "q", "m"))
    levels = [level for _, snapshot in snapshots[:1] for level in snapshot.bids + snapshot.asks]
    decimals = _decimals(
        kind,
        [fills["p"], aggregates["p"], pl.Series([price for price, _ in levels], dtype=pl.String)],
        [fills["q"], aggregates["q"], pl.Series([quantity for _, quantity in levels], dtype=pl.String)],
    )
    trade_rows = _numbers(fills.rename({"t": "id"}), decimals).select(*TRADE, "X")
    aggregate_rows = _numbers(aggregates.rename({"a": "id", "f": "first_id", "l": "last_id"}), decimals).select(
        *AGGREGATE
    )
    tape = _completed(symbol, decimals, trade_rows.select(*TRADE), aggregate_rows, trade_rows["X"] == _MARKET_FILL)
    tape.channels, tape.snapshots = channels, snapshots
    return tape


def tape_of_files(kind: MarketKind, symbol: str, files: Sequence[TradeFile]) -> SymbolTape:
    """Builds a symbol's tape from files of trades, which must all be aggregated or all not (`ValueError`)."""
    if len({file.aggregated for file in files}) != 1:
        raise ValueError(f"{symbol}: its files hold aggregates and single trades; play one kind of them")
    texts = pl.concat([file.rows for file in files]).unique("id", maintain_order=True).sort("id")
    decimals = _decimals(kind, [texts["price"]], [texts["quantity"]])
    rows = texts.with_columns(
        scaled(pl.col("price"), decimals.price),
        scaled(pl.col("quantity"), decimals.quantity),
        pl.col("event_time").cum_max().alias("due"),
        pl.int_range(pl.len(), dtype=pl.Int64).alias("place"),
    )
    aggregated = files[0].aggregated
    trades = pl.DataFrame(schema=TRADE) if aggregated else rows.select(*TRADE)
    aggregates = rows.select(*AGGREGATE) if aggregated else pl.DataFrame(schema=AGGREGATE)
    tape = _completed(symbol, decimals, trades, aggregates, pl.Series([True]).new_from_index(0, trades.height))
    tape.end_ms = max((file.end_ms for file in files if file.end_ms is not None), default=None)
    return tape


def tape_of_trades(
    symbol: str,
    decimals: Decimals,
    trades: pl.DataFrame,
    channels: dict[str, Channel],
    snapshots: list[tuple[int, DepthSnapshot]],
) -> SymbolTape:
    """Builds a symbol's tape from its single trades and its book."""
    every = pl.Series([True]).new_from_index(0, trades.height)
    tape = _completed(symbol, decimals, trades, pl.DataFrame(schema=AGGREGATE), every)
    tape.channels, tape.snapshots = channels, snapshots
    return tape


def _completed(
    symbol: str, decimals: Decimals, trades: pl.DataFrame, aggregates: pl.DataFrame, is_market: pl.Series
) -> SymbolTape:
    from_trades = not trades.is_empty() or aggregates.is_empty()
    if not from_trades:
        trades = trades_of(aggregates)
        is_market = pl.Series([True]).new_from_index(0, trades.height)
    elif aggregates.is_empty():
        aggregates = aggregates_of(trades.filter(is_market))
    return SymbolTape(symbol, decimals, trades, aggregates, is_market, from_trades)


def _playable(symbol: str, lines: Sequence[tuple[int, Line]]) -> tuple[list[tuple[int, Line]], list[_Stamps]]:
    """The lines that can be played, and the times of each."""
    left_out = LeftOut()
    found: list[tuple[int, Line]] = []
    stamps: list[_Stamps] = []
    for place, line in lines:
        try:
            stamp = _stamps_of(line)
        except UNREADABLE as error:
            left_out.add(f"{line.stream}, received at {line.received_ns}: {reason_of(error)}")
        else:
            found.append((place, line))
            stamps.append(stamp)
    received = [line.received_ns // 1_000_000 for _, line in found]
    displaced = [
        are_displaced(received, [_ms(getattr(stamp, name)) for stamp in stamps]) for name in _Stamps.__struct_fields__
    ]
    is_played = [not any(each) for each in zip(*displaced, strict=True)]
    traded: set[tuple[str, int]] = set()
    for row, (_, line) in enumerate(found):
        if not is_played[row]:
            left_out.add(f"{line.stream}, received at {line.received_ns}: its time is far from all others")
        elif decode := _TRADES.get(line.stream.partition("@")[2]):
            trade = line.stream, decode(line.data).trade_id
            is_played[row] = trade not in traded
            traded.add(trade)
            if not is_played[row]:  # as where two connections were recorded: REST and klines have it once
                left_out.add(f"{line.stream}, received at {line.received_ns}: its trade was there before")
    left_out.report(symbol=symbol)
    return list(compress(found, is_played)), list(compress(stamps, is_played))


def _ms(time: int) -> int | None:
    return (time // 1_000 if time >= MICROSECONDS_FROM else time) or None


def _stamps_of(line: Line) -> _Stamps:
    """The times of a message; an error where it is not what its stream has."""
    name, data = line.stream.partition("@")[2], line.data
    if name in _TRADES:
        trade = _TRADES[name](data)
        check_trade(trade.p, trade.q)
    elif name == SNAPSHOT:
        _check_book(decode_snapshot(data))
    elif _DIFF_DEPTH.fullmatch(name):
        _check_book(decode_update(data))
    return _decode_stamps(data)


def _check_book(book: DepthSnapshot | DepthUpdate) -> None:
    check_levels(book.bids)
    check_levels(book.asks)


def _due_times(lines: Sequence[tuple[int, Line]], stamps: Sequence[_Stamps]) -> pl.Series:
    """When each message is sent: at its own time; one without a time keeps its distance to the one before."""
    frame = pl.DataFrame(
        {
            "received": [line.received_ns // 1_000_000 for _, line in lines],
            "stamp": [stamp.E or stamp.T or None for stamp in stamps],
        },
        schema={"received": pl.Int64, "stamp": pl.Int64},
    )
    known = in_ms(pl.col("stamp")).cum_max()
    offset = (pl.col("known") - pl.col("received")).forward_fill().backward_fill().fill_null(0)
    estimate = (pl.col("received") + offset).clip(pl.col("known").forward_fill(), pl.col("known").backward_fill())
    due = pl.coalesce(pl.col("known"), estimate).cum_max()
    return frame.with_columns(known.alias("known")).select(due.alias("due")).to_series()


def _texts(channel: Channel | None, decode: object, names: Iterable[str]) -> pl.DataFrame:
    """Fields of the recorded payloads of a channel as columns, prices still as printed."""
    kinds = {"p": pl.String, "q": pl.String, "X": pl.String, "m": pl.Boolean}
    schema = {name: kinds.get(name, pl.Int64) for name in names}
    if channel is None:
        return pl.DataFrame(schema=schema | {"due": pl.Int64, "place": pl.Int64})
    rows = [decode(payload) for payload in channel.payloads]  # type: ignore[operator]
    columns = {name: pl.Series([getattr(row, name) for row in rows], dtype=schema[name]) for name in schema}
    return pl.DataFrame(columns).with_columns(channel.due.alias("due"), channel.place.alias("place"))


def _numbers(texts: pl.DataFrame, decimals: Decimals) -> pl.DataFrame:
    return texts.with_columns(
        in_ms(pl.col("T")).alias("time"),
        in_ms(pl.col("E")).alias("event_time"),
        scaled(pl.col("p"), decimals.price).alias("price"),
        scaled(pl.col("q"), decimals.quantity).alias("quantity"),
        pl.col("m").alias("maker"),
    )


def _decimals(kind: MarketKind, prices: Sequence[pl.Series], quantities: Sequence[pl.Series]) -> Decimals:
    return decimals_of(
        kind,
        price=max(map(significant_decimals, prices)),
        quantity=max(map(significant_decimals, quantities)),
        printed=(max(map(printed_decimals, prices)), max(map(printed_decimals, quantities))),
    )
