"""Who listens on a port of this machine: by /proc where there is one (Linux), else only that someone does."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from flows.foreign import visible
from flows.process.free_ports import is_taken

_LISTENS: Final = "0A"
"""The state of a listening socket in /proc/net/tcp (`TCP_LISTEN`)."""
_OURS: Final = (
    "-m api",
    "-m flows",
    "-m sinks.mongod",
    "-m sources.replay",
    "-m bytewax.run flows.",
    "bin/marketflow",
    "fiftyone/db/bin/mongod",
)
_COMMAND_LETTERS: Final = 120


class Listener(NamedTuple):
    """The process that listens on a port."""

    pid: int
    """0 when it belongs to another user, or cannot be found out."""
    command: str
    """Its command line, cut."""
    arguments: str = ""
    """The whole one."""


def listener_on(port: int) -> Listener | None:
    """Who listens on a TCP port of this machine; None when it is free."""
    if inodes := set(_inodes(port)):
        return _holder(inodes) or Listener(0, "")
    return Listener(0, "") if is_taken("127.0.0.1", port) else None


def is_ours(listener: Listener) -> bool:
    """Whether it is a process of this project, by its command line."""
    return any(part in listener.arguments for part in _OURS)


def _inodes(port: int) -> Iterator[str]:
    """The sockets that listen on it. Lines are as `sl local_address rem_address st … inode`, numbers in hex."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path("/proc/net", table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _holder(inodes: set[str]) -> Listener | None:
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it belongs to another user, or has just ended
            if any(str(descriptor.readlink()) in links for descriptor in (process / "fd").iterdir()):
                arguments = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                return Listener(int(process.name), visible(arguments, limit=_COMMAND_LETTERS), arguments)
    return None
