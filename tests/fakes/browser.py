"""What the page needs to be looked at: a browser, and the chart library."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from playwright.async_api import Browser, async_playwright

from api.routes.static import DASHBOARD

LIBRARY: Final = DASHBOARD / "vendor" / "lightweight-charts.standalone.production.mjs"
FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-software-rasterizer")
"""Without a graphics card one would be emulated, for which the page, whose canvases are flat, has no use."""
NO_BROWSER: Final = "there is no chromium here: apt-get install chromium"
NO_LIBRARY: Final = "the chart library is not installed: make dashboard"


def chromium() -> str | None:
    """The machine's browser."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def headless_chromium() -> str | None:
    """The same without a window at all, where there is such a build: it starts with a third of the work."""
    return shutil.which("chromium-headless-shell") or chromium()


@asynccontextmanager
async def running_browser(executable: str) -> AsyncIterator[Browser]:
    """The browser without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()
