"""Checks that the ids of an instrument's stored trades are consecutive, and the fills of its aggregates too.

Trades come frame by frame in the order of time, ids rising within a frame. Times may run back a little while the ids
rise, so the last ids of a frame may be in the next one: a gap is open until later times are read.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from flows.bounds import BACK_MS
from flows.queries import DisputedTradesQuery
from flows.verification.checks.findings import Finding
from flows.verification.checks.held import FirstSeen

SETTLED_MS = 60_000
"""A gap is certain when trades so much later have been read."""
ORDERED_MS = 0
"""By so much the time of a trade ran back against that of the id before it in every recording of either venue: in
127,000 pairs of trades, never at all. What runs back by more is noted, up to `BACK_MS`, from which on it is false.
"""
MOST_OF_A_FRAME = 1_000
"""Most findings about single trades of one frame; the rest of the frame is one finding."""


_EARLIER = "a time before that of the trade before it, so one of the two is wrong"


class IdGap(Struct, frozen=True):
    """Missing trades: ids of trades or of fills, both inclusive, and the times of the trades on both sides, ms UTC."""

    first: int
    last: int
    after_time: int
    before_time: int
    of_fills: bool = False
    begins_anew: bool = False
    """The ids continue at lower ones: nothing is known to be missing, but the sequence is broken."""

    def touches(self, begin: int, end: int) -> bool:
        """Whether trades of `[begin, end)` may be missing."""
        return self.after_time < end and self.before_time >= begin


class Misplaced(Struct, frozen=True):
    """Trades that are stored among others which follow each other without them: ids, both inclusive, and times."""

    first: int
    last: int
    begin: int
    end: int
    witness: tuple[int, int]
    """Id and time of one of the others."""


class _Run(Struct):
    """Trades with consecutive ids."""

    first: int
    last: int
    begin: int
    """Time of the first one."""
    end: int
    """Time of the last one."""
    first_fill: int
    last_fill: int

    @property
    def size(self) -> int:
        """Number of trades."""
        return self.last - self.first + 1


class TradeIds:
    """The sequence of one instrument's trade ids."""

    def __init__(self, symbol: str, *, fills_follow: bool, first: FirstSeen | None = None) -> None:
        """`first` is the trade with which the stored ones must begin, if they must."""
        self._symbol = symbol
        self._must_begin = first
        self._fills_follow = fills_follow
        self._newest: _Run | None = None
        self._open: list[IdGap] = []
        self.first_time: int | None = None
        """Time of the first trade, ms UTC; None without any."""
        self.last_time = 0
        """The latest time of a trade."""
        self.doubtful: list[int] = []
        """Times of trades that are stored where they cannot belong."""
        self.misplaced: list[Misplaced] = []
        self.copies: list[DisputedTradesQuery] = []
        """Those with ids that were stored before; `begin` and `end` are the times around both places."""

    def add(self, trades: pl.DataFrame) -> Iterator[Finding | IdGap]:
        """Takes the next frame, with every kind of fill; yields its findings, and the gaps that are certain."""
        columns = {name: trades[name].to_numpy() for name in ("id", "first_id", "last_id", "time")}
        yield from self._check_each(trades, columns)
        runs = _runs(columns)
        for place, run in enumerate(runs):
            yield from self._follow(run, runs[place + 1 :])
        if self.first_time is None:
            self.first_time = int(columns["time"].min())
        self.last_time = max(self.last_time, int(columns["time"].max()))
        yield from self._settled(self.last_time - SETTLED_MS)

    def end(self) -> Iterator[IdGap]:
        """The trades have ended: yields the gaps that are still open."""
        yield from self._settled(1 << 62)

    def open_gaps(self) -> list[IdGap]:
        """The gaps that are not certain yet."""
        return list(self._open)

    # --- single trades ---

    def _check_each(self, trades: pl.DataFrame, columns: dict[str, npt.NDArray[np.int64]]) -> Iterator[Finding | IdGap]:
        ids, first, last, time = columns.values()
        following = ids[1:] == ids[:-1] + 1
        back = np.zeros(len(ids), dtype=bool)
        back[1:] = following & (time[1:] < time[:-1] - BACK_MS)
        yield from self._wrong(trades, back, f"a time more than {BACK_MS} ms before that of the trade before it")
        earlier = np.zeros(len(ids), dtype=bool)
        earlier[1:] = following & (time[1:] < time[:-1] - ORDERED_MS)
        yield from self._wrong(trades, earlier & ~back, _EARLIER, kind="time")
        broken = following & (first[1:] <= last[:-1])
        yield from self._wrong(trades, np.insert(broken, 0, False), "fills that another trade has too", kind="fills")
        if self._fills_follow:
            for place in np.flatnonzero(following & (first[1:] > last[:-1] + 1)).tolist():
                yield IdGap(
                    int(last[place]) + 1,
                    int(first[place + 1]) - 1,
                    int(time[place]),
                    int(time[place + 1]),
                    of_fills=True,
                )

    def _wrong(
        self, trades: pl.DataFrame, is_wrong: npt.NDArray[np.bool_], what: str, *, kind: str = "trade"
    ) -> Iterator[Finding]:
        if not is_wrong.any():
            return
        places = np.flatnonzero(is_wrong).tolist()
        for place in places[:MOST_OF_A_FRAME]:
            row = trades.row(place, named=True)
            yield Finding(kind, self._symbol, "", row["time"], f"trade {row['id']}", f"it has {what}: {_words(row)}")  # type: ignore[arg-type]
        if len(places) > MOST_OF_A_FRAME:
            row = trades.row(places[MOST_OF_A_FRAME], named=True)
            count = len(places) - MOST_OF_A_FRAME
            yield Finding(kind, self._symbol, "", row["time"], f"trade {row['id']}", f"{count} more have {what}")  # type: ignore[arg-type]

    # --- the sequence ---

    def _follow(self, run: _Run, behind: list[_Run]) -> Iterator[Finding | IdGap]:
        newest = self._newest
        if newest is None:
            self._begin(run)
            self._newest = run
        elif run.first > newest.last + 1 and run.begin < newest.end - BACK_MS and run.size <= newest.size:
            self.doubtful += [run.begin, run.end]
            self.misplaced.append(Misplaced(run.first, run.last, run.begin, run.end, (newest.last, newest.end)))
            true = f"trades of lower ids are stored up to {newest.end}, and none between it and {newest.last}"
            yield Finding("trade", self._symbol, "", run.begin, f"trade {run.first}", true)
        elif run.first > newest.last:
            yield from self._go_on(newest, run)
            self._newest = run
        elif (place := self._gap_of(run)) is None:
            yield from self._go_back(newest, run, behind)
        else:
            yield from self._fill(place, run)

    def _begin(self, run: _Run) -> None:
        """Notes what lacks before the first trades."""
        first = self._must_begin
        if first is not None and first.id < run.first and first.time <= run.begin:
            self._open.append(IdGap(first.id, run.first - 1, first.time, run.begin))

    def _go_on(self, newest: _Run, run: _Run) -> Iterator[Finding | IdGap]:
        if run.first > newest.last + 1:
            self._open.append(IdGap(newest.last + 1, run.first - 1, newest.end, run.begin))
            return
        if run.begin < newest.end - ORDERED_MS:
            yield self._earlier(run.first, run.begin, newest.end)
        if run.first_fill <= newest.last_fill:
            true = f"it begins with fill {run.first_fill}, and the trade before it ends with {newest.last_fill}"
            yield Finding("fills", self._symbol, "", run.begin, f"trade {run.first}", true)
        elif self._fills_follow and run.first_fill > newest.last_fill + 1:
            yield IdGap(newest.last_fill + 1, run.first_fill - 1, newest.end, run.begin, of_fills=True)

    def _earlier(self, number: int, time: int, before: int) -> Finding:
        """A trade that is earlier than the one before it: by more than servers may differ, or not."""
        if time < before - BACK_MS:
            true = f"its time {time} is more than {BACK_MS} ms before {before}, that of the trade before it"
            return Finding("trade", self._symbol, "", time, f"trade {number}", true)
        true = f"it has {_EARLIER}: {time} after {before}"
        return Finding("time", self._symbol, "", time, f"trade {number}", true)

    def _gap_of(self, run: _Run) -> int | None:
        """The place of the open gap that has trades which come a frame late; None when no gap has them."""
        return next((n for n, gap in enumerate(self._open) if gap.first <= run.first and run.last <= gap.last), None)

    def _fill(self, place: int, run: _Run) -> Iterator[Finding]:
        """Removes trades that come a frame late from an open gap."""
        gap = self._open[place]
        before = IdGap(gap.first, run.first - 1, gap.after_time, run.begin)
        behind = IdGap(run.last + 1, gap.last, run.end, gap.before_time)
        self._open[place : place + 1] = [part for part in (before, behind) if part.first <= part.last]
        if run.last == gap.last and run.end > gap.before_time + ORDERED_MS:
            yield self._earlier(run.last + 1, gap.before_time, run.end)

    def _go_back(self, newest: _Run, run: _Run, behind: list[_Run]) -> Iterator[Finding | IdGap]:
        """Ids that were read before: the venue restarted its ids, or a trade is stored twice. The former, if those
        `behind` in the frame do not go on from the newest ones.
        """
        goes_on = any(one.first > newest.last for one in behind)
        least = newest.end + (-BACK_MS if run.last < newest.first else BACK_MS + 1)
        if not goes_on and run.begin >= least:
            yield IdGap(run.first, newest.last, newest.end, run.begin, begins_anew=True)
            self._newest = run
        else:
            self.doubtful += [run.begin, run.end]
            times = min(newest.begin, run.begin), max(newest.end, run.end)
            self.copies.append(DisputedTradesQuery(self._symbol, run.first_fill, run.last_fill, *times))
            true = f"ids up to {newest.last} are stored before it, so it is stored twice or in the wrong place"
            yield Finding("trade", self._symbol, "", run.begin, f"trade {run.first}", true)

    def _settled(self, until: int) -> Iterator[IdGap]:
        certain = [gap for gap in self._open if gap.before_time <= until]
        self._open = [gap for gap in self._open if gap.before_time > until]
        yield from certain


