"""Several charts on the dashboard in a real browser, other instruments in one, and timeframes of the viewer's own."""

from typing import Any, Final

import pytest
from playwright.async_api import Page, expect

from tests.fakes.browser import LIBRARY, NO_LIBRARY
from tests.fakes.candles import BEGIN, candle, forming
from tests.fakes.interface import NOW, trade, until
from tests.fakes.pages import AXE, DESKTOP, LANDSCAPE, PHONE, THEMES, Told, box_of, faults_of, keep, resize

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),  # the browser is of one loop
    pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY),
]

MINUTES: Final = 300
SHOWN: Final = "marketflow.all.map(({ focus }) => `${focus?.symbol}/${focus?.timeframe}`)"
CURSORS: Final = "marketflow.all.map(({ chart }) => chart.cursor)"
SPANS: Final = "marketflow.all.map(({ span }) => span && [Math.round(span.from), Math.round(span.to)].join())"
COMPARED: Final = "marketflow.all.map(({ compared }) => compared.list.map(({ symbol }) => symbol).join())"
FOOTPRINT: Final = """marketflow.active.volumes.shown.footprint?.candles.find((one) => one.open_time === %d)"""
TRADED: Final = [100.0 + number for number in range(1, 41)]
"""Prices of the stored trades, one each second, of half a coin; the odd ones were bought by takers."""


async def same(page: Page, expression: str, wanted: Any) -> None:
    """Waits until the page says so."""

    async def is_same() -> bool:
        return bool(await page.evaluate(expression) == wanted)

    await until(is_same)


async def tool(page: Page, *buttons: str) -> None:
    """Clicks elements of the dialog of tools."""
    await page.locator("#tools-open").click()
    for button in buttons:
        await page.locator(button).click()
    await page.keyboard.press("Escape")


async def test_charts_are_linked_kept_and_shared(told: Told) -> None:
    page, deployment, running = told
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for timeframe, length in (("1m", 1), ("5m", 5)):
            minutes = range(-MINUTES, 10, length)
            deployment.store(
                [candle(minute, symbol=symbol, timeframe=timeframe, close=100.0 + minute % 7) for minute in minutes]
            )
    await resize(page, DESKTOP)
    await page.reload()
    await expect(page.locator("#legend-lines")).to_contain_text("EMA 20")
    await tool(page, "#charts-4")
    panes = page.locator("#panes .stage")
    await expect(panes).to_have_count(4)
    await same(page, SHOWN, ["BTCUSDT/1m", "BTCUSDT/5m", "BTCUSDT/15m", "BTCUSDT/1h"])
    await panes.nth(1).locator(".canvas").click(position={"x": 100, "y": 100})
    await expect(page.locator("#timeframes button[aria-pressed=true]")).to_have_text("5m")
    await page.keyboard.press("1")
    await page.keyboard.press("ArrowDown")
    await same(page, SHOWN, ["ETHUSDT/1m", "ETHUSDT/1m", "ETHUSDT/15m", "ETHUSDT/1h"])
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await tool(page, "#link-symbol")
    await page.keyboard.press("ArrowDown")
    await same(page, SHOWN, ["ETHUSDT/1m", "BTCUSDT/1m", "ETHUSDT/15m", "ETHUSDT/1h"])
    await same(page, "marketflow.all.slice(0, 2).every(({ chart }) => chart.candles.length > 200)", wanted=True)
    await page.mouse.move(0, 0)
    deployment.tell(forming(10, symbol="ETHUSDT", close=104.5, high=105.0, event_time=NOW + 10))
    await expect(panes.nth(0).locator("[data-part=close]")).to_have_text("104.50")
    box = await box_of(panes.nth(1).locator(".canvas"))
    await page.mouse.move(box.left + 90, box.top + 90)
    await until(lambda: page.evaluate(f"{CURSORS}[1] !== null && {CURSORS}[0] === {CURSORS}[1]"))
    await page.mouse.wheel(-300, 0)
    await until(lambda: page.evaluate(f"{SPANS}[0] === {SPANS}[1]"))
    await panes.nth(1).get_by_role("button", name="this chart alone").click()
    await expect(panes.nth(0)).to_be_hidden()
    await panes.nth(1).get_by_role("button", name="this chart alone").click()
    await look(page)
    await share(page, running.url)


