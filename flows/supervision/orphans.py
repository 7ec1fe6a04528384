"""What the first process of a system or container has to do: take note of the end of processes without a parent."""

import os
from collections.abc import Collection


def bury_orphans(own: Collection[int | None]) -> int:
    """Takes note of children that have ended and are not among `own`: they were left by processes that ended before
    them, and would keep their place in the table of processes for ever. Returns how many there were. The ends of our
    own children are left for those who started them; one stands before the others until then.
    """
    buried = 0
    while (ended := _next_ended()) and ended not in own:
        os.waitpid(ended, 0)
        buried += 1
    return buried


def _next_ended() -> int:
    """A child that has ended, without taking note of it; 0 when there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return found.si_pid if found else 0
