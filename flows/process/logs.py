"""Logging of the process: structlog, as text for the console or as JSON.

Lines of the same kind are limited (`log_bound.py`), and no text in a line can control a terminal or look like another
line.
"""

import atexit
import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from flows.clock import monotonic_ms
from flows.process.log_bound import MOST, MOST_CALM, MOST_OF_LOGGER, Kind, LogBound
from flows.process.log_file import LogFile, Tee
from flows.process.log_form import escaped, plain
from flows.settings import Log

SUPPRESSED = "log_lines_suppressed"
"""The event of the line with their number."""

_log = structlog.get_logger(__name__)


def set_up_logs(log: Log, *, name: str = "") -> None:
    """Sets up logging for the whole process, including other packages' loggers of the standard library. A process with
    a `name` writes the file of the settings too, if there is one; `ValueError` when that cannot be opened.
    """
    bound = LogBound()
    path = log.file_of(name) if name else None
    out = Tee(sys.stderr, LogFile(path, most_bytes=log.max_bytes, backups=log.backups)) if path else sys.stderr
    levels: list[Any] = [structlog.contextvars.merge_contextvars, structlog.stdlib.add_log_level]
    stamper = structlog.processors.TimeStamper(fmt="iso", utc=True)
    as_json = log.format == "json"
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(pad_event_to=0)
        if sys.stderr.isatty()
        else plain
    )
    formed: list[Any] = [structlog.processors.format_exc_info, *([] if as_json else [escaped]), renderer]
    structlog.configure(
        processors=[*levels, Bounded(bound), stamper, *formed],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[log.level]),
        logger_factory=structlog.WriteLoggerFactory(out),  # type: ignore[arg-type] # it only writes and flushes  # bypasses the standard library's logging
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*levels, stamper],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *formed],
        )
    )
    handler.addFilter(BoundedRecords(bound))
    atexit.register(log_suppressed, bound, at_end=True)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(log.level)
    for chatty in ("websockets", "picows", "httpx", "httpcore", "pymongo", "asyncio"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


class Bounded:
    """A processor: drops repeated entries above the bound. Entries with a `kind`, as incidents, are counted by kind."""

    def __init__(self, bound: LogBound, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._bound = bound
        self._local_ms = local_ms

    def __call__(self, _: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The entry; `DropEvent` for one too many."""
        level, event = entry["level"], str(entry["event"])
        if event == SUPPRESSED:
            return entry
        now_ms = self._local_ms()
        log_suppressed(self._bound, now_ms)
        most = MOST_CALM if level in {"info", "debug"} else MOST
        alike = f"{event} {entry['kind']}" if "kind" in entry else event
        if not self._bound.admits(Kind("", level, alike), most=most, now_ms=now_ms):
            raise structlog.DropEvent
        return entry


class BoundedRecords(logging.Filter):
    """The same for records of the standard library: a kind is the first line of the text, before its arguments."""

    def __init__(self, bound: LogBound, local_ms: Callable[[], int] = monotonic_ms) -> None:
        super().__init__()
        self._bound = bound
        self._local_ms = local_ms

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        now_ms = self._local_ms()
        log_suppressed(self._bound, now_ms)
        most = MOST_CALM if record.levelno <= logging.INFO else MOST
        kind = Kind(record.name, record.levelname.lower(), str(record.msg).partition("\n")[0])
        return self._bound.admits(kind, most=most, now_ms=now_ms) and self._bound.admits(
            kind._replace(event="*"), most=MOST_OF_LOGGER * most, now_ms=now_ms
        )


def log_suppressed(bound: LogBound, now_ms: int = 0, *, at_end: bool = False) -> None:
    """Logs the number of suppressed lines of each kind, after their window."""
    for kind, count in bound.take_suppressed(now_ms, at_end=at_end):
        _log.warning(SUPPRESSED, count=count, of_level=kind.level, of_event=kind.event, of_logger=kind.logger or "ours")