async def look(page: Page) -> None:
    """Without faults in both themes and on the phone."""
    for theme in THEMES:
        await page.emulate_media(color_scheme=theme)
        await keep(page, f"four-{theme}")
        assert not AXE.is_file() or await faults_of(page, theme) == {}
    for size in (PHONE, LANDSCAPE):
        await resize(page, size)
        await keep(page, f"four-{size[0]}")
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert not AXE.is_file() or await faults_of(page) == {}
    await resize(page, DESKTOP)


async def share(page: Page, url: str) -> None:
    """The layout is kept, and a link brings it to a browser that has another one."""
    panes = page.locator("#panes .stage")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    await tool(page, "#show-tape", "#copy-link")
    link = await page.evaluate("navigator.clipboard.readText()")
    shown = await page.evaluate(SHOWN)
    await page.reload()
    await same(page, SHOWN, shown)
    await page.evaluate("localStorage.clear()")
    await page.goto("about:blank")
    await page.goto(link)
    await same(page, SHOWN, shown)
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")
    await expect(page.locator("#tape")).to_be_hidden()
    await page.locator(".note").get_by_role("button", name="Back to mine").click()
    await expect(panes).to_have_count(1)
    await expect(page.locator("#tape")).to_be_visible()
    await page.evaluate("localStorage.clear()")


async def test_others_are_compared_in_percent(told: Told) -> None:
    page, deployment, _ = told
    deployment.store([candle(minute, symbol="ETHUSDT", close=50.0 + minute / 10) for minute in range(10)])
    await page.locator("#tools-open").click()
    await page.locator("#compare-with").fill("binance:ETHUSDT")
    await page.locator("#compare-with").press("Enter")
    await page.locator("#compare-with").fill("NONE")
    await page.locator("#compare-with").press("Enter")
    await expect(page.locator(".note.bad")).to_contain_text("NONE is not recorded here")
    await page.keyboard.press("Escape")
    legend = page.locator("#legend [data-part=compared]")
    await expect(legend).to_contain_text("ETHUSDT binance +1.80%")  # from 50 to 50.9
    deployment.tell(forming(10, symbol="ETHUSDT", close=55.0, high=55.0, event_time=NOW + 10))
    await expect(legend).to_contain_text("+10.00%")
    await keep(page, "compared")
    await page.reload()
    await expect(legend).to_contain_text("+10.00%")
    await legend.get_by_role("button", name="compare no longer with ETHUSDT").press("Enter")
    await expect(legend).to_be_empty()
    await same(page, COMPARED, [""])


async def test_any_timeframe_is_made_of_the_stored_trades(told: Told) -> None:
    page = told[0]
    field = page.locator("#timeframe")
    await field.fill("10 s")
    await field.press("Enter")
    await expect(page.locator("#legend-status")).to_contain_text("00:00:40 · forming")
    await expect(page.locator("#legend-open")).to_have_text(f"{TRADED[-1]:.2f}")
    assert page.url.endswith("#binance/BTCUSDT/10s")
    bars = await page.evaluate("marketflow.candles.map(({ time, open, close, volume }) => [time, open, close, volume])")
    wanted = [TRADED[begin:end] for begin, end in ((0, 9), (9, 19), (19, 29), (29, 39), (39, 40))]
    of_wanted = [[BEGIN + index * 10_000, part[0], part[-1], len(part) / 2] for index, part in enumerate(wanted)]
    assert bars == of_wanted
    await field.fill("60s")  # one of the flow's by another name
    await field.press("Enter")
    await expect(page.locator("#timeframes button[aria-pressed=true]")).to_have_text("1m")
    await expect(field).to_have_value("")
    await field.fill("7x")
    await field.press("Enter")
    await expect(page.locator(".note.bad")).to_contain_text("7x is no timeframe")
    await page.evaluate("location.hash = '#binance/BTCUSDT/7m'")
    await expect(page.locator("#legend-open")).to_have_text(f"{TRADED[0]:.2f}")
    await expect(field).to_have_value("7m")
    await page.evaluate("localStorage.clear()")


