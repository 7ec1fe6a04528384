"""Requests to a service of others that raises an alarm when none comes any more: a machine that is off says nothing."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import structlog

TIMEOUT_S: Final = 10.0
"""Longest time for one request."""

_log = structlog.get_logger(__name__)


async def beat(url: str, *, every_s: float, missing: Callable[[], Sequence[str]]) -> None:
    """Sends a GET to `url` every `every_s` while nothing is `missing`, until cancelled.

    A request that fails is not repeated before its time, and costs one warning until one succeeds again. The address
    may contain a secret: only its host is logged.
    """
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    host = urlsplit(url).hostname or ""
    has_failed = was_ready = False
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        due_s = loop.time()
        while True:
            found = missing()
            if found and was_ready:
                _log.warning("heartbeat_paused", host=host, missing=list(found))
            elif not found and not was_ready:
                _log.info("heartbeat_goes_out", host=host, every_s=every_s)
            was_ready = not found
            if was_ready:
                reason = await _failure_of(session, url)
                if reason and not has_failed:
                    _log.warning("heartbeat_failed", host=host, reason=reason)
                elif has_failed and not reason:
                    _log.info("heartbeat_delivered_again", host=host)
                has_failed = bool(reason)
            due_s = max(due_s + every_s, loop.time())
            await asyncio.sleep(due_s - loop.time())


async def _failure_of(session: aiohttp.ClientSession, url: str) -> str:
    """Sends one request; "" when it was taken, otherwise why not."""
    try:
        async with session.get(url, allow_redirects=False) as response:
            return "" if response.ok else f"it answered {response.status}"
    except TimeoutError:
        return "no answer in time"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return type(error).__name__
