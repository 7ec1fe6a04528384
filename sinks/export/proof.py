"""What is known about the completeness of the rows of an export: what is missing, and what proves the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import polars as pl
from msgspec import Struct

from flows.model import timeframe_ms
from flows.model.candles import proof_name
from sinks.bars.missing import MissingIds
from sinks.dataframes import DatabaseAwayError, Frames
from sinks.export.rows import DOCUMENT_ROWS, Selection
from sinks.trades.codec import END_MS, MINUTE_MS, minute_of
from sinks.trades.reader import TradeView, in_order

Proven: TypeAlias = Literal["", "complete", "repaired", "unproven"]
MOST_GAPS: Final = 100
"""Gaps that are named; all are counted."""
_IDS: Final = "id", "time"
_DOUBT: Final = "partial", "unproven"
_NO_TRADES: Final = "no trade is stored"


class MissingSpan(Struct, frozen=True, gc=False):
    """What is missing. Of trades: their ids, both inclusive, and the times of the trades on both sides; of candles: -1,
    and the open times of the first and the last period that has none. ms UTC.
    """

    first_id: int
    last_id: int
    begin: int
    end: int


class SpanProof(Struct, frozen=True, kw_only=True):
    """What is known about the rows of a span `[start, end)`, ms UTC.

    `complete`: of trades, and of bars of them, every id is stored, from the trade before the span to the one behind
    it; of candles every period has a closed one; and none of the candles is in doubt. Bars of time stand for the trades
    of their whole periods. `repaired`: the same, and some of it was missing at first. `unproven`: `reason` says why.
    Empty where nothing says how many rows there are. A span without bounds is that of its rows, so that nothing is
    claimed about what is around them.
    """

    start: int
    end: int
    proof: Proven
    reason: str
    missing: int
    """Trades, or periods."""
    gap_count: int
    gaps: tuple[MissingSpan, ...]
    """The first `MOST_GAPS` of them."""
    statuses: Mapping[str, int]
    """How many candles have each status: the rows, or of trades and bars those of the shortest timeframe."""
    proofs: Mapping[str, int]
    """The same by the result of the comparison with the exchange's own candle, as `proof_name` says it."""


def prove(frames: Frames, selection: Selection, *, until: int | None = None) -> SpanProof:
    """What is known about the rows of a selection. It reads ids or candles of the span; errors as of `Frames`. A
    selection without an end ends at `until`, ms UTC, or with what is stored now.
    """
    if selection.kind == "candles":
        return _of_candles(frames, selection, until)
    if selection.kind in ("trades", "bars"):
        return _of_trades(frames, selection, until)
    text = "the ledger has what was noted" if selection.kind == "incidents" else "each row says whether it is complete"
    return SpanProof(
        start=selection.start, end=selection.end, proof="", reason=text, missing=0, gap_count=0, gaps=(), statuses={},
        proofs={},
    )  # fmt: skip


