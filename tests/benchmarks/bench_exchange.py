"""The replay exchange with two hundred symbols: what it takes to begin, and its memory once clients have wanted the
history and the book of each of them.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
from msgspec import Struct

from tests.benchmarks.around import cpu_s, running_exchange_process
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row
from tests.fakes.deployment import START_S

SYMBOLS = 200
LATER_S = 60.0
INTERVALS = {"1m": 1_000, "1h": 500, "1d": 100}
"""Klines of each symbol that are wanted."""
BOOK_LEVELS = 100
MEGABYTE = 1e6


class Found(Struct, frozen=True):
    """What was measured."""

    up_s: float
    """CPU seconds until it answers."""
    up_mb: float
    wanted_mb: float
    """Its memory after every history, ticker and book."""
    later_mb: float
    """The same a while later."""


async def measured() -> Found:
    """Runs it."""
    symbols = list(symbols_of(SYMBOLS))
    # with the times of now it would play besides what its start took, which is another figure on a busy machine
    begin = ("--synthetic", "--seed", "7", "--times", "original", "--start-now")
    async with running_exchange_process(*begin, "--symbols", *symbols) as address:
        [process] = [child for child in psutil.Process().children() if "sources.replay" in child.cmdline()]
        up_s, up_mb = cpu_s(process.pid), _megabytes(process)
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=START_S) as client:
            for path, parameters in _wishes(symbols):
                while (reply := await client.get(path, params=parameters)).status_code == httpx.codes.TOO_MANY_REQUESTS:
                    await asyncio.sleep(float(reply.headers["retry-after"]))
                reply.raise_for_status()
        wanted_mb = _megabytes(process)
        await asyncio.sleep(LATER_S)
        return Found(up_s, up_mb, wanted_mb, _megabytes(process))


def _wishes(symbols: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for symbol in symbols:
        for interval, count in INTERVALS.items():
            yield "/api/v3/klines", {"symbol": symbol, "interval": interval, "limit": count}
    yield "/api/v3/ticker/24hr", {}
    for symbol in symbols:
        yield "/api/v3/depth", {"symbol": symbol, "limit": BOOK_LEVELS}


def _megabytes(process: psutil.Process) -> float:
    resident: float = process.memory_info().rss / MEGABYTE
    return resident


def run() -> list[Row]:
    """A begin, and a bound of the memory."""
    found = asyncio.run(measured())
    name = f"replay exchange of {SYMBOLS} symbols, 20 trades/s of each"
    wanted = f"every history and book wanted, {found.wanted_mb:.0f} MB; when it began {found.up_mb:.0f} MB"
    return [
        Row(name, "CPU seconds until it answers", "its first segments are made", found.up_s, 20, at_most=True),
        Row("the same", "MB resident a minute later", wanted, max(found.wanted_mb, found.later_mb), 400, at_most=True),
    ]
