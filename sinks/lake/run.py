"""Brings a lake up to date with the stores of a venue: writes the closed days that it lacks, and those that have
changed since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, NamedTuple

import polars as pl
from msgspec import Struct, field
from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from flows.model import DAY_MS, PRIVATE_KINDS, timeframe_ms
from flows.model.instrument import is_timeframe
from sinks.dataframes import Frames
from sinks.lake.manifest import LakeError
from sinks.lake.place import Lake
from sinks.lake.series import INCIDENTS, TRADES, LakeSeries, begin_of, day_of
from sinks.lake.stored import CandleDay, IncidentDay, StoredCandles, TradeDay, candles_of, lost_trades
from sinks.lake.writer import Outcome, SeriesWriter, StoredDay
from sinks.mongo.documents import INCIDENTS as LEDGER
from sinks.mongo.documents import MARKET_DATA, DocumentError
from sinks.trades.reader import TradeReader
from sinks.trades.store import TradeStoreError

SETTLE_MS: Final = 600_000
"""Time behind the end of a day in which it may still change as a matter of course: trades that come late, gaps that are
being filled, candles that wait for the exchange's own."""
CHECKED_DAYS: Final = 8
"""Newest closed days that are compared with the stores in every run; older ones where something says that they have
changed."""
SLACK_MS: Final = 3_600_000
"""Clocks of several machines may differ by so much."""
_CHANGES: Final = ("gap", "repair", "late", "partial", "mismatch", "history", "store_outage")

OnProgress = Callable[[str, int, int], None]
"""Called with a series, how many of its days are done, and how many there are."""


class LakeChoice(Struct, frozen=True):
    """What is brought up to date; empty: everything that is stored."""

    symbols: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    start: int = 0
    """With `end` the days that begin in `[start, end)`, ms UTC."""
    end: int = 1 << 62
    every_day: bool = False
    """Compare all days with the stores, not only those that may have changed."""

    def has(self, series: LakeSeries) -> bool:
        """Whether a series is chosen."""
        is_kind = not self.kinds or series.kind in self.kinds or series.kind.partition("-")[0] in self.kinds
        return is_kind and (not self.symbols or series.symbol in self.symbols)


