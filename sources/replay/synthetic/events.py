"""The events of a segment of a synthetic market, collected as numbers and encoded when they are needed."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from sources.replay.market.aggregate import TRADE, aggregates_of
from sources.replay.market.book import DepthSnapshot
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.klines import RunningTotals
from sources.replay.market.played import PlayedTrades
from sources.replay.market.streams.books import streams_at_once
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment, Written
from sources.replay.synthetic.book_maker import Diff, Ladder, Top


class _Change(NamedTuple):
    """The changes of a slot, lean: many of them are kept."""

    due_ms: int
    place: int
    first_id: int
    last_id: int
    previous_id: int
    bids: int
    """How many of the levels are bids; they come first."""
    levels: "array[int]"
    """Tick and lots of each."""


class EventLog:
    """Collects the events of a segment. Each has a place of its own, so that the order is kept."""

    def __init__(self, encoder: PayloadEncoder, ladder: Ladder, *, book_ms: int = 0) -> None:
        """`book_ms` is when the book last changed."""
        self._encoder = encoder
        self._snapshot = _FirstSnapshot(encoder, ladder, book_ms)
        self._place = 0
        self._trades = array("q")  # six numbers of each
        self._tops = array("q")  # seven of each
        self._top: Top | None = None
        self._diffs: list[_Change] = []
        self.fills = 0
        """Trades of the order that is being filled."""

    def add_trade(self, trade_id: int, time_ms: int, price: int, lots: int, *, maker: bool) -> None:
        """A fill."""
        self._place += 2
        self.fills += 1
        self._trades.extend((trade_id, time_ms, self._place, price, lots, maker))

    def add_top(self, time_ms: int, top: Top) -> None:
        """The top of the book, if it has changed."""
        if self._top is None or self._top[1:] != top[1:]:
            self._place += 2
            self._top = top
            self._tops.extend((time_ms, self._place, *top))

    def add_diff(self, time_ms: int, diff: Diff) -> None:
        """The changes of a slot."""
        self._place += 2
        flat = array("q", [number for level in (*diff.bids, *diff.asks) for number in level])
        self._diffs.append(
            _Change(time_ms, self._place, diff.first_id, diff.last_id, diff.previous_id, len(diff.bids), flat)
        )

    def segment(self, first_aggregate_id: int) -> SymbolSegment:
        """The segment. Aggregates are derived, so they agree with the trades; none spans two segments, as their times
        differ.
        """
        encoder, name = self._encoder, self._encoder.symbol.lower()
        trades = self._trade_rows()
        aggregates = aggregates_of(trades, first_aggregate_id)
        trade_channel = ChannelTimeline(
            [f"{name}@trade"], Written(trades, encoder.trades), due=trades["due"], place=trades["place"]
        )
        return SymbolSegment(
            symbol=encoder.symbol,
            trades=trades,
            aggregates=aggregates,
            trade_channel=trade_channel,
            aggregate_channel=ChannelTimeline(
                [f"{name}@aggTrade"],
                Written(aggregates, encoder.aggregates),
                due=aggregates["due"],
                place=aggregates["place"] + 1,
            ),
            totals=RunningTotals(trades),
            totals_channel=trade_channel,
            keep=PlayedTrades,
            depth_channel=self._depth_channel(),
            snapshots=self._snapshot,
            begins_at_update=self._snapshot.last_id,
            quote_channel=self._quote_channel(name),
        )

    def _trade_rows(self) -> pl.DataFrame:
        columns = _columns(self._trades, _TRADE_NUMBERS)
        time = columns["time"]
        return pl.DataFrame(
            {
                "id": columns["id"],
                **dict.fromkeys(("time", "event_time", "due"), time),
                **{name: columns[name] for name in ("place", "price", "quantity")},
                "maker": columns["maker"].cast(pl.Boolean),
            },
            schema=TRADE,
        )

    def _quote_channel(self, name: str) -> ChannelTimeline:
        rows = pl.DataFrame(_columns(self._tops, _QUOTE))
        payloads = Written(rows, self._encoder.book_tickers)
        return ChannelTimeline([f"{name}@bookTicker"], payloads, due=rows["due"], place=rows["place"])

    def _depth_channel(self) -> ChannelTimeline:
        due = pl.Series([diff.due_ms for diff in self._diffs], dtype=pl.Int64)
        place = pl.Series([diff.place for diff in self._diffs], dtype=pl.Int64)
        streams = streams_at_once(self._encoder.kind, self._encoder.symbol, "depth@100ms")
        return ChannelTimeline(streams, _DiffPayloads(self._encoder, self._diffs), due=due, place=place)


_TRADE_NUMBERS = ("id", "time", "place", "price", "quantity", "maker")
_QUOTE = ("due", "place", "update_id", "bid", "bid_lots", "ask", "ask_lots")


def _columns(numbers: "array[int]", names: Sequence[str]) -> dict[str, pl.Series]:
    """The columns of rows that stand one after the other."""
    table = np.frombuffer(numbers, np.int64).reshape(-1, len(names))
    return {name: pl.Series(name, np.ascontiguousarray(column)) for name, column in zip(names, table.T, strict=True)}


class _DiffPayloads:
    """`depthUpdate` payloads, encoded on access."""

    def __init__(self, encoder: PayloadEncoder, diffs: Sequence[_Change]) -> None:
        self._encoder = encoder
        self._diffs = diffs

    def __getitem__(self, index: int, /) -> bytes:
        diff = self._diffs[index]
        levels = _levels(self._encoder, zip(diff.levels[::2], diff.levels[1::2], strict=True))
        bids, asks = levels[: diff.bids], levels[diff.bids :]
        return self._encoder.depth_update(
            diff.first_id, diff.last_id, diff.previous_id, bids=bids, asks=asks, event_ms=diff.due_ms
        )


class _FirstSnapshot(Mapping[int, DepthSnapshot]):
    """The book at the begin of a segment, before its first diff; encoded on access."""

    def __init__(self, encoder: PayloadEncoder, ladder: Ladder, book_ms: int) -> None:
        self._encoder = encoder
        self._book_ms = book_ms
        self.last_id = ladder.last_diff_id
        self._sides = ladder.bids.levels(), ladder.asks.levels()

    def __getitem__(self, index: int) -> DepthSnapshot:
        if index:
            raise KeyError(index)
        bids, asks = (_levels(self._encoder, side) for side in self._sides)
        return DepthSnapshot(self.last_id, bids, asks, self._book_ms, self._book_ms)

    def __iter__(self) -> Iterator[int]:
        return iter((0,))

    def __len__(self) -> int:
        return 1

    def __contains__(self, index: object) -> bool:
        return index == 0


def _levels(encoder: PayloadEncoder, levels: Iterable[tuple[int, int]]) -> list[tuple[str, str]]:
    price, quantity = encoder.decimals.price_text, encoder.decimals.quantity_text
    return [(price(tick), quantity(lots)) for tick, lots in levels]
