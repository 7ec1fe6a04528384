"""Makes stores from a backup, in an empty place and nowhere else."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from bson.errors import BSONError
from pymongo.database import Database
from pymongo.errors import PyMongoError
from zstandard import ZstdError

from flows.backup.manifest import BackupError, DumpedCollection, Manifest, OnProgress, check_digests, read_manifest
from flows.backup.place import Place, database_of
from flows.backup.take import MONGO, TRADES
from flows.supervision.lock import AlreadyRunningError, claim
from flows.supervision.spec import RECOVERY
from flows.texts import counted, database_reason
from sinks.mongo.dump import TEMPORARY, drop_temporary, fill, publish
from sinks.mongo.identity import IDENTITY, IDENTITY_FILE
from sinks.trades.database import TradeStoreError
from sinks.trades.reader import TradeReader

_EMPTY: Final = "move it away, or name another place"


def restore_backup(backup: Path, place: Place, *, on_progress: OnProgress) -> Manifest:
    """Checks a backup and makes the stores of a deployment from it. `BackupError` when it is damaged, when something is
    in its place, or when it cannot be written; then the place stays empty.
    """
    manifest = read_manifest(backup)
    check_digests(backup, manifest, on_progress)
    with _claimed(place.folder), database_of(place, is_new=True) as database:
        _check_empty(place, database, manifest)
        try:
            _restore(_Sources(backup, manifest), place, database, on_progress)
        except (PyMongoError, BSONError, ZstdError, TradeStoreError, OSError) as error:
            raise BackupError(f"the backup was not restored: {database_reason(error)}") from error
    return manifest


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    try:
        lock = claim(folder)
    except (AlreadyRunningError, OSError) as error:
        raise BackupError(f"{folder}: {error}") from error
    with lock:
        yield


def _check_empty(place: Place, database: Database[dict[str, Any]] | None, manifest: Manifest) -> None:
    """Refuses to mix two pasts: state and stores go together."""
    state = place.folder / RECOVERY
    if (state / IDENTITY_FILE).exists() or any(state.glob("part-*.sqlite3")):
        raise BackupError(f"{state} holds the state of another past: {_EMPTY}")
    if manifest.partitions and place.trades is None:
        raise BackupError("the backup has trades, and trades.enabled is off: switch it on")
    if place.trades is not None and place.trades.exists() and any(place.trades.iterdir()):
        raise BackupError(f"{place.trades} is not empty: {_EMPTY}")
    if manifest.collections and database is None:
        raise BackupError("the backup has candles, and mongo.enabled is off: switch it on")
    if database is not None:
        names = (name for name in database.list_collection_names() if not name.startswith((TEMPORARY, IDENTITY)))
        if full := [name for name in names if database[name].find_one() is not None]:
            raise BackupError(f"the database {database.name} has documents in {', '.join(sorted(full))}: {_EMPTY}")


class _Sources:
    """The parts of a backup."""

    def __init__(self, backup: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self.trades = backup / TRADES
        self._mongo = backup / MONGO

    def files(self, collection: DumpedCollection) -> list[Path]:
        return [self._mongo / name for name in collection.files]


def _restore(
    sources: _Sources, place: Place, database: Database[dict[str, Any]] | None, on_progress: OnProgress
) -> None:
    """Both stores are made beside their places and checked, and then appear."""
    copy = None if place.trades is None else place.trades.with_name(f"{place.trades.name}.restoring")
    try:
        if copy is not None:
            _copy_trades(sources, copy, on_progress)
        if database is not None:
            _fill(sources, database, on_progress)
        with ExitStack() as published:
            if database is not None:
                _publish(sources.manifest, database, published)
            if copy is not None and place.trades is not None and copy.exists():
                place.trades.parent.mkdir(parents=True, exist_ok=True)
                if place.trades.exists():
                    place.trades.rmdir()
                copy.rename(place.trades)
            published.pop_all()
    finally:
        if copy is not None:
            shutil.rmtree(copy, ignore_errors=True)
        if database is not None:
            drop_temporary(database)


def _publish(manifest: Manifest, database: Database[dict[str, Any]], published: ExitStack) -> None:
    """Names the collections; `published` takes them away again where anything fails behind it, also by Ctrl-C."""
    for name, collection in manifest.collections.items():
        published.callback(database.drop_collection, name)
        publish(database, name, collection.indexes)


def _copy_trades(sources: _Sources, to: Path, on_progress: OnProgress) -> None:
    shutil.rmtree(to, ignore_errors=True)
    partitions = sources.manifest.partitions
    if not sources.trades.is_dir():
        return
    shutil.copytree(sources.trades, to)
    for number, (name, expected) in enumerate(partitions.items(), 1):
        with TradeReader(to / name) as reader:
            newest = {symbol: reader.last_id(symbol) for symbol in reader.symbols()}
        if newest.keys() != expected.newest.keys() or any((newest[it] or -1) < expected.newest[it] for it in newest):
            raise BackupError(f"the copy of the partition {name} does not hold what the backup names: try again")
        on_progress("partitions of the trade store", number, len(partitions))


def _fill(sources: _Sources, database: Database[dict[str, Any]], on_progress: OnProgress) -> None:
    for name, collection in sources.manifest.collections.items():
        done = 0

        def on_documents(count: int, name: str = name, total: int = collection.documents) -> None:
            nonlocal done
            done += count
            on_progress(name, min(done, total), total)

        new, found = fill(database, name, sources.files(collection), on_documents=on_documents)
        if new != found or found < collection.documents:
            raise BackupError(f"the database took {counted(found, 'document')} of {name}, and not {new}: try again")
