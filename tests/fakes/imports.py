"""An import into memory: files, through the source and the machines, as the newest version of each candle; or through
the importer into a store that outlives it.
"""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from bytewax.testing import run_main
from msgspec import structs

from flows.backfill import build_flow
from flows.model import Candle, Incident, StoreOnly
from flows.operators.candles.upgrade import contradicts, improved
from flows.settings import Settings, load_settings
from sinks.importer import Importer, Improvement
from sinks.mongo.documents import is_candle_stored
from sinks.mongo.writer import MongoWriter
from sources.archive.bridge import ArchiveSource
from sources.archive.csv_reader import ArchiveReader
from sources.archive.fetch import check, digest_of, files_in
from sources.archive.files import ArchiveFile
from sources.archive.gaps import ImportGaps
from sources.archive.manifest import Manifest
from sources.archive.progress import ImportProgress
from sources.archive.spans import Span, spans_of


class Remembered:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.candles: dict[tuple[str, int], Candle] = {}
        self.incidents: list[Incident] = []
        self.spans: list[Span] = []

    def write(self, batch: list[list[Any]]) -> None:
        for item in (item for items in batch for item in items):
            match item:
                case Candle(is_closed=True):
                    self._keep(item)
                case StoreOnly():
                    self._keep(item.candle)
                case Incident():
                    self.incidents.append(item)
                case Span():
                    self.spans.append(item)

    def close(self) -> None:
        pass

    def _keep(self, candle: Candle) -> None:
        self.candles[candle.timeframe, candle.open_time] = candle

    def of(self, timeframe: str) -> list[Candle]:
        """The candles of a timeframe, oldest first."""
        return sorted((c for (name, _), c in self.candles.items() if name == timeframe), key=lambda c: c.open_time)


def settings_of(symbol: str, timeframes: tuple[str, ...]) -> Settings:
    """Settings of an import."""
    settings = load_settings()
    feed = settings.feed.model_copy(update={"symbols": (symbol,), "timeframes": timeframes})
    return settings.model_copy(update={"feed": feed})


def import_folder(folder: Path, symbol: str, timeframes: tuple[str, ...]) -> tuple[Remembered, ImportProgress]:
    """Imports the files of a folder."""
    paths = files_in(folder, (symbol,))

    def get(file: ArchiveFile) -> ArchiveReader:
        return ArchiveReader(file, paths[file], vouched=check(paths[file]))

    progress, sink = ImportProgress(), Remembered()
    manifest = Manifest(folder / "journal.json", stores="")
    spans = spans_of(paths, 0, 1 << 62)
    source = ArchiveSource("binance", spans, get, manifest=manifest, watcher=progress, stop=threading.Event())
    run_main(build_flow(settings_of(symbol, timeframes), source, sink))  # type: ignore[arg-type]
    return sink, progress


class StoredCandles:
    """A writer that has stored at once what it is given, as MongoDB would."""

    held = 0
    outage = ""

    def __init__(self) -> None:
        self.candles: dict[tuple[str, int], Candle] = {}

    def write(self, batch: Sequence[Candle]) -> None:
        for candle in batch:
            place = candle.timeframe, candle.open_time
            stored = self.candles.get(place)
            if stored is None or not is_candle_stored(candle, stored):
                self.candles[place] = structs.replace(candle, event_time=0)

    def close(self) -> None:
        pass

    def known(self, symbol: str, start_ms: int, end_ms: int) -> list[Candle]:
        return [candle for (_, time), candle in self.candles.items() if start_ms <= time < end_ms]


class _Batches:
    """A sink that remembers what the importer would be given, batch by batch."""

    def __init__(self) -> None:
        self.taken: list[list[Any]] = []

    def write(self, batch: list[list[Any]]) -> None:
        self.taken += batch

    def close(self) -> None:
        pass


def import_into(
    store: StoredCandles, folder: Path, symbol: str, timeframes: tuple[str, ...], *, most: int | None = None
) -> int:
    """Imports the files of a folder that its journal does not name; gives the number of batches. It ends as by a kill
    after `most` of them, and whatever may be in the journal by then is there.
    """
    paths = files_in(folder, (symbol,))
    spans = spans_of(paths, 0, 1 << 62)
    manifest = Manifest(folder / "journal.json", stores="")
    for file, path in paths.items():
        manifest.set_current(file, digest_of(path))

    def get(file: ArchiveFile) -> ArchiveReader:
        return ArchiveReader(file, paths[file], vouched=check(paths[file]))

    batches = _Batches()
    source = ArchiveSource("binance", spans, get, manifest=manifest, watcher=ImportProgress(), stop=threading.Event())
    run_main(build_flow(settings_of(symbol, timeframes), source, batches))  # type: ignore[arg-type]
    gaps = ImportGaps()

    def on_stored(reached: list[Span]) -> None:
        stored, lacking = gaps.sort(reached)
        manifest.forget(lacking)
        manifest.add(stored)

    importer = Importer(
        candles=cast("MongoWriter", store), most_candles=1_000, trades=[], ledger=gaps, marker=Span,
        on_stored=on_stored, on_failure=lambda _: None, improvement=Improvement(store.known, improved, contradicts),
    )  # fmt: skip
    for batch in batches.taken[:most]:
        importer.write([batch])
        importer._report_stored()
    if most is None:
        importer.close()
    return len(batches.taken)


def seal(path: Path) -> None:
    """Puts the checksum beside a file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
