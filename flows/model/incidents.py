"""What went wrong, and what was refused."""

from typing import Literal, TypeAlias

from msgspec import Struct

IncidentKind: TypeAlias = Literal[
    "gap",
    "repair",
    "late",
    "partial",
    "mismatch",
    "history",
    "resync",
    "reject",
    "disconnect",
    "reconnect",
    "silent",
    "stale",
    "feed_down",
    "store_outage",
    "lag",
    "clock",
    "unlisted",
    "retention",
    "error",
]


class Incident(Struct, frozen=True):
    """Something that a user of the data would want to know. `symbol` is empty when it concerns the whole venue."""

    kind: IncidentKind
    venue: str
    symbol: str
    begin: int
    end: int
    cause: str
    outcome: str = ""
    first_id: int = -1
    last_id: int = -1


class Rejected(Struct, frozen=True):
    """Input that was refused: why, and what it was."""

    venue: str
    reason: str
    payload: bytes
    received_ns: int
    count: int = 1
    """So many messages, of which this is one."""
    symbol: str = ""
    """Of what it tells, as far as that is known."""
    kind: str = ""
    """And by what stream, in the words of the setting `feed.streams`, klines and books perhaps with more behind."""
