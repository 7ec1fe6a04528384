"""Loops of a tape: its segments, shifted to the time and the ids at which each loop begins.

Loops join seamlessly for clients: time, trade ids, aggregate ids and update ids continue. The book at the end of a tape
differs from the one at its begin; so from the second loop on the first diff turns the one into the other, and what the
tape has from before its own book snapshot is left out.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property

import msgspec
import polars as pl

from sources.replay.market.book import Book, DepthSnapshot, DepthUpdate, decode_update
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.klines import RunningTotals
from sources.replay.market.market import MarketKind
from sources.replay.market.streams.books import streams_at_once
from sources.replay.market.timeline import ChannelTimeline, SymbolSegment, Timeline, Written
from sources.replay.tape.rewrite import Offsets, Recorded
from sources.replay.tape.symbol_tape import Channel, SymbolTape

_QUOTES = "bookTicker"
_PAUSE_MS = 100
"""Time between the last message of a loop and the first of the next."""


class SymbolLoops:
    """The loops of one symbol."""

    def __init__(self, kind: MarketKind, tape: SymbolTape, *, loop: bool) -> None:
        self.tape = tape
        self.encoder = PayloadEncoder(kind, tape.symbol, tape.decimals)
        self._name = tape.symbol.lower()
        self._joint = _LoopJoint(self.encoder, tape) if loop and tape.depth_channel else None

    @property
    def recorded(self) -> set[str]:
        """The streams that the tape itself contains."""
        return {f"{self._name}@{channel}" for channel in self.tape.channels}

    @cached_property
    def totals(self) -> RunningTotals:
        """Running sums over the trades that count, at the tape's own times."""
        return RunningTotals(self._counted(self.tape.trades, self.tape.aggregates))

    @cached_property
    def _fills(self) -> "array[int]":
        covered = self.tape.aggregates.select((pl.col("last_id") - pl.col("first_id") + 1).cum_sum())
        return array("q", covered.to_series().to_list())

    def segment(self, loop_number: int, time_ms: int, loop_begin_ms: int) -> SymbolSegment:
        """The segment of a loop; all times of the tape move by `time_ms`."""
        tape, offsets = self.tape, self._offsets(loop_number, time_ms)
        trades = _moved(tape.trades, time_ms, pl.col("id") + offsets.trade_id)
        aggregates = _moved(
            tape.aggregates,
            time_ms,
            pl.col("id") + offsets.aggregate_id,
            pl.col("first_id", "last_id") + offsets.trade_id,
        )
        trade_channel = self._channel("trade", trades, offsets)
        aggregate_channel = self._channel("aggTrade", aggregates, offsets)
        segment = SymbolSegment(
            symbol=tape.symbol,
            trades=trades,
            aggregates=aggregates,
            trade_channel=trade_channel,
            aggregate_channel=aggregate_channel,
            totals=RunningTotals(self._counted(trades, aggregates)),
            totals_channel=trade_channel if tape.from_trades else aggregate_channel,
            counted=None if tape.is_market.all() else tape.is_market.cum_sum(),
            fills=None if tape.from_trades else self._fills,
        )
        self._add_recorded(segment, loop_number, offsets, loop_begin_ms)
        return segment

    def _counted(self, trades: pl.DataFrame, aggregates: pl.DataFrame) -> pl.DataFrame:
        return trades.filter(self.tape.is_market) if self.tape.from_trades else aggregates

    def _offsets(self, loop_number: int, time_ms: int) -> Offsets:
        tape = self.tape
        trade_ids = tape.trades["id"] if tape.trades.height else pl.Series([0])
        return Offsets(
            time_ms=time_ms,
            trade_id=loop_number * (int(trade_ids[-1]) - int(trade_ids[0]) + 1),
            aggregate_id=loop_number * (int(tape.aggregates["id"][-1]) - int(tape.aggregates["id"][0]) + 1)
            if tape.aggregates.height
            else 0,
            update_id=loop_number * self._joint.update_ids if self._joint else 0,
        )

    def _channel(self, channel: str, rows: pl.DataFrame, offsets: Offsets) -> ChannelTimeline:
        """The channel of trades or aggregates: as recorded, or encoded from the rows. A derived aggregate is sent right
        after its last trade, derived trades right after their aggregate.
        """
        recorded = self.tape.channels.get(channel)
        stream = [f"{self._name}@{channel}"]
        if recorded is not None:
            return _recorded(stream, channel, recorded, offsets)
        write = self.encoder.trades if channel == "trade" else self.encoder.aggregates
        return ChannelTimeline(stream, Written(rows, write), due=rows["due"], place=rows["place"] * 2 + 1)

    def _add_recorded(self, segment: SymbolSegment, loop_number: int, offsets: Offsets, loop_begin_ms: int) -> None:
        tape, others = self.tape, []
        for name, channel in tape.channels.items():
            if name == tape.depth_channel:
                self._add_depth(segment, channel, loop_number, offsets, loop_begin_ms)
            elif name == _QUOTES:
                kept = self._joint.quotes(channel, loop_number) if self._joint else channel
                segment.quote_channel = _recorded([f"{self._name}@{name}"], name, kept, offsets)
            elif name not in {"trade", "aggTrade"}:
                others.append(_recorded([f"{self._name}@{name}"], name, channel, offsets))
        segment.recorded = others

    def _add_depth(
        self, segment: SymbolSegment, channel: Channel, loop_number: int, offsets: Offsets, loop_begin_ms: int
    ) -> None:
        streams = streams_at_once(self.encoder.kind, self.tape.symbol, self.tape.depth_channel or "depth")
        if self._joint is None or not loop_number:
            segment.depth_channel = _recorded(streams, "depth", channel, offsets)
            segment.snapshots = _snapshots(channel, self.tape.snapshots, offsets)
            return
        kept = self._joint.diffs(channel, loop_begin_ms - offsets.time_ms)
        segment.depth_channel = _recorded(streams, "depth", kept, offsets)
        if self._joint.start is not None:
            start = _moved_snapshot(self._joint.start, offsets)
            segment.snapshots = {**_snapshots(kept, self.tape.snapshots[1:], offsets), 0: start}


