"""How a command is loaded: without what libraries import for features of theirs that no command uses, and with few
garbage collections.

Each of the project's packages first calls `load_less` at its import. Like `end_on_interrupt` it only acts in a process
that was started as one of the project's commands. It saves 0.4 s of a processor and 12 MB of the 1.6 s and 80 MB of a
flow.
"""

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from flows.process.interrupts import is_command

UNUSED: Final[Mapping[str, str]] = {
    "structlog": "rich",  # tracebacks in colours
    "httpx": "click",  # a command line of its own, which imports rich and pygments besides
    "pymongo.pyopenssl_context": "cryptography",  # needs pyOpenSSL too, which is no requirement
    "talib": "polars",  # takes its series besides arrays
}
"""Libraries, and what their import finds missing: each then does without, as where that is not installed."""
THRESHOLD: Final = 50_000
"""Objects that are made between two collections: with Python's 700 looking at what stays takes a fifth of the time."""


def load_less() -> None:
    """From here on modules are loaded like that."""
    if is_command(sys.orig_argv) and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        gc.set_threshold(THRESHOLD, *gc.get_threshold()[1:])
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds the modules of `UNUSED`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        unused = UNUSED.get(fullname)
        if unused is None or (unused == "cryptography" and PathFinder.find_spec("OpenSSL")):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Without(spec.loader, unused)
        return spec


class _Without(Loader):
    """Loads a module as another loader does, while a package is missing."""

    def __init__(self, loader: Loader, package: str) -> None:
        self._loader = loader
        self._package = package

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        with _missing(self._package):
            self._loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # resources and sources of the module


@contextmanager
def _missing(package: str) -> Iterator[None]:
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment] # as Python documents it
    try:
        yield
    finally:
        del sys.modules[package]
