"""Progress of an import: a progress bar, log events per file and during a long one, and the totals at the end."""

import threading
import time

import structlog
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from flows.process.terminal_bar import terminal_bar
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import ArchiveFile
from sources.archive.spans import Span

REPORT_EVERY_S = 10.0
"""Time between two log events about a long file."""

_log = structlog.get_logger("flows.backfill")


class ImportProgress:
    """Counts what is read, and shows a bar on a terminal. During a long file it logs every `report_every_s`."""

    def __init__(self, *, report_every_s: float = REPORT_EVERY_S) -> None:
        self._report_every_s = report_every_s
        self._reported_s = time.monotonic()
        self._file = ""
        self._bar = terminal_bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        self._task = self._bar.add_task("importing", total=None, note="")
        self._begun_s: float | None = None
        self._lock = threading.Lock()
        self.trades = 0
        self.files = 0
        self.missing: list[str] = []
        self.failures: list[str] = []

    def expect(self, spans: int) -> None:
        """Sets the number of spans to import."""
        self._bar.update(self._task, total=spans)

    @property
    def rate(self) -> float:
        """Trades a second since the first file began."""
        return 0.0 if self._begun_s is None else self.trades / max(1e-9, time.monotonic() - self._begun_s)

    def on_file(self, file: ArchiveFile) -> None:
        """Reading of a file begins."""
        if self._begun_s is None:
            self._begun_s = time.monotonic()
            self._bar.start()
        self.files += 1
        self._file, self._reported_s = file.name, time.monotonic()
        self._bar.update(self._task, description=file.name)
        _log.info("file_import_started", file=file.name)

    def on_trades(self, trades: int) -> None:
        """Adds the trades of a batch."""
        self.trades += trades
        self._bar.update(self._task, note=f"{self.rate:,.0f} trades/s")
        if self._is_due():
            _log.info("file_import_running", file=self._file, trades=self.trades, trades_per_s=round(self.rate))

    def on_bytes(self, name: str, done: int, total: int) -> None:
        """Shows how much of a file is downloaded."""
        size = f" of {total / 1e6:.1f}" if total else ""
        self._bar.update(self._task, note=f"downloading {done / 1e6:.1f}{size} MB")
        if self._is_due():
            _log.info("file_download_running", file=name, megabytes=f"{done / 1e6:.1f}{size}")

    def on_missing(self, file: ArchiveFile) -> None:
        """Records a file that does not exist."""
        self.missing.append(file.name)
        _log.warning("file_missing", file=file.name)

    def on_failure(self, span: Span, error: ArchiveError) -> None:
        """Records a span that cannot be imported."""
        self.fail(str(error), name=span.name)

    def on_stored(self, spans: int) -> None:
        """Advances the bar by spans that are durably stored."""
        self._bar.advance(self._task, spans)

    def fail(self, reason: str, *, name: str = "") -> None:
        """Records a failure, from any thread; the process reports it when it ends."""
        with self._lock:
            self.failures.append(reason)
        _log.error("import_failed", name=name, reason=reason)

    def _is_due(self) -> bool:
        """Whether it is time for another log event."""
        now_s = time.monotonic()
        if now_s - self._reported_s < self._report_every_s:
            return False
        self._reported_s = now_s
        return True

    def end(self) -> None:
        """Removes the bar."""
        self._bar.stop()
