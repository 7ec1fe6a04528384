"""Alerts on the page, in a real browser: what fired, and each new one once."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.fakes.alerts import alert
from tests.fakes.browser import chromium
from tests.fakes.interface import until
from tests.fakes.pages import Told, patient_browser

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One with windows: others show no notifications."""
    async with patient_browser(chromium()) as found:
        yield found


async def test_a_new_alert_is_a_note_and_counted_until_it_is_seen(told: Told) -> None:
    page, deployment, _ = told
    button, dialog = page.locator("#alerted"), page.locator("#alerts")
    await expect(button).to_be_hidden()
    deployment.tell(alert(1), alert(1), alert(2, symbol="<b>X</b>"))
    await expect(button).to_have_text("Alerts (2)")
    await expect(page.locator(".note")).to_have_text(
        ["BTCUSDT at binance: 100.5 is above 100 (trade 41)", "<b>X</b> at binance: 100.5 is above 100 (trade 42)"]
    )
    await button.click()
    await expect(dialog.locator("p")).to_have_count(2)
    await expect(dialog.locator("p").first).to_contain_text("<b>X</b> at binance")
    await expect(dialog.locator("b")).to_have_count(0)
    await expect(button).to_have_text("Alerts")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()


async def test_what_fired_before_is_there_after_a_reload_without_a_note(told: Told) -> None:
    page, deployment, _ = told
    deployment.store([alert(number) for number in range(1, 26)])
    await page.reload()
    button, dialog = page.locator("#alerted"), page.locator("#alerts")
    await expect(button).to_have_text("Alerts")
    await expect(page.locator(".note")).to_have_count(0)
    await button.click()
    await expect(dialog.locator("p")).to_have_count(20)
    await expect(dialog.locator("p").first).to_contain_text("(trade 65)")
    await expect(dialog.locator("h2")).to_contain_text("0 rules")
    deployment.tell(alert(25), alert(26))
    await expect(dialog.locator("p").first).to_contain_text("(trade 66)")
    await expect(button).to_have_text("Alerts")


SAID = """() => {
  globalThis.said = [];
  const Real = Notification;
  globalThis.Notification = class extends Real {
    constructor(title, options) {
      super(title, options);
      said.push([title, options.body, options.tag]);
    }
  };
  Object.defineProperty(document, "hidden", { configurable: true, get: () => globalThis.isAway ?? false });
}"""
"""Keeps what the browser is given to show."""


async def test_what_fires_while_the_page_is_not_looked_at_is_a_notification_on_request(told: Told) -> None:
    page, deployment, running = told
    await page.evaluate(SAID)
    deployment.tell(alert(1))
    await page.locator("#alerted").click()
    await page.locator("#notify").click()
    await expect(page.locator(".note.bad")).to_contain_text("does not let this page show notifications")
    await expect(page.locator("#notify")).to_have_attribute("aria-pressed", "false")
    await page.context.grant_permissions(["notifications"], origin=running.url)
    await page.locator("#notify").click()
    await expect(page.locator("#notify")).to_have_attribute("aria-pressed", "true")
    deployment.tell(alert(2))
    await expect(page.locator("#fired p")).to_have_count(2)
    assert await page.evaluate("said") == [], "the page is looked at"
    await page.evaluate("globalThis.isAway = true")
    deployment.tell(alert(3), alert(3))
    await until(lambda: page.evaluate("said.length > 0"))
    await page.evaluate("globalThis.isAway = false")
    deployment.tell(alert(4))
    await expect(page.locator("#fired p")).to_have_count(4)
    text = "BTCUSDT at binance: 100.5 is above 100 (trade 43)"
    assert await page.evaluate("said") == [["BTCUSDT: alert", text, alert(3).id]]
    await page.locator("#notify").click()
    await page.evaluate("globalThis.isAway = true")
    deployment.tell(alert(5))
    await page.evaluate("globalThis.isAway = false")
    await expect(page.locator("#alerted")).to_be_visible()
    assert len(await page.evaluate("said")) == 1
    await page.context.clear_permissions()
    await page.evaluate("localStorage.clear()")
