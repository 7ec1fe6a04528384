"""Identities of connections that were negotiated and not opened yet. Pure: time is an argument, ms."""

from secrets import token_urlsafe
from typing import Final

UNUSED_MS: Final = 15_000
"""How long one may stay unused."""
MOST: Final = 1_000
"""Most unused ones."""


class Tickets:
    """Each opens one connection."""

    def __init__(self) -> None:
        self._issued: dict[str, int] = {}

    def issue(self, now_ms: int) -> str | None:
        """A new one, which cannot be guessed; None when there are too many."""
        self._expire(now_ms)
        if len(self._issued) >= MOST:
            return None
        ticket = token_urlsafe(24)
        self._issued[ticket] = now_ms + UNUSED_MS
        return ticket

    def take(self, ticket: str, now_ms: int) -> bool:
        """Whether it was issued and not used; it cannot be used again."""
        self._expire(now_ms)
        return self._issued.pop(ticket, None) is not None

    def _expire(self, now_ms: int) -> None:
        while self._issued and next(iter(self._issued.values())) <= now_ms:
            del self._issued[next(iter(self._issued))]
