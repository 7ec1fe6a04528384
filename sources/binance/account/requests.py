"""Requests about an account: with the key, signed, at the venue's time.

The local clock may be wrong, and a request must be no older than `recvWindow` and less than a second ahead. So the
difference is measured before the first request, and once again when the venue refuses a time (-1021).
"""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from flows.clock import monotonic_ms, wall_ms
from flows.model.secret import Secret
from flows.queries import Urgency
from sources.account import AccountRefusedError, AccountSettings
from sources.binance.account.signing import signed_parameters, signed_query, signer_of
from sources.feed import Headers
from sources.rest.client import RestClient, VenueError

KEY_HEADER: Final = "X-MBX-APIKEY"
WRONG_TIME: Final = -1021
_FAR_MS: Final = 1_000
"""A clock that is off by more is named in the log: everything else on the machine has the same wrong time."""
_FORBIDDEN: Final = (401, 403)
_ADVICE: Final = {
    -2014: "api_key is no key of this venue: copy it again",
    -2015: "the venue does not take this key: is it of this market and not deleted, may it read, and is this machine's "
    "address in its list?",
    -1022: "the signature is wrong: api_secret does not belong to api_key",
    -1002: "the key may not do this: give it the permission to read",
}
"""What to do, by the venue's code."""

_log = structlog.get_logger(__name__)


def refusal(code: int, status: int, said: str) -> AccountRefusedError | None:
    """The error for an answer that repeating the request does not change, `said` being the venue's own words, `quoted`;
    None for one that may pass.
    """
    if code not in _ADVICE and status not in _FORBIDDEN:
        return None
    advice = _ADVICE.get(code, "the venue forbids it: is the key allowed to read, from this address and country?")
    return AccountRefusedError(f"{advice} ({said})")


class AccountRequests:
    """The requests of one account on the venue's REST client, whose rate limit they share."""

    def __init__(self, client: RestClient, time: Callable[[], Awaitable[int]], settings: AccountSettings) -> None:
        """`time` queries the venue's time. `ValueError` for a secret that cannot be used."""
        if settings.api_key is None or settings.api_secret is None:
            raise ValueError("an account needs api_key and api_secret")
        self._client = client
        self._time = time
        self._venue = settings.venue
        self._key = settings.api_key
        self._window_ms = settings.recv_window_ms
        self._sign = signer_of(settings.api_secret)
        self._skew_ms: int | None = None
        self._is_far_off = False

    async def read(self, path: str, *, weight: int, **parameters: str | int) -> bytes:
        """The answer to a signed request. `AccountRefusedError` and `VenueError` as of `AccountFeed`."""
        await self.know_time()
        try:
            return await self._send("GET", path, weight, parameters)
        except VenueError as error:
            if error.code != WRONG_TIME:
                raise
        self.forget_time()
        await self.know_time()
        return await self._send("GET", path, weight, parameters)

    async def keyed(self, method: str, path: str, *, weight: int) -> bytes:
        """The answer to a request that has the key and no signature."""
        return await self._send(method, path, weight, None)

    async def _send(self, method: str, path: str, weight: int, parameters: dict[str, str | int] | None) -> bytes:
        query = None if parameters is None else self._query(parameters)
        headers = Headers({KEY_HEADER: self._key.reveal()})
        try:
            return await self._client.send(
                method, path, query=query, headers=headers, weight=weight, urgency=Urgency.BOOK
            )
        except VenueError as error:
            if (refused := refusal(error.code, error.status, str(error))) is not None:
                raise refused from None
            raise

    def _query(self, parameters: dict[str, str | int]) -> Secret:
        return signed_query({**parameters, "recvWindow": self._window_ms, "timestamp": self._now_ms()}, self._sign)

    def for_stream(self) -> dict[str, str | int]:
        """Signed parameters of a request on the WebSocket API; `know_time` first."""
        parameters: dict[str, str | int] = {"recvWindow": self._window_ms, "timestamp": self._now_ms()}
        return signed_parameters({"apiKey": self._key.reveal(), **parameters}, self._sign)

    def forget_time(self) -> None:
        """The venue has refused a time: it is measured anew before the next request."""
        self._skew_ms = None

    async def know_time(self) -> None:
        """Measures how far the local clock is off, unless that is known."""
        if self._skew_ms is not None:
            return
        begin = monotonic_ms()
        venue_ms = await self._time()
        self._skew_ms = venue_ms + (monotonic_ms() - begin) // 2 - wall_ms()
        is_far_off = abs(self._skew_ms) > _FAR_MS
        if is_far_off and not self._is_far_off:
            hint = "requests are sent with the venue's time; set the clock of this machine (NTP)"
            _log.warning("clock_is_off", venue=self._venue, behind_ms=self._skew_ms, hint=hint)
        self._is_far_off = is_far_off

    def _now_ms(self) -> int:
        return wall_ms() + (self._skew_ms or 0)
