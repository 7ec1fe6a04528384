"""The dashboard's list of symbols in a real browser: to choose, add and remove by pointer, finger and keys."""

import json
from typing import Any, Final

import pytest
from playwright.async_api import Page, Route, expect

from flows.model import FeedStatus, MarketData
from tests.fakes.interface import BOOK, NOW, Interface, price, until
from tests.fakes.pages import DESKTOP, PHONE, SMALL, Told, box_of, no_notes, resize

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

FINGER: Final = 40
"""Least pixels of what a finger must hit."""
LONG_NAME: Final = "1000PEPEUSDT_260327"


async def wanted(running: Interface, symbol: str) -> Any:
    """The last request for a symbol."""
    states = await running.data("/api/symbols")
    return next((state["wanted"] for state in states if state["symbol"] == symbol), None)


async def press_remove(page: Page, symbol: str) -> None:
    """On the row's cross."""
    row = page.locator(f"#prices li[data-symbol={symbol}]")
    await row.hover()
    await row.locator(".remove").click()


async def test_nothing_is_removed_without_a_yes(told: Told) -> None:
    page, _, running = told
    for answer in ("Escape", "Cancel"):
        await press_remove(page, "ETHUSDT")
        await expect(page.locator("#question")).to_contain_text("Stop recording ETHUSDT?")
        await expect(page.locator("#question")).to_contain_text("for everybody")
        if answer == "Escape":
            await page.keyboard.press(answer)
        else:
            await page.locator("#question button", has_text=answer).click()
        await expect(page.locator("#question")).to_be_hidden()
    assert await wanted(running, "ETHUSDT") is None
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")


async def test_a_removal_can_be_undone_with_the_streams_it_had(told: Told) -> None:
    page, _, running = told
    streams = {"symbol": "ETHUSDT", "streams": ["aggTrade", "kline_1m"]}
    assert (await running.ask("POST", "/api/symbols", json=streams))[0] == 202 or await wanted(running, "ETHUSDT")
    await press_remove(page, "ETHUSDT")
    await page.locator("#question-yes").click()
    await expect(page.locator(".note")).to_contain_text("ETHUSDT is no longer recorded")
    assert await wanted(running, "ETHUSDT") is False
    await page.locator(".note button").click()

    async def is_back() -> bool:
        states = await running.data("/api/symbols")
        found = next(state for state in states if state["symbol"] == "ETHUSDT")
        return bool(found["wanted"]) and found["streams"] == streams["streams"]

    await until(is_back)
    await expect(page.locator("#prices li[data-symbol=ETHUSDT]")).to_be_visible()


