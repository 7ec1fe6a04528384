"""A browser for a module's tests of the dashboard, and the page on a hub of the test's own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.fakes.browser import headless_chromium
from tests.fakes.interface import Deployment, fill, interface
from tests.fakes.pages import USUAL, Told, go_to, patient_browser, resize


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests: each has windows of its own, which share nothing."""
    async with patient_browser(headless_chromium()) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def window(browser: Browser) -> AsyncIterator[Page]:
    """One for all tests with a hub of their own: a new one costs a second, and what a page keeps is of its address."""
    page = await browser.new_page()
    yield page
    await page.close()


@pytest.fixture
def alerts() -> dict[str, Any]:
    """The section of alerts of the page's deployment; tests have another one as a parameter."""
    return {}


@pytest_asyncio.fixture(loop_scope="module")
async def told(tmp_path: Path, mongod_uri: str, window: Page, alerts: dict[str, Any]) -> AsyncIterator[Told]:
    """The page on a hub that says what the test tells it to, with ten stored candles. Its scripts must not fail."""
    deployment = Deployment(tmp_path, mongod_uri)
    deployment.alerts = alerts
    fill(deployment)
    deployment.list_instruments("BTCEUR", "BTCUSDT", "ETHUSDT", "SOLUSDT")
    failures: list[str] = []

    def on_failure(error: object) -> None:
        failures.append(str(error))

    window.on("pageerror", on_failure)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(deployment.stop_hub)
        running = await stack.enter_async_context(interface(deployment))
        await resize(window, USUAL)
        await window.mouse.move(0, 0)
        stack.push_async_callback(window.goto, "about:blank")
        await go_to(window, f"{running.url}/#BTCUSDT/1m")
        await expect(window.locator("#legend-status")).to_contain_text("forming")
        await expect(window.locator("#light")).to_have_attribute("data-state", "live")
        yield window, deployment, running
    window.remove_listener("pageerror", on_failure)
    assert failures == []
