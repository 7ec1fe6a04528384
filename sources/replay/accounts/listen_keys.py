"""The listen keys of USD-M's user streams: one for an account, and until when it lives. Times are the exchange's."""

import re
import secrets
from typing import NamedTuple

LIFE_MS = 3_600_000
"""How long a key lives after it was made or kept alive."""
_LISTEN_KEY = re.compile(r"[a-zA-Z0-9]{64}")


def is_listen_key(text: str) -> bool:
    """Whether a text has the form of a listen key."""
    return _LISTEN_KEY.fullmatch(text) is not None


def stream_of(listen_key: str, event: str) -> str:
    """The stream of one kind of events of a user stream."""
    return f"{listen_key}@{event}"


class ListenKey(NamedTuple):
    """A key that is alive."""

    name: str
    touched_ms: int
    """When it was made or kept alive last."""


class ListenKeys:
    """The keys that are alive, by account."""

    def __init__(self) -> None:
        self._keys: dict[str, ListenKey] = {}
        self.life_ms = LIFE_MS
        """How long keys live."""

    def __bool__(self) -> bool:
        return bool(self._keys)

    def get(self, account: str) -> str | None:
        """The key of an account."""
        key = self._keys.get(account)
        return key.name if key else None

    def open(self, account: str, now_ms: int) -> str:
        """The key of an account, which lives on; a new one where there is none."""
        name = self.get(account) or secrets.token_hex(32)
        self._keys[account] = ListenKey(name, now_ms)
        return name

    def keep(self, account: str, now_ms: int) -> str | None:
        """Keeps a key alive; None where there is none."""
        return self.open(account, now_ms) if account in self._keys else None

    def close(self, account: str) -> bool:
        """Ends a key; False where there is none."""
        return self._keys.pop(account, None) is not None

    def expire(self, now_ms: int) -> list[str]:
        """Ends the keys whose time is over; their names."""
        over = [account for account, key in self._keys.items() if now_ms >= key.touched_ms + self.life_ms]
        return [self._keys.pop(account).name for account in over]
