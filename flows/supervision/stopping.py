"""In which order processes are ended, and when those that hang are killed. Pure: the time is an argument."""

import signal
from collections.abc import Mapping, Sequence
from typing import Final

NEXT_S: Final = 0.5
"""Longest wait for a process to end before the one that was started before it is asked to. Short, so that each of them
has most of `KILL_S`: database and exchange by themselves wait for their clients to leave.
"""
KILL_S: Final = 3.5
"""What still runs so long after the begin is killed. Nothing is lost by it: each process recovers from a kill."""
LEAVE_S: Final = 4.5
"""So long after the begin nothing is waited for any more: on a busy machine the system takes seconds to remove what is
killed, and no process can refuse that.
"""


def signals_due(
    running: Sequence[str], asked: Mapping[str, float], *, begun_s: float, now_s: float
) -> list[tuple[str, signal.Signals]]:
    """The signals to be sent now. `running` are the names in the order of their start, `asked` those that have received
    SIGTERM, and when: what depends on others ends before them.
    """
    if now_s - begun_s >= KILL_S:
        return [(name, signal.SIGKILL) for name in reversed(running)]
    for name in reversed(running):
        if name not in asked:
            return [(name, signal.SIGTERM)]
        if now_s - asked[name] < NEXT_S:
            break
    return []
