"""Opening RocksDB for a partition, and its errors."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rocksdict import AccessType, BlockBasedOptions, Cache, DbClosedError, DBCompressionType, Options, Rdict

from sinks.trades.durable import damage_before_open, read_durable

try:
    import fcntl
except ModuleNotFoundError:  # on Windows the file of a lock that is held cannot even be opened
    fcntl = None  # type: ignore[assignment]

MOST_RETRIES = 3
"""Times in a row that a secondary catches up and continues, when a file was deleted while it read."""
RETRY_S = 0.02
_REMEDY = "move it away and start again: what is missing is fetched, or imported by python -m flows.backfill"
_REMEDY_IN_USE = "another process writes to it: end that one, or set trades.path to another folder"
_REMEDY_PATH = "set trades.path to a directory that can be written"
REMEDY_LOST = "start the flow, which opens it, names what is lost, and fetches it again"

_BLOCK_BYTES = 64 * 1024  # compressed at once: larger blocks gain under 1 %, smaller ones lose 5 %
_ZSTD_LEVEL = 6  # costs only background threads; 8 % smaller than the default
_ZSTD_WINDOW_BITS = -14  # RocksDB's own default; it has no meaning for zstd
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_WAL_BYTES = 64 * 1024 * 1024
WRITER_CACHE_BYTES = 2 * 1024 * 1024  # it reads a record once, to merge it
READER_CACHE_BYTES = 32 * 1024 * 1024


class TradeStoreError(Exception):
    """The store cannot be used; the text names the store, the action and the reason."""


class StoreDamagedError(TradeStoreError):
    """Files of the store are missing or changed: retrying does not help."""


class StoreInUseError(TradeStoreError):
    """Another process has the store open for writing."""


class StoreBusyError(TradeStoreError):
    """The store's background work is behind, and the write was refused, not delayed. Try again."""


def check_store(path: Path, *, is_shared: bool = False) -> None:
    """Checks that a process can open the partition at `path`, which need not exist yet. `TradeStoreError` when it
    cannot; nothing is changed, except that the directory is created. With `is_shared` other processes may have it open.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"the trade store {path} cannot be made: {error.strerror}"
        raise TradeStoreError(f"{reason}: {_REMEDY_PATH}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise TradeStoreError(f"the trade store {path} cannot be written: {_REMEDY_PATH}")
    if damage := damage_before_open(path, read_durable(path)):
        raise damaged(path, damage)
    if not (path / "CURRENT").exists():
        return
    if not is_shared and _is_locked(path / "LOCK"):
        raise StoreInUseError(f"the trade store {path} cannot be opened: {_REMEDY_IN_USE}")
    with naming_errors(path, "opened"), tempfile.TemporaryDirectory(prefix="marketflow-trades-") as own:
        check_files(path, Path(own))


def _is_locked(file: Path) -> bool:
    """Whether another process holds RocksDB's lock. This one must not: the check would release its lock."""
    try:
        with file.open("r+b") as lock:
            if fcntl is not None:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def check_files(path: Path, own_path: Path) -> None:
    """Opens a store read-only, without its logs, as that checks all of its tables: a secondary skips missing or
    truncated ones. A table that a writing process has just replaced is missing too, so the last of several tries
    decides. Missing parts of a log are detected later, and do not make the rest unreadable.
    """
    options = options_of(cache_bytes=READER_CACHE_BYTES)
    options.set_db_log_dir(str(own_path))
    options.set_wal_dir(str(own_path))
    own_path.mkdir(parents=True, exist_ok=True)
    for tries_left in reversed(range(MOST_RETRIES)):
        try:
            Rdict(str(path), options, access_type=AccessType.read_only(error_if_log_file_exist=False)).close()
        except Exception:  # rocksdict raises nothing narrower
            if not tries_left:
                raise
            time.sleep(RETRY_S)
        else:
            return


def damaged(path: Path, what: str) -> StoreDamagedError:
    """The error for a store that must not be opened."""
    return StoreDamagedError(f"the trade store {path} is damaged, {what}: {_REMEDY}")


@contextmanager
def naming_errors(path: Path, action: str) -> Iterator[None]:
    """Turns every error while the store is opened, read, written … into a `TradeStoreError`."""
    try:
        yield
    except DbClosedError as error:
        raise TradeStoreError(f"the trade store {path} cannot be {action}: it is closed") from error
    except Exception as error:  # rocksdict raises nothing narrower
        reason = " ".join(str(error).split())
        raise _error_of(reason, f"the trade store {path} cannot be {action}: {reason}") from error


def _error_of(reason: str, text: str) -> TradeStoreError:
    if reason.startswith("Result incomplete"):
        return StoreBusyError(text)
    if "/LOCK" in reason:
        return StoreInUseError(f"{text}: {_REMEDY_IN_USE}")
    if "Corruption" in reason or "No such file" in reason:
        return StoreDamagedError(f"{text}: {_REMEDY}")
    return TradeStoreError(text)


def options_of(*, cache_bytes: int) -> Options:
    """RocksDB's options, the same for every reader and writer."""
    table = BlockBasedOptions()
    table.set_block_cache(Cache(cache_bytes))
    table.set_block_size(_BLOCK_BYTES)
    table.set_bloom_filter(10, block_based=False)
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.zstd())
    options.set_compression_options(_ZSTD_WINDOW_BITS, _ZSTD_LEVEL, 0, 0)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_total_wal_size(_WAL_BYTES)
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    return options
