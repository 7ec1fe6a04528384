"""Messages to systemd."""

import os
import socket
from pathlib import Path

import pytest

from flows.supervision.notify import Notifier, without_notifications


def test_messages_arrive_once_but_for_the_watchdogs(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.setblocking(False)
        notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())})
        assert notifier.interval_s == 20.0
        ready, alive = ("READY=1", "STATUS=all"), ("WATCHDOG=1",)
        for lines in (ready, ready, alive, alive, ready):
            notifier.send(*lines)
        assert listener.recv(4_096) == b"READY=1\nSTATUS=all"
        assert [listener.recv(4_096), listener.recv(4_096)] == [b"WATCHDOG=1"] * 2
        with pytest.raises(BlockingIOError):
            listener.recv(4_096)
    notifier.send("STOPPING=1")  # to a supervisor that has gone


def test_an_abstract_address() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0marketflow-{os.getpid()}")
        listener.setblocking(False)
        Notifier({"NOTIFY_SOCKET": f"@marketflow-{os.getpid()}"}).send("READY=1")
        assert listener.recv(4_096) == b"READY=1"


def test_without_systemd_nothing_is_sent_and_nothing_asked_for() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "60000000"})
    assert notifier.interval_s is None
    notifier.send("READY=1")


def test_a_watchdog_of_another_process_is_not_ours() -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).interval_s is None


def test_children_cannot_speak_in_its_name() -> None:
    environment = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    without_notifications(environment)
    assert environment == {"HOME": "/"}
