"""Book and tape of the dashboard in a real browser: depth, what the book was in the last hour, sizes of trades."""

import json
from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from flows.model import BookView, TradeBatch
from tests.fakes.browser import LIBRARY, NO_LIBRARY
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.interface import NOW, price, state, trade, until
from tests.fakes.pages import AXE, DESKTOP, PHONE, THEMES, Told, faults_of, go_to, keep, resize

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

LEVELS: Final = 20
PIXELS: Final = """([left, top, width, height]) => {
  const canvas = [...document.querySelectorAll("#canvas canvas")].find((one) => one.width > 200);
  const scale = canvas.width / canvas.clientWidth;
  const data = canvas.getContext("2d").getImageData(left * scale, top * scale, width * scale, height * scale).data;
  let sum = 0;
  for (let index = 0; index < data.length; index += 4) sum += Math.abs(data[index] - data[index + 1]);
  return sum;
}"""
"""How coloured a part of the chart is."""


IS_DRAWN: Final = """(canvas) =>
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"""


def book(second: int, *, bids: float = 1.0) -> BookView:
    """Twenty levels a side, so many seconds after the hub's begin."""
    sides = [
        [(99.5 - level / 4, bids + level) for level in range(LEVELS)],
        [(100.5 + level / 4, 2.0) for level in range(LEVELS)],
    ]
    return BookView("binance", "BTCUSDT", True, 100 + second, NOW + second * 1_000, *sides)


async def test_depth_and_the_share_of_the_bids_follow_the_book(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    deployment.tell(book(1))
    await expect(page.locator("#imbalance-share")).to_have_text("bids 84%")  # 210 of 250
    await expect(page.locator("#depth")).to_be_hidden()
    await page.locator("#depth-on").click()
    await expect(page.locator("#depth")).to_have_attribute(
        "aria-label", "Depth: 210 bids down to 94.75, 40 asks up to 105.25"
    )
    assert await page.locator("#depth").evaluate(IS_DRAWN)
    deployment.tell(BookView("binance", "BTCUSDT", False, 300, NOW + 2_000, [], []))
    await expect(page.locator("#depth")).to_have_attribute("aria-label", "Depth: not known")
    await expect(page.locator("#imbalance-share")).to_be_empty()
    await go_to(page)
    await expect(page.locator("#depth")).to_be_visible()
    await page.evaluate("localStorage.clear()")


@pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY)
async def test_the_book_of_the_last_hour_is_behind_the_candles(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    deployment.tell(*(candle(minute, close=100.0) for minute in range(10, 14)), forming(14, close=100.0))
    deployment.tell(*(book(second) for second in range(0, 270, 10)))
    await until(lambda: page.evaluate("marketflow.candles.length >= 15"))
    place = await place_of(page)
    before = await page.evaluate(PIXELS, place)
    await page.locator("#heat-on").click()
    await until(lambda: page.evaluate(f"(place) => ({PIXELS})(place) > {before} + 2000", place))
    await keep(page, "heat")
    await go_to(page)
    await expect(page.locator("#heat-on")).to_have_attribute("aria-pressed", "true")
    await page.locator("#heat-on").click()
    await page.evaluate("localStorage.clear()")


async def place_of(page: Page) -> list[float]:
    """Where the newest candles are drawn."""
    found: list[float] = await page.evaluate("""() => {
      const { width, height } = document.querySelector("#canvas").getBoundingClientRect();
      return [width * 0.5, height * 0.1, width * 0.4, height * 0.6];
    }""")
    return found


async def test_the_tape_has_the_sizes_that_are_wanted_and_marks_large_trades(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    rows = page.locator("#trades .trade:visible")
    await expect(rows).to_have_count(40)
    big = [trade(number, BEGIN + number * 1_000) for number in (41, 42)]
    sized = [
        one.__class__(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "quantity": 40.0})
        for one in big
    ]
    deployment.tell(TradeBatch("binance", "BTCUSDT", sized))
    await expect(page.locator("#trades .large")).to_have_count(2)
    for theme in THEMES if AXE.is_file() else ():
        await page.emulate_media(color_scheme=theme)
        assert await faults_of(page, theme) == {}, theme
    await page.locator("#least").fill("1000")
    await page.locator("#least").press("Enter")
    await expect(rows).to_have_count(2)
    deployment.tell(TradeBatch("binance", "BTCUSDT", [trade(43, BEGIN + 43_000)]))
    await page.locator("#least").fill("100000000")
    await page.locator("#least").press("Enter")
    await expect(page.locator("#none-so-large")).to_be_visible()
    await go_to(page)
    await expect(page.locator("#least")).to_have_value("100000000")
    await page.locator("#least").fill("")
    await page.locator("#least").press("Enter")
    await expect(rows.first).to_be_visible()
    found: Any = await page.evaluate("JSON.stringify(Object.keys(localStorage))")
    assert "marketflow.least" in json.loads(found)
    for size in (DESKTOP, PHONE):
        await resize(page, size)
        for theme in THEMES if AXE.is_file() else ():
            await page.emulate_media(color_scheme=theme)
            assert await faults_of(page, theme) == {}, (theme, size)
    await page.evaluate("localStorage.clear()")


@pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY)
async def test_a_tab_that_slept_shows_the_present_at_once(told: Told) -> None:
    page, deployment, _ = told
    session = await page.context.new_cdp_session(page)
    async with deployment.beating():
        deployment.tell(state("live"), state("live", symbol="ETHUSDT"))
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")
        await session.send("Page.setWebLifecycleState", {"state": "frozen"})
        closed = [candle(minute, close=100.0 + minute) for minute in range(10, 20)]
        deployment.store(closed)
        for minute, one in enumerate(closed, 10):
            time = BEGIN + minute * 60_000 + 59_000
            deployment.tell(
                one, forming(minute + 1, close=200.0), *(price(100.0 + step, time=time) for step in range(50))
            )
        deployment.tell(
            price(321.5, time=BEGIN + 20 * 60_000 + 30_000),
            BookView("binance", "BTCUSDT", True, 900, NOW + 600_000, [(320.0, 1.0)], [(322.0, 1.0)]),
        )
        await session.send("Page.setWebLifecycleState", {"state": "active"})
        await expect(page.locator("#price")).to_have_text("321.50")
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")
        await expect(page.locator("#bids .level span").first).to_have_text("320.00")
        await until(lambda: page.evaluate("marketflow.candles.length >= 21"))
        steps = "marketflow.candles.every(({ time }, at, all) => !at || time === all[at - 1].time + 60_000)"
        assert await page.evaluate(steps)
    await session.detach()
