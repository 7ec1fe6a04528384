"""An event loop that reads some sockets at a pace, so that many small messages cost one wake-up.

The first message after a pause is read at once, what follows within `patience_s` together: a quiet stream loses nothing
by it, and a busy one costs a steady number of wake-ups. All other sockets are read at once.
"""

import asyncio
import selectors
import sys
import time
from collections import ChainMap
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import Any, Final, TypeAlias

with suppress(ModuleNotFoundError):  # on Windows, where no loop is patient
    import fcntl
    import termios

Ready: TypeAlias = list[tuple[selectors.SelectorKey, int]]

MUCH_BYTES: Final = 65_536
"""Where so much is left after a read, the socket is read on: a burst is no reason to be slow."""


class PatientSelector(selectors.BaseSelector):
    """The system's selector for sockets that are read at once, and a second one for those that can wait, which wakes
    the first.
    """

    def __init__(self, patience_s: float, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._monotonic_s = monotonic_s
        self._prompt = selectors.DefaultSelector()
        self._calm = selectors.DefaultSelector()
        self._bell: int = self._calm.fileno()
        maps: Any = self._calm.get_map(), self._prompt.get_map()
        self._map: ChainMap[Any, selectors.SelectorKey] = ChainMap(*maps)  # nothing is put in
        self._can_wait: set[int] = set()
        self._is_ringing = False
        """Whether one that can wait wakes the first selector."""
        self._free_s = 0.0
        """When those that can wait are read next."""
        self._read: list[int] = []
        """Those of them that were ready the last time."""

    def let_wait(self, descriptor: int, *, can_wait: bool) -> None:
        """Whether a socket can wait. It holds until it is said otherwise, so it must be when the socket closes."""
        if can_wait == (descriptor in self._can_wait):
            return
        known = self._map.get(descriptor)
        if known is not None:
            self.unregister(descriptor)
        (self._can_wait.add if can_wait else self._can_wait.discard)(descriptor)
        if known is not None:
            self.register(descriptor, known.events, known.data)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See the library."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        return (self._calm if number in self._can_wait else self._prompt).register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """See the library."""
        return self._selector_of(fileobj).unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """See the library."""
        return self._selector_of(fileobj).modify(fileobj, events, data)

    def _selector_of(self, fileobj: Any) -> selectors.BaseSelector:
        return self._calm if fileobj in self._calm.get_map() else self._prompt

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """See the library."""
        return self._map

    def select(self, timeout: float | None = None) -> Ready:
        """What is ready, within `timeout` seconds."""
        if not self._calm.get_map():
            self._ring(on=False)
            return self._prompt.select(timeout)
        if any(map(_has_much, self._read)):
            self._free_s = 0.0
        self._read = []
        now = self._monotonic_s()
        end_s = inf if timeout is None else now + timeout
        while now < self._free_s:
            self._ring(on=False)
            ready = self._prompt.select(min(self._free_s, end_s) - now)
            now = self._monotonic_s()
            if ready or now >= end_s:
                return ready
        self._ring(on=True)
        ready = self._prompt.select(None if timeout is None else end_s - now)
        others = [each for each in ready if each[0].fd != self._bell]
        return ready if len(others) == len(ready) else others + self._of_calm()

    def _of_calm(self) -> Ready:
        ready = self._calm.select(0)
        self._read = [key.fd for key, _ in ready]
        self._free_s = self._monotonic_s() + self._patience_s
        return ready

    def _ring(self, *, on: bool) -> None:
        if on != self._is_ringing:
            self._is_ringing = on
            if on:
                self._prompt.register(self._bell, selectors.EVENT_READ)
            else:
                self._prompt.unregister(self._bell)

    def close(self) -> None:
        """See the library."""
        self._calm.close()
        self._prompt.close()


class PatientLoop(asyncio.SelectorEventLoop):
    """An event loop on such a selector."""

    def __init__(self, patience_s: float) -> None:
        self._patient = PatientSelector(patience_s)
        super().__init__(self._patient)

    def let_wait(self, descriptor: int, *, can_wait: bool) -> None:
        """See `PatientSelector.let_wait`."""
        self._patient.let_wait(descriptor, can_wait=can_wait)


def new_loop(patience_s: float) -> asyncio.AbstractEventLoop:
    """A loop on which sockets may wait for `patience_s`; where that is 0 or the system has no means for it, a usual one
    on which none does.
    """
    can_be_patient = hasattr(selectors.DefaultSelector, "fileno")
    return PatientLoop(patience_s) if patience_s and can_be_patient else asyncio.new_event_loop()


def let_wait(descriptor: int, *, can_wait: bool) -> None:
    """Whether a socket of the running loop can wait; must be said once more before it is closed."""
    loop = asyncio.get_running_loop()
    if isinstance(loop, PatientLoop) and descriptor >= 0:
        loop.let_wait(descriptor, can_wait=can_wait)


def _has_much(descriptor: int) -> bool:
    """Whether much is left to read."""
    try:
        left = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
    except OSError:  # closed meanwhile
        return False
    return int.from_bytes(left, sys.byteorder) >= MUCH_BYTES
