"""The page in a real browser: how soon the first chart is there, and what a busy market costs the page.

What a page costs is processor time of its renderer, as the browser counts it, so that other processes do not disturb
the figure; the time until the first chart is one of the clock.
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Browser, CDPSession, Page, expect

from flows.model import BookView, FeedStatus, Publishable, TradeBatch
from sinks.mongod.server import running_mongod
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row
from tests.fakes.browser import LIBRARY, NO_BROWSER, NO_LIBRARY, chromium, running_browser
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.deployment import running_interface
from tests.fakes.interface import Deployment, price, trade

SYMBOLS: Final = 50
CANDLES: Final = 500
PER_S: Final = 20
"""Updates a second: of each symbol's price, and for the chosen one of candle, book and trades as well."""
SECONDS: Final = 10.0
ROUNDS: Final = 5
WARM_ROUNDS: Final = 3
FRAMES: Final = {"1m": 1, "5m": 5, "15m": 15, "1h": 60}
"""Timeframes of the charts, with their minutes."""
LEVELS: Final = 20
MANY: Final = 2_000
"""Instruments of a long list."""
HEAP_S: Final = 30.0
HEAP_ROUNDS: Final = 3
PATIENCE_MS: Final = 60_000
SIZE: Final = {"width": 1440, "height": 900}
NOW: Final = BEGIN + CANDLES * 60_000 + 5_000
DRAWN: Final = """() => new Promise((tell) => {
    const look = () => globalThis.marketflow?.candles.length >= %d && document.querySelector("#canvas canvas")
        ? requestAnimationFrame(() => tell(performance.now())) : setTimeout(look, 2);
    look();
})"""
"""Milliseconds since the navigation began, in the frame after the one that draws the chart."""


class Market:
    """A hub that tells of all symbols as often as it is told to."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._symbols = list(symbols_of(SYMBOLS))
        self._number = 0

    @property
    def shown(self) -> list[str]:
        """The latest prices, as the page writes them."""
        return [f"{self._value + place:.2f}" for place in range(SYMBOLS)]

    @property
    def _value(self) -> float:
        return 100.0 + self._number % 13 / 4

    def begin(self) -> None:
        """Past candles of the first symbol, and a first word about each."""
        chosen = self._symbols[0]
        for timeframe, length in FRAMES.items():
            end = CANDLES // length * length
            minutes = range(end - CANDLES * length, end, length)
            past = [candle(minute, symbol=chosen, timeframe=timeframe, close=100.0 + minute % 7) for minute in minutes]
            self._deployment.store(past)
        self._deployment.list_instruments(*self._symbols)
        self._deployment.start_hub()
        self._deployment.tell(FeedStatus("binance", "market", "live", tuple(self._symbols)), *self._news())

    def fill(self) -> None:
        """A list of so many more instruments."""
        names = tuple(f"C{number:04d}USDT" for number in range(MANY))
        self._deployment.tell(FeedStatus("binance", "market", "live", (*self._symbols, *names)))
        self._deployment.tell(*(price(100.0 + place, symbol) for place, symbol in enumerate(names)))

    async def move(self, seconds: float) -> None:
        """Goes on for so long; what is late is not made up for."""
        loop = asyncio.get_running_loop()
        begin_s = loop.time()
        for number in range(int(seconds * PER_S)):
            await asyncio.sleep(begin_s + number / PER_S - loop.time())
            self._deployment.tell(*self._news())

    def _news(self) -> list[Publishable]:
        self._number += 1
        number, time = self._number, NOW + self._number * 1_000 // PER_S
        value = self._value
        chosen = self._symbols[0]
        bids = [(value - level / 10, 1.0 + (number + level) % 9) for level in range(1, LEVELS + 1)]
        asks = [(value + level / 10, 1.0 + (number - level) % 9) for level in range(1, LEVELS + 1)]
        return [
            *(price(value + place, symbol, time=time) for place, symbol in enumerate(self._symbols)),
            *(
                forming(
                    CANDLES // length * length,
                    symbol=chosen,
                    timeframe=timeframe,
                    last_id=number,
                    close=value,
                    high=102.0,
                    event_time=time,
                )
                for timeframe, length in FRAMES.items()
            ),
            BookView("binance", chosen, True, number, time, bids, asks),
            TradeBatch("binance", chosen, [trade(number, time)]),
        ]


async def slowest_s(page: Page) -> float:
    """Processor time of the longest task of the page's main thread while a list of so many is scrolled to its end."""
    session = await page.context.new_cdp_session(page)
    events: list[Any] = []
    ended = asyncio.Event()
    session.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    session.on("Tracing.tracingComplete", lambda _: ended.set())
    box = await page.locator("#list").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 50, box["y"] + 200)
    config = {"includedCategories": ["toplevel", "__metadata"]}
    await session.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": config})
    while not await page.locator("#list").evaluate(
        "(list) => list.scrollTop + list.clientHeight >= list.scrollHeight - 1"
    ):
        await page.mouse.wheel(0, 900)
        await asyncio.sleep(0.02)
    await session.send("Tracing.end")
    await ended.wait()
    mains = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    tasks = [one for one in events if "RunTask" in one["name"] and (one["pid"], one["tid"]) in mains]
    return float(max(one.get("tdur", 0) for one in tasks)) / 1_000_000


