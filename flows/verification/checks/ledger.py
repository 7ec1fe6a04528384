"""The ledger of incidents: known gaps, refuted candles, times of failures."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from operator import itemgetter

from flows.model import Incident
from flows.verification.checks.trade_ids import IdGap

LOSSES = ("gap", "store_outage")
"""Kinds that name missing trades."""
EXPLAINING = (
    "gap",
    "partial",
    "late",
    "store_outage",
    "silent",
    "disconnect",
    "reconnect",
    "feed_down",
    "unlisted",
    "history",
    "stale",
    "error",
    "lag",
)
"""Kinds that may be the reason of a missing candle."""
READ = ("mismatch", "repair", *EXPLAINING)
"""Kinds that a verification reads."""


class Ledger:
    """The incidents of one instrument and of its whole venue in a span of time."""

    def __init__(self, incidents: Iterable[Incident] = ()) -> None:
        """`incidents` come in the order in which they were noted."""
        self._incidents = list(incidents)
        self._ranges: dict[Sequence[str], list[tuple[int, int]]] = {}
        self._mismatches: dict[tuple[int, int], set[str]] = {}
        for one in self._incidents:
            if one.kind == "mismatch":
                self._mismatches.setdefault((one.begin, one.end), set()).add(one.outcome)

    def names(self, first: int, last: int, *, kinds: Sequence[str] = LOSSES) -> bool:
        """Whether incidents of these kinds name all ids of a gap, both inclusive, and none has named their repair
        since.
        """
        if kinds not in self._ranges:
            self._ranges[kinds] = _united(self._unrepaired(kinds))
        ranges = self._ranges[kinds]
        place = bisect_right(ranges, first, key=itemgetter(0)) - 1
        return place >= 0 and last <= ranges[place][1]

    def _unrepaired(self, kinds: Sequence[str]) -> list[tuple[int, int]]:
        """The ids that incidents of these kinds name, without those that a later one says are stored. Ids of fills and
        of aggregates may be the same numbers, so a repair counts only in the time of the loss.
        """
        named: list[tuple[int, int]] = []
        repairs = [(n, i) for n, i in enumerate(self._incidents) if i.kind == "repair" and i.first_id >= 0]
        for place, loss in enumerate(self._incidents):
            if loss.kind in kinds and loss.first_id >= 0:
                left = [(loss.first_id, loss.last_id)]
                for at, repair in repairs:
                    if at > place and repair.begin <= loss.end and repair.end >= loss.begin:
                        left = _without(left, repair.first_id, repair.last_id)
                named += left
        return named

    def _names_break(self, gap: IdGap) -> bool:
        """Whether an incident without ids says that the sequence begins anew, or that files are missing, just there.
        Where the ids go on at higher ones, trades within the time of the incident contradict it.
        """
        breaks = [i for i in self._incidents if i.kind == "gap" and i.first_id < 0 and i.symbol]
        if gap.begins_anew:
            return any(i.begin <= gap.before_time and i.end >= gap.after_time for i in breaks)
        return any(gap.after_time <= i.begin and i.end <= gap.before_time for i in breaks)

    def names_gap(self, gap: IdGap) -> bool:
        """Whether incidents name a gap: its ids, or a break of the sequence at its time."""
        return (not gap.begins_anew and self.names(gap.first, gap.last)) or (
            not gap.of_fills and self._names_break(gap)
        )

    def names_mismatch(self, begin: int, end: int) -> bool:
        """Whether a candle of exactly this time was refuted, ours or the exchange's."""
        return (begin, end) in self._mismatches

    def outcomes(self, begin: int, end: int) -> AbstractSet[str]:
        """What came of the mismatches of a candle of exactly this time."""
        return self._mismatches.get((begin, end), set())

    def explains(self, begin: int, end: int, kinds: Sequence[str] = EXPLAINING) -> bool:
        """Whether an incident of these kinds touches `[begin, end)`, ms UTC."""
        return any(i.kind in kinds and i.begin < end and i.end >= begin for i in self._incidents)


def _without(ranges: Iterable[tuple[int, int]], first: int, last: int) -> list[tuple[int, int]]:
    """Ranges of ids without those from `first` to `last`."""
    parts = [part for begin, end in ranges for part in ((begin, min(end, first - 1)), (max(begin, last + 1), end))]
    return [(begin, end) for begin, end in parts if begin <= end]


def _united(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of ids in order, adjacent and overlapping ones merged; without empty ones."""
    united: list[tuple[int, int]] = []
    for first, last in sorted(r for r in ranges if r[0] >= 0):
        if united and first <= united[-1][1] + 1:
            united[-1] = united[-1][0], max(united[-1][1], last)
        else:
            united.append((first, last))
    return united
