"""What people see of an import: a progress bar, a log line a file and while one lasts, and the figures at the end."""

import sys
import threading
import time

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError
from sources.archive.spans import Span

SAY_S = 10.0
"""Time between two lines about a long file."""

_log = structlog.get_logger("flows.backfill")


class Meter:
    """Counts what is read, and shows it where somebody sits at a terminal. A file that takes longer than `say_s` has a
    line in the log each time.
    """

    def __init__(self, *, say_s: float = SAY_S) -> None:
        self._say_s = say_s
        self._said_s = time.monotonic()
        self._file = ""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("importing", total=None, note="")
        self._begun_s: float | None = None
        self._lock = threading.Lock()
        self.trades = 0
        self.files = 0
        self.missing: list[str] = []
        self.failures: list[str] = []

    def expect(self, spans: int) -> None:
        """So many spans are to be imported."""
        self._progress.update(self._task, total=spans)

    @property
    def rate(self) -> float:
        """Trades a second since the first file began."""
        return 0.0 if self._begun_s is None else self.trades / max(1e-9, time.monotonic() - self._begun_s)

    def on_file(self, file: ArchiveFile) -> None:
        """A file begins."""
        if self._begun_s is None:
            self._begun_s = time.monotonic()
            self._progress.start()
        self.files += 1
        self._file, self._said_s = file.name, time.monotonic()
        self._progress.update(self._task, description=file.name)
        _log.info("importing", file=file.name)

    def on_trades(self, trades: int) -> None:
        """So many more are read."""
        self.trades += trades
        self._progress.update(self._task, note=f"{self.rate:,.0f} trades/s")
        if self._is_due():
            _log.info("still importing", file=self._file, trades=self.trades, trades_per_s=round(self.rate))

    def on_bytes(self, name: str, done: int, total: int) -> None:
        """So much of a file is downloaded."""
        size = f" of {total / 1e6:.1f}" if total else ""
        self._progress.update(self._task, note=f"downloading {done / 1e6:.1f}{size} MB")
        if self._is_due():
            _log.info("downloading", file=name, megabytes=f"{done / 1e6:.1f}{size}")

    def on_missing(self, file: ArchiveFile) -> None:
        """There is no such file."""
        self.missing.append(file.name)
        _log.warning("not to be had", file=file.name)

    def on_failure(self, span: Span, error: ArchiveError) -> None:
        """A span cannot be imported."""
        self.fail(str(error), name=span.name)

    def on_stored(self, spans: int) -> None:
        """So many more spans are stored for good."""
        self._progress.advance(self._task, spans)

    def fail(self, reason: str, *, name: str = "") -> None:
        """Something cannot be imported, from any thread: the process should say so when it ends."""
        with self._lock:
            self.failures.append(reason)
        _log.error("not imported", name=name, reason=reason)

    def _is_due(self) -> bool:
        """Whether it is time for another line."""
        now_s = time.monotonic()
        if now_s - self._said_s < self._say_s:
            return False
        self._said_s = now_s
        return True

    def end(self) -> None:
        """Takes the bar away."""
        self._progress.stop()