async def heap(page: Page, market: Market) -> tuple[float, float]:
    """Bytes that the page holds after a first while of the market, and after as long again for `HEAP_ROUNDS` times."""
    session = await page.context.new_cdp_session(page)
    await session.send("HeapProfiler.enable")

    async def held() -> float:
        await session.send("HeapProfiler.collectGarbage")
        found: Any = await session.send("Runtime.getHeapUsage")
        return float(found["usedSize"])

    await market.move(HEAP_S)
    first = await held()
    for _ in range(HEAP_ROUNDS):
        await market.move(HEAP_S)
    return first, await held()


@asynccontextmanager
async def opened(browser: Browser, url: str) -> AsyncIterator[tuple[Page, float]]:
    """The page in a window that has nothing in its cache, and the seconds until its chart was drawn."""
    context = await browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page, await drawn_s(page, url)
    await context.close()


async def drawn_s(page: Page, url: str) -> float:
    """Goes to the page; the seconds until its chart was drawn."""
    await page.goto(f"{url}/#{next(iter(symbols_of(SYMBOLS)))}/1m", wait_until="commit")
    found: float = await page.evaluate(DRAWN % CANDLES)
    return found / 1_000


async def show_four(page: Page) -> None:
    """Four charts, of four timeframes, each with candles."""
    await page.locator("#tools-open").click()
    await page.locator("#charts-4").click()
    await page.keyboard.press("Escape")
    await expect(page.locator(".stage [data-part=legend]:not([hidden])")).to_have_count(4)


async def spent_s(session: CDPSession) -> dict[str, float]:
    """Processor seconds of the page so far: `TaskDuration` of its main thread, `ProcessTime` of all its renderer's."""
    found: Any = await session.send("Performance.getMetrics")
    return {metric["name"]: metric["value"] for metric in found["metrics"]}


async def burden(page: Page, market: Market) -> dict[str, float]:
    """Cores that the page takes while the market moves."""
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable", {"timeDomain": "threadTicks"})
    await market.move(2.0)
    before = await spent_s(session)
    await market.move(SECONDS)
    after = await spent_s(session)
    lines = page.locator("#prices .price")
    await expect(lines).to_have_text(market.shown[: await lines.count()])  # those in view
    seconds = after["Timestamp"] - before["Timestamp"]
    return {name: (after[name] - before[name]) / seconds for name in ("TaskDuration", "ProcessTime")}


async def measured(uri: str, folder: Path, executable: str) -> list[Row]:
    """All figures."""
    deployment = Deployment(folder, uri)
    market = Market(deployment)
    market.begin()
    settings = {
        "mongo__uri": uri,
        "mongo__database": deployment.database,
        "trades__path": str(deployment.trades_path),
        "api__hub_urls": [f"ws://127.0.0.1:{deployment.broadcast.port if deployment.broadcast else 0}/ws"],
    }
    async with AsyncExitStack() as stack:
        stack.push_async_callback(deployment.stop_hub)
        interface = await stack.enter_async_context(running_interface(folder, **settings))
        browser = await stack.enter_async_context(running_browser(executable))
        first_s, warm_s = [], []
        for _ in range(ROUNDS):
            async with opened(browser, interface.url) as (page, seconds):
                first_s.append(seconds)
                again_s = []
                for _ in range(WARM_ROUNDS):
                    await page.goto("about:blank")
                    again_s.append(await drawn_s(page, interface.url))
                warm_s.append(again_s[-1])  # a browser keeps what it has compiled from the second visit on
        async with opened(browser, interface.url) as (page, _):
            cores = await burden(page, market)
            first, last = await heap(page, market)
        async with opened(browser, interface.url) as (page, _):
            await show_four(page)
            four = await burden(page, market)
        async with opened(browser, interface.url) as (page, _):
            market.fill()
            await expect(page.locator("#prices li").first).to_have_attribute("aria-setsize", str(SYMBOLS + MANY))
            longest_s = await slowest_s(page)
    busy = f"{PER_S} updates/s of each of {SYMBOLS} symbols; with all its threads {cores['ProcessTime']:.2f}"
    return [
        Row("page, first chart", "seconds", f"{CANDLES} candles, nothing cached", statistics.median(first_s), 0.5,
            at_most=True),
        Row("page, first chart", "seconds", "the same, visited before", statistics.median(warm_s), 0.25, at_most=True),
        Row("page, main thread", "cores", busy, cores["TaskDuration"], 0.15, at_most=True),
        Row("page, main thread", "cores", f"the same with four charts; with all threads {four['ProcessTime']:.2f}",
            four["TaskDuration"], 0.3, at_most=True),
        Row("page, heap", "times", f"after {HEAP_ROUNDS + 1} times {HEAP_S:.0f} s of that, to the first of them",
            last / first, 1.15, at_most=True),
        Row("page, long list", "seconds", f"longest task while {SYMBOLS + MANY} symbols are scrolled through",
            longest_s, 0.05, at_most=True),
    ]  # fmt: skip


def run() -> list[Row]:
    """On a hub, stores and a browser of its own; nothing where there is none to look with."""
    executable = chromium()
    if executable is None or not LIBRARY.is_file():
        print(NO_LIBRARY if executable else NO_BROWSER, file=sys.stderr)  # noqa: T201 - part of the command
        return []
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        return asyncio.run(measured(uri, Path(tempfile.mkdtemp(prefix="run", dir=parent)), executable))
