"""The tools of the dashboard's chart in a real browser: indicators, scale, lines, measuring, files."""

import csv
import re
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from api.analytics.bars import Bars
from api.analytics.indicators import compute, parse_wanted
from tests.fakes.browser import LIBRARY, NO_LIBRARY
from tests.fakes.candles import candle
from tests.fakes.interface import until
from tests.fakes.pages import AXE, PHONE, Told, box_of, faults_of, resize

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),  # the browser is of one loop
    pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY),
]

MINUTES: Final = 400
"""Stored candles before those that the page has at first."""


async def open_tools(page: Page) -> None:
    """Opens the tools."""
    await page.locator("#tools-open").click()
    await expect(page.locator("#tools")).to_be_visible()


async def close_tools(page: Page) -> None:
    """Closes them."""
    await page.keyboard.press("Escape")
    await expect(page.locator("#tools")).to_be_hidden()


async def evaluates(page: Page, expression: str, wanted: Any) -> None:
    """Waits until the page says so."""

    async def does() -> bool:
        return bool(await page.evaluate(expression) == wanted)

    await until(does)


async def test_an_indicator_is_added_with_its_parameters_and_removed(told: Told) -> None:
    page, deployment, _ = told
    deployment.store([candle(minute, close=100.0 + minute % 7) for minute in range(-MINUTES, 0)])
    await page.reload()
    await expect(page.locator("#legend-lines")).to_contain_text("EMA 20")
    await open_tools(page)
    await page.locator("#indicator").select_option("macd")
    await page.locator("#parameters input").first.fill("6")
    await page.locator("#add-indicator button").click()
    await expect(page.locator("#indicators")).to_contain_text("MACD 6 26 9")
    await page.get_by_role("button", name="remove EMA 50").click()
    await page.locator("#indicator").select_option("stoch")
    await page.locator("#parameters input").first.fill("501")
    await page.locator("#add-indicator button").click()
    assert await page.locator("#indicators li").count() == 2, "a wrong parameter adds nothing"
    await close_tools(page)
    await page.mouse.move(0, 0)
    await expect(page.locator("#legend-lines > span")).to_have_count(2)
    await expect(page.locator("#legend-lines")).to_contain_text(
        re.compile(r"EMA 20 [\d.]+ +MACD 6 26 9 [-\d.]+ [-\d.]+")
    )
    await expect(page.locator("#extras button", has_text="EMA")).to_have_attribute("aria-pressed", "false")
    await page.reload()
    await expect(page.locator("#legend-lines")).to_contain_text("MACD 6 26 9")
    await page.evaluate("localStorage.clear()")


async def test_lines_are_kept_for_each_symbol(told: Told) -> None:
    page, _, _ = told
    await open_tools(page)
    await page.locator("#level").fill("100.5")
    await page.locator("#level").press("Enter")
    await close_tools(page)
    await evaluates(page, "marketflow.canvas.levels", [100.5])
    box = await box_of(page.locator("#canvas"))
    await page.locator("#canvas").click(modifiers=["Alt"], position={"x": 60, "y": box.height / 2})
    await evaluates(page, "marketflow.canvas.levels.length", 2)
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await evaluates(page, "marketflow.canvas.levels", [])
    await page.keyboard.press("ArrowDown")
    await evaluates(page, "marketflow.canvas.levels.length", 2)
    await open_tools(page)
    await page.get_by_role("button", name="remove 100.50").click()
    await close_tools(page)
    await evaluates(page, "marketflow.canvas.levels.length", 1)
    await page.evaluate("localStorage.clear()")


async def test_measuring_says_the_way_in_price_and_time(told: Told) -> None:
    page, _, _ = told
    await open_tools(page)
    await page.locator("#draw-measure").click()
    await expect(page.locator("#tools")).to_be_hidden()
    box = await box_of(page.locator("#measure"))
    places = [(box.width / 3, box.height / 4), (box.width / 3 + 70, box.height / 2)]
    prices = [await page.evaluate("([x, y]) => marketflow.canvas.placeAt(x, y).price", [*place]) for place in places]
    await page.mouse.move(box.left + places[0][0], box.top + places[0][1])
    await page.mouse.down()
    await page.mouse.move(box.left + places[1][0], box.top + places[1][1], steps=3)
    await page.mouse.up()
    text = page.locator("#measure .box span")
    await expect(text).to_contain_text(f"{prices[1] - prices[0]:.2f} ({100 * (prices[1] / prices[0] - 1):.2f}%)")
    await expect(text).to_contain_text("10 candles, 10 min")
    await expect(page.locator("#measure .box")).to_have_attribute("data-way", "down")
    await page.keyboard.press("Escape")
    await expect(page.locator("#measure")).to_be_hidden()


async def test_what_is_shown_is_saved_as_a_picture_and_as_a_table(told: Told, tmp_path: Path) -> None:
    page, deployment, _ = told
    stored = [candle(minute, close=100.0 + minute % 7) for minute in range(-MINUTES, 0)]
    deployment.store(stored)
    await page.reload()
    await evaluates(page, f"marketflow.candles.length >= {MINUTES}", wanted=True)
    await expect(page.locator("#legend-lines")).to_contain_text("EMA 20")
    await open_tools(page)
    for button, name in (("#save-table", "binance-BTCUSDT-1m.csv"), ("#save-picture", "binance-BTCUSDT-1m.png")):
        async with page.expect_download() as download:
            await page.locator(button).click()
        saved = await download.value
        assert saved.suggested_filename == name
        await saved.save_as(tmp_path / name)
    await close_tools(page)
    assert (tmp_path / "binance-BTCUSDT-1m.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((tmp_path / "binance-BTCUSDT-1m.csv").read_text().splitlines()))
    assert len(rows) > 60
    [row] = [row for row in rows if row["timestamp"] == "2025-12-31T23:59:00.000Z"]
    expected = compute(Bars.of(stored), parse_wanted("ema:20")).values["ema"][-1]
    assert float(row["close"]) == stored[-1].close
    assert float(row["ema:20/ema"]) == pytest.approx(expected)


async def test_the_price_scale_is_kept(told: Told) -> None:
    page, _, _ = told
    await open_tools(page)
    await page.locator("#scale").select_option("logarithmic")
    await close_tools(page)
    await page.reload()
    await open_tools(page)
    await expect(page.locator("#scale")).to_have_value("logarithmic")
    if AXE.is_file():
        assert await faults_of(page) == {}
    await resize(page, PHONE)
    box = await box_of(page.locator("#tools"))
    assert (box.left >= 0, box.right <= PHONE[0]) == (True, True)
    await close_tools(page)
    await page.evaluate("localStorage.clear()")
