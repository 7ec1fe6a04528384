"""Which trades a span lacks: ids between those that are stored."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from flows.process.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")

MOST_GAPS: Final = 1_000
"""Gaps that are kept; further ones are only counted."""


class Gap(NamedTuple):
    """Ids of missing trades, both inclusive, and the times of the trades on both sides, ms UTC."""

    first_id: int
    last_id: int
    begin: int
    end: int


class MissingIds:
    """Follows the ids of an instrument's trades, which are issued one after another, whatever the kind of fill."""

    def __init__(self, last: tuple[int, int] | None = None) -> None:
        """`last` is id and time of the trade before the first one; without it nothing lacks at the begin."""
        self._last = last
        self._resumed: list[int] = []
        self.gaps: list[Gap] = []
        self.trades = 0
        """Number of all missing trades."""

    def add(self, ids: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> None:
        """Takes the trades of a later time. An id below earlier ones fills a gap, as times may run back a little."""
        if ids.size > 1 and (ids[1:] < ids[:-1]).any():
            order = np.argsort(ids, kind="stable")
            ids, times = ids[order], times[order]
        if self._last is not None:
            late = int(np.searchsorted(ids, self._last[0], side="right"))
            for number, time in zip(ids[:late].tolist(), times[:late].tolist(), strict=True):
                self._fill(number, time)
            ids, times = ids[late:], times[late:]
        if not ids.size:
            return
        if self._last is not None:
            self._note(*self._last, int(ids[0]), int(times[0]))
        for place in np.flatnonzero(ids[1:] > ids[:-1] + 1).tolist():
            self._note(int(ids[place]), int(times[place]), int(ids[place + 1]), int(times[place + 1]))
        self._last = int(ids[-1]), int(times[-1])

    def are_between(self, id_: int, later: int) -> bool:
        """Whether trades are missing between two that were added."""
        return bisect_right(self._resumed, later) > bisect_right(self._resumed, id_)

    def _note(self, id_: int, time: int, later: int, later_time: int) -> None:
        if later == id_ + 1:
            return
        self._resumed.append(later)
        self.trades += later - id_ - 1
        if len(self.gaps) < MOST_GAPS:
            self.gaps.append(Gap(id_ + 1, later - 1, time, later_time))
        del self._resumed[:-MOST_GAPS]

    def _fill(self, id_: int, time: int) -> None:
        for place, gap in enumerate(self.gaps):
            if gap.first_id <= id_ <= gap.last_id:
                parts = Gap(gap.first_id, id_ - 1, gap.begin, time), Gap(id_ + 1, gap.last_id, time, gap.end)
                self.gaps[place : place + 1] = [part for part in parts if part.first_id <= part.last_id]
                self.trades -= 1
                return
