"""The log's file, which is put aside when it is long, and the stream that writes to console and file."""

import logging
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO


class LogFile(RotatingFileHandler):
    """At most `backups` + 1 files of about `most_bytes` each; the oldest is deleted.

    A write that fails, as on a full disk, loses its line and nothing else; the console has it.
    """

    def __init__(self, path: Path, *, most_bytes: int, backups: int) -> None:
        """Opens the file to append to it. `ValueError` when that fails."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            super().__init__(path, maxBytes=most_bytes, backupCount=backups, encoding="utf-8", errors="replace")
        except OSError as error:
            raise ValueError(f"log.file: {path} cannot be written: {error.strerror or error}") from error
        self.lost = 0
        """Entries that were not written."""

    def put(self, text: str) -> None:
        """Appends one entry, which may have several lines. From any thread."""
        self.handle(logging.makeLogRecord({"msg": text}))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class calls it
        """Counts an entry that was not written; the base class would write a traceback for each."""
        del record
        self.lost += 1


class Tee:
    """A text stream that writes to the console and to a file. A console that is closed does not stop the file."""

    def __init__(self, console: TextIO, file: LogFile) -> None:
        self._console = console
        self._file = file
        self._partial = threading.local()

    def write(self, text: str) -> int:
        """Writes to both; the file gets whole lines."""
        *lines, rest = (getattr(self._partial, "text", "") + text).rsplit("\n", 1)
        self._partial.text = rest
        for line in lines:
            self._file.put(line)
        return self._console.write(text)

    def flush(self) -> None:
        """Hands on what was written."""
        self._console.flush()

    def isatty(self) -> bool:
        """Whether people see it."""
        return self._console.isatty()
