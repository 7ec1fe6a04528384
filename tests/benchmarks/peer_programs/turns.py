"""A program of another project takes its turns: at each line on standard input it does its work once, and says how many
CPU seconds that took. It runs in an environment of its own, so nothing of ours is imported.
"""

import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

LENGTHS_MS = (60_000, 300_000, 900_000, 3_600_000, 14_400_000, 86_400_000)


def frames() -> list[bytes]:
    """The frames in the file that the command names, one a line."""
    return Path(sys.argv[1]).read_bytes().split(b"\n")


def serve(package: str, work: Callable[[], None]) -> None:
    """Takes turns until the input ends; its first line is the package's version."""
    sys.stdout.write(f"{version(package)}\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        begin = time.process_time()
        work()
        sys.stdout.write(f"{time.process_time() - begin}\n")
        sys.stdout.flush()
