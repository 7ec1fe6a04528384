"""Prepares the directory of the recovered state: `python -m flows.recovery DIRECTORY`, and checks it.

The engine requires that it is created once, with a number of partitions that never changes; so it is created if it is
missing, and else left unchanged. Unreadable state would end the engine in the middle of its start, so the flow checks
it first.
"""

import argparse
import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bytewax.recovery import init_db_dir

from flows.process.disk import DiskFullError, is_no_room, need_room
from flows.process.exit_codes import refuse_to_run

PARTITIONS = 1
"""Files of the recovery store. They do not limit the number of workers; more of them are not faster."""

_FILES = "part-*.sqlite3"
_NEW = "new"

StateFault: TypeAlias = Callable[[str, str, Any], str]
"""Why what is kept for a step and a key cannot be resumed; empty when it can."""

_TABLES = {"parts", "exs", "fronts", "commits", "snaps"}
_NEWEST = """
    SELECT step_id, state_key, ser_change FROM snaps AS one WHERE ser_change IS NOT NULL AND snap_epoch =
    (SELECT max(snap_epoch) FROM snaps WHERE step_id = one.step_id AND state_key = one.state_key)
"""


class RecoveryError(Exception):
    """The recovered state cannot be used. One line: which file or directory, why, and what to do."""


class EngineFlags(NamedTuple):
    """The engine's flags that matter before it starts."""

    recovery: Path | None
    """The directory of the recovered state."""
    is_cluster: bool
    """Other processes use the same stores."""


def engine_flags(arguments: Sequence[str], environment: Mapping[str, str]) -> EngineFlags:
    """The flags of `python -m bytewax.run`, from `sys.argv` and the environment; of another program's arguments only
    the environment counts.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-r", "--recovery-directory", default=environment.get("BYTEWAX_RECOVERY_DIRECTORY"))
    parser.add_argument("-a", "--addresses", default=environment.get("BYTEWAX_ADDRESSES"))
    is_engine = bool(arguments) and Path(arguments[0]).parts[-2:] == ("bytewax", "run.py")
    try:
        known, _ = parser.parse_known_args(arguments[1:] if is_engine else [])
    except argparse.ArgumentError:
        known, _ = parser.parse_known_args([])  # the engine reports the error
    recovery = Path(known.recovery_directory) if known.recovery_directory else None
    return EngineFlags(recovery, bool(known.addresses) or "BYTEWAX_HOSTFILE_PATH" in environment)


def prepare(directory: Path) -> bool:
    """Creates the store if it is missing. Returns whether it did. `DiskFullError` when it finds no room, `OSError` when
    it cannot be created. What was interrupted is no store, and is begun anew.
    """
    if any(directory.glob(_FILES)):
        return False
    new = directory / _NEW
    need_room(directory)
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    init_db_dir(new, PARTITIONS)
    for file in sorted(new.iterdir()):
        file.replace(directory / file.name)
    new.rmdir()
    return True


def check(directory: Path, fault_of: StateFault) -> None:
    """Reads everything that the engine will resume from. `RecoveryError` when it cannot resume; `DiskFullError` when
    what it writes next would find no room.
    """
    files = sorted(directory.glob(_FILES))
    if directory.exists() and not directory.is_dir():
        raise RecoveryError(f"{directory} is no directory: name another one with -r")
    if not files:
        raise RecoveryError(
            f"{directory} holds no recovered state: prepare it with python -m flows.recovery {directory}"
        )
    if not all(os.access(path, os.W_OK) for path in (directory, *files)):
        raise RecoveryError(f"{directory} cannot be written: change its permissions, or name another one with -r")
    need_room(directory)
    for file in files:
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
                reason = _damage(database, len(files)) or next(_faults(database, fault_of), "")
        except sqlite3.Error as error:
            reason = str(error)
        if reason:
            raise RecoveryError(f"the recovered state {file} cannot be used, {reason}: {_remedy(directory)}")


def _remedy(directory: Path) -> str:
    return (
        f"move {directory} away and start again; what was missed is then found by the last ids of the trade store, and "
        "fetched"
    )


def _damage(database: sqlite3.Connection, files: int) -> str:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := sorted(_TABLES - tables):
        return f"it has no table {missing[0]}"
    [(found,)] = database.execute("PRAGMA quick_check(1)")
    if found != "ok":
        return "it is damaged, " + " ".join(str(found).split())
    counts = [count for (count,) in database.execute("SELECT part_count FROM parts")]
    return "" if counts == [files] else f"{files} of its {max(counts, default=0)} files are there"


def _faults(database: sqlite3.Connection, fault_of: StateFault) -> Iterator[str]:
    """Why states cannot be resumed: those of another version of this program, or of another key."""
    for step_id, key, pickled in database.execute(_NEWEST):
        try:
            state = pickle.loads(pickled)  # noqa: S301 - the engine does the same
        except Exception as error:  # noqa: BLE001 - whatever the constructors of another version raise
            yield f"it was written by another version: the state of {key} in {step_id} does not load ({error})"
            continue
        if fault := fault_of(step_id, key, state):
            yield fault


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m flows.recovery", description="prepares the recovery store")
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    try:
        prepare(directory)
    except DiskFullError as error:
        refuse_to_run(error)
    except OSError as error:
        if is_no_room(error):
            refuse_to_run(error)
        refuse_to_run(f"the recovery store {directory} cannot be made: {error.strerror}: name another directory")


if __name__ == "__main__":
    main()
