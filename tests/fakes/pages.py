"""What tests of the dashboard in a real browser share."""

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import pytest
from playwright.async_api import Browser, Error, Locator, Page, Request, expect

from tests.fakes.browser import NO_BROWSER, running_browser
from tests.fakes.deployment import ROOT
from tests.fakes.interface import Deployment, Interface

PATIENCE_MS: Final = 60_000
"""Longest wait for something that should take a second or a candle: a bound for broken runs, not a measure."""
NETWORK_CHANGED: Final = "ERR_NETWORK_CHANGED"
OPENINGS: Final = 5
DESKTOP: Final = (1440, 900)
USUAL: Final = (1280, 720)
PHONE: Final = (390, 844)
LANDSCAPE: Final = (844, 390)
SMALL: Final = (1024, 600)
SMALLEST: Final = (960, 600)
"""Of a desktop."""
AXE: Final = ROOT / ".venv-clients" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
NO_AXE: Final = "axe-core is not installed: make .venv-clients/axe/.ready"
Theme: TypeAlias = Literal["dark", "light"]
THEMES: Final[tuple[Theme, ...]] = ("dark", "light")
COLOURS: Final = ("color-contrast", "link-in-text-block")
"""Rules of axe that look at colours."""
Told: TypeAlias = tuple[Page, Deployment, Interface]
"""The page, on a hub that says what the test tells it to."""


@asynccontextmanager
async def patient_browser(executable: str | None) -> AsyncIterator[Browser]:
    """A browser whose expectations have time; the test is skipped where there is none."""
    expect.set_options(timeout=PATIENCE_MS)
    async with running_browser(executable or pytest.skip(NO_BROWSER)) as found:
        yield found


class Box(NamedTuple):
    """Where an element is, in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def right(self) -> float:
        return self.left + self.width


async def go_to(page: Page, url: str = "") -> None:
    """Opens a page, or without an address the shown one anew; again where its files were lost.

    Chromium drops what is under way when a network interface of the machine comes or goes, and other tests make some.
    """
    lost: list[str] = []

    def on_failure(request: Request) -> None:
        if NETWORK_CHANGED in (request.failure or ""):
            lost.append(request.url)

    page.on("requestfailed", on_failure)
    try:
        for again in range(OPENINGS):
            lost.clear()
            try:
                await (page.goto(url) if url and not again else page.reload())
            except Error as error:
                if NETWORK_CHANGED not in error.message:
                    raise
                lost.append(url)
            if not lost:
                return
    finally:
        page.remove_listener("requestfailed", on_failure)


async def box_of(locator: Locator) -> Box:
    """Where it is on the screen; it must be shown."""
    found = await locator.bounding_box()
    assert found is not None
    return Box(found["x"], found["y"], found["width"], found["height"])


async def resize(page: Page, size: tuple[int, int]) -> None:
    """Gives the window another size."""
    await page.set_viewport_size({"width": size[0], "height": size[1]})


async def no_notes(page: Page) -> None:
    """Takes away what the page has noted, so that what it notes next is seen."""
    await page.locator(".note").evaluate_all("(notes) => notes.forEach((note) => note.remove())")


async def changed(locator: Locator) -> tuple[str, str]:
    """Waits until a text is another one; both."""
    before = await locator.inner_text()
    await expect(locator).not_to_have_text(before)
    return before, await locator.inner_text()


async def keep(page: Page, name: str) -> None:
    """A picture of the page, for people to look at, where `SCREENSHOTS` names a folder."""
    if not (folder := os.environ.get("SCREENSHOTS")):
        return
    chosen = Path(folder)
    chosen.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=chosen / f"{name}.png", full_page=True)


async def faults_of(page: Page, theme: Theme = THEMES[0]) -> Mapping[str, list[str]]:
    """What axe finds on the page as it is: selectors of the elements by rule, with what is wrong. In the second theme
    it looks at colours alone, as nothing else differs from the first one.
    """
    if not await page.evaluate("'axe' in globalThis"):
        await page.evaluate(AXE.read_text())  # not as an element: the page's policy would refuse it
    options = {"runOnly": COLOURS} if theme != THEMES[0] else {}
    found: Any = await page.evaluate("(options) => axe.run(options)", options)
    return {
        fault["id"]: [f"{node['target']}: {node['failureSummary']}" for node in fault["nodes"]]
        for fault in found["violations"]
    }
