"""The account of spot: `userDataStream.subscribe.signature` of the WebSocket API, and `GET /api/v3/account`."""

from typing import Final

import msgspec
from msgspec import Raw

from flows.foreign import quoted
from flows.model.account import (
    AccountEvent,
    AccountReport,
    AccountSnapshot,
    AccountUpdate,
    BalanceChange,
    BalanceReport,
)
from sources.account import AccountSettings, Login, ParsedAccount, Right, parsed
from sources.binance.account import wire
from sources.binance.account.requests import WRONG_TIME, AccountRequests, refusal
from sources.binance.rest import BinanceRest
from sources.rest.answers import decoded
from sources.rest.client import VenueError

_URLS: Final = {"live": "wss://ws-api.binance.com:443", "testnet": "wss://ws-api.testnet.binance.vision"}
_PATH: Final = "/ws-api/v3"
_ACCOUNT: Final = "/api/v3/account"
_RESTRICTIONS: Final = "/sapi/v1/account/apiRestrictions"
_SUBSCRIBE: Final = "subscribe"
_PING: Final = "ping"
_OK: Final = 200
_NOT_FOUND: Final = 404
_OF_TRADES: Final = (
    "enable_spot_and_margin_trading", "enable_margin", "enable_futures", "enable_vanilla_options",
    "enable_portfolio_margin_trading", "enable_fix_api_trade",
)  # fmt: skip
_ALIVE: Final = AccountEvent("alive")


def stream_url(settings: AccountSettings, default: str | None) -> str:
    """The base address of private streams: `ws_url`, which may be a relay of the market alone, only for an origin that
    has no default. `ValueError` when none is set.
    """
    url = settings.accounts_ws_url or default or settings.ws_url
    if not url:
        raise ValueError(f"the origin is {settings.origin}: set accounts_ws_url to the address of private streams")
    return url.rstrip("/")


class SpotAccount:
    """See `AccountFeed`."""

    keep_s = 0.0
    ping_s = 10.0

    def __init__(self, settings: AccountSettings, rest: BinanceRest) -> None:
        """`ValueError` for a secret that cannot be used, or without an address."""
        self.venue = settings.venue
        self._url = f"{stream_url(settings, _URLS.get(settings.origin))}{_PATH}"
        self._requests = AccountRequests(rest.client, rest.time, settings)
        self._subscription: int | None = None

    async def powers(self) -> frozenset[Right]:
        """See `AccountFeed`. Test networks do not say it."""
        try:
            body = await self._requests.read(_RESTRICTIONS, weight=1)
        except VenueError as error:
            if error.status == _NOT_FOUND:
                return frozenset()
            raise
        found = decoded(wire.RESTRICTIONS, body, _RESTRICTIONS)
        rights: set[Right] = set()
        if any(getattr(found, name) for name in _OF_TRADES):
            rights.add("trade")
        if found.enable_withdrawals:
            rights.add("withdraw")
        if found.enable_internal_transfer or found.permits_universal_transfer:
            rights.add("transfer")
        return frozenset(rights)

    async def login(self) -> Login:
        """See `AccountFeed`."""
        await self._requests.know_time()
        self._subscription = None
        request = {
            "id": _SUBSCRIBE,
            "method": "userDataStream.subscribe.signature",
            "params": self._requests.for_stream(),
        }
        return Login(self._url, (msgspec.json.encode(request).decode(),))

    async def keep(self) -> None:
        """See `AccountFeed`; it is never called."""

    def ping(self) -> str | None:
        """See `AccountFeed`: lists the subscriptions of the connection."""
        return f'{{"id":"{_PING}","method":"session.subscriptions"}}'

    async def snapshot(self) -> AccountSnapshot:
        """See `AccountFeed`."""
        body = await self._requests.read(_ACCOUNT, weight=20, omitZeroBalances="true")
        found = decoded(wire.SPOT_ANSWER, body, _ACCOUNT)
        rows = tuple(BalanceReport(row.asset, row.free, row.locked) for row in found.balances)
        return AccountSnapshot(found.updateTime, rows)

    def parse(self, frame: bytes) -> ParsedAccount:
        """See `AccountFeed`."""
        return parsed(frame, self._reports)

    def _reports(self, frame: bytes) -> tuple[AccountReport, ...]:
        found = wire.FRAME.decode(frame)
        return (self._event(found.subscription, found.event),) if bytes(found.event) else self._reply(found)

    def _reply(self, found: wire.Frame) -> tuple[AccountEvent, ...]:
        if found.id == _SUBSCRIBE:
            return (self._subscribed(found),)
        if found.id != _PING or found.status != _OK:
            return ()  # an answer without the subscription is no sign of its life
        numbers = [one.subscription for one in wire.SUBSCRIPTIONS.decode(found.result)]
        if self._subscription in numbers:
            return (_ALIVE,)
        return (AccountEvent("expired", "the venue no longer has the subscription"),)

    def _subscribed(self, found: wire.Frame) -> AccountEvent:
        if found.status == _OK:
            self._subscription = wire.SUBSCRIPTION.decode(found.result).subscription
            return AccountEvent("opened")
        code, said = (found.error.code, quoted(found.error.msg)) if found.error else (0, quoted(""))
        if code == WRONG_TIME:
            self._requests.forget_time()
        refused = refusal(code, found.status, said)
        return AccountEvent("refused", str(refused)) if refused else AccountEvent("expired", f"not subscribed: {said}")

    def _event(self, subscription: int | None, event: Raw) -> AccountReport:
        kind = wire.KIND.decode(event).e
        if kind == "serverShutdown":
            return AccountEvent("expired", "the venue is about to close the connection")
        if subscription != self._subscription:
            return _ALIVE
        match kind:
            case "outboundAccountPosition":
                update = wire.SPOT_POSITION.decode(event)
                return AccountUpdate(update.u, tuple(BalanceReport(row.a, row.f, row.l) for row in update.B))
            case "balanceUpdate" | "externalLockUpdate":
                change = wire.SPOT_CHANGE.decode(event)
                return AccountUpdate(change.E, changes=(BalanceChange(change.a, change.d),))
            case "eventStreamTerminated":
                return AccountEvent("expired", "the venue has ended the subscription")
            case _:
                return _ALIVE
