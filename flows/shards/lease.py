"""What the process of a shard gets from the flow that runs it."""

import os
from typing import Final

import msgspec
from msgspec import Struct

VARIABLE: Final = "_MARKETFLOW_LEASE"


class ShardLease(Struct, frozen=True):
    """The lease that a process runs by."""

    shard: str
    """As in `2of4`."""
    epoch: int
    owner: str
    since_ms: int
    """Since when, ms UTC of the servers, the stream may have what this process is about to publish; 0: it goes
    on by its recovered state, or nothing is there."""
    pulse: int = -1
    """Descriptor that is written to as long as the flow is alive; -1: none."""

    def beat(self) -> None:
        """Says that the flow is alive."""
        if self.pulse >= 0:
            try:
                os.write(self.pulse, b".")
            except OSError:  # the one that reads it has ended or is halted; that is no matter of this process
                return


def current_lease() -> ShardLease | None:
    """That of this process; None where it runs by itself."""
    text = os.environ.get(VARIABLE)
    return msgspec.json.decode(text, type=ShardLease) if text else None
