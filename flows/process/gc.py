"""Tuning of a process's memory: the garbage collector runs rarely, as the data has no reference cycles, and `malloc`
gives large blocks back.
"""

import gc
import sys
from contextlib import suppress
from importlib import import_module
from typing import Final

LARGE_BYTES: Final = 256 << 10
"""A block of that size or more gets memory of its own from the system."""
MOST_ARENAS: Final = 2
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of glibc's malloc.h


def keep_loaded() -> None:
    """Excludes all loaded objects from collections. Modules stay until the end, where a last collection of them would
    take longer than all else that an ending process does.
    """
    gc.freeze()


def tune_garbage_collector() -> None:
    """Excludes all loaded objects from collections and makes collections rare; the data has no reference cycles.

    Untuned, a full collection stops all threads for some fifty milliseconds every other second.
    """
    gc.collect()
    keep_loaded()
    gc.set_threshold(50_000, 20, 100)


def tune_malloc() -> None:
    """For a process that runs for long, before it starts threads. Only glibc's `malloc` has these options.

    Untuned, it raises its limit of large blocks with each one that is freed, so memtables and answers soon lie among
    small blocks, and leave gaps there; and it has up to eight arenas a core, each with gaps of its own.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            mallopt = import_module("ctypes").CDLL(None).mallopt  # here: commands of a moment have no use for it
            mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
            mallopt(_M_ARENA_MAX, MOST_ARENAS)
