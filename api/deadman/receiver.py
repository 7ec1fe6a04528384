"""The receiver on its event loop: takes Alertmanager's requests, watches the time, raises alarms."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import msgspec
import structlog
from aiohttp import web

from api.deadman.alarm import Alarm, News, raise_all
from api.deadman.state import Change, DeadMan

WATCHDOG: Final = "Watchdog"
"""Name of the alert that always fires."""
BODY_BYTES: Final = 1_000_000
"""Longest request."""

_log = structlog.get_logger(__name__)


class Receiver:
    """`POST /watchdog` takes a webhook of Alertmanager; `GET /health` is 503 while an alarm stands."""

    def __init__(self, *, after_s: float, repeat_s: float, alarms: list[Alarm]) -> None:
        """To be made on the loop that it runs on: the time of the first alarm counts from here."""
        self._loop = asyncio.get_running_loop()
        self._state = DeadMan(after_s=after_s, repeat_s=repeat_s, now_s=self._loop.time())
        self._alarms = alarms
        self._signed = asyncio.Event()

    def build_app(self) -> web.Application:
        """The application with both routes."""
        app = web.Application(client_max_size=BODY_BYTES)
        app.router.add_post("/watchdog", self._on_webhook)
        app.router.add_get("/health", self._on_health)
        return app

    async def watch(self) -> None:
        """Raises alarms until cancelled."""
        while True:
            self._signed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._state.due_s()):
                    await self._signed.wait()
            await self._say(self._state.on_time(self._loop.time()))

    async def _on_webhook(self, request: web.Request) -> web.Response:
        if not is_watchdog(await request.read()):
            return web.json_response({"error": f"no firing {WATCHDOG} in it"}, status=HTTPStatus.BAD_REQUEST)
        now_s = self._loop.time()
        silent_s = self._state.silent_s(now_s)
        change = self._state.on_sign(now_s)
        self._signed.set()
        if change:
            _log.info("watchdog_came_again", silent_s=round(silent_s))
            await raise_all(self._alarms, News(change, silent_s))
        return web.json_response({"taken": True})

    async def _on_health(self, _: web.Request) -> web.Response:
        is_alarmed = self._state.is_alarmed
        body = {"alarmed": is_alarmed, "silent_s": round(self._state.silent_s(self._loop.time()), 1)}
        return web.json_response(body, status=HTTPStatus.SERVICE_UNAVAILABLE if is_alarmed else HTTPStatus.OK)

    async def _say(self, change: Change | None) -> None:
        if change:
            news = News(change, self._state.silent_s(self._loop.time()))
            _log.error("watchdog_missing", silent_s=round(news.silent_s))
            await raise_all(self._alarms, news)


def is_watchdog(body: bytes) -> bool:
    """Whether a webhook of Alertmanager says that the watchdog fires."""
    try:
        webhook: Any = msgspec.json.decode(body)
        alerts = [(alert["status"], alert["labels"]["alertname"]) for alert in webhook["alerts"]]
    except (msgspec.MsgspecError, UnicodeError, RecursionError, KeyError, TypeError):
        return False
    return ("firing", WATCHDOG) in alerts
