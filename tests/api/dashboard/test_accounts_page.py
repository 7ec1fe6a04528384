"""The panel of accounts in a real browser: what the owner sees, and that nobody else sees anything."""

from decimal import Decimal

import pytest
from msgspec.structs import replace
from playwright.async_api import expect

from flows.model import AccountRecord
from tests.fakes.accounts import BALANCE, POSITION, STATE, TOTAL
from tests.fakes.browser import NO_BROWSER, headless_chromium, running_browser
from tests.fakes.interface import NOW, Deployment, fill, interface

pytestmark = pytest.mark.e2e

PATIENCE_MS = 60_000
USDT = replace(
    BALANCE, asset="USDT", free=Decimal("12500.25"), locked=Decimal(0), total=Decimal("12500.25"),
    value=Decimal("12500.25"), quote="USDT",
)  # fmt: skip
LONG = replace(
    POSITION, symbol="ETHUSDT", side="LONG", quantity=Decimal("2.500"), unrealised_pnl=Decimal("31.25"),
    entry_price=Decimal("3012.40"), mark_price=Decimal("3024.90"), liquidation_price=Decimal("2411.07"),
)  # fmt: skip


SELDOM = replace(
    BALANCE, asset="ABC", free=Decimal(4), locked=Decimal(0), total=Decimal(4), value=Decimal(20), quote="USDT",
    is_computed=True, price_time=NOW - 2 * 3_600_000,
)  # fmt: skip


def totals() -> list[AccountRecord]:
    """Half an hour of totals that go up and down."""
    return [
        replace(
            TOTAL, time=NOW - NOW % 60_000 - 60_000 * minute, total=Decimal(12_000 + (minute * 37) % 200 - 5 * minute)
        )
        for minute in range(30)
    ]


@pytest.mark.skipif(headless_chromium() is None, reason=NO_BROWSER)
async def test_the_owner_sees_accounts_and_nobody_else_does(deployment: Deployment) -> None:
    deployment.tokens = {"token": "market", "account_token": "own"}
    fill(deployment)
    state = replace(STATE, since=NOW, event_time=NOW)
    deployment.store(totals())
    async with (
        deployment.beating(),
        interface(deployment) as running,
        running_browser(str(headless_chromium())) as browser,
    ):
        deployment.tell(state, USDT, BALANCE, POSITION, LONG)
        for token, size in (("market", (1440, 900)), ("own", (1440, 900)), ("own", (390, 844))):
            page = await browser.new_page(viewport={"width": size[0], "height": size[1]})
            await page.add_init_script(f"sessionStorage.setItem('marketflow.token', '{token}')")
            await page.goto(running.url)
            panel = page.locator("#accounts")
            if token == "market":
                await expect(page.locator("#unlock")).to_be_visible(timeout=PATIENCE_MS)
                await expect(page.locator("#prices")).to_contain_text("100.00", timeout=PATIENCE_MS)
                await expect(panel).to_be_hidden()
                assert "quietlabel" not in await page.content()
                await page.close()
                continue
            await expect(panel).to_be_visible(timeout=PATIENCE_MS)
            await expect(page.locator("#unlock")).to_be_hidden()
            await expect(page.locator("#account-rows .state")).to_contain_text("live")
            await expect(page.locator("#account-rows")).to_contain_text("12,500.25 USDT")
            rows = page.locator("#position-rows tr")
            await expect(rows).to_have_count(2)
            await expect(rows.nth(1)).to_contain_text("+31.25")
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0
            if size[0] > 1000:
                await page.locator("#quote").select_option("BTC")  # which is at 100 USDT
                await expect(page.locator("#account-rows")).to_contain_text("125.00 BTC")
                await page.reload()
                await expect(page.locator("#account-rows")).to_contain_text("125.00 BTC", timeout=PATIENCE_MS)
                await expect(page.locator("#quote")).to_have_value("BTC")
                await page.locator("#quote").select_option("USDT")
                deployment.tell(SELDOM)
                for place in ("#account-rows", "#balance-rows tr:first-child"):
                    await expect(page.locator(f"{place} td.old")).to_contain_text("price 2 h old")
                deployment.tell(replace(SELDOM, price_time=NOW - 60_000))
                await expect(page.locator("#accounts td.old")).to_have_count(0)
                deployment.tell(replace(SELDOM, total=Decimal(0)))
                deployment.tell(replace(LONG, quantity=Decimal(0)))
                await expect(rows).to_have_count(1)
                deployment.tell(LONG)
                await expect(rows).to_have_count(2)
            else:
                await deployment.stop_hub()
                await expect(page.locator("#account-rows tr")).to_have_class("old", timeout=PATIENCE_MS)
                await expect(page.locator("#account-rows .state")).to_contain_text("unknown for")
            await page.close()
