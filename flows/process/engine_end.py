"""How the engine ends on a full disk: in a sentence and `TRY_AGAIN`, without its panic and without a traceback.

The engine keeps the recovered state in SQLite, and panics when that cannot write. Its runtime, Rust's, writes the text
of a panic to descriptor 2 before any code of ours knows of it. So descriptor 2 becomes a pipe: a thread passes on what
comes, and holds back a panic until it is known how the process ends. Python's own standard error keeps its place.

A process that aborts, as for want of memory, has no thread any more that passes on what it wrote last. So the console
gets where each thread of Python was.
"""

import atexit
import faulthandler
import fcntl
import os
import re
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from flows.process.disk import DiskFullError, explained, is_no_room, need_room, room_again
from flows.process.exit_codes import TRY_AGAIN

STDERR: Final = 2
HELD_S: Final = 30.0
"""Longest time between a panic and the end of the process; after it the text is passed on all the same."""
MOST_HELD: Final = 262_144
"""Bytes of a panic that are held; with more, all is passed on."""
_PANIC: Final = re.compile(rb"^thread '", re.MULTILINE)
"""How the text of a panic begins: the runtime writes it piece by piece."""
_SQLITE: Final = "SqliteFailure"
_JOIN_S: Final = 2.0
_PIPE_BYTES: Final = 1_048_576
"""What a thread can write at once while it holds the interpreter's lock, without which nothing is passed on: the most
that Linux gives a user.
"""


class HeldPanics:
    """Stands between descriptor 2 and the console from its creation to `end`."""

    def __init__(self) -> None:
        self._console = os.dup(STDERR)
        faulthandler.enable(self._console)
        sys.stderr = os.fdopen(
            os.dup(STDERR), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
        )
        self._reader, writer = os.pipe()
        if sys.platform == "linux":
            with suppress(OSError):  # this user's pipes have their bound already
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.dup2(writer, STDERR)
        os.close(writer)
        self._held = b""
        self._thread = threading.Thread(target=self._read, name="panics", daemon=True)
        self._thread.start()

    def end(self) -> bytes:
        """Gives descriptor 2 back to the console, and returns what was held."""
        os.dup2(self._console, STDERR)
        self._thread.join(_JOIN_S)
        held, self._held = self._held, b""
        return held

    def put(self, text: bytes) -> None:
        """Writes to the console."""
        with suppress(OSError):
            os.write(self._console, text)

    def _read(self) -> None:
        while data := self._next():
            if not self._held and (found := _PANIC.search(data)):
                self.put(data[: found.start()])
                self._held = data[found.start() :]
            elif self._held:
                self._held += data
            else:
                self.put(data)
            if len(self._held) > MOST_HELD:
                self._pass_on()

    def _next(self) -> bytes:
        """Waits for more; empty at the end. Passes on what has been held for too long."""
        if self._held and not select.select([self._reader], [], [], HELD_S)[0]:
            self._pass_on()
        return os.read(self._reader, 65_536)

    def _pass_on(self) -> None:
        held, self._held = self._held, b""
        self.put(held)


def explain_full_disk(folder: Path) -> None:
    """From here on an error that ends the process because the disk of `folder`, the recovered state, or of a store is
    full is a sentence, with the exit code `TRY_AGAIN`. Every other one is shown as it was.
    """
    panics = HeldPanics()
    atexit.register(lambda: panics.put(panics.end()))

    def on_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        held = panics.end()
        sentence = reason_of(error, folder)
        if sentence is None:
            panics.put(held)
            sys.__excepthook__(kind, error, trace)
            return
        sys.stderr.write(f"marketflow: {sentence}\n")
        sys.stderr.flush()
        os._exit(TRY_AGAIN)

    sys.excepthook = on_error


def reason_of(error: BaseException, folder: Path) -> str | None:
    """The sentence for an error of the engine that comes from a full disk, with its recovered state in `folder`; None
    for any other. SQLite also reports a full disk as a failed write.
    """
    if _SQLITE in str(error):
        try:
            need_room(folder)
        except DiskFullError as full:
            return str(full)
        return room_again(folder) if is_no_room(error) else None
    return explained(error) if is_no_room(error) else None
