"""Writes days of a series: each once, and again only when its values have changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from msgspec import structs

from flows.modules.late import late_module
from sinks.export.parquet import write_parquet
from sinks.lake.manifest import DayProof, LakeDay, LakeError, LakeManifest
from sinks.lake.place import Lake, digest_of
from sinks.lake.series import LakeSeries
from sinks.lake.values import DayValues, values_of

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

Outcome: TypeAlias = Literal["written", "rewritten", "proven", "unchanged", "kept", "damaged", "adopted"]
"""`rewritten`: with other values, by the next revision. `proven`: with another proof of the same values. `kept`: the
stores have less of the day than the lake. `damaged`: the same, and the file is not what it was. `adopted`: the file was
there, and its entry in the manifest was not."""
UNCLAIMED: Final = "its manifest was lost: the file is as it was found"


class StoredDay(Protocol):
    """A day as the stores have it."""

    @property
    def empty(self) -> pl.DataFrame:
        """A frame with the columns, and no rows."""

    def values(self) -> DayValues:
        """What follows the rows."""

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows in the order of time; the same ones whenever it is called, unless the stores have changed."""

    def proof(self, values: DayValues) -> DayProof:
        """What is known about the rows, after all of them were read."""


class SeriesWriter:
    """Writes the days of one series, within `Lake.writing`. Errors as of `Lake`, and of whatever reads the stores."""

    def __init__(self, lake: Lake, series: LakeSeries, *, wall_ms: Callable[[], int]) -> None:
        """Ends what a killed process has begun."""
        self._lake = lake
        self._series = series
        self._wall_ms = wall_ms
        self._manifest = lake.manifest(series)
        for day, entry in self._manifest.days.items():
            if entry.before is not None:
                self._end_replacing(day, entry, entry.before)

    @property
    def manifest(self) -> LakeManifest:
        """The days that are written."""
        return self._manifest

    def write(self, day: str, stored: StoredDay) -> Outcome:
        """Writes a day if it is not there, or its values have changed since and the stores lack nothing that the lake
        has.
        """
        known = self._manifest.days.get(day)
        if known is None:
            return self._write(day, stored, known)
        is_intact = self._is_intact(day, known)
        values = _followed(stored)
        proof = stored.proof(values)
        if values.digest() != known.values or not is_intact:
            if _lacks(known, values, proof):
                return "kept" if is_intact else "damaged"
            return self._write(day, stored, known)
        is_new = proof != known.proof
        self._put(day, structs.replace(known, proof=proof, checked_at=self._wall_ms()))
        return "proven" if is_new else "unchanged"

    def adopt(self, day: str) -> Outcome:
        """Takes a file into the manifest that has lost it, and of which the stores have nothing; nothing proves it."""
        values = values_of(self._series)
        try:
            for frame in self._lake.frames(self._series, day):
                values.add(frame)
        except (pl.exceptions.PolarsError, OSError) as error:
            name, reason = self._lake.where(self._series, day), " ".join(str(error).split())
            raise LakeError(f"{name} is not in its manifest, and cannot be read ({reason}): remove it") from None
        now, proof = self._wall_ms(), DayProof(proof="unproven", reason=UNCLAIMED)
        self._put(day, _entry(self._lake.size_and_digest(self._series, day), values, proof, revision=1, now=now))
        return "adopted"

    def _write(self, day: str, stored: StoredDay, known: LakeDay | None) -> Outcome:
        with self._lake.scratch() as folder:
            values = stored.values()
            file = _file_of(folder, stored.empty, _watched(stored.frames(), values))
            revision = known.revision + 1 if known else 1
            content = file.stat().st_size, digest_of(file)
            entry = _entry(content, values, stored.proof(values), revision=revision, now=self._wall_ms())
            if known is not None and entry.values == known.values:  # its file was damaged, and nothing else
                entry = structs.replace(entry, revision=known.revision)
            if known is not None:
                self._put(day, structs.replace(entry, before=known))
            self._lake.put_file(self._series, day, file)
        self._put(day, entry)
        return "written" if known is None else "rewritten"

    def _is_intact(self, day: str, known: LakeDay) -> bool:
        return self._lake.is_of(known, self._series, day)

    def _end_replacing(self, day: str, entry: LakeDay, before: LakeDay) -> None:
        """The file is the new one, or the one before, or it is damaged: then it is written again."""
        is_done = self._is_intact(day, entry)
        self._put(day, structs.replace(entry if is_done else before, before=None))

    def _put(self, day: str, entry: LakeDay) -> None:
        self._manifest = self._manifest.with_day(day, entry)
        self._lake.put_manifest(self._series, self._manifest)


def _file_of(folder: Path, empty: pl.DataFrame, frames: Iterator[pl.DataFrame]) -> Path:
    """A file of the frames, of which one is in memory at a time."""
    file = folder / "whole"
    write_parquet(file, empty, frames)
    return file


def _entry(content: tuple[int, str], values: DayValues, proof: DayProof, *, revision: int, now: int) -> LakeDay:
    size, digest = content
    return LakeDay(
        revision=revision,
        rows=values.rows,
        first_id=values.first_id,
        last_id=values.last_id,
        first_time=values.first_time,
        last_time=values.last_time,
        size=size,
        sha256=digest,
        values=values.digest(),
        written_at=now,
        checked_at=now,
        proof=proof,
    )


def _watched(frames: Iterator[pl.DataFrame], values: DayValues) -> Iterator[pl.DataFrame]:
    for frame in frames:
        values.add(frame)
        yield frame


def _followed(stored: StoredDay) -> DayValues:
    values = stored.values()
    for frame in stored.frames():
        values.add(frame)
    return values


def _lacks(known: LakeDay, values: DayValues, proof: DayProof) -> bool:
    """Whether the stores have lost something of a day since it was written, as by retention: then it is no repair that
    has changed it.
    """
    if not known.rows:
        return False
    return not values.rows or values.first_time > known.first_time or proof.missing > known.proof.missing
