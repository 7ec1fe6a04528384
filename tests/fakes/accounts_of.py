"""The settings of an account as a venue reads them, and a client of its private stream."""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from flows.model.account import AccountReport
from flows.model.secret import Secret
from sources.account import AccountFeed

LONG_S = 300.0
"""Far above what anything takes on a busy machine."""


class Keyed(NamedTuple):
    """What `AccountSettings` describes."""

    venue: str
    api_key: Secret | None
    api_secret: Secret | None
    rest_url: str | None = None
    ws_url: str | None = None
    accounts_ws_url: str | None = None
    origin: str = "replay"
    account: str = "default"
    recv_window_ms: int = 5_000


class PrivateClient:
    """A private stream that is opened as the feed says, and read by hand."""

    def __init__(self, feed: AccountFeed, http: ClientSession) -> None:
        self._feed = feed
        self._http = http
        self.ws: ClientWebSocketResponse | None = None
        self.reports: list[AccountReport] = []

    async def open(self) -> None:
        """Connects and sends what opens the stream."""
        login = await self._feed.login()
        self.ws = await self._http.ws_connect(login.url, headers=login.headers)
        for request in login.requests:
            await self.ws.send_str(request)

    async def until(self, is_there: Callable[[AccountReport], bool]) -> list[AccountReport]:
        """The reports up to the first one that is looked for; what the parser refuses fails the test."""
        found: list[AccountReport] = []
        assert self.ws is not None
        async with asyncio.timeout(LONG_S):
            while True:
                message = await self.ws.receive()
                assert message.type is WSMsgType.TEXT, message
                parsed = self._feed.parse(message.data.encode())
                assert not parsed.refused, parsed.refused
                found += parsed.reports
                if any(map(is_there, parsed.reports)):
                    self.reports += found
                    return found


def kind_is(kind: str) -> Callable[[AccountReport], bool]:
    """Whether a report is an event of a kind."""
    return lambda report: getattr(report, "kind", "") == kind


async def order(http: ClientSession, rest_url: str, **fields: Any) -> None:
    """Moves an account of the replay exchange."""
    async with http.post(f"{rest_url}/control/accounts", json=fields) as reply:
        assert reply.status == 200, await reply.text()
