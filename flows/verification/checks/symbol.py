"""One instrument from its first stored day to its last: trades as a stream, candles day by day."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import polars as pl
from msgspec import Struct

from flows.bounds import LATEST_MS, VenueRules
from flows.model import DAY_MS, Candle, timeframe_ms
from flows.operators.candles.bucket import Bucket
from flows.queries import DisputedTradesQuery
from flows.texts import counted
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.day import Day, DayTrades
from flows.verification.checks.empty_days import EmptyDays
from flows.verification.checks.exchange import absent, against
from flows.verification.checks.findings import Finding, SymbolCounts
from flows.verification.checks.held import Held, held_by, required_candles
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.missing import DayCandles
from flows.verification.checks.outvoted import Outvoted
from flows.verification.checks.reading import GetKlines, Klines, Stores
from flows.verification.checks.recount import base_length_ms, recount
from flows.verification.checks.refuted import Refutation
from flows.verification.checks.trade_ids import SETTLED_MS, IdGap, Misplaced, TradeIds, copied, stored_twice
from flows.verification.checks.unreadable import UnreadableCandle, UnreadableRecord

WARM_UP_MS = DAY_MS
"""Trades are read from so long before the first verified candle, so that there is a trade before it."""
EARLIEST_MS = 1_230_768_000_000
"""The year 2009: no trade is older, ms UTC."""
MOST_RECOUNTED = 100_000
"""Most candles kept for a repair."""
MOST_GAPS = 1_000
"""Most gaps kept for a repair, and most of whatever else it mends one by one."""


OnDay = Callable[[int, int], None]
"""Called with the begin of each day that is verified, ms UTC, and the trades read so far."""


class Task(Struct, frozen=True):
    """Verification of one instrument."""

    venue: str
    symbol: str
    timeframes: tuple[str, ...]
    """The shortest first."""
    rules: VenueRules
    start: int = 0
    """With `end` the open times `[start, end)` of the candles, and the times of the gaps; ms UTC."""
    end: int = 1 << 62
    latest: int = LATEST_MS
    """Latest valid time, ms UTC."""
    settle_ms: int = 0
    """Time before the newest trade or candle that is left out."""
    trade_days: float = 0
    """Days that trades are kept; 0 for ever."""
    required: Mapping[str, int | None] = {}
    """The timeframes that the flow makes, and how long their candles are kept, ms; None for ever."""
    now: int = LATEST_MS
    """The wall clock's time, ms UTC."""


