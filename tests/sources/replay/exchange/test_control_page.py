"""The page of the control endpoint in a browser: what it shows, what its buttons order, by mouse and by keyboard."""

import pytest
from playwright.async_api import Page, expect
from websockets.asyncio.client import connect

from sources.replay.accounts.keys import DEMO_KEY, DEMO_SECRET
from sources.replay.exchange.server import running_exchange
from sources.replay.market.lives import Life
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.browser import NO_BROWSER, headless_chromium, running_browser
from tests.fakes.scripted_market import BEGIN_MS

pytestmark = pytest.mark.e2e
PATIENCE_MS = 60_000


async def test_what_it_shows_and_what_its_buttons_do() -> None:
    executable = headless_chromium() or pytest.skip(NO_BROWSER)
    expect.set_options(timeout=PATIENCE_MS)
    lives = {"NEWUSDT": Life(is_listed=False)}
    market = SyntheticMarket("spot", ["BTCUSDT", "NEWUSDT"], seed=1, start_ms=BEGIN_MS, lives=lives)
    complaints: list[str] = []
    async with (
        running_exchange(market, speed=1.0, paused=True) as exchange,
        connect(exchange.ws_url + "/stream?streams=btcusdt@trade/%3Cb%3Ex"),
        running_browser(executable) as browser,
    ):
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(exchange.rest_url + "/control")

        clients = page.locator("#clients tbody tr")
        await expect(clients.locator("td").nth(2)).to_have_text("btcusdt@trade <b>x")
        await expect(page.locator("#market")).to_contain_text("paused")
        await page.get_by_role("button", name="Resume", exact=True).press("Enter")
        await expect(page.get_by_role("button", name="Pause", exact=True)).to_be_focused()
        await expect(page.locator("#market")).to_contain_text("playing")

        await change_the_speed(page)

        # A fault, by the keyboard alone.
        summary = page.locator("summary", has_text="wrong_id")
        await summary.press("Enter")
        form = page.locator("details", has=summary).locator("form")
        await form.get_by_role("button", name="As in the example").press("Space")
        await form.get_by_label("count").fill("3")
        await form.get_by_label("count").press("Enter")
        await expect(page.locator("#faults tbody tr td")).to_have_text(
            [
                "wrong_id",
                "3",
                '{"stream":"btcusdt@aggTrade","after":0,"count":3,"insert":false,"fields":["a","f","l"],"by":9007199254740992}',
            ]
        )
        await page.get_by_role("button", name="End all faults").click()
        await expect(page.locator("#faults .none")).to_be_visible()

        await form.get_by_label("by (needed)").fill("much")
        await form.get_by_label("by (needed)").press("Enter")
        await expect(page.get_by_role("status")).to_have_text("by: much is no integer")

        await move_an_account(page)

        await page.get_by_label("after seconds").fill("3600")
        await page.get_by_role("button", name="list NEWUSDT", exact=True).click()
        await expect(page.locator("#symbols tbody tr", has_text="NEWUSDT")).to_contain_text("trading in 00:59")
        await page.get_by_role("button", name="drop client 1").click()
        await expect(clients).to_have_count(0)
        assert exchange.clients == 0

        # An exchange without accounts lists no orders of them.
        await page.route("**/control/orders", lambda route: route.fulfill(json=[]))
        await page.reload()
        await expect(page.locator("#market")).to_contain_text("playing")
        await expect(page.locator("#accounts")).to_be_hidden()
    assert complaints == []


async def change_the_speed(page: Page) -> None:
    speed = page.get_by_label("seconds of market time a second")
    await expect(speed).to_have_attribute("placeholder", "1")
    await speed.fill("2.5")
    await speed.press("Enter")
    await expect(page.locator("#market")).to_contain_text("2.5 s of market time a second")
    await expect(speed).to_have_attribute("placeholder", "2.5")
    await speed.fill("fast")
    await page.get_by_role("button", name="Change speed").click()
    await expect(page.get_by_role("status")).to_have_text("fast is no number")
    await speed.fill("")


async def move_an_account(page: Page) -> None:
    accounts = page.locator("#accounts tbody tr")
    await expect(accounts.locator("td").nth(1)).to_contain_text("100000.00000000 USDT, 1.00000000 BTC")
    await expect(accounts.locator("td").nth(2)).to_contain_text(f"hmac {DEMO_KEY}")
    summary = page.locator("summary", has_text="Spot: locks")
    await summary.click()
    form = page.locator("details", has=summary).locator("form")
    await form.get_by_label("asset (needed)").fill("BTC")
    await form.get_by_label("amount (needed)").fill("0.12345678")
    await form.get_by_role("button", name="Order lock").click()
    await expect(page.get_by_role("status")).to_have_text("lock is ordered")
    await expect(accounts.locator("td").nth(1)).to_contain_text("0.87654322 and 0.12345678 locked BTC")
    assert DEMO_SECRET not in await page.content()
