"""Hosts as network namespaces of Linux, each with two cables: one to the other hosts, one to the exchange.

The first can be cut while the second stays, as where the network between hosts fails and that to the outside does not.
Needs root, and `ip` of iproute2.
"""

import os
import re
import shutil
import signal
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

OWN: Final = 254
"""The last part of this process's addresses."""
SIDES: Final = ("in", "out")


def ip(*words: str) -> str:
    """Runs `ip`; `CalledProcessError` when it fails."""
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def reason_for_none() -> str:
    """Why there are no namespaces here; empty where there are."""
    if os.name != "posix" or os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "network namespaces need ip of iproute2"
    try:
        probe = f"mf-probe-{os.getpid():x}"
        ip("netns", "add", probe)
        ip("netns", "del", probe)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces: {error.stderr.strip()}"
    return ""


def _subnets(label: str) -> tuple[str, str]:
    """The first three parts of the addresses between the hosts, and of those to the exchange; others for others."""
    number = zlib.crc32(label.encode()) % 8_192 * 2
    return f"10.{64 + number // 256}.{number % 256}", f"10.{64 + number // 256}.{number % 256 + 1}"


class Namespace:
    """A host's network. `exchange` is the address of this process outside."""

    def __init__(self, name: str, label: str, number: int) -> None:
        inside, outside = _subnets(label)
        self.name = name
        self.inside = f"{inside}.{number}"
        self.outside = f"{outside}.{number}"
        self.exchange = f"{outside}.{OWN}"
        self.space = f"{label}-{number}"

    def command(self, argv: list[str]) -> list[str]:
        """The command within it."""
        return ["ip", "netns", "exec", self.space, *argv]

    def pids(self) -> list[int]:
        """The processes within it."""
        return [int(line) for line in ip("netns", "pids", self.space).split()]

    def cut(self) -> None:
        """No host reaches it, and it reaches none."""
        ip("link", "set", f"{self.space}-in", "down")

    def mend(self) -> None:
        """They do again."""
        ip("link", "set", f"{self.space}-in", "up")


@contextmanager
def namespaces(prefix: str, count: int) -> Iterator[list[Namespace]]:
    """So many hosts while entered. Their names at the system, and their addresses, are this process's alone."""
    _remove_left(prefix)
    label = f"{prefix}{os.getpid():x}"
    found = [Namespace(f"{prefix}{number}", label, number) for number in range(1, count + 1)]
    with ExitStack() as stack:
        for side, net in zip(SIDES, _subnets(label), strict=True):
            bridge = f"{label}-{side}"
            stack.callback(_quietly, "link", "del", bridge)
            ip("link", "add", bridge, "type", "bridge")
            ip("addr", "add", f"{net}.{OWN}/24", "dev", bridge)
            ip("link", "set", bridge, "up")
        for one in found:
            stack.callback(_quietly, "netns", "del", one.space)
            ip("netns", "add", one.space)
            ip("-n", one.space, "link", "set", "lo", "up")
            for side, address in zip(SIDES, (one.inside, one.outside), strict=True):
                ip("link", "add", f"{one.space}-{side}", "type", "veth", "peer", "name", side, "netns", one.space)
                ip("link", "set", f"{one.space}-{side}", "master", f"{label}-{side}", "up")
                ip("-n", one.space, "addr", "add", f"{address}/24", "dev", side)
                ip("-n", one.space, "link", "set", side, "up")
        yield found


def _remove_left(prefix: str) -> None:
    """What runs that were killed have left."""
    for space, label, pid in re.findall(rf"^(({prefix}([0-9a-f]+))-\d+)\b", ip("netns", "list"), re.MULTILINE):
        if Path(f"/proc/{int(pid, 16)}").exists():
            continue
        with suppress(subprocess.CalledProcessError):
            for left in ip("netns", "pids", space).split():
                with suppress(ProcessLookupError):
                    os.kill(int(left), signal.SIGKILL)
        for name in (space, label):
            for side in SIDES:
                _quietly("link", "del", f"{name}-{side}")
        _quietly("netns", "del", space)


def _quietly(*words: str) -> None:
    with suppress(subprocess.CalledProcessError):
        ip(*words)