class SymbolVerifier:
    """Verifies one instrument once. It holds the trades of a frame and the candles of a day in memory."""

    def __init__(
        self, stores: Stores, task: Task, *, get_klines: GetKlines | None = None, on_day: OnDay = lambda _, __: None
    ) -> None:
        self._stores = stores
        self._task = task
        self._get_klines = get_klines
        self._on_day = on_day
        self._base_ms = base_length_ms(task.timeframes)
        self._buckets: list[Bucket] = []
        self._gaps: list[IdGap] = []
        self._doubtful: list[int] = []
        """Times of trades that are stored with several values."""
        self._read_until = -1
        self._close_before: float | None = None
        possible = EARLIEST_MS, task.latest
        spans = {name: stores.candle_span(task.symbol, name, *possible) for name in task.timeframes}
        self._spans = {name: span for name, span in spans.items() if span is not None}
        trades = stores.trade_span(task.symbol, *possible)
        self._begin, self._end = self._bounds(trades)
        self._held = self._must_hold(trades)
        is_from_first = trades is not None and self._begin - WARM_UP_MS <= trades[0]
        self._ids = TradeIds(
            task.symbol, fills_follow=task.rules.fills_follow, first=self._held.first if is_from_first else None
        )
        self._has_trades = trades is not None
        self._empty = EmptyDays(stores, task.symbol, latest=task.latest)
        kept = {name: self._kept_ms(name, most) for name, most in task.required.items()}
        self._required = required_candles(kept, self._spans, trades, task.now)
        self._added: set[str] = set()
        """Timeframes with a note that they may have been added."""
        self.unheld: list[DisputedTradesQuery] = []
        """For the trades of candles that have none stored, where no ids of trades say so; at most `MOST_GAPS`."""
        self.counts = SymbolCounts(until=self._end)
        self.recounted: dict[tuple[str, int], Candle] = {}
        """The correct versions of wrong and missing candles, as far as known; at most `MOST_RECOUNTED`."""
        self.gaps: list[IdGap] = []
        """Missing trades, whether the ledger names them or not; at most `MOST_GAPS`."""
        self.refuted: list[Refutation] = []
        """Periods with trades that are stored and wrong, whether the ledger names them or not; at most `MOST_GAPS`."""
        self.records: dict[bytes, UnreadableRecord] = {}
        """Records that cannot be read, by their keys; at most `MOST_GAPS`."""
        self._new_records: list[UnreadableRecord] = []
        self.has_misplaced = False
        """Whether trades or candles of invalid times are stored."""
        self.bad_candles: list[UnreadableCandle] = []
        """Documents that cannot be read; at most `MOST_GAPS`."""

    def _bounds(self, trades: tuple[int, int] | None) -> tuple[int, int]:
        """Begin and end of the verified time."""
        begins = [span[0] for span in self._spans.values()] + ([trades[0]] if trades else [])
        ends = [span[1] for span in self._spans.values()] + ([trades[1] + 1] if trades else [])
        return max(self._task.start, min(begins, default=0)), max(ends, default=0) - self._task.settle_ms

    def _must_hold(self, trades: tuple[int, int] | None) -> Held:
        if not self._stores.has_trades:
            return Held()
        first = self._stores.first_seen(self._task.symbol)
        ends = [span[1] + timeframe_ms(name) for name, span in self._spans.items()]
        last = max([*ends, trades[1] if trades else 0, 0])
        return held_by(first, trades, last, retention_days=self._task.trade_days)

    def _kept_ms(self, timeframe: str, most: int | None) -> int | None:
        """How long candles were kept: what the settings say now, or said when the first one was stored."""
        kept = [one for one in (most, self._stores.kept_ms(self._task.symbol, timeframe)) if one is not None]
        return min(kept, default=None)

    @property
    def is_full(self) -> bool:
        """Whether there may be more to mend than is kept for one repair."""
        kept = (self.gaps, self.refuted, self.records, self.unheld, self.bad_candles, self.copies, self.misplaced)
        return any(len(found) >= MOST_GAPS for found in kept)

    @property
    def copies(self) -> list[DisputedTradesQuery]:
        """Trades that are stored with several values, and the times of these; at most `MOST_GAPS`."""
        return self._ids.copies[:MOST_GAPS]

    @property
    def misplaced(self) -> list[Misplaced]:
        """Trades that are stored where they cannot belong; at most `MOST_GAPS`."""
        return self._ids.misplaced[:MOST_GAPS]

    @property
    def days(self) -> range:
        """The begins of the verified days, ms UTC."""
        last = min(self._end, self._task.end)
        return range(self._begin - self._begin % DAY_MS, max(last, 0), DAY_MS)

    def findings(self) -> Iterator[Finding]:
        """All findings."""
        yield from self._misplaced()
        yield from self._without_any()
        begin = max(EARLIEST_MS, self._begin - WARM_UP_MS)
        frames = self._stores.frames(self._task.symbol, begin, self._task.latest, self._on_bad)
        for begin in self.days:
            end = begin + DAY_MS
            yield from self._read(frames, end)
            if not self._is_quiet(begin, end):
                yield from self._verify(begin, end)
            self._on_day(begin, self.counts.trades)
        if self._task.end > self._end:
            yield from self._unsettled(frames)

    def _unsettled(self, frames: Iterator[pl.DataFrame]) -> Iterator[Finding]:
        """What cannot be read behind the last verified day: it need not settle, as no flow stores such a thing."""
        for _ in frames:
            yield from self._found_records()
        yield from self._found_records()
        begin = max([self._begin, *(day + DAY_MS for day in self.days[-1:])])
        for timeframe, span in self._spans.items():
            if span[1] >= begin:
                stored = self._stores.candles(self._task.symbol, timeframe, begin, min(self._task.end, span[1] + 1))
                yield from self._found_candles([one for one in stored if one.fault])

    def _without_any(self) -> Iterator[Finding]:
        """No trade is stored, though one was to be."""
        first, task = self._held.first, self._task
        is_chosen = first is not None and task.start <= first.time < min(task.end, task.now - task.settle_ms)
        if first is not None and is_chosen and not self._has_trades:
            yield Finding("hole", task.symbol, "", first.time, f"trade {first.id}, the first one seen", _NONE_STORED)

    def _misplaced(self) -> Iterator[Finding]:
        """Trades and candles of invalid times."""
        symbol, latest = self._task.symbol, self._task.latest
        for start, end in ((0, EARLIEST_MS), (latest, 1 << 62)):
            for frame in self._stores.frames(symbol, start, end, self._on_bad):
                self.has_misplaced = True
                first = frame.row(0, named=True)
                true = f"{counted(frame.height, 'trade has', 'trades have')} a time that cannot be"
                yield Finding("trade", symbol, "", first["time"], f"trade {first['id']}", true)
        yield from self._found_records()
        for timeframe in self._task.timeframes:
            for stored in self._stores.candles_outside(symbol, timeframe, EARLIEST_MS, latest):
                candle = stored.candle
                self.has_misplaced = True
                claimed = stored.fault or f"open_time {candle.open_time}"
                yield Finding("candle", symbol, timeframe, candle.open_time, claimed, "a time that can be")

    # --- what cannot be read ---

    def _on_bad(self, record: UnreadableRecord) -> None:
        is_chosen = record.start < self._task.end and record.end >= self._task.start
        if (record.start < 0 or is_chosen) and record.key not in self.records:
            if len(self.records) < MOST_GAPS:
                self.records[record.key] = record
            self._new_records.append(record)

    def _found_records(self) -> Iterator[Finding]:
        """Those that have been come upon since."""
        found, self._new_records = self._new_records, []
        return (record.finding(self._task.symbol) for record in found)

    def _found_candles(self, stored: Iterable[StoredCandle]) -> Iterator[Finding]:
        """The unreadable ones of periods that are not verified."""
        for one in stored:
            self._note_bad(one)
            candle, true = one.candle, "a number of its kind, or a word"
            yield Finding("candle", self._task.symbol, candle.timeframe, candle.open_time, one.fault, true)

    def _note_bad(self, one: StoredCandle) -> None:
        candle = one.candle
        is_running = candle.open_time + timeframe_ms(candle.timeframe) > self._end + self._task.settle_ms
        if len(self.bad_candles) < MOST_GAPS:
            self.bad_candles.append(UnreadableCandle(candle.timeframe, candle.open_time, one.fault, is_running))

    # --- trades ---

    def _read(self, frames: Iterator[pl.DataFrame], end: int) -> Iterator[Finding]:
        """Reads on, until all trades before `end` are read and settled."""
        while self._read_until < end + SETTLED_MS:
            frame = next(frames, None)
            yield from self._found_records()
            if frame is None:
                self._read_until = 1 << 62
                self._gaps += self._ids.end()
                return
            yield from self._take(frame)
            self._read_until = int(frame["time"].to_numpy().min())

    def _take(self, frame: pl.DataFrame) -> Iterator[Finding]:
        copies = copied(frame)
        if copies.height:
            yield from self._stored_twice(copies)
            frame = frame.unique("id", keep="first", maintain_order=True)
        self.counts.trades += frame.height
        for found in self._ids.add(frame):
            if isinstance(found, IdGap):
                self._gaps.append(found)
            elif self._task.start <= found.open_time < self._task.end:
                yield found
        is_market = frame["fill"] == "MARKET"
        self._buckets += recount(frame if is_market.all() else frame.filter(is_market), self._base_ms)

    def _stored_twice(self, copies: pl.DataFrame) -> Iterator[Finding]:
        """Trades that are stored with several values: only the exchange knows which are true."""
        self._doubtful += copies["time"].to_list()
        for _, versions in copies.group_by("id", maintain_order=True):
            if len(self._ids.copies) < MOST_GAPS:
                ids, times = (int(versions["first_id"][0]), int(versions["last_id"][0])), versions["time"].to_list()
                self._ids.copies.append(DisputedTradesQuery(self._task.symbol, *ids, min(times), max(times)))
            last = versions.row(-1, named=True)
            if self._task.start <= last["time"] < self._task.end:
                yield stored_twice(self._task.symbol, versions)

    def _take_day(self, begin: int, end: int) -> DayTrades:
        """The trades of a day, which are dropped from memory with all before them."""
        before = [bucket for bucket in self._buckets if bucket.open_time < begin]
        day = [bucket for bucket in self._buckets if begin <= bucket.open_time < end]
        self._buckets = [bucket for bucket in self._buckets if bucket.open_time >= end]
        if before:
            self._close_before = before[-1].close
        self._gaps = [gap for gap in self._gaps if gap.before_time >= begin]
        gaps = [gap for gap in (*self._gaps, *self._ids.open_gaps()) if gap.touches(begin, end)]
        doubtful = [*self._doubtful, *self._ids.doubtful]
        times = self._ids.first_time, self._ids.last_time
        trades = DayTrades(day, gaps, *times, self._close_before, doubtful, self._held.since)
        if day:
            self._close_before = day[-1].close
        return trades

    # --- a day ---

    def _is_quiet(self, begin: int, end: int) -> bool:
        """Whether a day can have no finding: it is before all candles, no trade is in it, and no gap ends in it. One
        trade of a false time may have thousands of such days behind it.
        """
        return (
            all(end <= first for first, _ in self._spans.values())
            and not any(begin <= bucket.open_time < end for bucket in self._buckets)
            and not any(begin <= gap.before_time < end for gap in (*self._gaps, *self._ids.open_gaps()))
        )

    def _verify(self, begin: int, end: int) -> Iterator[Finding]:
        task = self._task
        trades = self._take_day(begin, end)
        has_trades = bool(trades.buckets or trades.gaps)
        ledger = self._stores.ledger(task.symbol, begin, end) if has_trades else self._empty.ledger(begin, end)
        yield from self._report_gaps(trades.gaps, ledger, begin, end)
        first, last = max(begin, task.start), min(end, task.end)
        candles = {name: self._candles(name, first, last) for name in task.timeframes}
        if not any(candles.values()):
            self._empty.look_behind(end, self._spans)
        theirs = {name: found for name in candles if (found := self._theirs(name, candles[name], first, last))}
        day = Day(
            task.venue,
            task.symbol,
            begin=first,
            end=last,
            until=self._end,
            rules=task.rules,
            trades=trades,
            candles=DayCandles(
                candles,
                self._spans,
                {name: found.klines for name, found in theirs.items()},
                self._required,
                partial(self._stores.is_made_elsewhere, task.symbol),
            ),
            ledger=ledger,
            counts=self.counts,
        )
        for one in (one for stored in candles.values() for one in stored if one.fault):
            if one.candle.open_time + timeframe_ms(one.candle.timeframe) <= self._end:
                self._note_bad(one)  # and the day finds it
            else:
                yield from self._found_candles([one])
        for finding in day.findings():
            if finding.kind != "added" or finding.timeframe not in self._added:
                yield finding
            self._added |= {finding.timeframe} if finding.kind == "added" else set()
        self.unheld += day.unheld[: MOST_GAPS - len(self.unheld)]
        if len(self.recounted) < MOST_RECOUNTED:
            self.recounted |= day.recounted
        self.refuted += day.refuted.found[: MOST_GAPS - len(self.refuted)]
        for name, found in theirs.items():
            yield from self._against(name, [one.candle for one in candles[name]], found, day.outvoted)

    def _candles(self, timeframe: str, begin: int, end: int) -> list[StoredCandle]:
        span = self._spans.get(timeframe)
        if span is None or span[1] < begin or span[0] >= end or self._empty.holds(begin, end):
            return []
        return self._stores.candles(self._task.symbol, timeframe, begin, end)

    def _report_gaps(self, gaps: Sequence[IdGap], ledger: Ledger, begin: int, end: int) -> Iterator[Finding]:
        """Reports the gaps that end in this day, so each once."""
        last = min(end, self._end, self._task.end)
        for gap in gaps:
            if not max(begin, self._task.start) <= gap.before_time < last:
                continue
            if not (gap.of_fills or gap.begins_anew) and len(self.gaps) < MOST_GAPS:
                self.gaps.append(gap)
            if ledger.names_gap(gap):
                self.counts.named_holes += 1
                continue
            kind = "fills" if gap.of_fills else "hole"
            claimed = f"ids {gap.first} to {gap.last} between {gap.after_time} and {gap.before_time}"
            yield Finding(kind, self._task.symbol, "", gap.before_time, claimed, _what_is_true(gap))  # type: ignore[arg-type]

    def _theirs(self, timeframe: str, candles: list[StoredCandle], begin: int, end: int) -> Klines | None:
        """The exchange's candles of a day, where some are stored."""
        if not candles or self._get_klines is None:
            return None
        return self._get_klines(self._task.symbol, timeframe, begin, min(end, self._end))

    def _against(self, timeframe: str, candles: list[Candle], found: Klines, outvoted: Outvoted) -> Iterator[Finding]:
        length = timeframe_ms(timeframe)
        over = [c for c in candles if c.is_closed and c.open_time + length <= self._end]
        self.counts.compared += sum(candle.open_time in found.klines for candle in over)
        yield from against(
            over,
            found.klines,
            covered=found.covered,
            rules=self._task.rules,
            has_no_ground=outvoted.has_no_ground,
        )
        stored = {candle.open_time for candle in candles}
        names = self._task.symbol, timeframe
        over_klines = {t: kline for t, kline in found.klines.items() if t + length <= self._end}
        yield from absent(stored, over_klines, self._spans[timeframe], names)


_NONE_STORED = (
    "no trade of the symbol is stored: the next start of the flow fetches what is missing, as far as feed.repair_trades"
    " allows, and flows.backfill all of it"
)


def _what_is_true(gap: IdGap) -> str:
    if gap.begins_anew:
        return f"the ids go back from {gap.last} to {gap.first}, and the ledger names no new begin"
    what = "fills are in no stored trade" if gap.of_fills else "trades are not stored"
    return f"{gap.last - gap.first + 1} {what}, and the ledger does not name them"