class _Candles:
    """Counts closed candles by what they say, and the periods between them that have none."""

    def __init__(self, timeframe: str, start: int) -> None:
        """`start` is the first open time; 0: that of the first candle."""
        self._length = timeframe_ms(timeframe)
        self._expected = -(-start // self._length) * self._length if start else None
        self.statuses: Counter[str] = Counter()
        self.proofs: Counter[str] = Counter()
        self.refuted = 0
        self.missing = self.gap_count = 0
        self.gaps: list[MissingSpan] = []
        self.first: int | None = None
        self.behind = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Takes later candles."""
        frame = frame.filter(pl.col("is_closed"))
        for time in frame["open_time"].to_list():
            self._note(time)
            self._expected = self.behind = time + self._length
            self.first = time if self.first is None else self.first
        self.statuses.update(frame["status"].to_list())
        self.proofs.update(map(proof_name, frame["status"].to_list(), frame["proof"].to_list()))
        self.refuted += frame.filter((pl.col("proof") == "ours wrong") & (pl.col("status") != "venue")).height

    def end(self, end: int) -> None:
        """There are no more that open before this time."""
        self._note(-(-end // self._length) * self._length)

    def _note(self, time: int) -> None:
        length = self._length
        if self._expected is None or time <= self._expected:
            return
        self.missing += (time - self._expected) // length
        self.gap_count += 1
        if len(self.gaps) < MOST_GAPS:
            self.gaps.append(MissingSpan(-1, -1, self._expected, time - length))

    @property
    def doubt(self) -> str:
        """What is wrong with them; empty when nothing is."""
        parts = [f"{self.statuses[status]:,} {status}" for status in _DOUBT if self.statuses[status]]
        return ", ".join(parts + ([f"{self.refuted:,} refuted"] if self.refuted else []))


def _of_candles(frames: Frames, selection: Selection, until: int | None) -> SpanProof:
    _, symbol, start, end, timeframe, _ = selection
    found = _Candles(timeframe, start)
    last = until if end >= END_MS and until is not None else end
    for frame in frames.iterate_candles(symbol or "", timeframe, start, last, rows=DOCUMENT_ROWS):
        found.add(frame)
    if end < END_MS:
        found.end(end)
    reasons = [f"periods without a closed candle: {found.missing:,}"] if found.missing else []
    reasons += [found.doubt] if found.doubt else []
    reasons += [] if found.first is not None or reasons else ["no candle is stored"]
    return SpanProof(
        start=start or found.first or 0,
        end=end if end < END_MS else found.behind,
        proof=_judged(reasons, is_repaired=found.statuses["repaired"] > 0),
        reason="; ".join(reasons),
        missing=found.missing,
        gap_count=found.gap_count,
        gaps=tuple(found.gaps),
        statuses=dict(found.statuses),
        proofs=dict(found.proofs),
    )


def _of_trades(frames: Frames, selection: Selection, until: int | None) -> SpanProof:
    _, symbol, start, end, _, rule = selection
    name, view = symbol or "", frames.trade_view()
    periods = rule.periods if rule else None
    if periods:  # bars that open in the span: their trades
        start, end = periods.next_begin(start), min(periods.next_begin(end), END_MS)
    first, last = view.first_time(name, start), view.last_time(name, min(end, END_MS))
    if first is None or last is None or first > last:
        return SpanProof(
            start=start, end=end, proof="unproven", reason=_NO_TRADES, missing=0, gap_count=0, gaps=(), statuses={},
            proofs={},
        )  # fmt: skip
    if periods and not start:  # the first bar begins before its first trade
        start = periods.begin_of(first)
    begin, stop = start or first, end if end < END_MS else until or last + 1
    before = _last_before(view, name, begin) if start else None
    missing = MissingIds(before)
    _follow(missing, view.iterate(name, begin, stop, every_fill=True, columns=_IDS))
    behind = next(view.iterate(name, stop, END_MS, rows=1, every_fill=True, columns=_IDS), None)
    if behind is not None:  # a minute as a whole: times may run back a little while ids rise
        _follow(missing, [behind])
    lack = missing.within(begin, stop, most=MOST_GAPS)
    candles, away = None, False
    try:
        candles = _candles_within(frames, name, begin, stop)
    except DatabaseAwayError:
        away = True
    reasons = [f"missing trades: {lack.trades:,}"] if lack.trades else []
    reasons += ["no trade before the span is stored"] if start and before is None else []
    reasons += ["no trade behind the span is stored"] if end < END_MS and behind is None else []
    reasons += ["the database with its candles does not answer"] if away else []
    reasons += [f"of its candles {candles.doubt}"] if candles and candles.doubt else []
    return SpanProof(
        start=begin,
        end=stop,
        proof=_judged(reasons, is_repaired=bool(candles and candles.statuses["repaired"])),
        reason="; ".join(reasons),
        missing=lack.trades,
        gap_count=lack.gap_count,
        gaps=tuple(MissingSpan(*gap) for gap in lack.first),
        statuses=dict(candles.statuses) if candles else {},
        proofs=dict(candles.proofs) if candles else {},
    )


def _judged(reasons: list[str], *, is_repaired: bool) -> Proven:
    return "unproven" if reasons else "repaired" if is_repaired else "complete"


def _follow(missing: MissingIds, frames: Iterable[pl.DataFrame]) -> None:
    for frame in frames:
        rows = in_order(frame)
        missing.add(rows["id"].to_numpy(), rows["time"].to_numpy())


def _last_before(view: TradeView, symbol: str, start: int) -> tuple[int, int] | None:
    """Id and time of the trade before a span."""
    time = view.last_time(symbol, start)
    if time is None:
        return None
    found = view.trades(symbol, minute_of(time) - MINUTE_MS, start, every_fill=True, columns=_IDS)
    return found.item(-1, "id"), found.item(-1, "time")


def _candles_within(frames: Frames, symbol: str, start: int, end: int) -> _Candles | None:
    """What the candles of the shortest timeframe say that touch a span; None without any."""
    timeframe = next(iter(sorted(frames.timeframes(symbol), key=timeframe_ms)), "")
    if not timeframe:
        return None
    begin = start - start % timeframe_ms(timeframe)
    found = _Candles(timeframe, begin)
    for frame in frames.iterate_candles(symbol, timeframe, begin, end, rows=DOCUMENT_ROWS):
        found.add(frame)
    return found
