"""Ways to raise an alarm: a command, and a request. What fails is logged, and the next repetition tries again."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import aiohttp
import structlog
from msgspec import Struct

from api.deadman.state import Change

LONGEST_S: Final = 30.0
"""Longest time for the command, and for the request."""

_log = structlog.get_logger(__name__)


class News(Struct, frozen=True):
    """What is to be said: the change, and for how long nothing came, s."""

    change: Change
    silent_s: float

    @property
    def text(self) -> str:
        """A sentence for people."""
        if self.change == "clear":
            return "the watchdog of the alerts came again"
        return f"no watchdog came for {self.silent_s:.0f} s: Prometheus or Alertmanager is down"


Alarm: TypeAlias = Callable[[News], Awaitable[None]]


def by_command(command: str) -> Alarm:
    """An alarm that runs a command line with `DEADMAN_CHANGE`, `DEADMAN_SILENT_S` and `DEADMAN_TEXT` in its
    environment; it is killed after `LONGEST_S`.
    """

    async def run(news: News) -> None:
        process = await asyncio.create_subprocess_shell(
            command,
            stdin=asyncio.subprocess.DEVNULL,
            env={
                **os.environ,
                "DEADMAN_CHANGE": news.change,
                "DEADMAN_SILENT_S": f"{news.silent_s:.0f}",
                "DEADMAN_TEXT": news.text,
            },
        )
        try:
            async with asyncio.timeout(LONGEST_S):
                code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
        if code:
            _log.error("alarm_failed", way="command", code=code)

    return run


def by_request(url: str) -> Alarm:
    """An alarm that is a POST of `{"change":…,"silent_s":…,"text":…}`."""

    async def post(news: News) -> None:
        body = {"change": news.change, "silent_s": round(news.silent_s), "text": news.text}
        timeout = aiohttp.ClientTimeout(total=LONGEST_S)
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(url, json=body, allow_redirects=False) as response,
        ):
            if not response.ok:
                _log.error("alarm_failed", way="request", status=response.status)

    return post


async def raise_all(alarms: list[Alarm], news: News) -> None:
    """Raises every alarm at the same time; one that fails does not affect the others."""
    for failed in await asyncio.gather(*(alarm(news) for alarm in alarms), return_exceptions=True):
        if isinstance(failed, Exception):
            _log.error("alarm_failed", reason=type(failed).__name__)
