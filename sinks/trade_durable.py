"""What a partition of the trade store held for good at its last sync, in a small file beside its data.

RocksDB opens without a word when the end of its log or of its manifest is gone: both are append-only files whose last
part a crash may have torn. So what was durable is written down once more, and compared when the store is opened.
"""

import zlib
from pathlib import Path

import msgspec
import structlog

log = structlog.get_logger(__name__)

DURABLE_FILE = "marketflow.json"
"""A line with the CRC32 of the second one, and a line of JSON."""


class Durable(msgspec.Struct, frozen=True):
    """The state of a partition when it was last synced."""

    manifest: str
    """Name of RocksDB's manifest, and its size then."""
    manifest_bytes: int
    sequence: int
    """RocksDB's number of the last write; it never falls."""
    newest: dict[str, int]
    """The highest trade id of each symbol."""


class LostTrades(msgspec.Struct, frozen=True):
    """Ids of a symbol that were durable and are not stored any more, both inclusive."""

    symbol: str
    first_id: int
    last_id: int


_decode = msgspec.json.Decoder(Durable).decode


def read_durable(path: Path) -> Durable | None:
    """What the partition at `path` held; None where that is not known. A file that cannot be read costs a warning, and
    with it the comparison: the trades do not depend on it.
    """
    try:
        checksum, _, text = (path / DURABLE_FILE).read_bytes().partition(b"\n")
        if int(checksum, 16) != zlib.crc32(text):
            raise ValueError("its checksum differs")  # noqa: TRY301
        return _decode(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        log.warning("durable_state_unreadable", path=str(path / DURABLE_FILE), reason=str(error))
        return None


def write_durable(path: Path, *, sequence: int, newest: dict[str, int]) -> None:
    """Replaces the file, all or nothing. Where that fails the one before stays, which claims less."""
    try:
        manifest = _manifest_of(path)
        durable = Durable(manifest.name, manifest.stat().st_size, sequence, newest)
        text = msgspec.json.encode(durable)
        new = path / f"{DURABLE_FILE}.new"
        new.write_bytes(b"%08x\n%b" % (zlib.crc32(text), text))
        new.replace(path / DURABLE_FILE)
    except OSError as error:
        log.warning("durable_state_not_written", path=str(path), reason=str(error))


def damage_before_open(path: Path, durable: Durable | None) -> str:
    """Why the partition must not be opened, since RocksDB would take what is left for the whole, and clear away the
    rest; empty when nothing is known against it.
    """
    if not (path / "CURRENT").exists():
        return "its file CURRENT is missing" if durable or _has_data(path) else ""
    manifest = _manifest_of(path)
    if durable and manifest.name == durable.manifest and _size_of(manifest) < durable.manifest_bytes:
        return f"its file {manifest.name} has {_size_of(manifest)} bytes and had {durable.manifest_bytes}"
    return ""


def _manifest_of(path: Path) -> Path:
    """The manifest that counts. A name that is damaged is no file of that folder, and RocksDB says so."""
    return path / Path((path / "CURRENT").read_text(errors="replace").strip() or "CURRENT").name


def _has_data(path: Path) -> bool:
    return any(path.glob("*.sst")) or any(_size_of(file) for file in path.glob("*.log"))


def _size_of(file: Path) -> int:
    """Size in bytes; 0 without the file."""
    try:
        return file.stat().st_size
    except (OSError, ValueError):  # a damaged name may hold a zero byte
        return 0
