"""What is played: tracks of messages, one a symbol and channel, and the order in which they leave.

A reel is a stretch of a market. A tape is one, every round of a looped tape is one, and a synthetic market makes one
after the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import polars as pl

from sources.replay.market.book import DepthSnapshot
from sources.replay.market.klines import RunningTotals

DIFF_CHANNELS = ("depth", "depth@0ms", "depth@100ms", "depth@250ms", "depth@500ms")
"""Under which names book diffs are sent: a reel has them at one speed, and serves it for all."""

_CHUNK = 4_096
"""Messages that are written at once, when the first of them is wanted."""


class Payloads(Protocol):
    """The payloads of a track, by their place in it."""

    def __getitem__(self, index: int, /) -> bytes: ...


class Written:
    """Payloads that are written a chunk at a time, shortly before they leave: what nobody wants is never written."""

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
    """The messages of one channel of one symbol: when each leaves, and its rank among those that leave then."""

    __slots__ = ("_due", "_place", "payloads", "played", "streams")

    def __init__(self, streams: Sequence[str], payloads: Payloads, *, due: pl.Series, place: pl.Series) -> None:
        self.streams = tuple(streams)
        """The names under which it is sent."""
        self.payloads = payloads
        self.played = 0
        """How many have left."""
        self._due = due
        self._place = place

    def order(self, number: int) -> pl.DataFrame:
        """When each message leaves, as rows of `due place track index`."""
        return pl.DataFrame({"due": self._due, "place": self._place}).select(
            pl.col("due").cast(pl.Int64),
            pl.col("place").cast(pl.Int64),
            pl.lit(number, pl.Int32).alias("track"),
            pl.int_range(pl.len(), dtype=pl.Int64).alias("index"),
        )


@dataclass(eq=False)
class SymbolSegment:
    """One symbol's part of a reel. Frames are those of `aggregate.py`."""

    symbol: str
    trades: pl.DataFrame
    aggregates: pl.DataFrame
    trade_track: ChannelTimeline
    aggregate_track: ChannelTimeline
    """Where it leads the trades (`fills`), they leave with it."""
    tally: RunningTotals
    tally_track: ChannelTimeline
    """The track whose messages the rows of the tally are."""
    counted: pl.Series | None = None
    """For each message of that track, how many rows of the tally it and those before are; None: one each."""
    fills: Sequence[int] | None = None
    """Where trades are derived from aggregates: for each aggregate, how many trades it and those before cover."""
    depth_track: ChannelTimeline | None = None
    snapshots: Mapping[int, DepthSnapshot] = field(default_factory=dict)
    """Book snapshots by the index of the depth message before which they came."""
    quote_track: ChannelTimeline | None = None
    recorded: Sequence[ChannelTimeline] = ()
    """Whatever else the tape holds: klines, tickers."""

    @property
    def rows(self) -> int:
        """How many trades of the tally have been played."""
        played = self.tally_track.played
        return int(self.counted[played - 1]) if self.counted is not None and played else played

    @property
    def trades_played(self) -> int:
        """How many single trades have been played."""
        if self.fills is None:
            return self.trade_track.played
        return self.fills[self.aggregate_track.played - 1] if self.aggregate_track.played else 0

    def fills_of(self, index: int) -> range:
        """The places of the trades that an aggregate covers, where they are derived from it."""
        return range(self.fills[index - 1] if index else 0, self.fills[index]) if self.fills else range(0)

    def tracks(self) -> Iterator[ChannelTimeline]:
        """All whose messages leave on their own."""
        if self.fills is None:
            yield self.trade_track
        yield self.aggregate_track
        yield from (track for track in (self.depth_track, self.quote_track) if track is not None)
        yield from self.recorded


class Timeline:
    """Strips that are played together."""

    def __init__(self, strips: Sequence[SymbolSegment], *, end_ms: int | None = None) -> None:
        """`end_ms` is how far time goes on; default: to the last message."""
        self.strips = strips
        tracks = [track for strip in strips for track in strip.tracks()]
        order = pl.concat([track.order(number) for number, track in enumerate(tracks)]).sort(
            "due", "place", maintain_order=True
        )
        self._due = order["due"]
        self._tracks = tracks
        self._order = order
        self.end_ms = end_ms if end_ms is not None else (int(self._due[-1]) if order.height else 0)

    @property
    def begin_ms(self) -> int | None:
        """When the first message leaves; None without any."""
        return int(self._due[0]) if self._due.len() else None

    def __iter__(self) -> Iterator[tuple[int, ChannelTimeline, int]]:
        """Due time, track, and place in the track of every message, in order."""
        tracks = [self._tracks[number] for number in self._order["track"].to_list()]
        return zip(self._due.to_list(), tracks, self._order["index"].to_list(), strict=True)
