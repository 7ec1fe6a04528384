"""Which trades a span lacks: ids between those that are stored."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")


class Gap(NamedTuple):
    """Ids of missing trades, both inclusive, and the times of the trades on both sides, ms UTC."""

    first_id: int
    last_id: int
    begin: int
    end: int


_WIDTH = len(Gap._fields)


class Lack(NamedTuple):
    """What a time lacks: trades, in how many gaps, and the first of these."""

    trades: int
    gap_count: int
    first: list[Gap]


class MissingIds:
    """Follows the ids of an instrument's trades, which are issued one after another, whatever the kind of fill. Every
    gap is kept, in 32 bytes.
    """

    def __init__(self, last: tuple[int, int] | None = None) -> None:
        """`last` is id and time of the trade before the first one; without it nothing lacks at the begin."""
        self._last = last
        self._values = array("q")  # of each gap, in the order of `Gap`; ids rise
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

    @property
    def gaps(self) -> list[Gap]:
        """All gaps, by id."""
        return [self._gap(place) for place in range(len(self._values) // _WIDTH)]

    def within(self, begin: int, end: int, *, most: int) -> Lack:
        """What lacks in the time `[begin, end)`, ms UTC, with the first gaps, at most `most`."""
        every = np.array(self._values, dtype=np.int64).reshape(-1, _WIDTH)
        found = every[(every[:, 2] < end) & (every[:, 3] >= begin)]
        trades = int((found[:, 1] - found[:, 0] + 1).sum())
        return Lack(trades, len(found), [Gap(*row) for row in found[:most].tolist()])

    def are_between(self, id_: int, later: int) -> bool:
        """Whether trades are missing between two that were added."""
        return self._begun(later) > self._begun(id_)

    def _begun(self, id_: int) -> int:
        """How many gaps begin with this id or a lower one."""
        return bisect_right(range(len(self._values) // _WIDTH), id_, key=lambda place: self._values[_WIDTH * place])

    def _gap(self, place: int) -> Gap:
        return Gap(*self._values[_WIDTH * place : _WIDTH * (place + 1)])

    def _note(self, id_: int, time: int, later: int, later_time: int) -> None:
        if later == id_ + 1:
            return
        self.trades += later - id_ - 1
        self._values.extend(Gap(id_ + 1, later - 1, time, later_time))

    def _fill(self, id_: int, time: int) -> None:
        place = self._begun(id_) - 1
        if place < 0 or (gap := self._gap(place)).last_id < id_:
            return
        parts = Gap(gap.first_id, id_ - 1, gap.begin, time), Gap(id_ + 1, gap.last_id, time, gap.end)
        left = [value for part in parts if part.first_id <= part.last_id for value in part]
        self._values[_WIDTH * place : _WIDTH * (place + 1)] = array("q", left)
        self.trades -= 1
