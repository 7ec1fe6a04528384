"""Prepares the directory that recovered state is kept in: `python -m flows.recovery DIRECTORY`.

The engine demands that it is made once, with a number of partitions that never changes; so here it is made when it is
not there yet, and left alone when it is.
"""

import argparse
from pathlib import Path

from bytewax.recovery import init_db_dir

PARTITIONS = 1
"""Files of the recovery store. They do not bound the workers; more of them write no faster."""


def prepare(directory: Path) -> bool:
    """Makes the store if it is absent. Returns whether it did."""
    if any(directory.glob("part-*.sqlite3")):
        return False
    directory.mkdir(parents=True, exist_ok=True)
    init_db_dir(directory, PARTITIONS)
    return True


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m flows.recovery", description="prepares the recovery store")
    parser.add_argument("directory", type=Path)
    prepare(parser.parse_args().directory)


if __name__ == "__main__":
    main()
