"""Identities of connections that were negotiated and not opened yet. Pure: time is an argument, ms."""

from secrets import token_urlsafe
from typing import Final, NamedTuple

UNUSED_MS: Final = 15_000
"""How long one may stay unused."""
MOST: Final = 1_000
"""Most unused ones."""


class Ticket(NamedTuple):
    """What was negotiated."""

    expires_ms: int
    may_resume: bool
    """Whether stateful reconnects were granted."""


class Tickets:
    """Each opens one connection."""

    def __init__(self) -> None:
        self._issued: dict[str, Ticket] = {}

    def issue(self, now_ms: int, *, may_resume: bool = False) -> str | None:
        """The id of a new one, which cannot be guessed; None when there are too many."""
        self._expire(now_ms)
        if len(self._issued) >= MOST:
            return None
        id_ = token_urlsafe(24)
        self._issued[id_] = Ticket(now_ms + UNUSED_MS, may_resume)
        return id_

    def take(self, id_: str, now_ms: int) -> Ticket | None:
        """The one of an id, if it was issued and not used; it cannot be used again."""
        self._expire(now_ms)
        return self._issued.pop(id_, None)

    def _expire(self, now_ms: int) -> None:
        while self._issued and next(iter(self._issued.values())).expires_ms <= now_ms:
            del self._issued[next(iter(self._issued))]
