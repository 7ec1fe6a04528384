"""Whether the page stays as it is: a whole deployment and a viewer for an hour, looked at once a minute.

    python -m tests.benchmarks page-hour [--minutes 60] [--symbols 50]

The replay exchange plays a synthetic market with all streams. In Chromium a viewer looks at one chart, goes to another
instrument and another timeframe between two looks, and comes back. Each look is a line: the heap after a full garbage
collection, elements and listeners of the page, and what its console and its requests said so far.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from msgspec import Struct
from playwright.async_api import CDPSession, ConsoleMessage, Page, expect

from sinks.mongod.server import running_mongod
from tests.benchmarks.around import running_exchange_process
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row
from tests.benchmarks.trend import last_third_to_first, slope
from tests.fakes.browser import LIBRARY, NO_BROWSER, NO_LIBRARY, chromium, running_browser
from tests.fakes.deployment import flow_settings, free_port, running_flow, running_interface

WARM_UP_SHARE: Final = 0.25
"""Of the time; until then what has a bound fills, and nothing is judged."""
AWAY_S: Final = 10.0
"""How long the viewer stays at another chart."""
OTHERS: Final = 4
"""Instruments that the viewer goes to in turn."""
TIMEFRAMES: Final = ("5m", "15m", "1h")
HOME: Final = "1m"
PATIENCE_MS: Final = 240_000
SIZE: Final = {"width": 1440, "height": 900}
FLAT: Final = 1.05
_LEAST_LOOKS: Final = 9
_MB: Final = 1e6


class Look(Struct, frozen=True):
    """The page at one moment."""

    minutes: float
    """Since the begin."""
    heap_mb: float
    """Objects of its scripts."""
    buffers_mb: float
    """What typed arrays of theirs hold besides."""
    nodes: int
    listeners: int
    faults: int
    """Errors and warnings of the console, exceptions, and requests that failed, so far."""

    def line(self) -> str:
        """For people."""
        return (
            f"{self.minutes:5.1f} min  heap {self.heap_mb:.2f} MB  buffers {self.buffers_mb:.2f} MB  "
            f"{self.nodes} nodes  {self.listeners} listeners  {self.faults} faults"
        )


class Viewer:
    """The page, and what went wrong on it."""

    def __init__(self, page: Page, session: CDPSession, symbols: Sequence[str]) -> None:
        self._page = page
        self._session = session
        self._symbols = symbols
        self._visits = 0
        self._begin_s = time.monotonic()
        self.faults: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._fault(f"exception: {error}"))
        page.on("requestfailed", lambda request: self._fault(f"{request.url}: {request.failure}"))

    def _on_console(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self._fault(f"{said.type}: {said.text} {said.location.get('url', '')}")

    def _fault(self, text: str) -> None:
        self.faults.append(f"{(time.monotonic() - self._begin_s) / 60:.1f} min, {text}")
        print(self.faults[-1], flush=True)  # noqa: T201 - what the row counts

    async def goes_away_and_back(self) -> None:
        """To the next of the other instruments, in another timeframe, and home."""
        self._visits += 1
        symbol = self._symbols[1 + self._visits % OTHERS]
        for chart in (f"{symbol}/{TIMEFRAMES[self._visits % len(TIMEFRAMES)]}", f"{self._symbols[0]}/{HOME}"):
            await self._page.evaluate("(hash) => { location.hash = hash; }", f"binance/{chart}")
            await expect(self._page.locator("#symbol")).to_have_text(chart.partition("/")[0])
            await asyncio.sleep(AWAY_S)

    async def look(self) -> Look:
        """Its counts, after what nothing refers to is gone."""
        send = self._session.send
        await send("HeapProfiler.collectGarbage")
        heap: Any = await send("Runtime.getHeapUsage")
        counts: Any = await send("Memory.getDOMCounters")
        return Look(
            minutes=(time.monotonic() - self._begin_s) / 60,
            heap_mb=heap["usedSize"] / _MB,
            buffers_mb=heap.get("backingStorageSize", 0) / _MB,
            nodes=counts["nodes"],
            listeners=counts["jsEventListeners"],
            faults=len(self.faults),
        )


@asynccontextmanager
async def _viewing(executable: str, arguments: argparse.Namespace) -> AsyncIterator[Viewer]:
    """A viewer of a new deployment."""
    symbols = symbols_of(arguments.symbols)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="page-hour")))
        uri = stack.enter_context(running_mongod(folder / "mongod"))
        address = await stack.enter_async_context(
            running_exchange_process(
                "--synthetic", "--trades-per-s", str(arguments.trades_per_s), "--symbols", *symbols
            )
        )
        ports = {"hub__port": free_port(), "api__port": free_port()}
        settings = flow_settings(folder, f"http://{address}", uri, feed__symbols=list(symbols), **ports)
        flow = await stack.enter_async_context(running_flow(folder, **settings))
        interface = await stack.enter_async_context(running_interface(folder, **settings))
        await _until_known(f"{interface.url}/api/chart/{symbols[0]}/{HOME}?venue=binance")
        browser = await stack.enter_async_context(running_browser(executable))
        page = await browser.new_page(viewport=SIZE)  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_MS)
        session = await page.context.new_cdp_session(page)
        await session.send("HeapProfiler.enable")
        viewer = Viewer(page, session, symbols)
        await page.goto(f"{interface.url}/#binance/{symbols[0]}/{HOME}")
        await expect(page.locator("#light")).to_have_attribute("data-state", "live", timeout=PATIENCE_MS)
        first = page.locator("#prices li").first
        await expect(first).to_have_attribute("aria-setsize", str(len(symbols)), timeout=PATIENCE_MS)
        for name in arguments.shown:
            await page.locator(f"#{name}").click()
        yield viewer
        await page.close()
        await flow.stop()


async def _until_known(url: str) -> None:
    """Waits until a chart has candles: the hour is that of a deployment which is up."""
    async with httpx.AsyncClient(timeout=PATIENCE_MS / 1_000) as client, asyncio.timeout(PATIENCE_MS / 1_000):
        while (await client.get(url)).status_code != httpx.codes.OK:
            await asyncio.sleep(0.2)


async def _hour(executable: str, arguments: argparse.Namespace) -> list[Row]:
    looks: list[Look] = []
    async with _viewing(executable, arguments) as viewer:
        begin_s = time.monotonic()
        while (elapsed_s := time.monotonic() - begin_s) < arguments.minutes * 60:
            due_s = elapsed_s + arguments.every
            await viewer.goes_away_and_back()
            await asyncio.sleep(max(0.0, begin_s + due_s - time.monotonic()))
            looks.append(await viewer.look())
            print(looks[-1].line(), flush=True)  # noqa: T201 - progress of an hour
    return judged(looks)


def judged(looks: Sequence[Look]) -> list[Row]:
    """Faults of the whole time; heap, elements and listeners after the warm-up, the last third against the first.

    `ValueError` when there are too few looks.
    """
    calm = looks[int(len(looks) * WARM_UP_SHARE) :]
    if len(calm) < _LEAST_LOOKS:
        raise ValueError(f"{len(calm)} looks after the warm-up are too few: run it longer, or look more often")
    span = f"{calm[-1].minutes - calm[0].minutes:.0f} min after a warm-up"
    held = [look.heap_mb + look.buffers_mb for look in calm]
    rise = slope([look.minutes / 60 for look in calm], held)
    words = f"{rise.each:+.2f} ± {2 * rise.error:.2f} MB an hour; {held[0]:.1f} MB ▶ {held[-1]:.1f} MB"
    rows = [
        Row(f"page for {looks[-1].minutes:.0f} min", "faults", "errors, warnings, failed requests", looks[-1].faults, 0,
            at_most=True),
        Row(f"page, {span}: heap", "last third", f"first third; {words}", last_third_to_first(held), FLAT,
            at_most=True),
    ]  # fmt: skip
    for name in ("nodes", "listeners"):
        counts = [float(getattr(look, name)) for look in calm]
        rows.append(Row(f"page, {span}: {name}", "last third", f"first third; {counts[0]:.0f} ▶ {counts[-1]:.0f}",
            last_third_to_first(counts), FLAT, at_most=True))  # fmt: skip
    return rows


def run(argv: Sequence[str]) -> list[Row]:
    """The command; nothing where there is no browser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks page-hour", description=(__doc__ or "").split(":")[0]
    )
    add = parser.add_argument
    add("--minutes", type=float, default=60.0, help="of wall time (default: %(default)s)")
    add("--every", type=float, default=60.0, metavar="S", help="seconds between two looks (default: %(default)s)")
    add("--symbols", type=int, default=50, metavar="N", help="of the market (default: %(default)s)")
    add("--trades-per-s", type=float, default=1.0, metavar="N", help="of each symbol (default: %(default)s)")
    add(
        "--shown",
        nargs="*",
        default=("heat-on", "depth-on"),
        metavar="ID",
        help="buttons of the page that are pressed at first (default: heat map and depth)",
    )
    arguments = parser.parse_args(argv)
    executable = chromium()
    if executable is None or not LIBRARY.is_file():
        print(NO_LIBRARY if executable else NO_BROWSER, file=sys.stderr)  # noqa: T201 - part of the command
        return []
    return asyncio.run(_hour(executable, arguments))
