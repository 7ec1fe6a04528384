"""The rights of tokens, and what needs which: the one rule of hub and API. Pure.

| `token`, `account_token` | shown | rights |
|---|---|---|
| neither is set | anything | `market` and `account`: only this machine is served |
| neither is set, and the hub that is followed with its token has one | anything | `market` |
| | the `account_token` | `market` and `account` |
| | the `token` | `market` |
| only `account_token` is set | anything else | `market` |
| `token` is set | anything else | none |
"""

import hmac
from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol, TypeAlias

Right: TypeAlias = Literal["market", "account"]
"""`market`: all data about markets, which is public. `account`: balances, positions and the state of accounts."""
Rights: TypeAlias = frozenset[Right]

NO_RIGHTS: Final[Rights] = frozenset()
MARKET: Final[Rights] = frozenset(("market",))
MARKET_AND_ACCOUNT: Final[Rights] = frozenset(("market", "account"))

ACCOUNT_CHANNELS: Final = ("Balance", "Position", "Account")
"""Channels that need the right `account`."""


class TokenSettings(Protocol):
    """The tokens of a server."""

    token: str | None
    account_token: str | None


def rights_of(settings: TokenSettings, shown: Sequence[str], *, followed: TokenSettings | None = None) -> Rights:
    """The rights of a peer that shows these tokens, as the module's table has them. `followed`: the tokens of the hub
    whose accounts the server has, which are not open to more peers here than there.
    """
    if settings.account_token and _is_among(settings.account_token, shown):
        return MARKET_AND_ACCOUNT
    if settings.token:
        return MARKET if _is_among(settings.token, shown) else NO_RIGHTS
    is_guarded = followed is not None and bool(followed.token or followed.account_token)
    return MARKET if settings.account_token or is_guarded else MARKET_AND_ACCOUNT


def may_have(rights: Rights, channel: str) -> bool:
    """Whether messages of a channel may be sent to a peer with these rights."""
    return ("account" if channel in ACCOUNT_CHANNELS else "market") in rights


def refused(rights: Rights, channels: Iterable[str]) -> list[str]:
    """Those of the channels that may not be sent, in the order of the alphabet."""
    return sorted(channel for channel in channels if not may_have(rights, channel))


def _is_among(token: str, shown: Sequence[str]) -> bool:
    """Whether the token is among `shown`. The comparison takes constant time, so that it leaks nothing."""
    return any(hmac.compare_digest(token.encode(), one.encode(errors="surrogateescape")) for one in shown)