async def test_bars_of_trades_volume_and_value_grow_and_are_of_a_link(told: Told) -> None:
    page, deployment, running = told
    field = page.locator("#timeframe")
    made = "marketflow.candles.map(({ open, close, volume, is_closed }) => [open, close, volume, is_closed])"
    fifteens = [[TRADED[at], TRADED[min(at + 14, 39)], 7.5 if at < 30 else 5.0, at < 30] for at in (0, 15, 30)]
    for text, name in (("15 trades", "15t"), ("7.5 vol", "7.5v")):
        await field.fill(text)
        await field.press("Enter")
        await expect(page.locator("#legend-status")).to_contain_text("00:00:31 · forming")
        await same(page, made, fifteens)
        assert page.url.endswith(f"#binance/BTCUSDT/{name}")
        await expect(field).to_have_value(name)
    deployment.store_trades([trade(number, BEGIN + number * 1_000) for number in range(41, 47)])
    begun = [101.0 + 45, 101.0 + 45, 0.5, False]
    await same(page, made, [*fifteens[:2], [TRADED[30], 100.0 + 45, 7.5, True], begun])  # read again by itself
    await page.goto("about:blank")
    await page.goto(f"{running.url}/#binance/BTCUSDT/$1k")
    await expect(field).to_have_value("1000q")
    await expect(page.locator("#legend-status")).to_contain_text("forming")
    values = await page.evaluate("marketflow.candles.map((bar) => bar.quote_volume)")
    assert all(value >= 1_000 for value in values[:-1])
    assert sum(values) == sum((100.0 + number) / 2 for number in range(1, 47))
    await page.get_by_role("button", name="Footprint").click()
    await expect(page.get_by_role("button", name="Footprint")).to_have_attribute(
        "title", "footprints are of candles of a length in time"
    )
    await page.get_by_role("button", name="Footprint").click()
    await page.locator("#tools-open").click()
    await page.locator("#compare-with").fill("binance:ETHUSDT")
    await page.locator("#compare-with").press("Enter")
    await expect(page.locator(".note.bad")).to_contain_text("only candles of a length in time can be compared")
    await page.keyboard.press("Escape")
    await keep(page, "bars-of-value")
    await page.evaluate("localStorage.clear()")


async def test_what_was_traded_at_each_price_is_drawn(told: Told) -> None:
    page, _, _ = told
    for name in ("Profile", "Footprint"):
        await page.get_by_role("button", name=name).click()
    await same(page, "marketflow.active.volumes.shown.profile?.trades", len(TRADED))
    await expect(page.get_by_role("button", name="Footprint")).to_have_attribute(
        "title", "zoom in until candles have room for figures"
    )
    await page.evaluate("marketflow.canvas.candleWidth = 60")
    await page.evaluate(f"marketflow.active.chart.showTime({BEGIN})")
    await same(page, f"({FOOTPRINT % BEGIN})?.volume", len(TRADED) / 2)
    found = await page.evaluate(FOOTPRINT % BEGIN)
    for side, parity in (("bid", 0), ("ask", 1)):
        traded = sum(0.5 for number in range(1, 41) if number % 2 == parity)
        assert sum(level[side] for level in found["levels"]) == traded
    await keep(page, "footprint")
    await page.get_by_role("button", name="Footprint").click()
    await same(page, "marketflow.active.volumes.shown.footprint", None)
    await page.evaluate("localStorage.clear()")
