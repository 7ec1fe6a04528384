"""Exit codes by which a process says to its supervisor whether another start can help."""

import sys
from typing import Final, NoReturn

from flows.process.disk import explained, is_no_room

CANNOT_RUN: Final = 78
"""Settings, ports or stores must be changed first: `EX_CONFIG` of sysexits.h. The reason is the last line of output."""
TRY_AGAIN: Final = 75
"""What is in the way passes without another configuration, as a full disk does: `EX_TEMPFAIL` of sysexits.h."""
FENCED: Final = 77
"""Another flow owns the shard of this one: `EX_NOPERM` of sysexits.h."""
USAGE: Final = 2
"""Wrong arguments, as `argparse` reports them."""


def refuse_to_run(reason: object) -> NoReturn:
    """Ends the process at its start with the reason and `CANNOT_RUN`; with `TRY_AGAIN` when it is a full disk. Raises
    `SystemExit`.
    """
    code = CANNOT_RUN
    if isinstance(reason, BaseException) and is_no_room(reason):
        code, reason = TRY_AGAIN, explained(reason)
    sys.stderr.write(f"marketflow: {reason}\n")
    sys.stderr.flush()
    sys.exit(code)
