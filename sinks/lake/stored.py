"""Days as the stores have them: trades, candles and incidents, with what proves that each is whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from flows.model import DAY_MS, PRIVATE_KINDS, timeframe_ms
from sinks.bars.missing import MissingIds
from sinks.dataframes import CANDLE_SCHEMA, Frames
from sinks.lake.columns import FILL, INCIDENT_COLUMNS, empty_of
from sinks.lake.manifest import MOST_GAPS, DayProof, LakeDay
from sinks.lake.series import LakeSeries
from sinks.lake.values import DayValues, values_of
from sinks.mongo.documents import INCIDENTS, MARKET_DATA
from sinks.trades.codec import END_MS, MINUTE_MS, minute_of
from sinks.trades.reader import TradeView, in_order

if TYPE_CHECKING:
    from collections.abc import Callable

_LOST: Final = frozenset(("gap", "repair", "late", "partial"))
"""Kinds of incidents that say that trades were missing, at least for a time."""


class StoredCandles(NamedTuple):
    """The candles of a day and timeframe by what they say of themselves."""

    periods: int
    """Periods that open in the day."""
    missing: tuple[int, ...]
    """Open times of those without a closed candle."""
    by_status: Mapping[str, int]
    refuted: int
    """Those that the exchange's own candle has shown to be wrong, and that stand."""

    @property
    def doubt(self) -> str:
        """What is wrong with them; empty when nothing is."""
        parts = [f"{count} {status}" for status in ("partial", "unproven") if (count := self.by_status.get(status))]
        parts += [f"{self.refuted} refuted"] if self.refuted else []
        return ", ".join(parts)


def candles_of(frame: pl.DataFrame, timeframe: str, begin: int) -> StoredCandles:
    """What the closed candles of the day that begins then say."""
    grid = range(begin, begin + DAY_MS, timeframe_ms(timeframe))
    there = set(frame["open_time"].to_list())
    counts = frame["status"].value_counts()
    by_status = dict(zip(counts["status"].to_list(), counts["count"].to_list(), strict=True))
    refuted = frame.filter((pl.col("proof") == "ours wrong") & (pl.col("status") != "venue")).height
    return StoredCandles(len(grid), tuple(time for time in grid if time not in there), by_status, refuted)


class _Day:
    """What days of all kinds have: columns, and what follows the rows."""

    def __init__(self, series: LakeSeries, begin: int) -> None:
        self._series = series
        self._begin = begin

    @property
    def empty(self) -> pl.DataFrame:
        """A frame with the columns, and no rows."""
        return empty_of(self._series)

    def values(self) -> DayValues:
        """What follows the rows."""
        return values_of(self._series)


class CandleDay(_Day):
    """The closed candles of a day."""

    def __init__(self, frames: Frames, series: LakeSeries, begin: int) -> None:
        super().__init__(series, begin)
        self._frames = frames
        self._found: StoredCandles | None = None

    def frames(self) -> Iterator[pl.DataFrame]:
        """All in one: at most 86,400, of one second each."""
        of = {"venue": self._series.venue, "symbol": self._series.symbol, "timeframe": self._series.timeframe}
        span = self._begin, self._begin + DAY_MS
        parts = list(
            self._frames.iterate_documents(MARKET_DATA, {**of, "is_closed": True}, "open_time", *span, CANDLE_SCHEMA)
        )
        frame = pl.concat([self.empty, *(part.drop("timestamp") for part in parts)])
        self._found = candles_of(frame, self._series.timeframe, self._begin)
        yield frame

    def proof(self, _: DayValues) -> DayProof:
        """Every period has a closed candle, and none is in doubt."""
        found = self._found
        if found is None:
            raise ValueError("the rows were not read")
        length = timeframe_ms(self._series.timeframe)
        gaps = tuple(_runs(found.missing, length))[:MOST_GAPS]
        absent = (
            f"periods without a closed candle: {len(found.missing):,} of {found.periods:,}" if found.missing else ""
        )
        reason = "; ".join(filter(None, (absent, found.doubt)))
        state = "unproven" if reason else "repaired" if found.by_status.get("repaired") else "complete"
        return DayProof(proof=state, reason=reason, missing=len(found.missing), gaps=gaps)  # type: ignore[arg-type]


