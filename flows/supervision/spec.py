"""What is to run."""

from collections.abc import Mapping
from typing import NamedTuple


class ProcessSpec(NamedTuple):
    """One process of a deployment. Processes are started in the order of their specs, and ended in reverse."""

    name: str
    """Stands before each line of its output."""
    argv: tuple[str, ...]
    """The program, by its path, and its arguments."""
    env: Mapping[str, str] = {}
    """Variables in addition to the supervisor's own."""
    prepare: tuple[str, ...] | None = None
    """A command that runs to its end before each start; if it fails, the process counts as ended with its exit code."""
