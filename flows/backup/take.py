"""Makes a backup, also while a flow writes both stores.

The order makes it consistent: all candles are dumped first, then the moment of the trades is taken, then the candles
that were written since. So candles and trades differ by the seconds between these two steps at most, which is what a
flow that goes on from the copy fetches again in any case.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from pymongo import DESCENDING
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from flows.backup.manifest import (
    FORMAT,
    BackupError,
    DumpedCollection,
    FileDigest,
    Manifest,
    OnProgress,
    digest_of,
    write_manifest,
)
from flows.backup.place import Place, database_of
from flows.process.disk import needs_room
from flows.texts import database_reason
from sinks.mongo.documents import MARKET_DATA
from sinks.mongo.dump import dump, dumped_names, indexes_of
from sinks.trades.begins import DIRECTORY as BEGINS
from sinks.trades.copying import Copied, copy_partition
from sinks.trades.database import TradeStoreError
from sinks.trades.reader import TradeReader

MONGO: Final = "mongo"
TRADES: Final = "trades"
MARGIN: Final = timedelta(seconds=60)
"""Documents that were written so long before the newest one are dumped a second time: clocks of writers differ."""
PARTIAL: Final = ".partial"
"""Suffix of the folder until the backup is complete."""
_NOT_DATA: Final = ("LOG", "LOCK")
"""Files of RocksDB that a copy of a partition does not need: its diary, and its lock."""


def take_backup(place: Place, to: Path, *, version: str, on_progress: OnProgress) -> Manifest:
    """Makes a backup in a new folder, which appears under its name when it is complete. `BackupError` when that is not
    possible; then nothing of it stays.
    """
    partial = to.with_name(f"{to.name}{PARTIAL}")
    for path in (to, partial):
        if path.exists():
            raise BackupError(f"{path} is there already: name another folder, or remove it")
    try:
        partial.mkdir(parents=True)  # before the block that removes it: it may be another's
    except OSError as error:
        raise BackupError(f"the backup was not made: {database_reason(error)}") from error
    try:
        with needs_room(to):
            with ExitStack() as opened:
                manifest = _Backup(place, partial, version, on_progress, opened).take()
            write_manifest(partial, manifest)
            _sync_folders(partial)
        partial.rename(to)
    except (PyMongoError, TradeStoreError, OSError) as error:
        raise BackupError(f"the backup was not made: {database_reason(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


class _Backup:
    """One backup, step by step."""

    def __init__(self, place: Place, to: Path, version: str, on_progress: OnProgress, opened: ExitStack) -> None:
        self._to = to
        self._version = version
        self._on_progress = on_progress
        self._database = opened.enter_context(database_of(place, is_new=False))
        self._trades = place.trades
        self._readers = {path: opened.enter_context(TradeReader(path)) for path in self._venues()}

    def _venues(self) -> list[Path]:
        if self._trades is None or not self._trades.is_dir():
            return []
        return sorted(path for path in self._trades.iterdir() if path.is_dir())

    def take(self) -> Manifest:
        collections: dict[str, DumpedCollection] = {}
        versions = {"marketflow": self._version, "rocksdict": metadata.version("rocksdict")}
        database = self._database
        since = None
        if database is not None:
            (self._to / MONGO).mkdir()
            versions["mongodb"] = str(database.client.server_info()["version"])
            since = _newest_write(database[MARKET_DATA])
            collections[MARKET_DATA] = self._dump(database[MARKET_DATA])
        for reader in self._readers.values():
            reader.catch_up()
        if database is not None:
            collections[MARKET_DATA] = self._dump_changes(database[MARKET_DATA], collections[MARKET_DATA], since)
            others = (name for name in dumped_names(database) if name != MARKET_DATA)
            collections |= {name: self._dump(database[name]) for name in others}
        partitions = dict(self._copy_trades())
        created_at = datetime.now(UTC).isoformat(timespec="seconds")
        return Manifest(FORMAT, created_at, versions, collections, partitions, list(self._digests()))

    def _dump(self, collection: Collection[dict[str, Any]]) -> DumpedCollection:
        file = self._to / MONGO / f"{collection.name}.bson.zst"
        total, done = collection.estimated_document_count(), 0

        def on_documents(count: int) -> None:
            nonlocal done
            done += count
            self._on_progress(collection.name, done, max(total, done))

        count = dump(collection, file, where=None, on_documents=on_documents)
        return DumpedCollection([file.name], count, indexes_of(collection))

    def _dump_changes(
        self, collection: Collection[dict[str, Any]], first: DumpedCollection, since: datetime | None
    ) -> DumpedCollection:
        file = self._to / MONGO / f"{collection.name}.changes.bson.zst"
        where = {"updated_at": {"$gte": since}} if since else None
        dump(collection, file, where=where, on_documents=lambda _: None)
        return DumpedCollection([*first.files, file.name], first.documents, first.indexes)

    def _copy_trades(self) -> Iterator[tuple[str, Copied]]:
        for venue, reader in self._readers.items():
            for store in reader.stores:
                name = store.path.relative_to(venue.parent).as_posix()
                done = 0

                def on_copied(count: int, name: str = name) -> None:
                    nonlocal done
                    done += count
                    self._on_progress(f"trades of {name}, records", done, 0)

                yield name, copy_partition(store, self._to / TRADES / name, on_copied=on_copied)
            if (begins := venue / BEGINS).is_dir():
                shutil.copytree(begins, self._to / TRADES / venue.name / BEGINS, ignore=shutil.ignore_patterns("*.new"))

    def _digests(self) -> Iterator[FileDigest]:
        files = sorted(path for path in self._to.rglob("*") if path.is_file())
        for number, file in enumerate(files, 1):
            if file.name.startswith(_NOT_DATA):
                file.unlink()
                continue
            yield digest_of(self._to, file)
            self._on_progress("digests of files", number, len(files))


def _newest_write(collection: Collection[dict[str, Any]]) -> datetime | None:
    """Time from which on documents may be newer than in a dump that begins now."""
    found = collection.find_one({}, {"updated_at": True}, sort=[("updated_at", DESCENDING)])
    return found["updated_at"] - MARGIN if found else None


def _sync_folders(folder: Path) -> None:
    if os.name == "nt":  # where a folder cannot be opened, and its entries are in the journal
        return
    for path in (folder, *(each for each in folder.rglob("*") if each.is_dir())):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
