"""The output of all processes in one stream: lines with the name of their process, in colours on a terminal."""

import os
import select
import time
from collections import deque
from typing import Final

from flows.texts import counted

OWN: Final = "marketflow"
"""The name before the supervisor's own lines."""
LONGEST_LINE: Final = 65_536
"""Bytes of a line; a longer one is broken."""
MOST_WAITING: Final = 4_194_304
"""Bytes that wait while the output takes nothing, as on a paused terminal. Then lines are left out and counted: a
process never waits for a reader of its log.
"""
_AT_ONCE: Final = select.PIPE_BUF
"""Bytes that a pipe which is ready takes without blocking."""
_COLOURS: Final = (36, 33, 32, 35, 34, 96, 93, 92)
_PAUSE_S: Final = 0.02
_OWN_COLOUR: Final = 1  # bold
_LOST: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Lines:
    """Cuts the bytes of one process into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > LONGEST_LINE:
            lines.append(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]
        return lines

    def end(self) -> list[bytes]:
        """What is left: a last line without its end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []


def prefixes(names: list[str], *, colour: bool) -> dict[str, bytes]:
    """What stands before the lines of each name, all of the same width."""
    width = max(map(len, (*names, OWN)))
    codes = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)} | {OWN: _OWN_COLOUR}
    texts = {name: f"{name:<{width}} | " for name in codes}
    return {name: (f"\x1b[{codes[name]}m{text}\x1b[0m" if colour else text).encode() for name, text in texts.items()}


class Output:
    """Writes lines to a descriptor that may block or break, without ever blocking."""

    def __init__(self, descriptor: int, names: list[str], *, colour: bool) -> None:
        self.descriptor = descriptor
        self.is_lost = False
        """Nothing reads it any more."""
        self._prefixes = prefixes(names, colour=colour)
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._left_out = 0

    @property
    def has_waiting(self) -> bool:
        """Whether something is to be written as soon as the descriptor is ready."""
        return bool(self._waiting) and not self.is_lost

    def say(self, text: str) -> None:
        """A line of the supervisor."""
        for line in text.splitlines():
            self.put(OWN, line.encode())

    def put(self, name: str, line: bytes) -> None:
        """A line of a process."""
        self.put_raw(self._prefixes[name] + line + b"\n")

    def put_raw(self, text: bytes) -> None:
        """A text without a name before it."""
        if self._left_out or self._bytes > MOST_WAITING:
            self._left_out += 1
            return
        self._waiting.append(text)
        self._bytes += len(text)

    def write(self) -> None:
        """Writes what the descriptor takes now."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLOUT)
        while self.has_waiting:
            events = sum(event for _, event in poll.poll(0))
            if events & _LOST:
                self.lose()
            if not events & select.POLLOUT or self.is_lost:
                return
            piece = self._waiting.popleft()
            while len(piece) < _AT_ONCE and self._waiting and len(piece) + len(self._waiting[0]) <= _AT_ONCE:
                piece += self._waiting.popleft()
            try:
                written = os.write(self.descriptor, piece[:_AT_ONCE])
            except BlockingIOError:
                written = 0
            except OSError:
                self.lose()
                return
            self._bytes -= written
            if piece[written:]:
                self._waiting.appendleft(piece[written:])
            if self._left_out and not self._waiting:
                self._say_left_out()

    def finish(self, patience_s: float) -> None:
        """Writes what waits, for at most so many seconds, as the last lines say why it ends."""
        deadline_s = time.monotonic() + patience_s
        self.write()
        while self.has_waiting and time.monotonic() < deadline_s:
            time.sleep(_PAUSE_S)
            self.write()

    def _say_left_out(self) -> None:
        count, self._left_out = self._left_out, 0
        self.say(f"{counted(count, 'line was', 'lines were')} left out, since nothing took the output")

    def look(self) -> None:
        """Notices that nothing reads it any more. A terminal that closes notifies only its first process, which may be
        `make`.
        """
        poll = select.poll()
        poll.register(self.descriptor, 0)
        if poll.poll(0):
            self.lose()

    def lose(self) -> None:
        """Nothing reads it any more: what was to be written is lost."""
        if self.is_lost:
            return
        self.is_lost = True
        self._waiting.clear()
        self._bytes = 0
        # what Python holds for it would fail once more at the exit
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.descriptor)
        os.close(null)
