"""The pages of operations and of the interface in a real browser."""

import asyncio
import json
import subprocess
import sys

import pytest
from playwright.async_api import Page, expect

from sinks.hub.messages import CHANNELS
from tests.fakes.interface import NOW, price, state, until
from tests.fakes.pages import AXE, DESKTOP, PHONE, SMALL, THEMES, Told, faults_of, go_to, keep, resize

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

SIZES = (DESKTOP, SMALL, PHONE)


async def test_operations_show_what_status_and_metrics_say(told: Told) -> None:
    page, deployment, running = told
    await resize(page, DESKTOP)
    async with deployment.beating():
        deployment.tell(state("live"), state("silent", symbol="ETHUSDT"))
        await go_to(page, f"{running.url}/operations")
        await expect(page.locator("#lines tr")).to_contain_text("market of binancelive2 symbols")
        await expect(page.locator("#parts")).to_contain_text("1 of 2 instruments current")
        await expect(page.locator("#all-well")).to_have_text("1 missing or not current")
        rates = page.locator("#rates tr", has_text="binance MarketData")
        counted = running.services.live.venue_states()
        sent = next(iter(counted)).counts["MarketData"]
        await expect(rates.locator("td").nth(1)).to_have_text(str(sent))
        deployment.tell(*(price(100.0 + number, time=NOW + number) for number in range(1, 8)))
        await expect(rates.locator("td").nth(1)).not_to_have_text(str(sent))
        await expect(rates.locator("td").first).not_to_have_text("0.0/s")
        await expect(page.locator("#no-flow")).to_contain_text("serves no metrics")
        await expect(page.locator("#incidents tr")).to_have_count(1)
        await page.locator("#kind").select_option("repair")
        await expect(page.locator("#incidents tr")).to_have_count(0)
        for size in SIZES:
            await resize(page, size)
            assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
            for theme in THEMES:
                await page.emulate_media(color_scheme=theme)
                await keep(page, f"operations-{size[0]}-{theme}")
                if AXE.is_file():
                    assert await faults_of(page, theme) == {}, (theme, size)


async def test_the_interface_is_tried_and_its_programs_work(told: Told) -> None:
    page, deployment, running = told
    await resize(page, DESKTOP)
    await go_to(page, f"{running.url}/docs#getPricesBySymbol")
    call = page.locator("#getPricesBySymbol")
    await expect(call.locator("form input[name=symbol]")).to_have_value("BTCUSDT")
    await call.locator("form input[name=symbol]").fill("ethusdt")
    await call.locator(".send").click()
    await expect(call.locator(".said")).to_contain_text("200 OK")
    shown = json.loads(await call.locator(".code code").nth(1).inner_text())
    assert (shown["success"], shown["data"]["symbol"], shown["data"]["price"]) == (True, "ETHUSDT", 50.0)
    await expect(call.locator(".fields")).to_contain_text("price_change_percent_24hnumber or null")
    for language, run in (("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])):
        await call.locator(".group button", has_text=language).click()
        program = await call.locator(".code code").first.inner_text()
        assert f"{running.url}/api/prices/ethusdt" in program
        told_by = await asyncio.to_thread(subprocess.run, [*run, program], capture_output=True, text=True, check=True)
        assert "ETHUSDT" in told_by.stdout
    await call.locator(".group button", has_text="JavaScript").click()
    assert await evaluated(page, await call.locator(".code code").first.inner_text()) == "ETHUSDT"
    await page.locator("#search").fill("get /api/alerts/history")
    await expect(page.locator("details.call[id]:visible:not([id^=channel])")).to_have_count(1)
    await page.locator("#search").fill("")
    added = page.locator("#postSymbols")
    await added.locator("summary").click()
    await added.locator("textarea").fill('{"symbol": "NOSUCHUSDT", "venue": "binance"}')
    await added.locator(".send").click()
    await expect(added.locator(".said")).to_contain_text("404")
    names = await page.locator("#channels summary").all_inner_texts()
    assert names == list(CHANNELS)
    await page.locator("#live-symbols").fill("BTCUSDT")
    await page.locator("#live-open").click()
    await expect(page.locator("#live-messages")).to_contain_text("Subscribed")

    async def is_there() -> bool:
        deployment.tell(price(123.25))
        return "123.25" in await page.locator("#live-messages").inner_text()

    await until(is_there)
    await page.locator("#live-open").click()
    await expect(page.locator("#live-open")).to_have_text("Connect")
    for size in SIZES:
        await resize(page, size)
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await keep(page, f"docs-{size[0]}-{theme}")
            if AXE.is_file():
                assert await faults_of(page, theme) == {}, (theme, size)


async def evaluated(page: Page, program: str) -> str:
    """The symbol of what a program prints in the page."""
    begin = "let said; const console = { log: (one) => (said = one) };"
    return str(await page.evaluate(f"(async () => {{ {begin} {program}; return said.symbol; }})()"))
