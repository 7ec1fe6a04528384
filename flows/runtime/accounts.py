"""The account of one venue in a flow: its private stream, and the queries of its machine."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from flows.loop_thread import EventLoopThread
from flows.model.account import AccountReport, AccountSnapshot, account_key
from flows.model.account_bounds import fault_of_report
from flows.queries import AccountQuery, AccountRenewQuery, Query, QueryError
from flows.runtime.venue import VenueRuntime
from flows.settings import Settings, SettingsError
from flows.settings.account import FollowedAccount
from flows.steps.accounts import AccountParts
from sources.account import AccountFeed, AccountRefusedError
from sources.account_bridge import AccountSource
from sources.account_stream import AccountStream
from sources.connection.pool import report_bug
from sources.connection.transport import transport_of
from sources.rest.query_runner import Handler
from sources.waiting import SourceWorkers


class AccountRuntime:
    """The stream of one account, which runs on the loop of the venue's REST client."""

    def __init__(self, feed: AccountFeed, venue: VenueRuntime, network: EventLoopThread) -> None:
        self._feed = feed
        self._venue = venue
        self._network = network
        self._stream: AccountStream | None = None
        self._running: Future[None] | None = None
        self.handlers: dict[type[Query], Handler] = {AccountQuery: self._snapshot, AccountRenewQuery: self._renew}
        """Of the queries of its machine."""
        self.parts: AccountParts
        """What the flow needs."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        venue: VenueRuntime,
        network: EventLoopThread,
        stop: threading.Event,
        workers: SourceWorkers,
    ) -> "AccountRuntime":
        """The account of a venue whose settings have one; nothing runs yet. `SettingsError` for a venue whose accounts
        are not supported, and a secret that cannot be used.
        """
        feed, build = venue.feed, venue.venue.account
        if build is None:
            raise SettingsError(f"{feed.venue}: its accounts are not supported here: leave out api_secret")
        try:
            runtime = cls(build(FollowedAccount.of(feed, settings.accounts), venue.rest), venue, network)
        except ValueError as error:
            raise SettingsError(f"the account of {feed.venue} cannot be followed: {error}") from None
        source = AccountSource(
            account_key(feed.venue, feed.account),
            start=lambda emit: runtime.start(settings, emit),
            end=runtime.end,
            stop=stop,
            workers=workers,
        )
        runtime.parts = AccountParts(source, feed.account, settings.accounts)
        return runtime

    def start(self, settings: Settings, emit: Callable[[AccountReport], None]) -> None:
        """Opens the private stream; `emit` takes its reports, on another thread."""
        feed = self._venue.feed
        self._stream = AccountStream(
            self._feed,
            feed.account,
            settings=feed,
            rules=settings.accounts,
            open_socket=transport_of(feed.transport),
            emit=emit,
        )
        self._running = self._network.start(self._stream.run())
        self._running.add_done_callback(partial(report_bug, venue=feed.venue, line="account"))

    def end(self) -> None:
        """Closes the private stream; a second call does nothing."""
        if self._running is not None:
            self._running.cancel()

    async def _snapshot(self, _: AccountQuery) -> AccountSnapshot:
        """All that the account has; `QueryError` also when it cannot be true, or cannot be computed with."""
        try:
            snapshot = await self._feed.snapshot()
        except AccountRefusedError as error:
            raise QueryError(str(error), lasting=True) from None
        except (ArithmeticError, ValueError):  # their texts may have amounts
            raise QueryError("what the account has cannot be true: it cannot be computed with") from None
        if fault := fault_of_report(snapshot):
            raise QueryError(f"what the account has cannot be true: {fault}")
        return snapshot

    async def _renew(self, query: Any) -> None:
        if self._stream is not None:
            self._stream.renew(query.reason)
