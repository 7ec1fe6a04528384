"""The bar of long work."""

import sys

from rich.console import Console
from rich.progress import Progress, ProgressColumn


def terminal_bar(*columns: ProgressColumn) -> Progress:
    """A bar on standard error; it shows nothing where that is no terminal."""
    return Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty())