class _LoopJoint:
    """The transition of the book from the end of a tape to its begin."""

    def __init__(self, encoder: PayloadEncoder, tape: SymbolTape) -> None:
        channel = tape.channels[tape.depth_channel or ""]
        updates = [decode_update(payload) for payload in channel.payloads]
        snapshot = tape.snapshots[0][1] if tape.snapshots else None
        self._first = next((i for i, update in enumerate(updates) if snapshot and update.last_id > snapshot.last_id), 0)
        first, last = updates[self._first], updates[-1]
        self._last_id = last.last_id
        before = first.first_id - 1 if encoder.kind == "spot" else first.previous_id
        self._floor = before
        self.start: DepthSnapshot | None = None
        self._payload: bytes | None = None
        if snapshot is not None:
            self.start = DepthSnapshot(before, snapshot.bids, snapshot.asks, first.event_time, first.transaction_time)
            self._payload = _turning_diff(encoder, updates[self._first :], self.start, before)
        self.update_ids = last.last_id - before + (1 if snapshot is not None else 0)
        """How far update ids move from loop to loop; the diff at the joint takes one."""

    def diffs(self, channel: Channel, begin_ms: int) -> Channel:
        """The diffs of a later loop: the one at the joint, then those from the snapshot on."""
        payloads, due, place = channel.payloads[self._first :], channel.due[self._first :], channel.place[self._first :]
        if self._payload is None:
            return Channel(payloads, due, place)
        head = pl.Series([begin_ms], dtype=pl.Int64), pl.Series([-1], dtype=pl.Int64)
        return Channel([self._payload, *payloads], head[0].append(due), head[1].append(place))

    def quotes(self, channel: Channel, loop_number: int) -> Channel:
        """The quotes of a loop whose update ids are neither below those of the loop before nor in the next."""
        ids = [decode_update_id(payload) for payload in channel.payloads]
        floor = self._floor if loop_number else 0
        rows = [row for row, update_id in enumerate(ids) if floor < update_id <= self._last_id]
        return Channel([channel.payloads[row] for row in rows], channel.due.gather(rows), channel.place.gather(rows))


class _UpdateId(msgspec.Struct):
    u: int


def decode_update_id(payload: bytes) -> int:
    """Update id of a `bookTicker` payload."""
    return _decode_update_id(payload).u


_decode_update_id = msgspec.json.Decoder(_UpdateId).decode


def timeline_of(
    loops: Sequence[SymbolLoops], loop_number: int, *, time_ms: int, begin_ms: int, end_ms: int
) -> Timeline:
    """The timeline of a loop; `begin_ms` and `end_ms` are the tape's own, without the move by `time_ms`."""
    segments = [symbol.segment(loop_number, time_ms, begin_ms + time_ms) for symbol in loops]
    return Timeline(segments, end_ms=end_ms + time_ms)


def loop_length_ms(begin_ms: int, end_ms: int) -> int:
    """How far time moves from loop to loop."""
    return end_ms - begin_ms + _PAUSE_MS


def _turning_diff(
    encoder: PayloadEncoder, updates: Sequence[DepthUpdate], start: DepthSnapshot, update_id: int
) -> bytes:
    """The diff that turns the book at the end of a loop into the one at its begin; its id directly precedes that of the
    first diff that follows.
    """
    end = Book(start)
    for update in updates:
        end.apply(update)
    bids, asks = end.changes_to(Book(start))
    return encoder.depth_update(update_id, update_id, update_id - 1, bids=bids, asks=asks, event_ms=start.event_time)


def _recorded(streams: Sequence[str], name: str, channel: Channel, offsets: Offsets) -> ChannelTimeline:
    payloads = Recorded(channel.payloads, name, offsets)
    return ChannelTimeline(streams, payloads, due=channel.due + offsets.time_ms, place=channel.place * 2)


def _snapshots(
    channel: Channel, snapshots: Sequence[tuple[int, DepthSnapshot]], offsets: Offsets
) -> dict[int, DepthSnapshot]:
    """Snapshots by the index of the diff that follows them."""
    return {_index(channel, place, each.last_id): _moved_snapshot(each, offsets) for place, each in snapshots}


def _index(channel: Channel, place: int, last_id: int) -> int:
    """Index of the diff that follows a snapshot: at its place, or earlier, where the tape has diffs before it whose ids
    are beyond its own.
    """
    contained = bisect_right(channel.payloads, last_id, key=lambda payload: decode_update(payload).last_id)
    return min(bisect_left(channel.place.to_list(), place), contained)


def _moved(rows: pl.DataFrame, time_ms: int, *ids: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(pl.col("time", "event_time", "due") + time_ms, *ids)


def _moved_snapshot(snapshot: DepthSnapshot, offsets: Offsets) -> DepthSnapshot:
    moved = snapshot.event_time and snapshot.event_time + offsets.time_ms
    transaction = snapshot.transaction_time and snapshot.transaction_time + offsets.time_ms
    return DepthSnapshot(snapshot.last_id + offsets.update_id, snapshot.bids, snapshot.asks, moved, transaction)
