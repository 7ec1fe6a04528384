"""The dashboard in windows of all sizes, in a real browser."""

from typing import Final

import pytest
from playwright.async_api import Page, expect

from flows.model import BookView
from tests.fakes.candles import stats
from tests.fakes.interface import NOW, price, until
from tests.fakes.pages import (
    DESKTOP,
    LANDSCAPE,
    PHONE,
    SMALL,
    SMALLEST,
    THEMES,
    Told,
    box_of,
    keep,
    resize,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

WIDE: Final = (2560, 1440)
LEVELS: Final = 20
LEAST_CHART: Final = {PHONE: 300, LANDSCAPE: 180, SMALLEST: 280, SMALL: 280, DESKTOP: 500, WIDE: 900}
"""Least height of the chart in pixels."""
LEAST_LEVELS: Final = {LANDSCAPE: 5, SMALLEST: 8, SMALL: 8, DESKTOP: 14, WIDE: 20}
"""Least levels of each side that are seen as a whole."""
LEVELS_SHOWN: Final = """(side) => {
  const box = document.getElementById(side).getBoundingClientRect();
  const isWhole = ({ top, bottom }) => top >= box.top - 1 && bottom <= box.bottom + 1;
  const isIn = (row) => row.height > 0 && row.left < box.right && isWhole(row);
  const rows = [...document.querySelectorAll(`#${side} .level`)].map((row) => row.getBoundingClientRect());
  const shown = rows.filter(isIn);
  return { count: shown.length, free: box.height - shown.reduce((sum, { height }) => sum + height, 0) };
}"""
"""Whole levels of a side, and the pixels that they leave free."""


def full_book() -> BookView:
    """Twenty levels a side."""
    bids = [(99.25 - level, 1.0) for level in range(LEVELS)]
    asks = [(100.25 + level, 2.0) for level in range(LEVELS)]
    return BookView("binance", "BTCUSDT", True, 43, NOW, bids, asks)


async def test_chart_and_book_have_room_in_every_window(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(full_book(), price(98_765.43), stats(10, high=109_876.54, low=98_765.43))
    await expect(page.locator("#bids .level span").first).to_have_text("99.25")
    for size, least_chart in LEAST_CHART.items():
        await resize(page, size)
        await has_room(page, size, least_chart)
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await keep(page, f"{size[0]}x{size[1]}-{theme}")


async def has_room(page: Page, size: tuple[int, int], least_chart: int) -> None:
    """The page lays itself out for a window, and then has room for its chart and book."""

    async def shows_all_that_fit() -> bool:
        found = [await page.evaluate(LEVELS_SHOWN, side) for side in ("asks", "bids")]
        return all(one["count"] == LEVELS or one["free"] < 17 for one in found)

    if size in LEAST_LEVELS:
        await until(shows_all_that_fit)  # another level would not fit
        for side in ("asks", "bids"):
            assert (await page.evaluate(LEVELS_SHOWN, side))["count"] >= LEAST_LEVELS[size], (size, side)
    stage = await box_of(page.locator("#stage"))
    assert stage.height >= least_chart, size
    assert stage.top < size[1] / 2, size
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0], size


async def test_a_phone_on_its_side_shows_chart_and_book_at_once(told: Told) -> None:
    page, _, _ = told
    await resize(page, LANDSCAPE)
    stage, book = await box_of(page.locator("#stage")), await box_of(page.locator("#book"))
    assert stage.bottom <= LANDSCAPE[1]
    assert book.bottom <= LANDSCAPE[1]
    assert book.left >= stage.right


async def test_panels_are_resized_hidden_and_kept(told: Told) -> None:
    page, _, _ = told
    await resize(page, DESKTOP)
    sizes = {name: await box_of(page.locator(f"#{name}")) for name in ("watch", "side", "analysis", "stage")}
    for edge, place, moved in (
        ("watch", "watch", (60, 0)),
        ("side", "side", (-80, 0)),
        ("below", "analysis", (0, -70)),
    ):
        box = await box_of(page.locator(f"#edge-{edge}"))
        x, y = box.left + box.width / 2, box.top + box.height / 2
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(x + moved[0], y + moved[1], steps=4)
        await page.mouse.up()
        now = await box_of(page.locator(f"#{place}"))
        before = sizes[place]
        grown = now.height - before.height if edge == "below" else now.width - before.width
        assert grown == pytest.approx(abs(sum(moved)), abs=3), edge
    await page.locator("#edge-side").focus()
    wide = (await box_of(page.locator("#side"))).width
    await page.keyboard.press("ArrowRight")
    assert (await box_of(page.locator("#side"))).width == pytest.approx(wide - 24, abs=2)
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")
    await page.reload()
    assert (await box_of(page.locator("#side"))).width == pytest.approx(wide - 24, abs=2)
    await page.locator("#tools-open").click()
    for panel in ("watch", "book", "tape", "analysis"):
        await page.locator(f"#show-{panel}").uncheck()
        await expect(page.locator(f"#{panel}")).to_be_hidden()
    stage = await box_of(page.locator("#stage"))
    assert (stage.width >= DESKTOP[0] - 8, stage.height > sizes["stage"].height + 100) == (True, True)
    await page.locator("#usual-layout").click()
    await page.keyboard.press("Escape")
    for name, before in sizes.items():
        now = await box_of(page.locator(f"#{name}"))
        assert (now.width, now.height) == pytest.approx((before.width, before.height), abs=2), name
