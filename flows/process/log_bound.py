"""Rate limit of the log by kind of line: endless repetition hides everything else, and fills disks.

Pure: the time is an argument. `logs.py` applies it to every line of the process.
"""

import threading
from typing import Final, NamedTuple

from msgspec import Struct

WINDOW_MS: Final = 10_000
"""Local time within which lines of one kind are counted."""
MOST: Final = 20
"""Warnings and errors of one kind in that time."""
MOST_CALM: Final = 5_000
"""Other lines of one kind, such as the API's line for each request: so many only in a runaway loop."""
MOST_OF_LOGGER: Final = 10
"""A logger with texts that never repeat, as they contain names and numbers, may write so many times these limits."""
KINDS: Final = 1_000
"""Kinds kept in memory; the oldest is dropped."""


class Kind(NamedTuple):
    """Lines with equal fields are of one kind."""

    logger: str
    level: str
    event: str


class _Window(Struct):
    begin_ms: int
    passed: int = 0
    suppressed: int = 0


class LogBound:
    """Passes a limited number of lines of a kind in a window, and counts the rest. Thread-safe."""

    def __init__(self, *, window_ms: int = WINDOW_MS, kinds: int = KINDS) -> None:
        self._window_ms = window_ms
        self._kinds = kinds
        self._windows: dict[Kind, _Window] = {}
        self._ended: dict[Kind, int] = {}
        self._next_end_ms: int | None = None
        self._lock = threading.Lock()

    def admits(self, kind: Kind, *, most: int, now_ms: int) -> bool:
        """Whether a line of this kind may be written, the `most`-th in its window being the last one."""
        with self._lock:
            window = self._windows.get(kind)
            if window is None or now_ms - window.begin_ms >= self._window_ms:
                window = self._opened(kind, now_ms)
            if window.passed < most:
                window.passed += 1
                return True
            window.suppressed += 1
            if self._next_end_ms is None:
                self._next_end_ms = window.begin_ms + self._window_ms
            return False

    def take_suppressed(self, now_ms: int, *, at_end: bool = False) -> list[tuple[Kind, int]]:
        """Suppressed lines by kind in windows that are over, each returned once; `at_end`, in all windows."""
        if not self._ended and not at_end and (self._next_end_ms is None or now_ms < self._next_end_ms):
            return []  # the usual case, without the lock
        with self._lock:
            for kind, window in self._windows.items():
                if window.suppressed and (at_end or now_ms - window.begin_ms >= self._window_ms):
                    self._end(kind, window)
            going_on = (window.begin_ms for window in self._windows.values() if window.suppressed)
            self._next_end_ms = min((begin_ms + self._window_ms for begin_ms in going_on), default=None)
            taken, self._ended = list(self._ended.items()), {}
            return taken

    def _opened(self, kind: Kind, now_ms: int) -> _Window:
        before = self._windows.pop(kind, None)
        if before is not None:
            self._end(kind, before)
        elif len(self._windows) >= self._kinds:
            oldest = next(iter(self._windows))
            self._end(oldest, self._windows.pop(oldest))
        window = self._windows[kind] = _Window(now_ms)
        return window

    def _end(self, kind: Kind, window: _Window) -> None:
        if window.suppressed:
            self._ended[kind] = self._ended.get(kind, 0) + window.suppressed
            window.suppressed = 0