def copied(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a frame whose id is not the only one of its kind. Nearly always there are none, and nothing is read
    but the ids.
    """
    ids = frame["id"].to_numpy()
    is_same = ids[1:] == ids[:-1]
    return frame.filter(np.append(is_same, False) | np.insert(is_same, 0, False)) if is_same.any() else frame[:0]


def stored_twice(symbol: str, versions: pl.DataFrame) -> Finding:
    """The finding about a trade with several versions."""
    rows = [_words(row) for row in versions.iter_rows(named=True)]
    claimed = f"trade {versions['id'][0]}"
    return Finding("trade", symbol, "", int(versions["time"][-1]), claimed, f"it is stored as {' and as '.join(rows)}")


def _runs(columns: dict[str, npt.NDArray[np.int64]]) -> list[_Run]:
    """The runs of a frame by the time of their first trade."""
    ids, first, last, time = columns.values()
    starts = [0, *(np.flatnonzero(np.diff(ids) != 1) + 1).tolist(), len(ids)]
    runs = [
        _Run(
            int(ids[start]),
            int(ids[end - 1]),
            int(time[start]),
            int(time[end - 1]),
            int(first[start]),
            int(last[end - 1]),
        )
        for start, end in pairwise(starts)
    ]
    return runs if len(runs) == 1 else sorted(runs, key=lambda run: run.begin)


def _words(row: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if name != "id")
