"""Drawing in the dashboard's chart in a real browser: trend lines, and price alerts by drag and by the dialog."""

from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.fakes.alerts import alert
from tests.fakes.browser import LIBRARY, NO_LIBRARY
from tests.fakes.candles import candle
from tests.fakes.interface import until
from tests.fakes.pages import AXE, THEMES, Told, box_of, faults_of, keep

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),  # the browser is of one loop
    pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY),
]

MINUTES: Final = 200
TRENDS: Final = """JSON.parse(localStorage.getItem("marketflow.trends") ?? "{}")["binance:BTCUSDT"] ?? []"""
PIXEL: Final = 0.03
"""Of price: what a pixel of the chart is at most."""
PLACE: Final = "([x, y]) => marketflow.active.trends.pointAt(x, y)"


async def drag(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Presses the pointer at a place of the chart, and releases it at another."""
    box = await box_of(page.locator("#canvas"))
    await page.mouse.move(box.left + begin[0], box.top + begin[1])
    await page.mouse.down()
    await page.mouse.move(box.left + end[0], box.top + end[1], steps=4)
    await page.mouse.up()


async def same(page: Page, expression: str, wanted: Any) -> None:
    """Waits until the page says so."""

    async def is_same() -> bool:
        return bool(await page.evaluate(expression) == wanted)

    await until(is_same)


async def near(page: Page, expression: str, wanted: list[float]) -> list[float]:
    """Waits until the page has these prices, but for the part of a pixel that a pointer has not; those that it has."""

    async def is_near() -> bool:
        return bool(await page.evaluate(expression) == pytest.approx(wanted, abs=PIXEL))

    await until(is_near)
    found: list[float] = await page.evaluate(expression)
    return found


async def settled(page: Page) -> None:
    """Waits until width and scale of the chart stay: lists and axes make room for what they show. Averages, which move
    the scale as they follow the price, are put away.
    """
    if await page.locator("#extras [aria-pressed=true]").count():
        await page.get_by_role("button", name="EMA").click()
    seen: list[Any] = []
    look = "[marketflow.canvas.xOf(0), marketflow.canvas.yOf(100), marketflow.candles.length]"

    async def is_same() -> bool:
        await page.wait_for_timeout(300)
        seen.append(await page.evaluate(look))
        return len(seen) > 2 and seen[-1] == seen[-2] == seen[-3]

    await until(is_same)


async def prices_at(page: Page, *heights: float) -> list[float]:
    """Prices at places of the chart, as lines there have them."""
    found: list[float] = await page.evaluate(
        "(heights) => heights.map((y) => Number(marketflow.canvas.placeAt(0, y).price.toFixed(2)))", [*heights]
    )
    return found


async def test_a_trend_line_is_drawn_moved_kept_and_deleted(told: Told) -> None:
    page, deployment, _ = told
    deployment.store([candle(minute, close=100.0 + minute % 7) for minute in range(-MINUTES, 0)])
    await page.reload()
    await expect(page.locator("#legend-lines")).to_contain_text("EMA 20")
    await settled(page)
    begin, end = (150.0, 220.0), (360.0, 120.0)
    points = [await page.evaluate(PLACE, [*place]) for place in (begin, end)]
    await page.keyboard.press("t")
    await drag(page, begin, end)
    await expect(page.locator("#measure")).to_be_hidden()
    await same(page, f"({TRENDS}).length", 1)
    drawn = (await page.evaluate(TRENDS))[0]
    for name, point in zip(("from", "to"), points, strict=True):
        assert drawn[name] == {"time": point["time"], "price": pytest.approx(point["price"], abs=PIXEL)}
    await keep(page, "trend")
    await drag(page, end, (410.0, 180.0))
    await until(lambda: page.evaluate(f"({TRENDS})[0].to.time > {points[1]['time']}"))
    moved = (await page.evaluate(TRENDS))[0]
    assert moved["from"] == drawn["from"]
    assert moved["to"]["price"] < points[1]["price"]
    middle = ((begin[0] + 410) / 2, (begin[1] + 180) / 2)
    await drag(page, middle, (middle[0], middle[1] + 40))
    await until(lambda: page.evaluate(f"({TRENDS})[0].to.price < {moved['to']['price']}"))
    whole = (await page.evaluate(TRENDS))[0]
    for name in ("from", "to"):
        assert whole[name]["time"] == moved[name]["time"]
        assert whole[name]["price"] < moved[name]["price"]
    newest = await page.evaluate("marketflow.canvas.newestIsInView")
    assert newest, "the chart was not moved meanwhile"
    await page.keyboard.press("2")  # of another timeframe it is at the same times
    await same(page, TRENDS, [whole])
    await page.keyboard.press("1")
    await page.reload()
    await expect(page.locator("#legend-status")).to_contain_text("forming")
    await page.locator("#tools-open").click()
    await expect(page.locator("#trends li")).to_have_count(1)
    await page.get_by_role("button", name="remove trend").press("Enter")
    await same(page, TRENDS, [])
    await page.locator("#draw-trend").click()
    for place in (begin, end):  # from click to click
        await page.locator("#measure").click(position={"x": place[0], "y": place[1]})
    await same(page, f"({TRENDS}).length", 1)
    await page.keyboard.press("Delete")
    await same(page, TRENDS, [])


async def test_a_horizontal_line_is_moved(told: Told) -> None:
    page, _, _ = told
    await settled(page)
    await page.locator("#canvas").click(modifiers=["Alt"], position={"x": 60, "y": 150})
    await near(page, "marketflow.canvas.levels", await prices_at(page, 150))
    await drag(page, (90, 150), (90, 190))
    await near(page, "marketflow.canvas.levels", await prices_at(page, 190))
    await page.evaluate("localStorage.clear()")


async def rules_of(told: Told) -> list[dict[str, Any]]:
    """The rules that are stored."""
    found: list[dict[str, Any]] = (await told[2].data("/api/alerts"))["rules"]
    return found


@pytest.mark.parametrize("alerts", [{"enabled": True, "rules": {}}])
async def test_price_alerts_are_made_moved_and_deleted(told: Told) -> None:
    page, deployment, _ = told
    await expect(page.locator("#alerted")).to_have_text("Alerts")
    await settled(page)
    wanted = await prices_at(page, 160, 230)
    await page.keyboard.press("a")
    await drag(page, (200, 120), (200, 160))
    [price] = await near(page, "marketflow.canvas.alerts", wanted[:1])
    await expect(page.locator(".note")).to_contain_text(f"BTCUSDT of binance: crosses {price:g}")
    [made] = await rules_of(told)
    assert (made["kind"], made["venue"], made["symbol"], made["price"]) == (
        "price_cross",
        "binance",
        "BTCUSDT",
        wanted[0],
    )
    await drag(page, (300, 160), (300, 230))
    [moved] = await near(page, "marketflow.canvas.alerts", wanted[1:])

    async def is_moved() -> bool:
        return [rule["price"] for rule in await rules_of(told)] == [moved]

    await until(is_moved)
    await keep(page, "alert")
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await same(page, "marketflow.canvas.alerts", [])
    await page.locator("#alerted").click()
    await page.locator("#rule-kind").select_option("price_change")
    await page.locator("#rule-of").select_option("all")
    await page.locator("[name=percent]").fill("3")
    await page.locator("#rule-rearm").select_option("after")
    await page.locator("[name=rearm_s]").fill("600")
    await page.locator("#add-rule button").click()
    await expect(page.locator("#rules li")).to_have_count(2)
    await expect(page.locator("#rules li").last).to_contain_text("every symbol: moves 3% within 60 s")
    made = (await rules_of(told))[-1]
    assert (made["symbol"], made["percent"], made["span_s"], made["rearm_s"]) == ("", 3.0, 60.0, 600.0)
    await keep(page, "alerts")
    for theme in THEMES if AXE.is_file() else ():
        await page.emulate_media(color_scheme=theme)
        assert await faults_of(page, theme) == {}
    await page.get_by_role("button", name="remove BTCUSDT of binance").press("Enter")
    await expect(page.locator("#rules li")).to_have_count(1)
    deployment.tell(alert(1))
    await expect(page.locator("#fired p")).to_contain_text("100.5 is above 100")


async def test_where_alerts_are_off_none_are_offered(told: Told) -> None:
    page, _, _ = told
    await page.keyboard.press("a")
    await expect(page.locator("#measure")).to_be_hidden()
    await page.locator("#tools-open").click()
    await expect(page.locator("#draw-trend")).to_be_visible()
    await expect(page.locator("#draw-alert")).to_be_hidden()
    await expect(page.locator("#alerted")).to_be_hidden()
    await page.keyboard.press("Escape")


async def test_a_link_brings_lines_and_own_ones_stay(told: Told) -> None:
    page, _, running = told
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=running.url)
    levels = "globalThis.marketflow?.canvas?.levels"
    await page.locator("#tools-open").click()
    for price in ("105.5", "95"):
        await page.locator("#level").fill(price)
        await page.locator("#level").press("Enter")
    await same(page, levels, [105.5, 95])
    await page.locator("#copy-link").click()
    link = await page.evaluate("navigator.clipboard.readText()")
    await page.locator("#link-lines").uncheck()
    await page.locator("#copy-link").click()
    assert "draw=" not in await page.evaluate("navigator.clipboard.readText()")
    question = page.locator("#question")
    for own, answer, shown in (
        ({}, "", [105.5, 95]),
        ({"binance:BTCUSDT": [101]}, "Cancel", [101]),
        ({"binance:BTCUSDT": [101]}, "Add them", [105.5, 101, 95]),
    ):
        await page.evaluate("(own) => localStorage.setItem('marketflow.levels', JSON.stringify(own))", own)
        await page.goto("about:blank")
        await page.goto(link)
        if answer:
            await expect(question).to_contain_text("The link brings 2 lines of BTCUSDT")
            assert not AXE.is_file() or await faults_of(page) == {}
            await question.get_by_role("button", name=answer).click()
        await same(page, levels, shown)
    await page.locator(".note").get_by_role("button", name="Take them away").click()
    await same(page, levels, [101])
    await page.evaluate("localStorage.clear()")
