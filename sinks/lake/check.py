"""Checks that a lake holds what its manifests say: every file by its digest, its rows, its ids and its values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from flows.modules.late import late_module
from sinks.lake.manifest import LakeDay, LakeError
from sinks.lake.place import Lake
from sinks.lake.series import LakeSeries, begin_of
from sinks.lake.values import values_of

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

FaultKind: TypeAlias = Literal["manifest", "missing", "damaged", "untrue", "unlisted", "replacing"]
_FAULTS: Final = {
    "missing": "its file is missing",
    "damaged": "its file is not the one that was written",
    "untrue": "its file has other rows than the manifest says",
    "unlisted": "its file is not in the manifest",
    "replacing": "it was to be replaced when the process ended",
}
"""What each kind means. `manifest`: the manifest itself cannot be read."""


class LakeFault(Struct, frozen=True):
    """Something of a lake that is not as it should be."""

    series: str
    day: str
    """Empty for the manifest."""
    kind: FaultKind
    text: str


class LakeSummary(Struct, frozen=True):
    """What a series has."""

    venue: str
    kind: str
    symbol: str
    days: int
    first: str
    """The first day, and the last one; empty without any."""
    last: str
    rows: int
    size: int
    """Bytes."""
    complete: int
    """Days by their proof."""
    repaired: int
    unproven: int
    revised: int
    """Days that were written more than once."""


class LakeCheck:
    """One check of a lake."""

    def __init__(self, lake: Lake, *, on_progress: Callable[[str, int, int], None] = lambda *_: None) -> None:
        self._lake = lake
        self._on_progress = on_progress
        self.summaries: list[LakeSummary] = []
        self.faults: list[LakeFault] = []

    def check(self, series: Sequence[LakeSeries], start: int = 0, end: int = 1 << 62) -> None:
        """Reads every file of these series whose day begins in `[start, end)`, ms UTC."""
        for one in series:
            self.faults += self._check(one, start, end)

    def _check(self, series: LakeSeries, start: int, end: int) -> Iterator[LakeFault]:
        try:
            days = self._lake.manifest(series).days
        except LakeError as error:
            yield LakeFault(str(series), "", "manifest", str(error))
            return
        chosen = {day: entry for day, entry in days.items() if start <= begin_of(day) < end}
        self.summaries.append(_summary(series, chosen))
        for done, (day, entry) in enumerate(chosen.items(), 1):
            if kind := self._fault(series, day, entry):
                yield LakeFault(str(series), day, kind, _FAULTS[kind])
            self._on_progress(str(series), done, len(chosen))
        for day in self._lake.days_on_disk(series):
            if day not in days:
                yield LakeFault(str(series), day, "unlisted", _FAULTS["unlisted"])

    def _fault(self, series: LakeSeries, day: str, entry: LakeDay) -> FaultKind | None:
        if not self._lake.has_file(series, day):
            return "missing"
        if entry.before is not None:
            return "replacing"
        if not self._lake.is_of(entry, series, day):
            return "damaged"
        values = values_of(series)
        try:
            for frame in self._lake.frames(series, day):
                values.add(frame)
        except (pl.exceptions.PolarsError, OSError):
            return "untrue"
        found = (values.rows, values.first_id, values.last_id, values.first_time, values.last_time, values.digest())
        said = (entry.rows, entry.first_id, entry.last_id, entry.first_time, entry.last_time, entry.values)
        return None if found == said else "untrue"


def _summary(series: LakeSeries, days: dict[str, LakeDay]) -> LakeSummary:
    proofs = [entry.proof.proof for entry in days.values()]
    dates = list(days)
    return LakeSummary(
        series.venue,
        series.kind,
        series.symbol,
        days=len(days),
        first=dates[0] if dates else "",
        last=dates[-1] if dates else "",
        rows=sum(entry.rows for entry in days.values()),
        size=sum(entry.size for entry in days.values()),
        complete=proofs.count("complete"),
        repaired=proofs.count("repaired"),
        unproven=proofs.count("unproven"),
        revised=sum(entry.revision > 1 for entry in days.values()),
    )
