"""Messages to systemd, as sd_notify(3) describes them: ready, alive, stopping."""

import contextlib
import os
import socket
from collections.abc import Mapping, MutableMapping
from typing import Final

WATCHDOG: Final = "WATCHDOG=1"
VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Sends messages where systemd has started the process with `Type=notify`, and nothing elsewhere."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._last_text = ""
        is_watched = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environment.get("WATCHDOG_USEC", "") if is_watched and self._address else ""
        self.interval_s: float | None = int(usec) / 3_000_000 if usec.isdigit() and int(usec) else None
        """Time between two messages that all is well: a third of what systemd allows. None: it does not ask."""

    def send(self, *lines: str) -> None:
        """Sends assignments such as `READY=1`; one that equals the last is left out, but for the watchdog's. A
        supervisor of the supervisor that is away is no error.
        """
        text = "\n".join(lines)
        if not self._address or text == self._last_text:
            return
        if text != WATCHDOG:
            self._last_text = text
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(text.encode(), address)


def without_notifications(environment: MutableMapping[str, str]) -> None:
    """Removes what would let a child speak to systemd in the supervisor's name."""
    for name in VARIABLES:
        environment.pop(name, None)