class LakeReport(Struct):
    """What a run has done."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    rows: int = 0
    """Rows of the days that were written."""
    faults: list[str] = field(default_factory=list)
    """What could not be done, a line for each day."""
    changed: list[str] = field(default_factory=list)
    """Days that were written again because they have other values, with their revision."""


class _Extent(NamedTuple):
    """Times of the first and the last stored row."""

    first: int
    last: int


class LakeRun:
    """One run over the stores of a venue, within `Lake.writing`. `frames` reads the stores alone, not the lake.
    `reader` is None where no trades are stored. `PyMongoError` and `DatabaseAwayError` when the database does not
    answer; why a single day cannot be written is a fault of the report.
    """

    def __init__(
        self,
        lake: Lake,
        frames: Frames,
        database: Database[dict[str, Any]],
        reader: TradeReader | None,
        *,
        now_ms: int | None,
        wall_ms: Callable[[], int],
        on_progress: OnProgress = lambda *_: None,
    ) -> None:
        """`now_ms` bounds what has been, as the wall clock does for live data; None: the newest stored data does."""
        self._lake = lake
        self._frames = frames
        self._database = database
        self._reader = reader
        self._venue = frames.venue
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self._on_progress = on_progress
        self.report = LakeReport()

    def run(self, choice: LakeChoice) -> LakeReport:
        """Writes what is chosen."""
        found = [*self._trade_series(), *self._candle_series(), *self._incident_series()]
        until = self._closed_until(found)
        for series, extent in found:
            if choice.has(series):
                self._bring(series, extent, min(until, choice.end), choice)
        return self.report

    def _trade_series(self) -> Iterator[tuple[LakeSeries, _Extent]]:
        for symbol in self._reader.symbols() if self._reader else ():
            first, last = self._reader.first_time(symbol), self._reader.last_time(symbol)  # type: ignore[union-attr]
            if first is not None and last is not None:
                yield LakeSeries(self._venue, TRADES, symbol), _Extent(first, last)

    def _candle_series(self) -> Iterator[tuple[LakeSeries, _Extent]]:
        candles = self._database[MARKET_DATA]
        for symbol in sorted(map(str, candles.distinct("symbol", {"venue": self._venue}))):
            for timeframe in self._timeframes(symbol):
                of = {"venue": self._venue, "symbol": symbol, "timeframe": timeframe, "is_closed": True}
                extent = self._extent_of(MARKET_DATA, of, "open_time")
                if extent is not None:
                    yield LakeSeries.of_candles(self._venue, timeframe, symbol), extent

    def _timeframes(self, symbol: str) -> list[str]:
        """The timeframes with candles of a symbol, shortest first."""
        found = map(str, self._database[MARKET_DATA].distinct("timeframe", {"venue": self._venue, "symbol": symbol}))
        return sorted((name for name in found if is_timeframe(name)), key=timeframe_ms)

    def _incident_series(self) -> Iterator[tuple[LakeSeries, _Extent]]:
        public = {"venue": self._venue, "kind": {"$nin": list(PRIVATE_KINDS)}}
        for symbol in sorted(map(str, self._database[LEDGER].distinct("symbol", public))):
            extent = self._extent_of(LEDGER, {**public, "symbol": symbol}, "begin")
            if extent is not None:
                yield LakeSeries(self._venue, INCIDENTS, symbol), extent

    def _extent_of(self, collection: str, of: dict[str, Any], time: str) -> _Extent | None:
        wanted = {**of, time: {"$gte": 0, "$lt": 1 << 43}}
        ends = [
            self._database[collection].find_one(wanted, {time: True}, sort=[(time, order)])
            for order in (ASCENDING, DESCENDING)
        ]
        times = [int(one[time]) for one in ends if one is not None]
        return _Extent(*times) if len(times) == len(ends) else None

    def _closed_until(self, found: Iterable[tuple[LakeSeries, _Extent]]) -> int:
        """End of the last day that is over, by trades and candles: an incident may have the time of this machine."""
        newest = max((extent.last for series, extent in found if series.kind != INCIDENTS), default=0)
        now = newest if self._now_ms is None else min(newest, self._now_ms)
        return max(now - SETTLE_MS, 0) // DAY_MS * DAY_MS

    # --- a series ---

    def _bring(self, series: LakeSeries, extent: _Extent, until: int, choice: LakeChoice) -> None:
        """Writes the days of a series from its first stored row to its last one."""
        end = min(until, extent.last // DAY_MS * DAY_MS + DAY_MS)
        begins = range(max(extent.first, choice.start + DAY_MS - 1) // DAY_MS * DAY_MS, end, DAY_MS)
        try:
            writer = SeriesWriter(self._lake, series, wall_ms=self._wall_ms)
        except LakeError as error:
            self.report.faults.append(str(error))
            return
        self._adopt(series, writer, frozenset(map(day_of, begins)))
        wanted = self._wanted(series, writer, begins, choice)
        for done, begin in enumerate(wanted):
            self._on_progress(str(series), done, len(wanted))
            self._write(series, writer, begin)
        if wanted:
            self._on_progress(str(series), len(wanted), len(wanted))

    def _adopt(self, series: LakeSeries, writer: SeriesWriter, stored: frozenset[str]) -> None:
        """Takes files into the manifest that it does not have."""
        for day in self._lake.days_on_disk(series):
            if day in writer.manifest.days:
                continue
            try:
                begin_of(day)
                self.report.outcomes[writer.adopt(day)] += 1
            except (LakeError, ValueError) as error:
                if day not in stored:  # else it is written anew
                    self.report.faults.append(str(error))

    def _wanted(self, series: LakeSeries, writer: SeriesWriter, begins: range, choice: LakeChoice) -> Sequence[int]:
        """The days to write or to compare."""
        if choice.every_day:
            return begins
        known = writer.manifest.days
        old = [begin for begin in begins[:-CHECKED_DAYS] if day_of(begin) in known]
        changed = self._changed(series, writer, old) if old else set()
        return [begin for begin in begins if begin not in old or begin in changed]

    def _changed(self, series: LakeSeries, writer: SeriesWriter, begins: Sequence[int]) -> set[int]:
        """Days of which candles were written, or incidents tell, since they were compared."""
        days = writer.manifest.days
        checked = {begin: days[day_of(begin)].checked_at - SLACK_MS for begin in begins}
        since = datetime.fromtimestamp(max(min(checked.values()), 0) / 1_000, UTC)
        span = begins[0], begins[-1] + DAY_MS
        found: set[int] = set()
        for begin, end, noted in (*self._notes(series, span, since), *self._writes(series, span, since)):
            found.update(
                day for day in range(max(begin, span[0]) // DAY_MS * DAY_MS, min(end, span[1]), DAY_MS)
                if noted >= checked.get(day, noted + 1)
            )  # fmt: skip
        return found

    def _notes(self, series: LakeSeries, span: tuple[int, int], since: datetime) -> Iterator[tuple[int, int, int]]:
        of: dict[str, Any] = {"venue": self._venue, "symbol": {"$in": [series.symbol, ""]}}
        if series.kind != INCIDENTS:
            of["kind"] = {"$in": list(_CHANGES)}
        of |= {"begin": {"$lt": span[1]}, "end": {"$gte": span[0]}, "created_at": {"$gte": since}}
        for one in self._database[LEDGER].find(of, {"begin": True, "end": True, "created_at": True}):
            yield int(one["begin"]), int(one["end"]) + 1, _ms(one["created_at"])

    def _writes(self, series: LakeSeries, span: tuple[int, int], since: datetime) -> Iterator[tuple[int, int, int]]:
        """Of the timeframe itself, or of the longest one for trades: it changes with the others."""
        if series.kind == INCIDENTS:
            return
        timeframe = series.timeframe or next(reversed(self._timeframes(series.symbol)), "")
        of: dict[str, Any] = {"venue": self._venue, "symbol": series.symbol, "timeframe": timeframe}
        of |= {"open_time": {"$gte": span[0], "$lt": span[1]}, "updated_at": {"$gte": since}}
        for one in self._database[MARKET_DATA].find(of, {"open_time": True, "updated_at": True}):
            yield int(one["open_time"]), int(one["open_time"]) + 1, _ms(one["updated_at"])

    # --- a day ---

    def _write(self, series: LakeSeries, writer: SeriesWriter, begin: int) -> None:
        day = day_of(begin)
        try:
            outcome = writer.write(day, self._stored(series, writer, begin))
        except (LakeError, TradeStoreError, DocumentError) as error:
            self.report.faults.append(f"{series} {day}: {error}")
            return
        self.report.outcomes[outcome] += 1
        entry = writer.manifest.days[day]
        if outcome in ("written", "rewritten"):
            self.report.rows += entry.rows
        if outcome == "rewritten":
            self.report.changed.append(f"{series} {day} is revision {entry.revision}")
        if outcome == "damaged":
            name = self._lake.where(series, day)
            self.report.faults.append(f"{name} is damaged, and the stores do not have all of it any more")

    def _stored(self, series: LakeSeries, writer: SeriesWriter, begin: int) -> StoredDay:
        if series.timeframe:
            return CandleDay(self._frames, series, begin)
        if series.kind == INCIDENTS or self._reader is None:
            return IncidentDay(self._frames, series, begin)
        self._reader.catch_up()
        return TradeDay(
            self._reader,
            series,
            begin,
            before=writer.manifest.days.get(day_of(begin - DAY_MS)),
            candles=partial(self._statuses, series.symbol, begin),
            was_missing=partial(lost_trades, self._database, series, begin),
        )

    def _statuses(self, symbol: str, begin: int) -> StoredCandles | None:
        """What the candles of the shortest timeframe say."""
        shortest = next(iter(self._timeframes(symbol)), "")
        if not shortest:
            return None
        schema: dict[str, pl.DataType] = {"open_time": pl.Int64(), "status": pl.String(), "proof": pl.String()}
        of = {"venue": self._venue, "symbol": symbol, "timeframe": shortest, "is_closed": True}
        parts = list(self._frames.iterate_documents(MARKET_DATA, of, "open_time", begin, begin + DAY_MS, schema))
        frame = pl.concat([pl.DataFrame(schema=schema), *(part.drop("timestamp") for part in parts)])
        return candles_of(frame, shortest, begin) if frame.height else None


def _ms(moment: datetime) -> int:
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1_000)
