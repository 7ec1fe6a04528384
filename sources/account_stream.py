"""The private stream of an account: connected, subscribed, kept alive, connected anew. One for all venues.

Each connection begins with what the venue supplies for it (a listen key, a token, a signature of now). A stream that is
silent, answers to our own requests included, is closed and opened again. What the venue refuses is reported once, and
tried again only after minutes: hammering a refused key gets an address banned.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

import structlog

from flows.backoff import backoff_s
from flows.clock import monotonic_ms
from flows.foreign import visible
from flows.model.account import AccountEvent, AccountReport
from sources.account import AccountFeed, AccountRefusedError, Login, StreamExpiredError
from sources.connection.transport import Open, Socket, TransportError
from sources.rest.client import VenueError

REFUSED_RETRY_S: Final = 300.0
"""Time until a refused key is tried again."""
_LEAST_BEATS: Final = 3
"""So many requests of ours go unanswered before a stream is silent."""

_log = structlog.get_logger(__name__)


class StreamSettings(Protocol):
    """The settings of a connection; the section `feed` has and describes them."""

    @property
    def open_timeout_s(self) -> float:
        """Longest wait for a connection to open, and for the venue to confirm the subscription."""

    @property
    def backoff_min_s(self) -> float:
        """First delay before a reconnect."""

    @property
    def backoff_max_s(self) -> float:
        """Longest delay before a reconnect; a stream that was open for so long has not failed."""


class AccountRules(Protocol):
    """The settings of accounts; the section `accounts` has and describes them."""

    @property
    def stale_s(self) -> float:
        """How long a stream may be silent, answers to our own requests included."""

    @property
    def allow_powerful_keys(self) -> bool:
        """Whether a key may do more than read."""


class _EndedError(Exception):
    """The connection has ended, or is to end; the text is the reason."""


class AccountStream:
    """The private stream of one account. Its methods are of one event loop, that of the venue's REST client."""

    def __init__(
        self,
        feed: AccountFeed,
        label: str,
        *,
        settings: StreamSettings,
        rules: AccountRules,
        open_socket: Open,
        emit: Callable[[AccountReport], None],
    ) -> None:
        """`emit` takes the reports; `label` is that of the account."""
        self._feed = feed
        self._who = {"venue": feed.venue, "account": label}
        self._settings = settings
        self._rules = rules
        self._open_socket = open_socket
        self._emit = emit
        self._failures = 0
        self._spoke_ms = 0
        self._opened_ms: int | None = None
        """Since when the stream of the connection is open; None before the venue has confirmed it."""
        self._ended: asyncio.Future[str] | None = None
        self._is_checked = False
        self._is_refused = False
        self._refused_frames = 0

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            try:
                await self._check_powers()
                reason = await self._connected()
            except (AccountRefusedError, _PowerfulError) as error:
                self._refuse(str(error))
                await asyncio.sleep(REFUSED_RETRY_S)
                continue
            except (VenueError, StreamExpiredError, TransportError) as error:
                reason = str(error)
            self._emit(AccountEvent("closed", reason))
            self._failures += 1
            wait_s = backoff_s(self._failures, min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s)
            _log.info("account_stream_closed", **self._who, reason=reason, again_s=round(wait_s, 1))
            await asyncio.sleep(wait_s)

    def renew(self, reason: str) -> None:
        """Ends the connection, so that a new one is opened: changes were missed on it."""
        self._end(reason)

    def _refuse(self, reason: str) -> None:
        """Reports a refusal once, however often it is tried again."""
        if not self._is_refused:
            _log.error("account_refused", **self._who, reason=reason)
            self._emit(AccountEvent("refused", reason))
        self._is_refused = True

    async def _check_powers(self) -> None:
        if self._is_checked or self._rules.allow_powerful_keys:
            return
        powers = await self._feed.powers()
        if powers is None:
            _log.warning("account_key_powers_unknown", **self._who, advice="see to it that the key can only read")
        elif powers:
            can = ", ".join(sorted(powers))
            raise _PowerfulError(
                f"this key may {can}, and reading is enough: make a key that can only read, or set "
                "accounts.allow_powerful_keys"
            )
        self._is_checked = True

    # --- one connection ----------------------------------------------------------------------------------------------

    async def _connected(self) -> str:
        """Opens a connection and follows it to its end; the reason."""
        login = await self._feed.login()
        self._ended = asyncio.get_running_loop().create_future()
        self._spoke_ms, self._opened_ms = monotonic_ms(), None
        socket = await self._opened(login)
        own = (self._closed(socket), self._beats(socket), self._keeps(), self._send(socket, login))
        tasks = [asyncio.ensure_future(self._or_end(work)) for work in (*own, self._is_opened_in_time())]
        try:
            return await self._ended
        finally:
            if self._lived_s() >= self._settings.backoff_max_s:
                self._failures = 0
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await socket.close()

    async def _opened(self, login: Login) -> Socket:
        try:
            return await self._open_socket(
                login.url, self._receive, timeout_s=self._settings.open_timeout_s, headers=login.headers
            )
        except TransportError:
            raise TransportError("the private stream cannot be opened") from None  # its address may be a secret

    def _lived_s(self) -> float:
        """For how long the stream of the connection has been open."""
        return 0.0 if self._opened_ms is None else (monotonic_ms() - self._opened_ms) / 1_000

    async def _or_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Does a part of the connection's work; whatever it raises ends the connection, which would be deaf without."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - of any part, and of the receiver
            _log.error("account_stream_failed", **self._who, error=type(error).__name__)
            self._end(f"a message or request of the private stream failed here: {type(error).__name__}")

    async def _is_opened_in_time(self) -> None:
        await asyncio.sleep(self._settings.open_timeout_s)
        if self._opened_ms is None:
            self._end("the venue has not confirmed the subscription")

    async def _send(self, socket: Socket, login: Login) -> None:
        try:
            for request in login.requests:
                await socket.send(request)
        except TransportError as error:
            self._end(str(error))
            return
        if not login.requests:
            self._take(AccountEvent("opened"))

    async def _closed(self, socket: Socket) -> None:
        self._end(await socket.wait_ended())

    async def _keeps(self) -> None:
        """Keeps the stream alive. A failure that may pass is met by the next time, which comes sooner."""
        wait_s = self._feed.keep_s
        while wait_s:
            await asyncio.sleep(wait_s)
            try:
                await self._feed.keep()
                wait_s = self._feed.keep_s
            except VenueError as error:
                _log.warning("account_not_kept_alive", **self._who, reason=str(error))
                wait_s = min(self._feed.keep_s, 60.0)
            except (StreamExpiredError, AccountRefusedError) as error:
                self._end(str(error))
                return

    async def _beats(self, socket: Socket) -> None:
        """Asks for signs of life, and ends a connection that is silent."""
        every_s = min(self._feed.ping_s or self._rules.stale_s, self._rules.stale_s / _LEAST_BEATS)
        while True:
            await asyncio.sleep(every_s)
            if monotonic_ms() - self._spoke_ms > self._rules.stale_s * 1_000 and self._feed.ping_s:
                self._end("nothing came by the private stream, not even answers")
                return
            request = self._feed.ping() if self._feed.ping_s else None
            if request is not None:
                try:
                    await socket.send(request)
                except TransportError as error:
                    self._end(str(error))
                    return

    def _end(self, reason: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(reason)

    def _receive(self, frame: bytes) -> None:
        """Takes a frame. Of life it is a sign only if it means something: other answers come without a subscription."""
        parsed = self._feed.parse(frame)
        if parsed.reports:
            self._spoke_ms = monotonic_ms()
        if parsed.refused:
            self._refused_frames += 1
            _log.warning("account_frame_refused", **self._who, reason=parsed.refused, count=self._refused_frames)
        for report in parsed.reports:
            self._take(report)

    def _take(self, report: AccountReport) -> None:
        """Hands a report on; those of an end and of a refusal end the connection."""
        if not isinstance(report, AccountEvent):
            self._emit(report)
            return
        match report.kind:
            case "refused":
                self._end_refused(report.reason)
            case "closed" | "expired":
                self._end(visible(report.reason))
            case "opened":
                self._is_refused = False
                if self._opened_ms is None:
                    self._opened_ms = monotonic_ms()
                self._emit(report)
            case _:
                self._emit(report)

    def _end_refused(self, reason: str) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(AccountRefusedError(reason))


class _PowerfulError(Exception):
    """The key may do more than read; the text has the remedy."""
