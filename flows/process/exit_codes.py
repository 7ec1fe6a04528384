"""Exit codes by which a process says to its supervisor whether another start can help."""

import sys
from typing import Final, NoReturn

CANNOT_RUN: Final = 78
"""Settings, ports or stores must be changed first: `EX_CONFIG` of sysexits.h. The reason is the last line of output."""
TRY_AGAIN: Final = 75
"""What is in the way passes without another configuration, as a full disk does: `EX_TEMPFAIL` of sysexits.h."""
USAGE: Final = 2
"""Wrong arguments, as `argparse` reports them."""


def refuse_to_run(reason: object) -> NoReturn:
    """Ends the process at its start with the reason and `CANNOT_RUN`. Raises `SystemExit`."""
    sys.stderr.write(f"marketflow: {reason}\n")
    sys.stderr.flush()
    sys.exit(CANNOT_RUN)
