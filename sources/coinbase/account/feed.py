"""The account of Coinbase: its private stream says that orders changed, REST what the account has
(https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis). No message has a balance.
"""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog

from flows.clock import monotonic_ms, wall_ms
from flows.model.account import AccountEvent, AccountSnapshot
from flows.model.secret import Secret
from flows.queries import Urgency
from sources.account import AccountRefusedError, AccountSettings, Login, ParsedAccount, Right
from sources.coinbase.account.parse import USER, AccountParser, balances_of, powers_of
from sources.coinbase.account.signing import signer_of, token
from sources.coinbase.account.wire import AccountRow, AccountsPage, KeyPermissions
from sources.coinbase.names import SUBSCRIBE_HEARTBEATS
from sources.coinbase.rest import CoinbaseRest
from sources.feed import Headers
from sources.rest.answers import ANSWERED, decoded
from sources.rest.client import VenueError

_WS_URL: Final = "wss://advanced-trade-ws-user.coinbase.com"
_REST_URL: Final = "https://api.coinbase.com"
_REPLAYED: Final = "/user"
"""Where a replay has the private streams."""
_ACCOUNTS: Final = "/api/v3/brokerage/accounts"
_PERMISSIONS: Final = "/api/v3/brokerage/key_permissions"
_PING_S: Final = 10.0
_SETTLE_S: Final = 0.5
_PAGE: Final = 250
_MOST_PAGES: Final = 40
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_FAR_MS: Final = 2_000
"""How far the clock may be off before it is said, and before a refusal is met by the venue's time."""
_PAGES = msgspec.json.Decoder(AccountsPage)
_KEY = msgspec.json.Decoder(KeyPermissions)

_log = structlog.get_logger(__name__)


