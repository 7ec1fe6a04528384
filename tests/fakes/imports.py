"""An import into memory: files, through the source and the machines, as the newest version of each candle."""

import hashlib
import threading
from pathlib import Path
from typing import Any

from bytewax.testing import run_main

from flows.backfill import build_flow
from flows.model import Candle, Incident, StoreOnly
from flows.settings import Settings, load_settings
from sources.archive.bridge import ArchiveSource
from sources.archive.csv_reader import ArchiveReader
from sources.archive.fetch import check, files_in
from sources.archive.files import ArchiveFile
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


def seal(path: Path) -> None:
    """Puts the checksum beside a file."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
