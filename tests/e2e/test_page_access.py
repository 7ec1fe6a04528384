"""The dashboard by axe-core, in a real browser: no fault in either theme and in windows of all sizes."""

import pytest
from playwright.async_api import expect

from flows.model import MarketData
from tests.e2e.test_dashboard import FUNDING_NOW, MARK
from tests.fakes.interface import NOW, price, state
from tests.fakes.pages import AXE, DESKTOP, LANDSCAPE, NO_AXE, PHONE, SMALL, THEMES, Theme, Told, faults_of, resize

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),  # the browser is of one loop
    pytest.mark.skipif(not AXE.is_file(), reason=NO_AXE),
]


@pytest.mark.parametrize("theme", THEMES)
async def test_axe_finds_no_fault(told: Told, theme: Theme) -> None:
    page, deployment, _ = told
    await page.emulate_media(color_scheme=theme)
    await expect(page.locator("#legend")).to_be_visible()
    await page.locator("#extras button", has_text="RSI").click()
    async with deployment.beating():
        deployment.tell(state("live"), state("live", symbol="ETHUSDT"), price(101.0), MARK, FUNDING_NOW)
        deployment.tell(MarketData("binance-usdm", "ETHUSDT", 50.125, NOW, -1.5, -3.5, 1_000.0))
        await expect(page.locator("#contract")).to_be_visible()
        await expect(page.locator("#readings tr")).not_to_have_count(0)
        for size in (DESKTOP, SMALL, PHONE, LANDSCAPE):
            await resize(page, size)
            assert await faults_of(page, theme) == {}, size
        deployment.tell(state("silent"))
        await expect(page.locator("#head")).to_have_class("live old")
        assert await faults_of(page, theme) == {}, "what is not of now is still read"
        await resize(page, DESKTOP)
        await page.locator("#proven").click()
        assert await faults_of(page, theme) == {}, "what is proven"
        await page.keyboard.press("Escape")
        await page.locator("#prices [aria-current]").focus()
        await page.keyboard.press("Delete")
        await expect(page.locator("#question")).to_be_visible()
        assert await faults_of(page, theme) == {}, "a question"
        await page.keyboard.press("Escape")
        await page.evaluate("() => { location.hash = '#binance/NOSUCH/1m'; }")
        await expect(page.locator(".note.bad")).to_be_visible()
        assert await faults_of(page, theme) == {}, "a note"
    await page.evaluate("localStorage.clear()")
