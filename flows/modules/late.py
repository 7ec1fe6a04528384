"""Modules that are loaded at their first use: a process that never uses one takes neither its memory nor its time.

    if TYPE_CHECKING:
        import polars as pl
    else:
        pl = late_module("polars")

The module that says so begins with `from __future__ import annotations`, as an annotation would be a use. polars takes
35 MB and 0.3 s of a processor, NumPy 16 MB and 0.15 s.
"""

import importlib
import threading
from types import ModuleType
from typing import Any, Final

_TURN: Final = threading.RLock()
"""One is loaded at a time: what a library must not find (`loading.py`), another thread may be about to load."""


class _LateModule(ModuleType):
    """Stands for a module; its first attribute loads it."""

    def __getattr__(self, name: str) -> Any:
        with _TURN:
            module = importlib.import_module(self.__name__)
        found = getattr(module, name)
        self.__dict__.setdefault(name, found)  # from here on it costs what any attribute does
        return found


def late_module(name: str) -> ModuleType:
    """The module of that name, loaded at its first use."""
    return _LateModule(name)
