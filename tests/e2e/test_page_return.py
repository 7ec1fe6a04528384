"""The dashboard in a real browser while hub and interface end and come back."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.fakes.candles import candle, forming
from tests.fakes.deployment import free_port
from tests.fakes.interface import LIVE, NOW, Deployment, fill, interface, price, until
from tests.fakes.pages import go_to

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop


async def test_the_page_says_that_all_is_gone_and_goes_on_by_itself(
    tmp_path: Path, mongod_uri: str, window: Page
) -> None:
    failures: list[str] = []
    window.on("pageerror", lambda error: failures.append(str(error)))
    deployment, port = Deployment(tmp_path, mongod_uri), free_port()
    fill(deployment)
    assert deployment.broadcast is not None
    hub_port = deployment.broadcast.port
    async with interface(deployment, port=port) as running:
        await go_to(window, f"{running.url}/#binance/BTCUSDT/1m")
        await expect(window.locator("#light")).to_have_attribute("data-state", "live")
        await expect(window.locator("#legend-status")).to_contain_text("forming")
        await deployment.stop_hub()
    await expect(window.locator("#missing")).to_contain_text("marketflow does not answer")
    await expect(window.locator("#light")).to_have_attribute("data-state", "waiting")
    await expect(window.locator("body")).to_have_class("cut")
    deployment.store([candle(10, close=110.0)])
    deployment.start_hub(hub_port)
    deployment.tell(LIVE, price(104.0, time=NOW + 60_000), forming(11, close=104.0))
    try:
        async with interface(deployment, port=port):
            await expect(window.locator("#light")).to_have_attribute("data-state", "live")
            await expect(window.locator("#price")).to_have_text("104.00")
            await expect(window.locator("#missing")).to_be_hidden()
            await until(lambda: window.evaluate("marketflow.candles.length === 12"))
            assert await window.evaluate("marketflow.candles[10].close") == 110.0
            await window.goto("about:blank")
    finally:
        await deployment.stop_hub()
    assert failures == []
