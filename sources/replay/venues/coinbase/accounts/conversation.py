"""The Advanced feed with the channel `user`, which wants a signed token in its subscription."""

from collections.abc import Sequence
from typing import Any

from sources.replay.exchange.dialect import ExchangeView
from sources.replay.protocol.conversation import Refused, decode_object
from sources.replay.venues.coinbase import advanced_messages, exchange_messages
from sources.replay.venues.coinbase.accounts.keys import TokenError
from sources.replay.venues.coinbase.accounts.service import CoinbaseAccounts, stream_of
from sources.replay.venues.coinbase.conversation import CoinbaseConversation
from sources.replay.venues.coinbase.derived import CoinbaseDerived

USER = "user"
_UNAUTHENTICATED = "authentication failure"


class UserConversation(CoinbaseConversation):
    """A client of the Advanced feed that may subscribe to an account's orders."""

    def __init__(self, view: ExchangeView, derived: CoinbaseDerived, accounts: CoinbaseAccounts) -> None:
        super().__init__(view, derived, "advanced")
        self._accounts = accounts
        self._account: str | None = None

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it."""
        own = () if self._account is None else (stream_of(self._account),)
        return frozenset((*super().delivered, *own))

    def requested(self, text: str | bytes) -> list[str]:
        """The streams that a request would subscribe."""
        request = decode_object(text)
        account = self._account_of(request) if request.get("channel") == USER else None
        if account is not None and request.get("type") == "subscribe":
            return [stream_of(account)]
        return super().requested(text)

    def _account_of(self, request: dict[str, Any]) -> str | None:
        try:
            return self._accounts.bearers.bearer(request.get("jwt"), self._view.now_ms).account
        except TokenError:
            return None

    def _answer(self, text: str | bytes, order: Refused | None) -> tuple[bytes, ...]:
        request = decode_object(text)
        if request.get("channel") != USER or request.get("type") not in ("subscribe", "unsubscribe"):
            return super()._answer(text, order)
        account = self._account_of(request)
        if account is None or (order is not None and order.form != "silent"):
            reason = order.text if order is not None and account is not None else ""
            return self._frames([exchange_messages.error(reason or _UNAUTHENTICATED)])
        is_silent = order is not None
        if not is_silent:
            self._account = account if request["type"] == "subscribe" else None
        begin = [advanced_messages.user([], self._view.now_ms, kind="snapshot")] if self._account else []
        return self._frames([*begin, self._subscriptions({USER: [account]} if is_silent else None)])

    def _subscriptions(self, hidden: dict[str, list[str]] | None = None) -> bytes:
        """All subscriptions, the account's among them."""
        own = {} if self._account is None else {USER: [self._account]}
        return super()._subscriptions({**(hidden or {}), **own})

    def _frames(self, replies: Sequence[bytes]) -> tuple[bytes, ...]:
        """Replies with their numbers; an error has none."""
        return tuple(
            reply if reply.startswith(b'{"type":"error"') else self._numbered.numbered(reply) for reply in replies
        )
