"""Hosts as network namespaces of Linux, each with two cables: one to the other hosts, one to the exchange.

The first can be cut while the second stays, as where the network between hosts fails and that to the outside does not.
Needs root, and `ip` of iproute2.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

INSIDE: Final = "10.77.0"
"""Between the hosts."""
OUTSIDE: Final = "10.78.0"
"""To the exchange."""
OWN: Final = 254
"""The last part of this process's addresses."""


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
        ip("netns", "add", "mf-probe")
        ip("netns", "del", "mf-probe")
    except subprocess.CalledProcessError as error:
        return f"no network namespaces: {error.stderr.strip()}"
    return ""


class Namespace:
    """A host's network."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.inside = f"{INSIDE}.{number}"
        self.outside = f"{OUTSIDE}.{number}"
        self._cable = f"{name}-in"

    def command(self, argv: list[str]) -> list[str]:
        """The command within it."""
        return ["ip", "netns", "exec", self.name, *argv]

    def pids(self) -> list[int]:
        """The processes within it."""
        return [int(line) for line in ip("netns", "pids", self.name).split()]

    def cut(self) -> None:
        """No host reaches it, and it reaches none."""
        ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        """They do again."""
        ip("link", "set", self._cable, "up")


@contextmanager
def namespaces(prefix: str, count: int) -> Iterator[list[Namespace]]:
    """So many hosts while entered."""
    found = [Namespace(f"{prefix}{number}", number) for number in range(1, count + 1)]
    _remove_left(prefix, found)
    with ExitStack() as stack:
        for bridge, net in ((f"{prefix}-in", INSIDE), (f"{prefix}-out", OUTSIDE)):
            stack.callback(_quietly, "link", "del", bridge)
            ip("link", "add", bridge, "type", "bridge")
            ip("addr", "add", f"{net}.{OWN}/24", "dev", bridge)
            ip("link", "set", bridge, "up")
        for one in found:
            stack.callback(_quietly, "netns", "del", one.name)
            ip("netns", "add", one.name)
            ip("-n", one.name, "link", "set", "lo", "up")
            for side, address in (("in", one.inside), ("out", one.outside)):
                ip("link", "add", f"{one.name}-{side}", "type", "veth", "peer", "name", side, "netns", one.name)
                ip("link", "set", f"{one.name}-{side}", "master", f"{prefix}-{side}", "up")
                ip("-n", one.name, "addr", "add", f"{address}/24", "dev", side)
                ip("-n", one.name, "link", "set", side, "up")
        yield found


def _remove_left(prefix: str, found: list[Namespace]) -> None:
    """What a run that was killed has left."""
    for one in found:
        with suppress(subprocess.CalledProcessError):
            for pid in one.pids():
                os.kill(pid, signal.SIGKILL)
        for side in ("in", "out"):
            _quietly("link", "del", f"{one.name}-{side}")
        _quietly("netns", "del", one.name)
    for side in ("in", "out"):
        _quietly("link", "del", f"{prefix}-{side}")


def _quietly(*words: str) -> None:
    with suppress(subprocess.CalledProcessError):
        ip(*words)
