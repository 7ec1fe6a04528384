"""The private stream of an account: what ends it, and what does not count as its life."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from msgspec import Struct
from structlog.testing import capture_logs

from flows.model.account import AccountEvent, AccountReport
from sources.account import Login, ParsedAccount
from sources.account_stream import AccountStream

OPENED, ALIVE = AccountEvent("opened"), AccountEvent("alive")
MEANINGS = {b"opened": ParsedAccount((OPENED,)), b"alive": ParsedAccount((ALIVE,))}
WAIT_S = 30.0
"""Far above what anything takes on a busy machine."""


class _Settings(Struct):
    open_timeout_s: float = 30.0
    backoff_min_s: float = 0.001
    backoff_max_s: float = 1_000.0
    stale_s: float = 1_000.0
    allow_powerful_keys: bool = True


class _Feed:
    venue, keep_s = "somewhere", 0.0

    def __init__(self, ping_s: float) -> None:
        self.ping_s = ping_s

    async def powers(self) -> None:
        return None

    async def login(self) -> Login:
        return Login("ws://somewhere", ("subscribe",))

    def ping(self) -> str:
        return "ping"

    def parse(self, frame: bytes) -> ParsedAccount:
        if frame == b"bug":
            raise ArithmeticError("of 12345")
        return MEANINGS.get(frame, ParsedAccount())


class _Socket:
    """It answers each request by `replies`; what its receiver raises ends it, as of every transport."""

    def __init__(self, receive: Callable[[bytes], None], replies: dict[str, bytes]) -> None:
        self._receive = receive
        self._replies = replies
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def send(self, text: str) -> None:
        if text in self._replies:
            self.take(self._replies[text])

    def take(self, frame: bytes) -> None:
        try:
            self._receive(frame)
        except ArithmeticError as error:
            self._ended.set_exception(error)

    def cut(self) -> None:
        self._ended.set_result("cut")

    async def wait_ended(self) -> str:
        return await asyncio.shield(self._ended)

    async def close(self) -> None:
        if not self._ended.done():
            self._ended.set_result("closed")


class _Line:
    """A stream and its connections."""

    def __init__(self, settings: _Settings, replies: dict[str, bytes], ping_s: float) -> None:
        self.replies = replies
        self.sockets: list[_Socket] = []
        self.reports: list[AccountReport] = []
        self._changed = asyncio.Event()
        feed: Any = _Feed(ping_s)
        self.stream = AccountStream(
            feed, "mine", settings=settings, rules=settings, open_socket=self._open, emit=self._take
        )

    async def _open(self, url: str, receive: Callable[[bytes], None], **_: Any) -> Any:
        assert url == "ws://somewhere"
        self.sockets.append(_Socket(receive, self.replies))
        return self.sockets[-1]

    def _take(self, report: AccountReport) -> None:
        self.reports.append(report)
        self._changed.set()

    def reasons(self) -> list[str]:
        return [one.reason for one in self.reports if isinstance(one, AccountEvent) and one.kind == "closed"]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def line(replies: dict[str, bytes], ping_s: float = 1_000.0, **settings: Any) -> AsyncIterator[_Line]:
    one = _Line(_Settings(**settings), replies, ping_s)
    running = asyncio.ensure_future(one.stream.run())
    try:
        yield one
        assert not running.done()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_an_error_of_the_receiver_ends_the_connection_and_a_new_one_is_opened() -> None:
    with capture_logs() as logs:
        async with line({"subscribe": b"opened"}) as one:
            await one.until(lambda: OPENED in one.reports)
            one.sockets[0].take(b"bug")
            await one.until(lambda: one.reports.count(OPENED) == 2)
            assert one.reasons() == ["a message or request of the private stream failed here: ArithmeticError"]
    assert "account_stream_failed" in [entry["event"] for entry in logs]
    assert "12345" not in str(logs)


async def test_a_venue_that_does_not_say_what_a_key_may_do_is_named_once() -> None:
    with capture_logs() as logs:
        async with line({"subscribe": b"opened"}, allow_powerful_keys=False) as one:
            await one.until(lambda: OPENED in one.reports)
            one.sockets[-1].cut()
            await one.until(lambda: one.reports.count(OPENED) == 2)
    assert [entry["venue"] for entry in logs if entry["log_level"] == "warning"] == ["somewhere"]


async def test_a_subscription_that_is_not_confirmed_ends_the_connection() -> None:
    async with line({}, open_timeout_s=0.01) as one:
        await one.until(lambda: bool(one.reasons()))
        assert one.reasons()[0] == "the venue has not confirmed the subscription"
        one.replies["subscribe"] = b"opened"
        await one.until(lambda: OPENED in one.reports)


async def test_answers_that_mean_nothing_are_no_life() -> None:
    async with line({"subscribe": b"opened", "ping": b"pong"}, ping_s=0.01, stale_s=0.1) as one:
        await one.until(lambda: bool(one.reasons()))
        assert one.reasons()[0] == "nothing came by the private stream, not even answers"


@pytest.mark.parametrize(("backoff_max_s", "failures"), [(1_000.0, 3), (0.0, 1)])
async def test_only_a_stream_that_was_open_for_long_forgets_failures(backoff_max_s: float, failures: int) -> None:
    async with line({"subscribe": b"opened"}, backoff_max_s=backoff_max_s) as one:
        for number in range(1, 4):
            await one.until(lambda number=number: one.reports.count(OPENED) == number)  # type: ignore[misc]
            one.sockets[-1].cut()
        await one.until(lambda: one.reports.count(OPENED) == 4)
        assert one.stream._failures == failures
