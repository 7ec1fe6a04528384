"""The dashboard's chart and figures in a real browser: what they say, and that they say the same."""

import re
from typing import Any, Final

import pytest
from msgspec import structs
from playwright.async_api import Page, expect

from api.analytics.bars import Bars
from api.analytics.indicators import compute, parse_wanted
from flows.model import Candle, MarketData
from tests.fakes.browser import LIBRARY, NO_LIBRARY
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.interface import NOW, price, until
from tests.fakes.pages import Told, box_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

OLDER: Final = 1_400
"""Stored candles before those that the page has at first: more than one answer of the interface has indicators of."""
BACK: Final = 1_100
"""The candle that is looked at lies further back than that."""
FILES_LOADED: Final = """performance.getEntriesByType("resource").filter(({ name }) => name.includes("/static/"))
  .map((one) => one.toJSON())"""
"""What the page loaded of its files, and how much of that came over the network."""
WORKER_LOADED: Final = """performance.getEntriesByType("resource").some(({ name }) => name.endsWith("/worker.js"))"""
"""Whether its last file is there."""
needs_library = pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY)


def older() -> list[Candle]:
    """Closed candles that end where those of the page begin."""
    return [candle(minute, close=100.0 + minute % 7, high=108.0, low=98.0) for minute in range(-OLDER, 0)]


async def drag(page: Page, pixels: int) -> None:
    """Scrolls the chart back by so many pixels."""
    box = await box_of(page.locator("#canvas"))
    x, y = box.left + 20, box.top + box.height / 3
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + pixels, y, steps=4)
    await page.mouse.up()
    await page.wait_for_timeout(150)


async def time_under(page: Page) -> int:
    """Begin of the candle under the cursor, ms UTC."""
    text = (await page.locator("#legend-status").inner_text()).partition(" · ")[0]
    found: int = await page.evaluate("(text) => Date.parse(text)", f"{text.replace(' ', 'T')}Z")
    return found


@needs_library
async def test_indicators_are_there_as_far_as_there_are_candles(told: Told) -> None:
    page, deployment, _ = told
    deployment.store(older())
    await page.reload()
    await expect(page.locator("#legend-lines")).to_contain_text(re.compile(r"EMA 20 \d+\.\d\d EMA 50 \d+\.\d\d"))
    newest = await page.evaluate("marketflow.candles.at(-1).time")
    box = await box_of(page.locator("#canvas"))
    for _ in range(60):
        await drag(page, int(box.width) - 120)
        await page.mouse.move(box.left + box.width / 2, box.top + box.height / 3)
        if await time_under(page) < newest - BACK * 60_000:
            break
    time = await time_under(page)
    assert time < newest - BACK * 60_000
    held = await page.evaluate("marketflow.candles.map(({ time, close }) => [time, close])")
    assert held[0][0] < time
    known = {one.open_time: one for one in older()}
    before = [known[each] for each, _ in held if each <= time]
    shown = await page.locator("#legend-lines").inner_text()
    for label in ("ema:20", "ema:50"):
        expected = compute(Bars.of(before), parse_wanted(label)).values["ema"][-1]
        name = label.upper().replace(":", " ")
        found = re.search(rf"{name} ([\d.]+)", shown)
        assert found, shown
        assert float(found[1]) == pytest.approx(expected, abs=0.006)


@needs_library
async def test_of_a_young_market_indicators_begin_as_soon_as_they_are_defined(told: Told) -> None:
    page, deployment, _ = told
    young = [candle(minute, close=100.0 + minute % 7) for minute in range(-12, 0)]
    deployment.store(young)
    await page.reload()
    shown = page.locator("#legend-lines")
    await expect(shown).to_contain_text(re.compile("EMA 20 [0-9.]+ EMA 50 \N{EN DASH}"))


@needs_library
async def test_the_price_stays_at_the_axis_when_the_chart_is_scrolled_back(told: Told) -> None:
    page, deployment, _ = told
    deployment.store(older())
    await page.reload()
    await until(lambda: page.evaluate("marketflow.canvas.axisPrice === 100"))
    for _ in range(3):
        await drag(page, 700)
    assert await page.evaluate("marketflow.canvas.newestIsInView") is False
    assert await page.evaluate("marketflow.canvas.axisPrice") == 100
    deployment.tell(price(103.25, time=NOW + 50))
    await expect(page.locator("#price")).to_have_text("103.25")
    await until(lambda: page.evaluate("marketflow.canvas.axisPrice === 103.25"))


