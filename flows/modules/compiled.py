"""Parts that are compiled where that is possible, each beside plain Python that does the same.

A file `_name.c` becomes the extension module `_name` in the same package (`deploy/extensions.py`), in the wheel and, by
`make`, in a checkout. Where there is no compiler, or no wheel for the platform, plain Python is used.
"""

import os
from importlib import import_module
from typing import Any, Final

PLAIN: Final = "MARKETFLOW_NO_EXTENSIONS"
"""Variable of the environment: set to anything but nothing, compiled parts are left out."""

_parts: dict[str, bool] = {}


def compiled(name: str, *used: str) -> Any:
    """The extension module of this name; None where plain Python takes its place, also that of one which lacks what is
    `used`: it was compiled of older sources, as in a checkout after an update.
    """
    module = None
    if not os.environ.get(PLAIN):
        try:
            module = import_module(name)
        except ImportError:  # not built, or for another Python
            module = None
    if not all(hasattr(module, one) for one in used):
        module = None
    _parts[name.rpartition(".")[2].strip("_")] = module is not None
    return module


def parts() -> tuple[list[str], list[str]]:
    """Names of the parts that are compiled, and of those in plain Python, as far as they were imported."""
    return sorted(name for name, found in _parts.items() if found), sorted(
        n for n, found in _parts.items() if not found
    )
