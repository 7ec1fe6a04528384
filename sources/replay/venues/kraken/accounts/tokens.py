"""Tokens by which private streams are subscribed: each of an account, and valid for a while after it was made."""

import secrets
from typing import Final, NamedTuple

LIFE_MS: Final = 900_000
MOST_TOKENS: Final = 1_000
"""How many are kept; the oldest go first."""


class _Token(NamedTuple):
    account: str
    made_ms: int


class Tokens:
    """Those that were made."""

    def __init__(self) -> None:
        self._tokens: dict[str, _Token] = {}
        self.life_ms = LIFE_MS
        """How long one can be used."""

    def make(self, account: str, now_ms: int) -> str:
        """A new token of an account."""
        name = secrets.token_urlsafe(32)
        self._tokens[name] = _Token(account, now_ms)
        if len(self._tokens) > MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]
        return name

    def of(self, account: str) -> list[str]:
        """Those of an account, oldest first."""
        return [name for name, token in self._tokens.items() if token.account == account]

    def account_of(self, name: object, now_ms: int) -> str | None:
        """Whose token it is; None for one that is none, or too old."""
        token = self._tokens.get(name) if isinstance(name, str) else None
        return token.account if token is not None and now_ms < token.made_ms + self.life_ms else None
