"""The address of the dashboard in a real browser: links, Back, pasted addresses, the visit before."""

import re

import pytest
from msgspec import structs
from playwright.async_api import Page, expect

from tests.fakes.interface import price
from tests.fakes.pages import Told, no_notes

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop


async def shows(page: Page, symbol: str, timeframe: str, venue: str = "binance") -> None:
    """All of the page is of this chart, and so is its address."""
    await expect(page.locator("#symbol")).to_have_text(symbol)
    await expect(page.locator("#venue")).to_have_text(venue)
    await expect(page.locator("#timeframes button[aria-pressed=true]")).to_have_text(timeframe)
    await expect(page.locator("#prices [aria-current]")).to_have_attribute("href", f"./#{venue}/{symbol}/{timeframe}")
    await expect(page).to_have_url(re.compile(f"#{venue}/{symbol}/{timeframe}$"))


async def test_the_address_names_venue_symbol_and_timeframe_and_back_returns(told: Told) -> None:
    page, _, _ = told
    await shows(page, "BTCUSDT", "1m")
    await page.locator("#prices li[data-symbol=ETHUSDT] a").click()
    await shows(page, "ETHUSDT", "1m")
    await page.keyboard.press("2")
    await shows(page, "ETHUSDT", "5m")
    await page.keyboard.press("ArrowDown")
    await shows(page, "BTCUSDT", "5m")
    for symbol, timeframe in (("ETHUSDT", "5m"), ("ETHUSDT", "1m"), ("BTCUSDT", "1m")):
        await page.go_back()
        await shows(page, symbol, timeframe)
    await page.go_forward()
    await shows(page, "ETHUSDT", "1m")


async def test_an_address_that_is_pasted_is_followed(told: Told) -> None:
    page, _, _ = told
    for address in ("#ETHUSDT/4h", "#binance/ETHUSDT/4h", "#BINANCE/ethusdt/4h"):
        await page.evaluate("location.hash = '#binance/BTCUSDT/1m'")
        await shows(page, "BTCUSDT", "1m")
        await page.evaluate("(address) => { location.hash = address; }", address)
        await shows(page, "ETHUSDT", "4h")
    await page.reload()
    await shows(page, "ETHUSDT", "4h")


async def test_the_same_name_of_another_venue_has_another_address(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(structs.replace(price(101.5), venue="binance-usdm"))
    await page.locator("#prices li[data-venue=binance-usdm] a").click()
    await shows(page, "BTCUSDT", "1m", "binance-usdm")
    await expect(page.locator("#price")).to_have_text("101.50")
    await page.go_back()
    await shows(page, "BTCUSDT", "1m")
    await expect(page.locator("#price")).to_have_text("100.00")


async def test_what_is_not_recorded_is_said_and_the_chart_stays(told: Told) -> None:
    page, _, _ = told
    await page.keyboard.press("3")
    await shows(page, "BTCUSDT", "15m")
    for address in ("#binance/NOSUCH/1m", "#kraken/BTCUSDT/1m", "#NOSUCH", "#a/b/c/d", "#%E0%A4%A/x/1m"):
        await page.evaluate("(address) => { location.hash = address; }", address)
        await expect(page.locator(".note.bad").last).to_contain_text("is not recorded here")
        await shows(page, "BTCUSDT", "15m")
        await no_notes(page)


async def test_the_last_chart_is_the_first_of_the_next_visit(told: Told) -> None:
    page, _, running = told
    await page.locator("#prices li[data-symbol=ETHUSDT] a").click()
    await page.keyboard.press("3")
    await shows(page, "ETHUSDT", "15m")
    await page.goto("about:blank")
    await page.goto(f"{running.url}/?utm_source=a-letter")
    await shows(page, "ETHUSDT", "15m")
    assert "?utm_source=a-letter#" in page.url
    await page.evaluate("localStorage.clear()")