def _runs(times: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    """First and last of open times that follow each other."""
    begin = last = None
    for time in times:
        if begin is not None and last is not None and time != last + length:
            yield begin, last
            begin = None
        begin, last = time if begin is None else begin, time
    if begin is not None and last is not None:
        yield begin, last


class IncidentDay(_Day):
    """The incidents that began in a day, but those of accounts."""

    def __init__(self, frames: Frames, series: LakeSeries, begin: int) -> None:
        super().__init__(series, begin)
        self._frames = frames

    def frames(self) -> Iterator[pl.DataFrame]:
        """In one order, however the database delivers them."""
        of = {"venue": self._series.venue, "symbol": self._series.symbol, "kind": {"$nin": list(PRIVATE_KINDS)}}
        span = self._begin, self._begin + DAY_MS
        parts = self._frames.iterate_documents(INCIDENTS, of, "begin", *span, INCIDENT_COLUMNS)
        frame = pl.concat([self.empty, *(part.drop("timestamp") for part in parts)])
        yield frame.sort(["begin", *(name for name in frame.columns if name != "begin")])

    def proof(self, _: DayValues) -> DayProof:
        """Nothing says how many incidents there are."""
        return DayProof()


class TradeDay(_Day):
    """The trades of a day, of every kind of fill, in the order of time and id."""

    def __init__(
        self,
        view: TradeView,
        series: LakeSeries,
        begin: int,
        *,
        before: LakeDay | None,
        candles: Callable[[], StoredCandles | None],
        was_missing: Callable[[], bool],
    ) -> None:
        """`before` is the day before in the lake, for what the store does not have any more. `candles` are those of the
        shortest timeframe, None without any; `was_missing`: whether trades of the day were missing, by the ledger.
        """
        super().__init__(series, begin)
        self._view = view
        self._end = begin + DAY_MS
        self._before = before
        self._candles = candles
        self._was_missing = was_missing
        self._missing = MissingIds()
        self._has_before = False

    def frames(self) -> Iterator[pl.DataFrame]:
        """Frames of whole minutes."""
        seed = self._last_before()
        self._has_before = seed is not None
        self._missing = MissingIds(seed)
        for frame in self._view.iterate(self._series.symbol, self._begin, self._end, every_fill=True):
            trades = in_order(frame)
            self._missing.add(trades["id"].to_numpy(), trades["time"].to_numpy())
            yield trades.with_columns(pl.col("fill").cast(FILL))

    def proof(self, values: DayValues) -> DayProof:
        """No id is missing from the trade before the day to the one behind it, and no candle is in doubt."""
        behind = next(
            self._view.iterate(self._series.symbol, self._end, END_MS, rows=1, every_fill=True), None
        )  # a later minute as a whole: times may run back a little while ids rise
        if behind is not None:
            later = in_order(behind)
            self._missing.add(later["id"].to_numpy(), later["time"].to_numpy())
        lack = self._missing.within(self._begin, self._end, most=MOST_GAPS)
        reasons = [f"missing trades: {lack.trades:,}"] if lack.trades else []
        reasons += [] if self._has_before else ["no trade before the day is stored"]
        reasons += [] if behind is not None else ["no trade behind the day is stored"]
        candles = self._candles()
        doubt = candles.doubt if candles else ""
        reasons += [f"of its candles {doubt}"] if doubt else []
        is_repaired = not reasons and (
            bool(candles and candles.by_status.get("repaired")) or (values.rows > 0 and self._was_missing())
        )
        state = "unproven" if reasons else "repaired" if is_repaired else "complete"
        gaps = tuple((gap.first_id, gap.last_id) for gap in lack.first)
        return DayProof(proof=state, reason="; ".join(reasons), missing=lack.trades, gaps=gaps)  # type: ignore[arg-type]

    def _last_before(self) -> tuple[int, int] | None:
        """Id and time of the trade before the day."""
        symbol = self._series.symbol
        time = self._view.last_time(symbol, self._begin)
        if time is None:
            known = self._before
            return (known.last_id, known.last_time) if known and known.rows else None
        found = self._view.trades(
            symbol, minute_of(time) - MINUTE_MS, self._begin, every_fill=True, columns=("id", "time")
        )
        return found.item(-1, "id"), found.item(-1, "time")


def lost_trades(database: Any, series: LakeSeries, begin: int) -> bool:
    """Whether the ledger says that trades of a day were missing."""
    of = {"venue": series.venue, "symbol": {"$in": [series.symbol, ""]}, "kind": {"$in": sorted(_LOST)}}
    touching = {"begin": {"$lt": begin + DAY_MS}, "end": {"$gte": begin}}
    return database[INCIDENTS].find_one({**of, **touching, "first_id": {"$gte": 0}}) is not None
