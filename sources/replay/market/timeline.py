"""Timelines: the messages of every symbol and channel over a span of a market, in the order in which they are sent.

A tape is one timeline, every round of a looped tape is one, and a synthetic market makes one after the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from sources.replay.market.book import DepthSnapshot
from sources.replay.market.klines import RunningTotals

_CHUNK = 4_096
"""Messages that are encoded together, when the first of them is needed."""


class Payloads(Protocol):
    """The payloads of a channel, by index."""

    def __getitem__(self, index: int, /) -> bytes: ...


class Written:
    """Payloads that are encoded a chunk at a time, shortly before they are sent; unwanted chunks never are."""

    def __init__(self, rows: pl.DataFrame, write: Callable[[pl.DataFrame], list[bytes]]) -> None:
        self._rows = rows
        self._write = write
        self._chunk = -1
        self._texts: list[bytes] = []

    def __getitem__(self, index: int, /) -> bytes:
        chunk, place = divmod(index, _CHUNK)
        if chunk != self._chunk:
            self._texts = self._write(self._rows.slice(chunk * _CHUNK, _CHUNK))
            self._chunk = chunk
        return self._texts[place]


class ChannelTimeline:
    """The messages of one channel of one symbol: when each is sent, and its rank among those of the same time."""

    __slots__ = ("_due", "_place", "payloads", "played", "streams")

    def __init__(self, streams: Sequence[str], payloads: Payloads, *, due: pl.Series, place: pl.Series) -> None:
        self.streams = tuple(streams)
        """The names under which it is sent."""
        self.payloads = payloads
        self.played = 0
        """How many have been sent."""
        self._due = due
        self._place = place

    def order(self, number: int) -> pl.DataFrame:
        """When each message is sent, as rows of `due place channel index`."""
        return pl.DataFrame({"due": self._due, "place": self._place}).select(
            pl.col("due").cast(pl.Int64),
            pl.col("place").cast(pl.Int64),
            pl.lit(number, pl.Int32).alias("channel"),
            pl.int_range(pl.len(), dtype=pl.Int64).alias("index"),
        )


@dataclass(eq=False)
class SymbolSegment:
    """One symbol's part of a timeline. Frames are those of `aggregate.py`."""

    symbol: str
    trades: pl.DataFrame
    aggregates: pl.DataFrame
    trade_channel: ChannelTimeline
    aggregate_channel: ChannelTimeline
    """Where trades are derived from aggregates (`fills`), they are sent with them."""
    totals: RunningTotals
    totals_channel: ChannelTimeline
    """The channel whose messages are the rows of `totals`."""
    counted: pl.Series | None = None
    """For each message of that channel, how many rows of `totals` it and those before are; None: one each."""
    fills: Sequence[int] | None = None
    """Where trades are derived from aggregates: for each aggregate, how many trades it and those before cover."""
    depth_channel: ChannelTimeline | None = None
    snapshots: Mapping[int, DepthSnapshot] = field(default_factory=dict)
    """Book snapshots by the index of the depth message that follows them."""
    begins_at_update: int | None = None
    """The update id of the snapshot before the first depth message, where the segment before leads to it."""
    quote_channel: ChannelTimeline | None = None
    recorded: Sequence[ChannelTimeline] = ()
    """The other channels of the tape: klines, tickers."""

    @property
    def rows(self) -> int:
        """How many trades of `totals` have been played."""
        played = self.totals_channel.played
        return int(self.counted[played - 1]) if self.counted is not None and played else played

    @property
    def trades_played(self) -> int:
        """How many single trades have been played."""
        if self.fills is None:
            return self.trade_channel.played
        return self.fills[self.aggregate_channel.played - 1] if self.aggregate_channel.played else 0

    def fills_of(self, index: int) -> range:
        """Indexes of the trades that an aggregate covers, where they are derived from it."""
        return range(self.fills[index - 1] if index else 0, self.fills[index]) if self.fills else range(0)

    def channels(self) -> Iterator[ChannelTimeline]:
        """The channels whose messages have an order of their own."""
        if self.fills is None:
            yield self.trade_channel
        yield self.aggregate_channel
        yield from (channel for channel in (self.depth_channel, self.quote_channel) if channel is not None)
        yield from self.recorded


class Timeline:
    """Segments of several symbols that are played together."""

    def __init__(self, segments: Sequence[SymbolSegment], *, end_ms: int | None = None) -> None:
        """`end_ms` is when the time ends; default: at the last message."""
        self.segments = segments
        channels = [channel for segment in segments for channel in segment.channels()]
        order = pl.concat([channel.order(number) for number, channel in enumerate(channels)]).sort(
            "due", "place", maintain_order=True
        )
        self._due = order["due"]
        self._channels = channels
        self._order = order
        self.end_ms = end_ms if end_ms is not None else (int(self._due[-1]) if order.height else 0)

    @property
    def begin_ms(self) -> int | None:
        """When the first message is sent; None without any."""
        return int(self._due[0]) if self._due.len() else None

    def __iter__(self) -> Iterator[tuple[int, ChannelTimeline, int]]:
        """Due time, channel, and index in the channel of every message, in order."""
        channels = [self._channels[number] for number in self._order["channel"].to_list()]
        return zip(self._due.to_list(), channels, self._order["index"].to_list(), strict=True)
