"""Parses the log of `mongod` (one JSON entry a line), and explains why it ended."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from flows.process.disk import disk_full, free_bytes, says_no_room

ELSEWHERE = "install MongoDB and set mongo.uri to its address"
ADDRESS_IN_USE = 48
"""Exit code of `mongod` when its port is taken."""
DAMAGED = (14, -6)
"""Exit codes of `mongod` when its files cannot be used: it reports that, or is aborted while reading them."""
NOT_LOADED = 127
"""Exit code of the dynamic loader when a library is missing: one that is lent may have found no room."""
LEAST_FREE = 16_000_000
"""Bytes. With less than this free, an end that has no clearer reason is the full disk's."""
LEAST_FREE_TO_WRITE = 220_000_000
"""Bytes, two files of the journal: with less than this free so is a write that failed, as they come and go."""
LISTENING = 23016
"""Id of the entry `Waiting for connections`; its attributes name the port."""
_MISSING_LIBRARY = re.compile(r"error while loading shared libraries: ([^:\s]+)")
_FAILED_WRITE = re.compile(r"failed to (?:write|open|extend|allocate)\b", re.IGNORECASE)
_NOTE = re.compile(r": no version information available \(required by ")
_DEBIAN_PACKAGES = {
    "libcurl.so.4": "libcurl4",
    "libssl.so.3": "libssl3",
    "libcrypto.so.3": "libssl3",
    "liblzma.so.5": "liblzma5",
}


class LogEntry(msgspec.Struct):
    """One line, as the reference manual's "Structured Logging" describes it."""

    severity: str = msgspec.field(name="s")
    """`F`, `E`, `W`, `I` or `D1` to `D5`."""
    id: int
    message: str = msgspec.field(name="msg")
    attr: dict[str, Any] = {}
    tags: list[str] = []


_decoder = msgspec.json.Decoder(LogEntry)


def parse_line(line: bytes) -> LogEntry | str:
    """The entry of a line; other lines, e.g. of the dynamic loader, as text."""
    try:
        return _decoder.decode(line)
    except msgspec.DecodeError:
        return line.decode(errors="replace").strip()


def is_note(line: str) -> bool:
    """Whether a line of the dynamic loader is no reason for an end: it misses version names in a lent library."""
    return _NOTE.search(line) is not None


def reason_of(entry: LogEntry | str) -> str:
    """The reason that an entry gives."""
    if isinstance(entry, str):
        return entry
    error, engine = entry.attr.get("error", entry.message), entry.attr.get("message")
    if isinstance(engine, dict):  # of the storage engine: `error` is only a number
        return ": ".join(str(engine[key]) for key in ("msg", "error_str") if key in engine) or str(error)
    if engine and "errmsg" not in (error if isinstance(error, dict) else {}):
        return " ".join(str(engine).split())
    return str(error.get("errmsg", error)) if isinstance(error, dict) else str(error)


def explain_failure(code: int, reasons: Sequence[str], *, path: Path, port: int) -> str:
    """Why a server with its data in `path` has ended, and what to do: from its exit code and its last log entries."""
    text = "\n".join(reasons)
    if is_disk_full(code, reasons, path=path):
        return disk_full(path)
    if missing := _MISSING_LIBRARY.search(text):
        library = missing[1]
        package = _DEBIAN_PACKAGES.get(library)
        install = f"apt-get install {package} (Debian, Ubuntu)" if package else "install it"
        return f"the bundled server needs {library}, which this system lacks: {install}, or {ELSEWHERE}"
    if "GLIBC" in text or "cannot be run" in text:
        return f"the bundled server does not run on this system ({reasons[-1]}): {ELSEWHERE}"
    if code == ADDRESS_IN_USE:
        return (
            f"port {port} is taken by another program: choose another with --port, and set mongo.uri to "
            f"mongodb://127.0.0.1:<that port>"
        )
    if "DBPathInUse" in text:
        return (
            f"another server{_holder(path)} has {path} open: use that one, or stop it first, or choose another "
            f"directory with --path"
        )
    return _end_of(code, reasons, path)


def _end_of(code: int, reasons: Sequence[str], path: Path) -> str:
    if reasons and code in DAMAGED:
        return (
            f"the files in {path} are damaged or incomplete ({reasons[0]}): move the directory away and start again; "
            "the flow fetches candles from the exchange, and flows.verify --repair makes those whose trades are stored"
        )
    return f"the bundled server ended with code {code}: {reasons[0] if reasons else 'it said nothing'}"


def is_disk_full(code: int, reasons: Sequence[str], *, path: Path) -> bool:
    """Whether a server with its data in `path` has ended for want of room: it says so, or there is next to none and it
    gives no reason of which this could not be the cause.
    """
    if any(map(says_no_room, reasons)):
        return True
    free = free_bytes(path)
    least = LEAST_FREE_TO_WRITE if any(map(_FAILED_WRITE.search, reasons)) else LEAST_FREE
    return code in {*DAMAGED, NOT_LOADED} and free is not None and free < least


def _holder(path: Path) -> str:
    """` (pid N)` from the lock file, where a running server keeps it."""
    try:
        pid = (path / "mongod.lock").read_text().strip()
    except OSError:
        return ""
    return f" (pid {pid})" if pid else ""
