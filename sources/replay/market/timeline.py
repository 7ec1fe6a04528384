"""Timelines: the messages of every symbol and channel over a span of a market, in the order in which they are sent.

A tape is one timeline, every round of a looped tape is one, and a synthetic market makes one after the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from sources.replay.market.book import DepthSnapshot
from sources.replay.market.klines import RunningTotals
from sources.replay.market.played import Played, PlayedFrames

_CHUNK = 4_096
"""Messages that are encoded together, when the first of them is needed."""
_NO_TIMES = np.empty(0, np.int64)


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

    def times(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """When each message is sent, and its place."""
        due, place = (column.to_numpy().astype(np.int64, copy=False) for column in (self._due, self._place))
        return due, place


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
    keep: Callable[[pl.DataFrame, pl.DataFrame], Played] = PlayedFrames
    """How trades and aggregates are kept once they have been played."""
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
        times = [channel.times() for channel in channels]
        due, place = (
            (np.concatenate([_NO_TIMES, *part]) for part in zip(*times, strict=True)) if times else (_NO_TIMES,) * 2
        )
        counts = [len(one) for one, _ in times]
        order = np.lexsort((place, due))  # stable, and the last key first
        self._due = due[order]
        self._channels = channels
        self._channel_numbers = np.repeat(np.arange(len(channels), dtype=np.int32), counts)[order]
        self._indexes = np.concatenate([_NO_TIMES, *map(np.arange, counts)])[order].astype(np.int32)
        self.end_ms = end_ms if end_ms is not None else (int(self._due[-1]) if self._due.size else 0)

    @property
    def begin_ms(self) -> int | None:
        """When the first message is sent; None without any."""
        return int(self._due[0]) if self._due.size else None

    def __iter__(self) -> Iterator[tuple[int, ChannelTimeline, int]]:
        """Due time, channel, and index in the channel of every message, in order."""
        for begin in range(0, self._due.size, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            channels = [self._channels[number] for number in self._channel_numbers[part].tolist()]
            yield from zip(self._due[part].tolist(), channels, self._indexes[part].tolist(), strict=True)