async def test_the_shown_symbol_gives_way_when_it_is_removed(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(BOOK)
    await expect(page.locator("#bids .level span").first).not_to_be_empty()
    deployment.tell(FeedStatus("binance", "", "removed", ("BTCUSDT",)))
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await expect(page.locator("#prices li")).to_have_count(1)
    await expect(page.locator(".note")).to_contain_text("BTCUSDT is no longer recorded")
    await expect(page.locator("#price")).to_have_text("50.00")
    await expect(page.locator("#book-state")).not_to_be_empty()
    assert page.url.endswith("#binance/ETHUSDT/1m")


async def test_after_the_last_one_the_page_says_what_to_do_and_keys_do_no_harm(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(FeedStatus("binance", "", "removed", ("BTCUSDT", "ETHUSDT")))
    await expect(page.locator("#empty")).to_contain_text("No symbol is recorded yet")
    await expect(page.locator("#empty")).to_contain_text("Add one below")
    await expect(page.locator("#legend")).to_be_hidden()
    await expect(page.locator("#symbol")).to_have_text("\N{EN DASH}")
    for key in ("ArrowDown", "ArrowUp", "1", "End"):
        await page.keyboard.press(key)
    await page.keyboard.press("/")
    await page.keyboard.type("solusdt\n")
    await expect(page.locator("#symbol")).to_have_text("SOLUSDT")
    await expect(page.locator("#empty")).to_be_hidden()
    deployment.tell(price(20.0, "SOLUSDT"))
    await expect(page.locator("#price")).to_have_text("20.00")


async def test_a_list_that_cannot_be_read_says_so_in_plain_words(told: Told) -> None:
    page, _, _ = told
    await page.route("**/api/**", lambda route: route.abort())
    await page.reload()
    await expect(page.locator("#empty")).to_contain_text("marketflow does not answer. Is it running?")
    assert "fetch" not in await page.locator("body").inner_text()
    await page.unroute_all(behavior="wait")
    await expect(page.locator("#empty")).to_be_hidden()
    await expect(page.locator("#symbol")).to_have_text("BTCUSDT")


async def test_what_is_for_operators_is_not_shown_to_the_viewer(told: Told) -> None:
    page, _, _ = told
    for code in ("store_unavailable", "internal", "no_data", "trade_store_absent", "unreadable_data"):
        await is_said_in_plain_words(page, code)
        await no_notes(page)


async def is_said_in_plain_words(page: Page, code: str) -> None:
    """The interface refuses with this code, and words for operators."""
    error = {"code": code, "message": "ask /api/chart to fetch them", "request_id": "x"}
    body = json.dumps({"success": False, "data": None, "error": error})

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, body=body, content_type="application/json")

    await page.route("**/api/market-data/refresh/**", refuse)
    await page.locator("#refresh").click()
    await expect(page.locator(".note.bad")).to_be_visible()
    assert "/api/" not in await page.locator(".note.bad").inner_text()
    assert await page.locator(".note.bad").get_attribute("title") == error["message"]
    await page.unroute_all(behavior="wait")


async def test_the_list_is_reached_and_used_by_keys_alone(told: Told) -> None:
    page, _, running = told
    row = page.locator("#prices li[data-symbol=BTCUSDT] a")
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await row.evaluate("(row) => row === document.activeElement"):
            break
    await expect(row).to_be_focused()
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await expect(page.locator("#prices li[data-symbol=ETHUSDT] a")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.locator("#prices li[data-symbol=ETHUSDT] .into")).to_be_focused()
    await page.keyboard.press("Tab")
    await expect(page.locator("#prices li[data-symbol=ETHUSDT] .remove")).to_be_focused()
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Delete")
    await expect(page.locator("#question")).to_contain_text("ETHUSDT")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await until(lambda: is_unwanted(running, "ETHUSDT"))


async def is_unwanted(running: Interface, symbol: str) -> bool:
    """Whether it was removed."""
    return await wanted(running, symbol) is False


async def test_a_finger_hits_what_it_points_at(told: Told) -> None:
    page, _, _ = told
    await resize(page, PHONE)
    cross = page.locator("#prices li:has([aria-current]) .remove")
    targets = [cross, page.locator("#prices li a").first, page.locator("#theme"), page.locator("#light"),
               page.locator("#add button"), page.locator("#timeframes button").first]  # fmt: skip
    for target in targets:
        box = await box_of(target)
        assert min(box.width, box.height) >= FINGER, await target.evaluate("(one) => one.outerHTML")
    price_box, cross_box = await box_of(page.locator("#prices li:has([aria-current]) .change")), await box_of(cross)
    assert cross_box.left >= price_box.right, "it covers no figure"
    await cross.click()
    yes = await box_of(page.locator("#question-yes"))
    assert min(yes.width, yes.height) >= FINGER
    await page.keyboard.press("Escape")


async def test_names_and_figures_of_the_list_are_whole(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(price(0.00001234, LONG_NAME), price(98_765.43, "SOLUSDT"))
    for size in (PHONE, SMALL, DESKTOP):
        await resize(page, size)
        await are_whole(page, LONG_NAME, "SOLUSDT")


async def are_whole(page: Page, *symbols: str) -> None:
    """Nothing of the lines of these is cut off, and nothing covers another."""
    for symbol in symbols:
        row = page.locator(f"#prices li[data-symbol='{symbol}']")
        await expect(row.locator(".price")).not_to_have_text("…")
        for part in (".name", ".price", ".change"):
            cut = await row.locator(part).evaluate("(one) => one.scrollWidth - one.clientWidth")
            assert cut <= 0, (symbol, part)
        name, figure, box = [await box_of(row.locator(part)) for part in (".name", ".price", "a")]
        assert name.right <= figure.left or name.bottom <= figure.top
        assert figure.right <= box.right


async def test_the_search_finds_what_any_venue_lists(told: Told) -> None:
    page, _, running = told
    found = page.locator("#found li")
    await page.keyboard.press("/")
    await page.keyboard.type("eth")
    await expect(found).to_have_count(1)
    await expect(found).to_contain_text("ETHUSDTbinancerecorded")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await expect(found).to_have_count(0)
    await page.keyboard.press("/")
    await page.keyboard.type("sol/u")
    await expect(found).to_contain_text("SOLUSDTbinanceadd")
    await page.keyboard.press("Escape")
    await expect(found).to_have_count(0)
    await page.locator("#add-symbol").fill("btc")
    await expect(found.locator("b")).to_have_text(["BTCUSDT", "BTCEUR"])
    await found.nth(1).click()
    await expect(page.locator("#prices li[data-symbol=BTCEUR]")).to_be_visible()
    await until(lambda: is_wanted(running, "BTCEUR"))


async def is_wanted(running: Interface, symbol: str) -> bool:
    """Whether it was added."""
    return await wanted(running, symbol) is True


async def test_the_list_is_in_the_viewers_order_and_stars_come_first(told: Told) -> None:
    page, deployment, _ = told
    names = page.locator("#prices li")
    symbols = "(all) => all.map((row) => row.dataset.symbol)"

    async def order(*wanted: str) -> None:
        await until(lambda: are(list(wanted)))

    async def are(wanted: list[str]) -> bool:
        return bool(await names.evaluate_all(symbols) == wanted)

    figures = {"BTCUSDT": (1.0, 10.0), "ETHUSDT": (-2.0, 900.0), "SOLUSDT": (5.0, 20.0)}
    for symbol, (share, volume) in figures.items():
        deployment.tell(MarketData("binance", symbol, 100.0, NOW + 1, share, share, volume))
    await order("BTCUSDT", "ETHUSDT", "SOLUSDT")
    await page.locator("#columns [data-column=change]").click()
    await order("SOLUSDT", "BTCUSDT", "ETHUSDT")
    await page.locator("#setup-open").click()
    await page.locator("#sort").select_option("volume")
    await page.keyboard.press("Escape")
    await order("ETHUSDT", "SOLUSDT", "BTCUSDT")
    row = page.locator("#prices li[data-symbol=BTCUSDT]")
    await row.hover()
    await row.locator(".star").click()
    await order("BTCUSDT", "ETHUSDT", "SOLUSDT")
    await page.locator("#starred").click()
    await expect(page.locator("#prices li:visible")).to_have_count(1)
    await page.reload()
    await order("BTCUSDT", "ETHUSDT", "SOLUSDT")
    await expect(page.locator("#prices li.starred")).to_have_attribute("data-symbol", "BTCUSDT")
    deployment.tell(MarketData("binance", "SOLUSDT", 100.0, NOW + 2, 5.0, 5.0, 9_000.0))
    await order("BTCUSDT", "SOLUSDT", "ETHUSDT")
    await page.evaluate("localStorage.clear()")
