"""The ledger of incidents: known gaps, refuted candles, times of failures."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
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
        self._incidents = list(incidents)
        self._ranges: dict[Sequence[str], list[tuple[int, int]]] = {}
        self._mismatches = {(i.begin, i.end) for i in self._incidents if i.kind == "mismatch"}

    def names(self, first: int, last: int, *, kinds: Sequence[str] = LOSSES) -> bool:
        """Whether incidents of these kinds name all ids of a gap, both inclusive."""
        if kinds not in self._ranges:
            self._ranges[kinds] = _united((i.first_id, i.last_id) for i in self._incidents if i.kind in kinds)
        ranges = self._ranges[kinds]
        place = bisect_right(ranges, first, key=itemgetter(0)) - 1
        return place >= 0 and last <= ranges[place][1]

    def names_break(self, begin: int, end: int) -> bool:
        """Whether a gap without ids is between two times: there the sequence restarted, or files are missing."""
        return any(
            i.kind == "gap" and i.first_id < 0 and i.symbol and i.begin <= end and i.end >= begin
            for i in self._incidents
        )

    def names_gap(self, gap: IdGap) -> bool:
        """Whether incidents name a gap: its ids, or a new begin of the sequence at its time."""
        return (not gap.begins_anew and self.names(gap.first, gap.last)) or (
            not gap.of_fills and self.names_break(gap.after_time, gap.before_time)
        )

    def names_mismatch(self, begin: int, end: int) -> bool:
        """Whether a candle of exactly this time was refuted, ours or the exchange's."""
        return (begin, end) in self._mismatches

    def explains(self, begin: int, end: int, kinds: Sequence[str] = EXPLAINING) -> bool:
        """Whether an incident of these kinds touches `[begin, end)`, ms UTC."""
        return any(i.kind in kinds and i.begin < end and i.end >= begin for i in self._incidents)


def _united(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of ids in order, adjacent and overlapping ones merged; without empty ones."""
    united: list[tuple[int, int]] = []
    for first, last in sorted(r for r in ranges if r[0] >= 0):
        if united and first <= united[-1][1] + 1:
            united[-1] = united[-1][0], max(united[-1][1], last)
        else:
            united.append((first, last))
    return united
