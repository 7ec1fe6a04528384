"""The account of Kraken: what opens its private stream, and what it has (https://docs.kraken.com/api/docs/websocket-v2/
balances). The stream says that something changed; what orders hold is known to REST alone, so that is the truth.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from flows.clock import monotonic_ms, wall_ms
from flows.foreign import quoted
from flows.model.account import AccountSnapshot
from flows.model.secret import Secret
from flows.queries import Urgency
from sources.account import AccountRefusedError, AccountSettings, Login, ParsedAccount, Right
from sources.kraken.account import wire
from sources.kraken.account.parse import AccountParser, balances_of, positions_of, powers_of
from sources.kraken.account.signing import Nonces, decoded_secret, signed
from sources.kraken.names import symbol_of_venue
from sources.kraken.rest import KrakenRefusalError, KrakenRest
from sources.rest.answers import ANSWERED, decoded
from sources.rest.client import VenueError

_WS_URL: Final = "wss://ws-auth.kraken.com/v2"
_REPLAYED: Final = "/auth/v2"
"""Where a replay has the private streams."""
_PING_S: Final = 10.0
_BETWEEN_S: Final = 2.0
_PING: Final = '{"method":"ping"}'
_NAMES: Final = "assetVersion=1"
"""Wants the usual names of assets."""
_NONCE: Final = "EAPI:Invalid nonce"
_MOST_NAMES: Final = 10_000
_WHAT_TO_DO: Final = {
    "EAPI:Invalid key": "kraken does not know the key: check api_key, and whether the key was deleted or has expired",
    "EAPI:Invalid signature": "the signature is wrong: check that api_secret is the private key of api_key",
    _NONCE: "another program uses the key with higher nonces: make a key for this program alone, or give it a window",
    "EGeneral:Permission denied": "the key lacks a right: it needs Query funds, Query open orders & trades, "
    "and WebSocket interface",
    "EAPI:Feature disabled": "the venue has switched that off for the key",
    "EGeneral:Temporary lockout": "the venue has locked the key out for a while, after wrong requests",
}
_TOKEN = msgspec.json.Decoder(wire.TokenAnswer)
_KEY = msgspec.json.Decoder(wire.KeyInfoAnswer)
_BALANCES = msgspec.json.Decoder(wire.BalancesAnswer)
_POSITIONS = msgspec.json.Decoder(wire.PositionsAnswer)

T = TypeVar("T")


class KrakenAccount:
    """The account of one key, over the client of the venue's queries."""

    keep_s = 0.0
    ping_s = _PING_S
    least_between_s = _BETWEEN_S
    """Least time between the begins of two snapshots: the venue counts requests of a key, and forgets one in 3 s."""

    def __init__(self, settings: AccountSettings, rest: KrakenRest, *, now_ms: Callable[[], int] = wall_ms) -> None:
        """`ValueError` without a key or a secret that can be one, or without an address of the private streams."""
        if settings.api_key is None or settings.api_secret is None:
            raise ValueError("an account needs api_key and api_secret")
        decoded_secret(settings.api_secret)
        self.venue: str = settings.venue
        self._url = _address(settings)
        self._key: Secret = settings.api_key
        self._secret: Secret = settings.api_secret
        self._rest = rest
        self._now_ms = now_ms
        self._ahead_ms = 0
        """How much the venue's clock is ahead of this one."""
        self._nonces = Nonces(now_ms)
        self._one_by_one = asyncio.Lock()
        self._parser = AccountParser()
        self._snapshot_at: int | None = None
        self._symbols: dict[str, str] = {}
        """By REST's name of a pair its symbol."""

    async def powers(self) -> frozenset[Right]:
        """By the permissions of the key."""
        info = await self._query("GetApiKeyInfo", _KEY)
        return powers_of(info.result.permissions)

    async def login(self) -> Login:
        """With a new token for each connection."""
        self._ahead_ms = await self._rest.time() - self._now_ms()
        self._parser.begin()
        token = (await self._query("GetWebSocketsToken", _TOKEN)).result.token
        params = {"channel": "balances", "snapshot": True, "token": token}
        request = msgspec.json.encode({"method": "subscribe", "params": params, "req_id": 1}).decode()
        return Login(self._url, (request,))

    async def keep(self) -> None:
        """Nothing: the token lives with the subscription."""

    def ping(self) -> str:
        """Provokes a sign of life of the connection; that of the subscription are the heartbeats."""
        return _PING

    def parse(self, frame: bytes) -> ParsedAccount:
        """What a frame means."""
        return self._parser.parse(frame)

    async def snapshot(self) -> AccountSnapshot:
        """All balances and all positions on margin."""
        await self._wait()
        balances = await self._query("BalanceEx", _BALANCES, query=_NAMES)
        rows = (await self._query("OpenPositions", _POSITIONS, {"docalcs": "true"})).result.values()
        time = self._now_ms() + self._ahead_ms
        if any(row.pair not in self._symbols for row in rows):
            await self._read_names()
        try:
            return AccountSnapshot(time, balances_of(balances.result), positions_of(rows, self._symbol_of))
        except (ArithmeticError, ValueError):
            raise VenueError("the balances of the account cannot be true", status=ANSWERED) from None

    async def _wait(self) -> None:
        if self._snapshot_at is not None:
            since_s = (monotonic_ms() - self._snapshot_at) / 1_000
            await asyncio.sleep(max(0.0, self.least_between_s - since_s))
        self._snapshot_at = monotonic_ms()

    def _symbol_of(self, pair: str) -> str:
        """Our symbol of a pair; one that the venue's list does not have keeps its name."""
        return self._symbols.get(pair, symbol_of_venue(pair))

    async def _read_names(self) -> None:
        names = await self._rest.pair_names()
        self._symbols = dict(list(names.items())[:_MOST_NAMES])

    async def _query(
        self,
        name: str,
        decoder: msgspec.json.Decoder[T],
        params: Mapping[str, str] | None = None,
        *,
        query: str = "",
    ) -> T:
        """The answer to a signed request; the next one begins when it is there, so that nonces arrive in order."""
        path = f"/0/private/{name}"
        async with self._one_by_one:
            for is_last in (False, True):
                try:
                    return decoded(decoder, await self._send(path, params or {}, query), path)
                except KrakenRefusalError as error:
                    if error.error.startswith(_NONCE) and not is_last:
                        continue  # one correction: a request of before may have overtaken
                    raise _meaning_of(error) from None
        raise AssertionError("a query ends with an answer or an error")

    async def _send(self, path: str, params: Mapping[str, str], query: str) -> bytes:
        body, headers = signed(path, params, self._nonces.take(), self._key, self._secret)
        return await self._rest.client.send(
            "POST",
            path,
            query=Secret(query) if query else None,
            headers=headers,
            body=body,
            urgency=Urgency.BOOK,
        )


def _meaning_of(error: KrakenRefusalError) -> Exception:
    """The error as it is shown: one that does not pass by itself says what to do."""
    advice = next((text for begin, text in _WHAT_TO_DO.items() if error.error.startswith(begin)), "")
    return AccountRefusedError(f"{advice} ({quoted(error.error)})") if advice else error


def _address(settings: AccountSettings) -> str:
    """Where the private streams are."""
    if settings.accounts_ws_url:
        return settings.accounts_ws_url
    if settings.origin == "live":
        return _WS_URL
    if not settings.ws_url:
        raise ValueError(f"feed.origin is {settings.origin}: set accounts_ws_url to the address that serves it")
    return settings.ws_url.removesuffix("/v2").rstrip("/") + _REPLAYED
