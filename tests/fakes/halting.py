"""A process that hangs: it answers nobody, and its sockets stay open."""

import signal
import subprocess
import time
from typing import Any

import psutil


def halt(process: "subprocess.Popen[Any]") -> None:
    """Stops a process; returns when it stands still, for until then one of its threads may answer."""
    process.send_signal(signal.SIGSTOP)
    while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
        time.sleep(0.01)
