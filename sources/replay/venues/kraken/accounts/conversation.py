"""Requests on the address of private streams: `balances` with a token, `ping`. Source: docs.kraken.com, WebSocket v2.

Chosen, as it is not known: a token that is none, or too old, is refused with `ESession:Invalid session`.
"""

from typing import Any

from sources.replay.exchange.dialect import ExchangeView
from sources.replay.protocol.conversation import Refused, decode_object
from sources.replay.venues.kraken import messages
from sources.replay.venues.kraken.accounts.ledger import CHANNEL, BalancesEncoding, stream_of
from sources.replay.venues.kraken.accounts.service import KrakenAccounts
from sources.replay.venues.kraken.derived import HEARTBEATS
from sources.replay.venues.kraken.requests import id_of, params_of

_NONE: frozenset[str] = frozenset()


class PrivateConversation:
    """A client of the private streams."""

    counts_requests = True

    def __init__(self, view: ExchangeView, accounts: KrakenAccounts, number: int) -> None:
        self._view = view
        self._accounts = accounts
        self._number = number
        self._account: str | None = None
        self.encoding = BalancesEncoding()
        """The connection's own: its messages are numbered."""

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it; with a subscription the heartbeat."""
        return _NONE if self._account is None else frozenset((stream_of(self._account), HEARTBEATS))

    def greet(self) -> tuple[bytes, ...]:
        """The status of the system."""
        return (messages.status(self._number),)

    def report(self) -> dict[str, Any]:
        """Its part of the exchange's state."""
        return {"streams": () if self._account is None else (stream_of(self._account),)}

    def answer(self, text: str | bytes) -> tuple[bytes, ...]:
        """Executes a request."""
        return self._answer(decode_object(text), None)

    def requested(self, text: str | bytes) -> list[str]:
        """The stream that a request would subscribe."""
        request = decode_object(text)
        account = self._account_of(request)
        return [] if request.get("method") != "subscribe" or account is None else [stream_of(account)]

    def request_id(self, text: str | bytes) -> Any:
        """The `req_id` of a request as it was sent."""
        return decode_object(text).get("req_id")

    def refuse(self, text: str | bytes, order: Refused) -> tuple[bytes, ...]:
        """Refuses a subscription, or only seems to accept it."""
        return self._answer(decode_object(text), order)

    def _account_of(self, request: dict[str, Any]) -> str | None:
        return self._accounts.tokens.account_of(params_of(request).get("token"), self._view.now_ms)

    def _answer(self, request: dict[str, Any], order: Refused | None) -> tuple[bytes, ...]:
        method, now_ms = request.get("method"), self._view.now_ms
        if method == "ping":
            return (messages.reply("pong", id_of(request), now_ms),)
        if method not in ("subscribe", "unsubscribe"):
            return self._refused("", request, "Method(s) not found")
        account = self._account_of(request)
        error = self._error_of(method, request, account, order)
        if account is None or error:
            return self._refused(method, request, error)
        return self._apply(method, request, account, is_silent=order is not None)

    def _error_of(self, method: str, request: dict[str, Any], account: str | None, order: Refused | None) -> str:
        """Why a request is refused; empty when it is not."""
        if params_of(request).get("channel") != CHANNEL:
            return "Subscription channel not supported"
        if account is None:
            return "ESession:Invalid session"
        if order is not None and order.form != "silent":
            return order.text or "EService:Unavailable"
        return "Already subscribed" if method == "subscribe" and self._account is not None else ""

    def _apply(self, method: str, request: dict[str, Any], account: str, *, is_silent: bool) -> tuple[bytes, ...]:
        wants_snapshot = params_of(request).get("snapshot", True) is True
        result = {"channel": CHANNEL, **({"snapshot": wants_snapshot} if method == "subscribe" else {})}
        done = messages.reply(method, id_of(request), self._view.now_ms, result=result, success=True)
        if is_silent:
            return (done,)
        self._account = account if method == "subscribe" else None
        if method == "unsubscribe" or not wants_snapshot:
            return (done,)
        return (done, self.encoding.numbered(self._accounts.snapshot(account)))

    def _refused(self, method: str, request: dict[str, Any], error: str) -> tuple[bytes, ...]:
        return (messages.reply(method, id_of(request), self._view.now_ms, success=False, error=error),)
