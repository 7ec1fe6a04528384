"""The page of quality in a real browser: days, incidents with filters and links, proofs, capabilities."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.fakes.candles import BEGIN, candle, gap
from tests.fakes.pages import AXE, DESKTOP, LANDSCAPE, PHONE, THEMES, Told, faults_of, keep, resize

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@pytest_asyncio.fixture(loop_scope="module")
async def report(told: Told) -> AsyncIterator[Told]:
    """The page of quality, with three days of hours and some incidents."""
    page, deployment, running = told
    hours = [
        candle(-60 * hour, timeframe="1h", status="repaired" if hour == 30 else "partial" if hour == 55 else "final")
        for hour in range(72)
        if hour != 40
    ]
    incidents = [
        gap(100 + number, kind=kind, begin=BEGIN - number * HOUR_MS, end=BEGIN - number * HOUR_MS + 65_000)
        for number, kind in enumerate(("silent", "repair", "mismatch"), 1)
    ]
    deployment.store([*hours, *incidents, gap(200, kind="disconnect", symbol="", begin=BEGIN - 5 * HOUR_MS)])
    await page.goto(f"{running.url}/quality")
    await expect(page.locator("#days tbody tr")).to_have_count(2)
    yield page, deployment, running


async def test_each_day_has_the_quality_of_its_hours(report: Told) -> None:
    page, _, _ = report
    cells = page.locator("#days tr", has_text="BTCUSDT").locator("button")
    await expect(cells).to_have_count(30)
    shown = await cells.evaluate_all("(all) => all.slice(-5).map((cell) => cell.dataset.quality)")
    assert shown == ["none", "unproven", "missing", "complete", "complete"]
    await expect(cells.nth(27)).to_have_attribute(
        "title", re.compile("2025-12-30: hours 22 complete, 1 repaired, 1 mis")
    )


async def test_incidents_are_filtered_and_lead_to_the_chart(report: Told) -> None:
    page, _, _ = report
    rows = page.locator("#incidents tr")
    kinds = "(all) => all.map((row) => row.dataset.kind)"
    await expect(rows).to_have_count(5)
    assert await rows.evaluate_all(kinds) == ["gap", "silent", "repair", "mismatch", "disconnect"]
    await expect(rows.nth(1)).to_contain_text("1 min")
    await page.locator("#kind").select_option("repair")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("trades refilled")
    await page.locator("#clear").click()
    await expect(rows).to_have_count(5)
    await page.locator("#of-symbol").select_option("BTCUSDT")
    await expect(rows).to_have_count(4)
    await expect(page.locator("#days tbody tr")).to_have_count(1)
    await page.locator("#days button").nth(29).click()
    await expect(rows).to_have_count(1)
    await page.locator("#days button").nth(29).click()
    await expect(rows).to_have_count(4)
    await page.locator("#from").fill("2025-12-31")
    await page.locator("#to").fill("2025-12-31")
    await expect(rows).to_have_count(3)
    await page.locator("#clear").click()
    await rows.first.locator("a").click()
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")
    await expect(page.locator("#venue")).to_have_text("binance")


async def test_a_link_to_a_time_shows_its_candle(told: Told) -> None:
    page, deployment, running = told
    deployment.store([candle(minute, close=100.0 + minute % 7, high=108.0, low=98.0) for minute in range(-1_300, 0)])
    await page.goto("about:blank")
    await page.goto(f"{running.url}/#binance/BTCUSDT/1m/2025-12-31T04:10Z")
    await expect(page.locator("#legend-status")).to_contain_text("2025-12-31 04:10")
    assert page.url.endswith("#binance/BTCUSDT/1m")
    await page.evaluate("() => { location.hash = '#binance/BTCUSDT/1m/2025-11-30T04:10Z'; }")
    await expect(page.locator(".note.bad")).to_contain_text("no candles of 2025-11-30 04:10:00 UTC are stored")


async def test_proofs_and_capabilities_are_those_of_the_interface(report: Told) -> None:
    page, _, running = report
    quality = await running.data("/api/quality?venue=binance")
    for timeframe in ("1m", "1h"):
        count = sum(one["candles"] for one in quality["series"] if one["timeframe"] == timeframe)
        row = page.locator("#proofs tr", has=page.locator("th", has_text=timeframe))
        await expect(row.locator("td").first).to_have_text(str(count))
    await expect(page.locator("#venues")).to_contain_text("book no change is missing. Witness: update ids.")
    await expect(page.locator("#venues")).to_contain_text("There is no checksum.")


async def test_what_cannot_be_read_is_said(report: Told) -> None:
    page, _, _ = report
    await page.route("**/api/**", lambda route: route.abort())
    await page.reload()
    await expect(page.locator("#missing")).to_contain_text("marketflow does not answer")
    await page.unroute_all(behavior="wait")


async def test_it_fits_every_window_and_axe_finds_no_fault(report: Told) -> None:
    page, _, _ = report
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        for size in (DESKTOP, PHONE, LANDSCAPE):
            await resize(page, size)
            assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
            await keep(page, f"quality-{size[0]}x{size[1]}-{theme}")
            if AXE.is_file():
                assert await faults_of(page, theme) == {}, (theme, size)
