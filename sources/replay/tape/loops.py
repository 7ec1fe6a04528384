"""One round of a tape: its strips, moved to where in time and ids the round begins.

Rounds join without a seam for whoever listens: trade ids, aggregate ids and update ids go on, and time does. A book at
the end of a tape is not the one at its begin; so from the second round on the first diff is one that turns the one into
the other, and what the tape holds from before its own book snapshot is left out.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import cached_property

import msgspec
import polars as pl

from sources.replay.market.aggregate import pieces_of
from sources.replay.market.book import Book, DepthSnapshot, DepthUpdate, decode_update
from sources.replay.market.encode import PayloadEncoder
from sources.replay.market.klines import RunningTotals
from sources.replay.market.market import MarketKind
from sources.replay.market.timeline import DIFF_CHANNELS, ChannelTimeline, SymbolSegment, Timeline, Written
from sources.replay.tape.rewrite import Offsets, Recorded
from sources.replay.tape.symbol_tape import Channel, SymbolTape

_QUOTES = "bookTicker"
_PAUSE_MS = 100
"""Time between the last message of a round and the first of the next."""


class SymbolLoops:
    """The rounds of one symbol."""

    def __init__(self, kind: MarketKind, tape: SymbolTape, *, loop: bool) -> None:
        self.tape = tape
        self.printer = PayloadEncoder(kind, tape.symbol, tape.decimals)
        self._name = tape.symbol.lower()
        self._seam = _LoopJoint(self.printer, tape) if loop and tape.depth_channel else None

    @property
    def recorded(self) -> set[str]:
        """The streams that the tape itself holds."""
        return {f"{self._name}@{channel}" for channel in self.tape.channels}

    @cached_property
    def tally(self) -> RunningTotals:
        """Running sums over what counts, at the tape's own times."""
        return RunningTotals(pieces_of(self._counted(self.tape.trades, self.tape.aggregates)))

    @cached_property
    def _fills(self) -> "array[int]":
        covered = self.tape.aggregates.select((pl.col("last_id") - pl.col("first_id") + 1).cum_sum())
        return array("q", covered.to_series().to_list())

    def strip(self, lap: int, time_ms: int, lap_begin_ms: int) -> SymbolSegment:
        """The strip of a round; all times of the tape move by `time_ms`."""
        tape, offsets = self.tape, self._offsets(lap, time_ms)
        trades = _moved(tape.trades, time_ms, pl.col("id") + offsets.trade_id)
        aggregates = _moved(
            tape.aggregates,
            time_ms,
            pl.col("id") + offsets.aggregate_id,
            pl.col("first_id", "last_id") + offsets.trade_id,
        )
        trade_track = self._track("trade", trades, offsets)
        aggregate_track = self._track("aggTrade", aggregates, offsets)
        strip = SymbolSegment(
            symbol=tape.symbol,
            trades=trades,
            aggregates=aggregates,
            trade_track=trade_track,
            aggregate_track=aggregate_track,
            tally=RunningTotals(pieces_of(self._counted(trades, aggregates))),
            tally_track=trade_track if tape.from_trades else aggregate_track,
            counted=None if tape.is_market.all() else tape.is_market.cum_sum(),
            fills=None if tape.from_trades else self._fills,
        )
        self._add_recorded(strip, lap, offsets, lap_begin_ms)
        return strip

    def _counted(self, trades: pl.DataFrame, aggregates: pl.DataFrame) -> pl.DataFrame:
        return trades.filter(self.tape.is_market) if self.tape.from_trades else aggregates

    def _offsets(self, lap: int, time_ms: int) -> Offsets:
        tape = self.tape
        trade_ids = tape.trades["id"] if tape.trades.height else pl.Series([0])
        return Offsets(
            time_ms=time_ms,
            trade_id=lap * (int(trade_ids[-1]) - int(trade_ids[0]) + 1),
            aggregate_id=lap * (int(tape.aggregates["id"][-1]) - int(tape.aggregates["id"][0]) + 1)
            if tape.aggregates.height
            else 0,
            update_id=lap * self._seam.update_ids if self._seam else 0,
        )

    def _track(self, channel: str, rows: pl.DataFrame, offsets: Offsets) -> ChannelTimeline:
        """The track of trades or aggregates: as recorded, or written from the rows. A derived aggregate leaves right
        after its last trade, derived trades right after their aggregate.
        """
        recorded = self.tape.channels.get(channel)
        stream = [f"{self._name}@{channel}"]
        if recorded is not None:
            return _recorded(stream, channel, recorded, offsets)
        write = self.printer.trades if channel == "trade" else self.printer.aggregates
        return ChannelTimeline(stream, Written(rows, write), due=rows["due"], place=rows["place"] * 2 + 1)

    def _add_recorded(self, strip: SymbolSegment, lap: int, offsets: Offsets, lap_begin_ms: int) -> None:
        tape, others = self.tape, []
        for name, channel in tape.channels.items():
            if name == tape.depth_channel:
                self._add_depth(strip, channel, lap, offsets, lap_begin_ms)
            elif name == _QUOTES:
                kept = self._seam.quotes(channel, lap) if self._seam else channel
                strip.quote_track = _recorded([f"{self._name}@{name}"], name, kept, offsets)
            elif name not in {"trade", "aggTrade"}:
                others.append(_recorded([f"{self._name}@{name}"], name, channel, offsets))
        strip.recorded = others

    def _add_depth(self, strip: SymbolSegment, channel: Channel, lap: int, offsets: Offsets, lap_begin_ms: int) -> None:
        streams = [f"{self._name}@{name}" for name in DIFF_CHANNELS]
        if self._seam is None or not lap:
            strip.depth_track = _recorded(streams, "depth", channel, offsets)
            strip.snapshots = _snapshots(channel, self.tape.snapshots, offsets)
            return
        kept = self._seam.diffs(channel, lap_begin_ms - offsets.time_ms)
        strip.depth_track = _recorded(streams, "depth", kept, offsets)
        if self._seam.start is not None:
            start = _moved_snapshot(self._seam.start, offsets)
            strip.snapshots = {**_snapshots(kept, self.tape.snapshots[1:], offsets), 0: start}