async def test_the_forming_candle_goes_on_with_the_price_while_trades_are_late(told: Told) -> None:
    page, deployment, _ = told
    close, high = page.locator("#legend-close"), page.locator("#legend-high")
    deployment.tell(forming(10, close=104.0, high=105.0, event_time=NOW))
    await expect(close).to_have_text("104.00")
    deployment.tell(price(107.5, time=NOW + 200))  # its trade came behind one that is missing: the candle waits
    await expect(close).to_have_text("107.50")
    await expect(high).to_have_text("107.50")
    deployment.tell(forming(10, last_id=1_021, close=104.5, high=105.0, event_time=NOW + 100))  # of late trades
    await expect(page.locator("#legend-volume")).not_to_be_empty()
    assert await page.locator("#price").inner_text() == await close.inner_text() == "107.50"
    deployment.tell(forming(10, last_id=1_030, close=106.0, high=108.0, event_time=NOW + 300))
    await expect(close).to_have_text("106.00")
    deployment.tell(price(106.5, time=BEGIN + 11 * 60_000 + 5))  # of the next minute
    await expect(page.locator("#price")).to_have_text("106.50")
    await expect(close).to_have_text("106.00")


async def test_a_candle_closes_as_the_first_price_of_the_next_one_comes(told: Told) -> None:
    page, deployment, _ = told
    for minute in range(10, 16):
        begin = BEGIN + (minute + 1) * 60_000
        deployment.tell(
            price(200.0 + minute, time=begin + 200),
            candle(minute, close=105.0),
            forming(minute + 1, close=106.0, event_time=begin + 100),
        )
        await expect(page.locator("#legend-status")).to_contain_text(f"00:{minute + 1:02d} · forming")
        await expect(page.locator("#legend-close")).to_have_text(f"{200 + minute}.00")


@needs_library
async def test_refilled_and_amended_candles_are_marked(told: Told) -> None:
    page, deployment, _ = told
    deployment.store([candle(-3, status="repaired"), candle(-2, revision=2), candle(-1, revision=1)])
    await page.reload()
    minutes = "marketflow.canvas.marked.map((time) => time / 60_000)"
    first = BEGIN // 60_000
    await until(lambda: marks(page, minutes, [first - 3, first - 2]))
    deployment.tell(candle(9, close=112.0, high=113.0, status="repaired", revision=2))
    await until(lambda: marks(page, minutes, [first - 3, first - 2, first + 9]))


async def marks(page: Page, minutes: str, wanted: list[int]) -> bool:
    """Whether exactly these minutes are marked."""
    return bool(await page.evaluate(minutes) == wanted)


async def test_times_are_those_of_the_chosen_zone(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(structs.replace(price(101.0), time=NOW))
    times = page.locator("#trades .trade:not([hidden]) span:last-child")
    await expect(page.locator("#legend-status")).to_contain_text("2026-01-01 00:10")
    await expect(times.first).to_have_text("00:00:40")
    await page.locator("#zone").select_option("Asia/Tokyo")
    await expect(page.locator("#legend-status")).to_contain_text("2026-01-01 09:10")
    await expect(times.first).to_have_text("09:00:40")
    await expect(page.locator("#tape .columns")).to_contain_text("Time, UTC+9")
    await page.reload()
    await expect(page.locator("#legend-status")).to_contain_text("2026-01-01 09:10")
    await page.locator("#zone").select_option("America/New_York")
    await expect(page.locator("#legend-status")).to_contain_text("2025-12-31 19:10")
    await page.locator("#zone").select_option("UTC")
    await expect(page.locator("#legend-status")).to_contain_text("2026-01-01 00:10")


async def test_a_change_that_is_written_as_zero_is_neither_up_nor_down(told: Told) -> None:
    page, deployment, _ = told
    for number, share in enumerate((-0.004, 0.004, 0.0)):
        deployment.tell(MarketData("binance", "BTCUSDT", 101.0 + number, NOW + 1 + number, share, share, 1_500.0))
        await expect(page.locator("#price")).to_have_text(f"{101 + number}.00")
        for place in ("#change", "#prices li[data-symbol=BTCUSDT] .change"):
            assert "0.00%" in await page.locator(place).inner_text()
            assert not re.search(r"[-+]0\.00", await page.locator(place).inner_text())
            assert await page.locator(place).get_attribute("data-way") == ""


async def test_the_volume_has_its_unit(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(MarketData("binance", "BTCUSDT", 101.0, NOW + 1, 1.0, 1.0, 1_500.0))
    await expect(page.locator("#volume")).to_have_text("1.500K BTC")


async def test_a_second_visit_loads_no_file_again(told: Told) -> None:
    page, _, running = told
    await until(lambda: page.evaluate(WORKER_LOADED))
    first: list[dict[str, Any]] = await page.evaluate(FILES_LOADED)
    scripts = {one["name"].rpartition("/static/")[2].partition("/")[2] for one in first if one["name"].endswith(".js")}
    assert scripts == {"early.js", "bundle/main.js", "bundle/broadcast/worker.js"}
    await page.goto("about:blank")
    await page.goto(f"{running.url}/#BTCUSDT/1m")
    await expect(page.locator("#legend-status")).to_contain_text("forming")
    await until(lambda: page.evaluate(WORKER_LOADED))
    again: list[dict[str, Any]] = await page.evaluate(FILES_LOADED)
    assert {one["name"] for one in again} == {one["name"] for one in first}
    assert sum(one["transferSize"] for one in again) == 0
    assert all(one["encodedBodySize"] < one["decodedBodySize"] for one in again if one["decodedBodySize"] > 4_000)
