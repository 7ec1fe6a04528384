"""How a process has ended: by its exit code, in words."""

import signal
from typing import Final

from flows.process.exit_codes import CANNOT_RUN, TRY_AGAIN, USAGE

SIGNALLED: Final = 128
"""A shell adds this to the number of the signal that its command died of."""
_KILLED: Final = "a user has killed it, or the system when memory ran out (`dmesg` says so)"


def signal_of(code: int) -> signal.Signals | None:
    """The signal that ended a process, by its exit code: negative, or a shell's. None when it ended by itself."""
    number = -code if code < 0 else code - SIGNALLED
    try:
        return signal.Signals(number) if number > 0 else None
    except ValueError:
        return None


def describe_end(code: int) -> str:
    """A clause without a subject, as in `was ended by SIGKILL`, with what is known of its cause."""
    number = signal_of(code)
    if number is not None:
        reason = f": {_KILLED}" if number == signal.SIGKILL else ""
        return f"was ended by {number.name}{reason}"
    if code == 0:
        return "has ended by itself"
    if code == TRY_AGAIN:
        return f"cannot run for now (exit code {code})"
    return f"ended with exit code {code}"


def is_refusal(code: int) -> bool:
    """Whether the process says that it cannot run as it is configured."""
    return code in {CANNOT_RUN, USAGE}
