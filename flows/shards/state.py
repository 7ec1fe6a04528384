"""What a host keeps of a shard: a folder with the recovered state, and the epoch in which that was written.

The recovered state goes on only where this host was the owner of the epoch before. Otherwise another one has gone on in
the meantime, and the flow begins behind what that has stored.
"""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from flows.recovery import prepare
from flows.shards.machine import Taken

_FILE = "epoch.json"


class Known(Struct, frozen=True):
    """The newest epoch in which this host had the shard."""

    epoch: int
    since_ms: int
    """Since when the stream is read back by a flow without a recovered state, ms UTC of the servers; 0: it has one."""


class ShardFolder:
    """The folder of one shard."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def recovery(self) -> Path:
        """Where the recovered state is."""
        return self._path / "recovery"

    @property
    def alerts(self) -> Path:
        """Where its alerts are."""
        return self._path / "alerts"

    def enter(self, taken: Taken, since_ms: int) -> Known:
        """Prepares the folder for a new epoch. `OSError` or `DiskFullError` when that fails."""
        known = self.known()
        if known is None or known.epoch != taken.before:
            shutil.rmtree(self.recovery, ignore_errors=True)
            known = Known(taken.epoch, since_ms)
        now = Known(taken.epoch, 0 if self._has_state() else known.since_ms)
        self._path.mkdir(parents=True, exist_ok=True)
        new = self._path / f"{_FILE}.new"
        with new.open("wb") as file:
            file.write(msgspec.json.encode(now))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path / _FILE)
        prepare(self.recovery)
        return now

    def _has_state(self) -> bool:
        """Whether a state was saved, with which a flow goes on."""
        for file in self.recovery.glob("part-*.sqlite3"):
            with suppress(sqlite3.Error), closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
                if database.execute("SELECT 1 FROM snaps LIMIT 1").fetchone():
                    return True
        return False

    def known(self) -> Known | None:
        """The newest epoch of this host; None where it had none."""
        try:
            return msgspec.json.decode((self._path / _FILE).read_bytes(), type=Known)
        except (OSError, msgspec.DecodeError):
            return None
