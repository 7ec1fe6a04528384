"""Incidents and rejected input."""

from typing import Final, Literal, TypeAlias

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
    "account",
    "error",
]
PRIVATE_KINDS: Final[frozenset[IncidentKind]] = frozenset(("account",))
"""Kinds of incidents that are for the owner of an account alone: the log and the store have them, clients do not."""


class Incident(Struct, frozen=True):
    """Something that went wrong or was put right. `symbol` is empty when it concerns the whole venue."""

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
    """Refused input, with the reason."""

    venue: str
    reason: str
    payload: bytes
    received_ns: int
    count: int = 1
    """Number of messages, of which this is one."""
    symbol: str = ""
    """Its symbol, as far as known."""
    kind: str = ""
    """Its stream, named as in the setting `feed.streams`; klines and books may have a suffix."""
