"""The dashboard's list as the viewer wants it, in a real browser: columns, order, groups, and 2,000 symbols."""

import re
from itertools import pairwise
from typing import Any, Final

import pytest
from playwright.async_api import Locator, Page, expect

from flows.model import BookTicker, FeedStatus, FundingState, MarketData
from tests.fakes.interface import LIVE, NOW, Deployment, state, until
from tests.fakes.pages import (
    AXE,
    DESKTOP,
    LANDSCAPE,
    PHONE,
    SMALL,
    THEMES,
    Told,
    box_of,
    faults_of,
    go_to,
    keep,
    resize,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

MANY: Final = 2_000
MOST_LINES: Final = 100
"""Lines that are made for one window, whatever the list has."""
SYMBOLS: Final = "(lines) => lines.map((line) => line.dataset.symbol)"
LINES: Final = "#prices li"
WIDE: Final = 80
"""Pixels behind the figures of a line, at most: the longest ones fit, and the button stands at the name."""


async def are(page: Page, *wanted: str) -> None:
    """Waits until the lines are these, in this order."""

    async def found() -> bool:
        return bool(await page.locator(LINES).evaluate_all(SYMBOLS) == list(wanted))

    await until(found)


def figures(deployment: Deployment) -> None:
    """Three instruments that differ in every column."""
    deployment.tell(FeedStatus("binance", "market", "live", ("BTCUSDT", "ETHUSDT", "SOLUSDT")))
    for symbol, cost, share, volume, gap, rate in (
        ("BTCUSDT", 100.0, 1.0, 10.0, 0.02, 0.0001),
        ("ETHUSDT", 50.0, -2.0, 900.0, 0.05, -0.0002),
        ("SOLUSDT", 20.0, 5.0, 20.0, 0.001, 0.0003),
    ):
        deployment.tell(
            MarketData("binance", symbol, cost, NOW + 1, share, share, volume),
            BookTicker(symbol, 1, cost - gap / 2, 1.0, cost + gap / 2, 1.0, NOW),
            FundingState("binance", symbol, NOW, rate, NOW + 3_600_000, 8, 0.02, -0.02, None),
            state("silent" if symbol == "ETHUSDT" else "live", symbol=symbol),
        )


async def test_columns_are_chosen_shown_and_sorted_by(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    figures(deployment)
    async with deployment.beating():
        await page.locator("#setup-open").click()
        for column in ("volume", "spread", "funding", "signal", "state"):
            await page.locator(f"#chosen-columns input[value={column}]").check()
        await page.keyboard.press("Escape")
        row = page.locator(f"{LINES}[data-symbol=ETHUSDT]")
        for column, text in (
            ("price", "50.00"),
            ("change", "-2.00%"),
            ("volume", "45.00K"),
            ("spread", "0.100%"),
            ("funding", "-0.0200%"),
            ("state", "silent"),
            ("signal", "neutral"),
        ):
            await expect(row.locator(f".{column}")).to_contain_text(text)
        for column, falling in {
            "price": ("BTCUSDT", "ETHUSDT", "SOLUSDT"),
            "change": ("SOLUSDT", "BTCUSDT", "ETHUSDT"),
            "volume": ("ETHUSDT", "BTCUSDT", "SOLUSDT"),
            "spread": ("BTCUSDT", "ETHUSDT", "SOLUSDT"),  # one with a book has the spread of it
            "funding": ("SOLUSDT", "BTCUSDT", "ETHUSDT"),
            "state": ("ETHUSDT", "BTCUSDT", "SOLUSDT"),
        }.items():
            head = page.locator(f"#columns [data-column={column}]")
            await head.click()
            await expect(head).to_have_attribute("aria-label", re.compile("now falling"))
            await are(page, *falling)
        await expect(page.locator(f"{LINES}[data-symbol=BTCUSDT] .spread")).to_contain_text("1.000%")
        await page.locator("#columns [data-column=name]").click()
        await page.locator("#columns [data-column=name]").click()
        await are(page, "SOLUSDT", "ETHUSDT", "BTCUSDT")
        await go_to(page)
        await are(page, "SOLUSDT", "ETHUSDT", "BTCUSDT")
        await expect(page.locator("#columns [data-column]")).to_have_count(8)
        for size in (DESKTOP, SMALL, PHONE):
            await resize(page, size)
            assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]
            for theme in THEMES if AXE.is_file() else ():
                await page.emulate_media(color_scheme=theme)
                assert await faults_of(page, theme) == {}, (theme, size)
    await page.evaluate("localStorage.clear()")


async def test_groups_are_the_viewers_alone(told: Told) -> None:
    page, deployment, running = told
    figures(deployment)
    await expect(page.locator(f"{LINES}[data-symbol=SOLUSDT]")).to_be_visible()
    before = await running.data("/api/symbols")
    row = page.locator(f"{LINES}[data-symbol=SOLUSDT]")
    await row.hover()
    await row.locator(".into").click()
    await page.locator("#new-membership").fill("Fast")
    await page.keyboard.press("Enter")
    await expect(page.locator("#memberships input")).to_be_checked()
    await page.locator("#new-membership").fill("FAST")
    await page.keyboard.press("Enter")
    await expect(page.locator(".note.bad")).to_contain_text("there is a group FAST already")
    await page.keyboard.press("Escape")
    await page.locator("#group").select_option("group:Fast")
    await are(page, "SOLUSDT")
    await page.locator("#setup-open").click()
    await page.locator("#new-group").fill("Slow")
    await page.keyboard.press("Enter")
    field = page.locator("#groups input").first
    await field.fill("Quick <b>")
    await field.press("Tab")
    await page.keyboard.press("Escape")
    await expect(page.locator("#group")).to_have_value("group:Quick <b>")
    await go_to(page)
    await are(page, "SOLUSDT")
    await row.hover()
    await row.locator(".into").click()
    await page.locator("#memberships li", has_text="Slow").locator("input").check()
    await page.locator("#memberships li", has_text="Quick").locator("input").uncheck()
    await page.keyboard.press("Escape")
    await expect(page.locator("#none-shown")).to_be_visible()
    await page.locator("#group").select_option("group:Slow")
    await are(page, "SOLUSDT")
    await page.locator("#setup-open").click()
    await page.locator("#groups [aria-label='Delete the group Slow']").click()
    await page.keyboard.press("Escape")
    await are(page, "BTCUSDT", "ETHUSDT", "SOLUSDT")
    await page.locator(".note button", has_text="Undo").click()
    await page.locator("#group").select_option("group:Slow")
    await are(page, "SOLUSDT")
    assert await running.data("/api/symbols") == before
    await row.locator("a").click()
    await expect(page.locator("#symbol")).to_have_text("SOLUSDT")
    deployment.tell(FeedStatus("binance", "", "removed", ("SOLUSDT",)))
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")
    await expect(page.locator(LINES)).to_have_count(0)
    await page.evaluate("localStorage.clear()")


async def test_lines_are_dragged_into_groups_and_to_places_and_moved_by_keys(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    figures(deployment)
    await page.locator("#setup-open").click()
    await page.locator("#new-group").fill("Fast")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    row = {symbol: page.locator(f"{LINES}[data-symbol={symbol}]") for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")}
    await are(page, *row)
    target = page.locator("#drop-groups [data-group=Fast]")
    for symbol in ("SOLUSDT", "BTCUSDT", "ETHUSDT"):
        await hold(page, row[symbol])
        await over(page, target)
        await page.mouse.up()
        await expect(page.locator(".note", has_text=f"{symbol} is in Fast")).to_be_visible()
    await hold(page, row["BTCUSDT"])
    await over(page, target)
    await page.keyboard.press("Escape")  # nothing is done
    await page.mouse.up()
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")
    await page.locator("#group").select_option("group:Fast")
    await are(page, "BTCUSDT", "ETHUSDT", "SOLUSDT")  # still by name
    await hold(page, row["SOLUSDT"])
    await over(page, row["BTCUSDT"], 0.2)
    await page.mouse.up()
    await are(page, "SOLUSDT", "BTCUSDT", "ETHUSDT")
    await hold(page, row["SOLUSDT"])
    await over(page, row["BTCUSDT"], 0.8)
    await page.mouse.up()
    await are(page, "BTCUSDT", "SOLUSDT", "ETHUSDT")
    await row["BTCUSDT"].locator("a").focus()
    await page.keyboard.press("Alt+ArrowDown")
    await page.keyboard.press("Alt+ArrowDown")
    await page.keyboard.press("Alt+ArrowDown")  # it is the last one
    await are(page, "SOLUSDT", "ETHUSDT", "BTCUSDT")
    await expect(row["BTCUSDT"].locator("a")).to_be_focused()
    assert page.url.endswith("#binance/BTCUSDT/1m"), "no link was followed"
    await go_to(page)
    await are(page, "SOLUSDT", "ETHUSDT", "BTCUSDT")
    await hold(page, row["SOLUSDT"])
    await over(page, page.locator("#drop-groups .more"))
    await page.mouse.up()
    await page.locator("#new-membership").fill("Slow")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await page.locator("#group").select_option("group:Slow")
    await are(page, "SOLUSDT")
    await page.evaluate("localStorage.clear()")


async def test_a_finger_that_rests_on_a_line_drags_it(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, PHONE)
    figures(deployment)
    row = {symbol: page.locator(f"{LINES}[data-symbol={symbol}]") for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT")}
    await are(page, *row)
    session = await page.context.new_cdp_session(page)

    async def touch(kind: str, *targets: Locator) -> None:
        boxes = [await box_of(target) for target in targets]
        points = [{"x": box.left + 30, "y": box.top + box.height / 2} for box in boxes]
        await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    groups = page.locator("#drop-groups")
    await touch("touchStart", row["ETHUSDT"])
    await expect(groups).to_be_visible()
    await touch("touchEnd")
    await expect(page.locator("#member")).to_have_text("ETHUSDT")  # it only rested
    await page.locator("#new-membership").fill("Fast")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await touch("touchStart", row["BTCUSDT"])
    await expect(groups).to_be_visible()
    await touch("touchMove", groups.locator("[data-group=Fast]"))
    await touch("touchEnd")
    await expect(page.locator(".note", has_text="BTCUSDT is in Fast")).to_be_visible()
    await page.locator("#group").select_option("group:Fast")
    await are(page, "BTCUSDT", "ETHUSDT")
    await touch("touchStart", row["ETHUSDT"])
    await expect(groups).to_be_visible()
    await touch("touchMove", row["BTCUSDT"])
    await touch("touchEnd")
    await are(page, "ETHUSDT", "BTCUSDT")
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")  # no link was followed
    await page.evaluate("localStorage.clear()")


async def hold(page: Page, line: Locator) -> None:
    """Presses the pointer on a line, and moves it a little."""
    box = await box_of(line)
    await page.mouse.move(box.left + 60, box.top + box.height / 2)
    await page.mouse.down()
    await page.mouse.move(box.left + 60, box.top + box.height / 2 + 8, steps=2)


async def over(page: Page, target: Locator, height: float = 0.5) -> None:
    """Moves the pressed pointer over something, to such a share of its height."""
    box = await box_of(target)
    await page.mouse.move(box.left + 60, box.top + box.height * height, steps=3)


async def test_the_strip_of_a_phone_has_the_chosen_columns(told: Told) -> None:
    page, deployment, _ = told
    figures(deployment)
    await resize(page, PHONE)
    await page.locator("#tools-open").click()
    await page.get_by_role("button", name="Columns").click()
    for column in ("spread", "funding"):
        await page.locator(f"#chosen-columns input[value={column}]").check()
    await page.locator("#chosen-columns input[value=change]").uncheck()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Escape")
    row = page.locator(f"{LINES}[data-symbol=ETHUSDT]")
    await expect(row.locator(".spread")).to_contain_text("0.100%")
    await expect(row.locator(".change")).to_have_count(0)
    for size in (PHONE, LANDSCAPE):
        await resize(page, size)
        boxes = [await box_of(row.locator(part)) for part in (".price", ".spread", ".funding")]
        assert all(one.right <= other.left for one, other in pairwise(boxes))
        assert boxes[-1].right <= (await box_of(row)).right
        chosen = page.locator(f"{LINES}:has([aria-current])")
        assert (await box_of(chosen)).right - (await box_of(chosen.locator(".funding"))).right < WIDE
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await keep(page, f"strip-{size[0]}-{theme}")
            assert not AXE.is_file() or await faults_of(page, theme) == {}
    await page.evaluate("localStorage.clear()")


async def test_of_two_thousand_only_those_in_view_are_made_and_all_are_reached_by_keys(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    names = [f"C{number:04d}USDT" for number in range(MANY)]
    deployment.tell(LIVE, FeedStatus("binance", "market", "live", (*LIVE.symbols, *names)))
    deployment.tell(*(MarketData("binance", symbol, 100.0 + place, NOW + 1) for place, symbol in enumerate(names)))
    lines = page.locator(LINES)
    await expect(page.locator("#group option").first).to_have_text(f"All ({MANY + 2})")
    await expect(lines.first).to_have_attribute("aria-setsize", str(MANY + 2))
    assert await lines.count() < MOST_LINES
    await page.locator("#list").evaluate("(list) => list.scrollTo(0, list.scrollHeight)")
    last = page.locator(f"{LINES}[data-symbol={names[-1]}]")
    await expect(last.locator(".price")).to_have_text("2,099.00")
    assert await lines.count() < MOST_LINES
    await ordered(page)
    deployment.tell(MarketData("binance", names[-1], 7.5, NOW + 2))
    await expect(last.locator(".price")).to_have_text("7.50")
    await last.locator("a").click()
    await expect(page.locator("#symbol")).to_have_text(names[-1])
    for symbol in ("ETHUSDT", "BTCUSDT"):
        await page.keyboard.press("ArrowDown")
        await expect(page.locator("#symbol")).to_have_text(symbol)
    chosen = page.locator(f"{LINES} [aria-current]")
    await expect(chosen).to_be_focused()
    await expect(chosen).to_be_in_viewport()
    await page.locator("#list").evaluate("(list) => list.scrollTo(0, list.scrollHeight / 2)")
    await expect(chosen).to_be_focused()
    await ordered(page)


async def test_the_chosen_line_is_shown_again_until_the_viewer_scrolls(told: Told) -> None:
    page, deployment, _ = told
    await resize(page, DESKTOP)
    names = [f"D{number:03d}USDT" for number in range(300)]
    deployment.tell(LIVE, FeedStatus("binance", "market", "live", (*LIVE.symbols, *names)))
    deployment.tell(*(MarketData("binance", symbol, 100.0, NOW + 1) for symbol in names))
    await expect(page.locator("#group option").first).to_have_text(f"All ({300 + 2})")
    await page.evaluate("(hash) => { location.hash = hash; }", f"#{names[-1]}/1m")
    chosen = page.locator(f"{LINES}[data-symbol={names[-1]}]")
    await expect(chosen).to_be_in_viewport()
    before = [f"A{number:03d}USDT" for number in range(100)]
    deployment.tell(*(MarketData("binance", symbol, 100.0, NOW + 1) for symbol in before))
    await expect(chosen).to_have_attribute("aria-posinset", "401")
    await expect(chosen).to_be_in_viewport()
    # the event of this scrolling comes after the next order of the list
    top = await page.locator("#list").evaluate("(list) => (list.scrollTo(0, 200), list.scrollTop)")
    more = [f"B{number:03d}USDT" for number in range(50)]
    deployment.tell(*(MarketData("binance", symbol, 100.0, NOW + 1) for symbol in more))
    await expect(chosen).to_have_attribute("aria-posinset", "451")
    await expect(chosen).not_to_be_in_viewport()
    assert await page.locator("#list").evaluate("(list) => list.scrollTop") == top
    await resize(page, PHONE)
    await expect(chosen).to_be_in_viewport()
    assert not AXE.is_file() or await faults_of(page) == {}, "links that are scrolled out of view are no skip links"


async def ordered(page: Page) -> None:
    """Waits until the document has the lines in the order in which they are seen."""

    async def found() -> bool:
        numbers: Any = await page.locator(LINES).evaluate_all("(all) => all.map((one) => Number(one.ariaPosInSet))")
        return bool(numbers == sorted(numbers))

    await until(found)