class CoinbaseAccount:
    """The account of one key, over the client of the venue's queries."""

    keep_s = 0.0
    ping_s = _PING_S
    settle_s = _SETTLE_S
    """How long after an order's message the balances are read: it comes before them."""

    def __init__(self, settings: AccountSettings, rest: CoinbaseRest, *, now_ms: Callable[[], int] = wall_ms) -> None:
        """`ValueError` without a key or a secret that can be one, or without the addresses of accounts."""
        if settings.api_key is None or settings.api_secret is None:
            raise ValueError("an account needs api_key and api_secret")
        self.venue: str = settings.venue
        self._name: Secret = settings.api_key
        self._signer = signer_of(settings.api_secret)
        self._ws_url, self._rest_url = _addresses(settings)
        self._rest = rest
        self._clock_ms = now_ms
        self._parser = AccountParser()
        self._announced_at: int | None = None
        """When a change of orders was announced last, local."""
        self._ahead_ms: int | None = None
        """How much the venue's clock is ahead of this one; None while it is not known."""

    async def powers(self) -> frozenset[Right]:
        """By the permissions of the key."""
        permissions = decoded(_KEY, await self._get(_PERMISSIONS), _PERMISSIONS)
        if not permissions.can_view:
            raise AccountRefusedError("the key lacks the right to view: make one with View, and with nothing else")
        return powers_of(permissions)

    async def login(self) -> Login:
        """With a new token for each connection, by the venue's time as it is now: the local clock may have been set
        since. Heartbeats come first, so that the stream is open with the second.
        """
        self._ahead_ms = None
        await self._know_time()
        self._parser.begin()
        user = {"type": "subscribe", "channel": USER, "jwt": token(self._signer, self._name, self._now_ms() // 1_000)}
        requests = (msgspec.json.encode(one).decode() for one in (SUBSCRIBE_HEARTBEATS, user))
        return Login(self._ws_url, tuple(requests))

    async def keep(self) -> None:
        """Nothing: a subscription lives with its connection."""

    def ping(self) -> None:
        """None: heartbeats come by themselves."""

    def parse(self, frame: bytes) -> ParsedAccount:
        """What a frame means."""
        parsed = self._parser.parse(frame)
        if any(report.kind == "trigger" for report in parsed.reports if isinstance(report, AccountEvent)):
            self._announced_at = monotonic_ms()
        return parsed

    async def snapshot(self) -> AccountSnapshot:
        """All balances. Its time is that before the first page: what changes later is in a later message."""
        if self._announced_at is not None:
            await asyncio.sleep(max(0.0, self.settle_s - (monotonic_ms() - self._announced_at) / 1_000))
        await self._know_time()
        time, rows = self._now_ms(), list[AccountRow]()
        cursor = ""
        for _ in range(_MOST_PAGES):
            query = urlencode({"limit": _PAGE} | ({"cursor": cursor} if cursor else {}))
            page = decoded(_PAGES, await self._get(_ACCOUNTS, query), _ACCOUNTS)
            rows += page.accounts
            cursor = page.cursor
            if not page.has_next or not cursor:
                break
        else:
            raise VenueError(f"{_ACCOUNTS}: more than {_MOST_PAGES} pages of accounts", status=ANSWERED)
        try:
            return AccountSnapshot(time, balances_of(rows))
        except (ArithmeticError, ValueError):
            raise VenueError("the balances of the account cannot be true", status=ANSWERED) from None

    async def _get(self, path: str, query: str = "") -> bytes:
        """The answer to a signed request. A refusal that the clock may explain is met once, by the venue's time."""
        await self._know_time()
        try:
            return await self._send(path, query)
        except VenueError as error:
            if error.status not in (_UNAUTHORIZED, _FORBIDDEN):
                raise
            before, self._ahead_ms = self._ahead_ms or 0, None
            await self._know_time()
            if abs((self._ahead_ms or 0) - before) < _FAR_MS:
                raise _meaning_of(error) from None
        try:
            return await self._send(path, query)
        except VenueError as error:
            raise _meaning_of(error) from None

    async def _send(self, path: str, query: str) -> bytes:
        uri = f"GET {urlsplit(self._rest_url).netloc}{urlsplit(self._rest_url).path}{path}"
        bearer = token(self._signer, self._name, self._now_ms() // 1_000, uri)
        return await self._rest.client.send(
            "GET",
            path,
            query=Secret(query) if query else None,
            headers=Headers({"Authorization": f"Bearer {bearer}"}),
            base_url=self._rest_url,
            urgency=Urgency.BOOK,
        )

    async def _know_time(self) -> None:
        """Measures how far the clock is off, unless that is known."""
        if self._ahead_ms is not None:
            return
        self._ahead_ms = await self._rest.time() - self._clock_ms()
        if abs(self._ahead_ms) > _FAR_MS:
            hint = "tokens are made with the venue's time; set the clock of this machine (NTP)"
            _log.warning("clock_is_off", venue=self.venue, behind_ms=self._ahead_ms, hint=hint)

    def _now_ms(self) -> int:
        return self._clock_ms() + (self._ahead_ms or 0)


def _meaning_of(error: VenueError) -> Exception:
    """The error as it is shown: one that does not pass by itself says what to do."""
    if error.status == _UNAUTHORIZED:
        advice = (
            "the venue does not accept the key: check that api_key is its whole name (organizations/…/apiKeys/…), that "
            "api_secret is its private key, and that it was not deleted"
        )
        return AccountRefusedError(f"{advice} ({error})")
    if error.status == _FORBIDDEN:
        return AccountRefusedError(f"the key lacks the right View, or this machine's address is not allowed ({error})")
    return error


def _addresses(settings: AccountSettings) -> tuple[str, str]:
    """Of the private streams, and of REST."""
    if settings.origin == "live":
        return settings.accounts_ws_url or _WS_URL, _REST_URL
    ws_url = settings.accounts_ws_url or (settings.ws_url and settings.ws_url.rstrip("/") + _REPLAYED)
    if not ws_url or not settings.rest_url:
        raise ValueError(f"feed.origin is {settings.origin}: set rest_url and accounts_ws_url to what serves them")
    return ws_url, settings.rest_url.rstrip("/")
