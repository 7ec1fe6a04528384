"""What is read of the stream."""

from datetime import datetime
from typing import Final

from msgspec import Struct


class BusError(Exception):
    """The bus cannot be used now; the text says why."""


class NoStreamError(BusError):
    """There is no stream yet."""


class Refused(Struct, frozen=True):
    """In the place of a number of the stream: it will never take this message."""

    reason: str


class Conflict(Struct, frozen=True):
    """In the place of a number of the stream: another message of this subject is its newest one."""

    reason: str


class Stored(Struct, frozen=True):
    """A message of the stream."""

    seq: int
    subject: str
    body: bytes
    message_id: str
    pending: int
    """How many the consumer has still to bring."""
    stamp_ms: int = 0
    """When the servers took it, ms UTC."""


NOTHING: Final = Stored(0, "", b"", "", 0)
"""In the place of a message: there is none yet."""


class StreamSpan(Struct, frozen=True):
    """The numbers of the messages that the stream holds; `last` is 0 while there was none."""

    first: int
    last: int
    created: datetime | None = None
    """When the stream was made: one of the same name that was made later has other messages under the same numbers."""
