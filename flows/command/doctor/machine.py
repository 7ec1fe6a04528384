"""The machine: folders and space on disk, open files, ports."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from flows.command.doctor.listeners import Listener, is_ours, listener_on
from flows.command.doctor.result import Result
from flows.process.disk import free_bytes, unwritable

GB: Final = 1_000_000_000
LEAST_FREE: Final = GB // 2
"""Bytes below which MongoDB and RocksDB are about to refuse writes."""
MUCH_FREE: Final = 5 * GB
LEAST_DESCRIPTORS: Final = 1_024
"""Lines, stores and a few dozen clients."""
MANY_DESCRIPTORS: Final = 4_096

try:
    import resource
except ModuleNotFoundError:  # Windows has no such limit
    resource = None  # type: ignore[assignment]


class Port(NamedTuple):
    """A port that is needed."""

    setting: str
    number: int
    """0 takes a free one."""


def check_disk(folders: Iterable[Path]) -> Iterator[Result]:
    """Whether each folder can be written, and its free space; or that of the nearest one above it that exists."""
    for folder in dict.fromkeys(folders):
        free = free_bytes(folder) or 0
        found = f"{free / GB:.1f} GB free"
        check = f"disk {folder}"
        if reason := unwritable(folder):
            yield Result(check, "fail", reason, "change that, or name a folder elsewhere in the settings")
        elif free < LEAST_FREE:
            yield Result(check, "fail", found, "make space, or name a folder elsewhere in the settings")
        elif free < MUCH_FREE:
            yield Result(check, "warn", found, "make space, or keep data for fewer days: trades.retention_days")
        else:
            yield Result(check, "ok", found)


def check_descriptors(limits: tuple[int, int] | None = None) -> Result:
    """The limit of open files: the soft one, which the processes raise to the hard one at their start."""
    if resource is None:
        return Result("open files", "ok", "no limit")
    soft, hard = limits or resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return Result("open files", "ok", f"soft limit {soft}, raised at the start without bound")
    found = f"soft limit {soft}, raised at the start to the hard one, {hard}"
    if hard < LEAST_DESCRIPTORS:
        return Result("open files", "fail", found, f"raise it: ulimit -Hn {MANY_DESCRIPTORS}, as root")
    if hard < MANY_DESCRIPTORS:
        return Result("open files", "warn", found, "enough for some hundred clients; raise it for more: ulimit -Hn")
    return Result("open files", "ok", found)


def check_ports(ports: Iterable[Port]) -> Iterator[Result]:
    """Whether each port is free, or held by a process of this project; two settings cannot have the same."""
    settings: dict[int, str] = {}
    for port in ports:
        check = f"port {port.number} ({port.setting})"
        other = settings.setdefault(port.number, port.setting) if port.number else port.setting
        holder = listener_on(port.number) if port.number else None
        if other != port.setting:
            yield Result(check, "fail", f"{other} is the same port", f"set another {port.setting}")
        elif holder is None:
            yield Result(check, "ok", "free" if port.number else "a free one will be taken")
        elif is_ours(holder):
            yield Result(check, "ok", f"in use by {_named(holder)}, which is ours")
        else:
            remedy = f"end that program, or set another {port.setting}"
            yield Result(check, "fail" if holder.pid else "warn", f"in use by {_named(holder)}", remedy)


def _named(holder: Listener) -> str:
    return f"pid {holder.pid} ({holder.command})" if holder.pid else "a process that cannot be seen from here"
