"""A process of our own beside this one, for work that would take this one's time: it answers calls."""

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from threading import Lock
from typing import Any, Final, TypeAlias

PATIENCE_S: Final = 120.0
_SPAWN: Final = multiprocessing.get_context("spawn")

Line: TypeAlias = "Connection[Any, Any]"


class Companion:
    """One process, which runs `work(line, *args)`: that sends a first answer when it is ready, and then one for each
    call that it reads. It ends when this object is closed, at the latest with this process.
    """

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        self._line, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=work, args=(theirs, *args), daemon=True)
        self._process.start()
        theirs.close()
        self._lock = Lock()
        self.first = self._answer()
        """What it said when it was ready."""

    def call(self, *words: Any) -> Any:
        """Its answer; `RuntimeError` when it has ended or does not answer."""
        with self._lock:
            try:
                self._line.send(words)
            except OSError as error:
                raise RuntimeError(f"{self._process} has ended") from error
            return self._answer()

    async def calling(self, *words: Any) -> Any:
        """The same, without keeping the loop waiting."""
        return await asyncio.to_thread(self.call, *words)

    def _answer(self) -> Any:
        if not self._line.poll(PATIENCE_S):
            raise RuntimeError(f"{self._process} does not answer")
        try:
            return self._line.recv()
        except EOFError as error:
            raise RuntimeError(f"{self._process} has ended") from error

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.join()
        self._line.close()
