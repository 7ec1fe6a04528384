"""How soon a fill is a changed position on the page: replay exchange ▶ flow ▶ hub ▶ a real browser, all on loopback.

Counted by the clock of the machine from the moment at which the operator's order is sent until the browser draws the
frame after the one in which the position has its new quantity.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.async_api import Page, expect

from sinks.mongod.server import running_mongod
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.benchmarks.rows import Row, percentile
from tests.fakes.browser import NO_BROWSER, chromium, running_browser
from tests.fakes.candles import BEGIN
from tests.fakes.deployment import flow_settings, free_port, running_flow, running_interface
from tests.fakes.operated_account import DEMO_KEYS, OperatedAccount

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
TRADES_PER_S: Final = 20.0
FILLS: Final = 60
WARM: Final = 5
"""Fills before those that count."""
PAUSE_S: Final = (0.4, 0.9)
"""Time between a fill that was shown and the next one: at any moment between two valuations by prices."""
STEP: Final = Decimal("0.001")
PATIENCE_MS: Final = 120_000
WATCH: Final = """() => {
  globalThis.shown = {};
  const rows = document.getElementById("position-rows");
  const look = () => {
    const texts = [...rows.querySelectorAll("td")].map((cell) => cell.textContent);
    requestAnimationFrame(() => requestAnimationFrame((time) => {
      for (const text of texts) shown[text] ??= performance.timeOrigin + time;
    }));
  };
  new MutationObserver(look).observe(rows, { childList: true, subtree: true, characterData: true });
}"""
"""Keeps when each text of a cell was drawn first, in ms since the epoch."""


@asynccontextmanager
async def page_of(uri: str, folder: Path, executable: str) -> AsyncIterator[tuple[Page, OperatedAccount]]:
    """The page of a deployment that follows an account of USD-M, and the account."""
    async with AsyncExitStack() as stack:
        market = SyntheticMarket("usdm", SYMBOLS, seed=3, start_ms=BEGIN, trades_per_s=TRADES_PER_S)
        exchange = stack.enter_context(exchange_in_thread(market, speed=1.0, start_now=True))
        key = DEMO_KEYS["binance-usdm"]
        settings: Mapping[str, Any] = flow_settings(
            folder, exchange.rest_url, uri, feed__venue="binance-usdm", feed__symbols=",".join(SYMBOLS),
            feed__api_key=key.name, feed__api_secret=key.secret, hub__port=free_port(),
        )  # fmt: skip
        await stack.enter_async_context(running_flow(folder, **settings))
        interface = await stack.enter_async_context(running_interface(folder, **settings))
        browser = await stack.enter_async_context(running_browser(executable))
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=exchange.rest_url, timeout=60))
        account = OperatedAccount("binance-usdm", http)
        await account.order("fill", side="BUY", quantity="1", price="50000")
        page = await browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(interface.url)
        await expect(page.locator("#position-rows tr")).to_have_count(1, timeout=PATIENCE_MS)
        await expect(page.locator("#account-rows .state")).to_contain_text("live", timeout=PATIENCE_MS)
        yield page, account


async def delays_ms(page: Page, account: OperatedAccount) -> list[float]:
    """Of each fill, the time until it was drawn."""
    await page.evaluate(WATCH)
    moment = random.Random(1)
    quantity, found = Decimal(1), []
    for _ in range(WARM + FILLS):
        await asyncio.sleep(moment.uniform(*PAUSE_S))
        quantity += STEP
        text = str(quantity.normalize())
        sent_ms = time.time() * 1_000
        await account.order("fill", side="BUY", quantity=str(STEP), price="50000")
        await page.wait_for_function("(text) => text in shown", arg=text)
        found.append(await page.evaluate("(text) => shown[text]", text) - sent_ms)
    return found[WARM:]


async def measured(uri: str, folder: Path, executable: str) -> list[Row]:
    """The figure."""
    async with page_of(uri, folder, executable) as (page, account):
        found = await delays_ms(page, account)
    beside = f"{FILLS} fills; p95 {percentile(found, 95):.0f}, the longest {max(found):.0f}"
    return [Row("fill ▶ position on the page", "ms, the median", beside, statistics.median(found), 300, at_most=True)]


def run() -> list[Row]:
    """On an exchange, stores, a flow, an interface and a browser of its own; nothing where there is no browser."""
    executable = chromium()
    if executable is None:
        print(NO_BROWSER, file=sys.stderr)  # noqa: T201 - part of the command
        return []
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        return asyncio.run(measured(uri, Path(tempfile.mkdtemp(prefix="run", dir=parent)), executable))