class _LoopJoint:
    """Where the book of a tape ends and begins anew."""

    def __init__(self, printer: PayloadEncoder, tape: SymbolTape) -> None:
        channel = tape.channels[tape.depth_channel or ""]
        updates = [decode_update(payload) for payload in channel.payloads]
        snapshot = tape.snapshots[0][1] if tape.snapshots else None
        self._first = next((i for i, update in enumerate(updates) if snapshot and update.last_id > snapshot.last_id), 0)
        first, last = updates[self._first], updates[-1]
        self._last_id = last.last_id
        before = first.first_id - 1 if printer.kind == "spot" else first.previous_id
        self._floor = before
        self.start: DepthSnapshot | None = None
        self._payload: bytes | None = None
        if snapshot is not None:
            self.start = DepthSnapshot(before, snapshot.bids, snapshot.asks, first.event_time, first.transaction_time)
            self._payload = _turning_diff(printer, updates[self._first :], self.start, before)
        self.update_ids = last.last_id - before + (1 if snapshot is not None else 0)
        """How far update ids move from round to round: the diff at the seam takes one."""

    def diffs(self, channel: Channel, begin_ms: int) -> Channel:
        """The diffs of a later round: the one at the seam, then those from the snapshot on."""
        payloads, due, place = channel.payloads[self._first :], channel.due[self._first :], channel.place[self._first :]
        if self._payload is None:
            return Channel(payloads, due, place)
        head = pl.Series([begin_ms], dtype=pl.Int64), pl.Series([-1], dtype=pl.Int64)
        return Channel([self._payload, *payloads], head[0].append(due), head[1].append(place))

    def quotes(self, channel: Channel, lap: int) -> Channel:
        """The quotes of a round whose update ids neither fall back behind the round before nor run into the next."""
        ids = [decode_update_id(payload) for payload in channel.payloads]
        floor = self._floor if lap else 0
        rows = [row for row, update_id in enumerate(ids) if floor < update_id <= self._last_id]
        return Channel([channel.payloads[row] for row in rows], channel.due.gather(rows), channel.place.gather(rows))


class _UpdateId(msgspec.Struct):
    u: int


def decode_update_id(payload: bytes) -> int:
    """Update id of a `bookTicker` payload."""
    return _decode_update_id(payload).u


_decode_update_id = msgspec.json.Decoder(_UpdateId).decode


def reel_of(laps: Sequence[SymbolLoops], lap: int, *, time_ms: int, begin_ms: int, end_ms: int) -> Timeline:
    """A round of all symbols; `begin_ms` and `end_ms` are the tape's own, without the move by `time_ms`."""
    strips = [symbol.strip(lap, time_ms, begin_ms + time_ms) for symbol in laps]
    return Timeline(strips, end_ms=end_ms + time_ms)


def lap_ms(begin_ms: int, end_ms: int) -> int:
    """How far time moves from round to round."""
    return end_ms - begin_ms + _PAUSE_MS


def _turning_diff(
    printer: PayloadEncoder, updates: Sequence[DepthUpdate], start: DepthSnapshot, update_id: int
) -> bytes:
    """The diff that turns the book at the end of a round into the one at its begin; its id comes right before the first
    diff that follows.
    """
    end = Book(start)
    for update in updates:
        end.apply(update)
    bids, asks = end.changes_to(Book(start))
    return printer.depth_update(update_id, update_id, update_id - 1, bids=bids, asks=asks, event_ms=start.event_time)


def _recorded(streams: Sequence[str], name: str, channel: Channel, offsets: Offsets) -> ChannelTimeline:
    payloads = Recorded(channel.payloads, name, offsets)
    return ChannelTimeline(streams, payloads, due=channel.due + offsets.time_ms, place=channel.place * 2)


def _snapshots(
    channel: Channel, snapshots: Sequence[tuple[int, DepthSnapshot]], offsets: Offsets
) -> dict[int, DepthSnapshot]:
    """Snapshots by the index of the diff before which they come."""
    return {_index(channel, place, each.last_id): _moved_snapshot(each, offsets) for place, each in snapshots}


def _index(channel: Channel, place: int, last_id: int) -> int:
    """Before which diff a snapshot comes: at its place, or before, where the tape has diffs that the exchange's answer
    overtook (their ids are beyond its own).
    """
    contained = bisect_right(channel.payloads, last_id, key=lambda payload: decode_update(payload).last_id)
    return min(bisect_left(channel.place.to_list(), place), contained)


def _moved(rows: pl.DataFrame, time_ms: int, *ids: pl.Expr) -> pl.DataFrame:
    return rows.with_columns(pl.col("time", "event_time", "due") + time_ms, *ids)


def _moved_snapshot(snapshot: DepthSnapshot, offsets: Offsets) -> DepthSnapshot:
    moved = snapshot.event_time and snapshot.event_time + offsets.time_ms
    transaction = snapshot.transaction_time and snapshot.transaction_time + offsets.time_ms
    return DepthSnapshot(snapshot.last_id + offsets.update_id, snapshot.bids, snapshot.asks, moved, transaction)
