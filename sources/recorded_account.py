"""An account on a tape: what its private stream brings, and all that it has at the begin of each connection.

A line is `{"account": kind, "report": …}`, with a report of `flows.model.account` and not what the venue sent: reports
have amounts, assets, positions and times, and no keys, tokens, names, ids of accounts or orders. Texts of the venue are
left out too. A replay passes over these lines.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import msgspec
from msgspec import structs

from flows.model.account import AccountEvent, AccountReport
from sources.account import AccountFeed, AccountRefusedError
from sources.account_stream import AccountRules, AccountStream, StreamSettings
from sources.connection.pool import report_bug
from sources.connection.transport import Open
from sources.rest.client import VenueError

_QUERIED = ("opened", "trigger")
"""Events after which all that the account has is queried."""


def line_of(report: AccountReport) -> bytes:
    """The line of a report."""
    shown = structs.replace(report, reason="") if isinstance(report, AccountEvent) else report
    return msgspec.json.encode({"account": type(shown).__name__, "report": shown})


class RecordedAccount:
    """Follows an account on the loop of the venue's REST client, and gives each line to `write`."""

    def __init__(
        self,
        feed: AccountFeed,
        label: str,
        *,
        settings: StreamSettings,
        rules: AccountRules,
        open_socket: Open,
        write: Callable[[bytes], None],
    ) -> None:
        self._feed = feed
        self._write = write
        self._wanted = asyncio.Event()
        self._stream = AccountStream(
            feed, label, settings=settings, rules=rules, open_socket=open_socket, emit=self._take
        )

    async def run(self) -> None:
        """Runs until it is cancelled."""
        querying = asyncio.create_task(self._query())
        querying.add_done_callback(partial(report_bug, venue=self._feed.venue, line="account"))
        try:
            await self._stream.run()
        finally:
            querying.cancel()

    def _take(self, report: AccountReport) -> None:
        self._write(line_of(report))
        if isinstance(report, AccountEvent) and report.kind in _QUERIED:
            self._wanted.set()

    async def _query(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            with suppress(VenueError, AccountRefusedError):  # the tape has what the stream brings
                self._write(line_of(await self._feed.snapshot()))
