"""The page in a real browser, on a real deployment: what a user sees, chooses and goes through."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from msgspec import structs
from playwright.async_api import Browser, Locator, Page, Route, expect

from api.__main__ import running_api
from flows.model import (
    BookView,
    ChannelState,
    ChannelStatus,
    Funding,
    FundingState,
    Liquidation,
    MarkPrice,
    OpenInterest,
)
from flows.recovery import prepare
from flows.settings import Api, Feed, Mongo, Settings
from flows.settings import Hub as HubSettings
from flows.settings import Trades as TradesSettings
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.browser import LIBRARY, NO_LIBRARY
from tests.fakes.candles import candle, forming
from tests.fakes.deployment import RunningFlow, flow_settings, free_port, running_flow
from tests.fakes.interface import NOW, price, state, until
from tests.fakes.pages import DESKTOP, PATIENCE_MS, PHONE, SMALL, Told, changed, keep, resize

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]  # the browser is of one loop

SYMBOLS: Final = ("BTCUSDT", "ETHUSDT")
BEGIN: Final = 1_767_225_600_000
SPEED: Final = 10.0
"""A minute of the market takes six seconds."""
CALM: Final = 2.0
"""Where no candle is waited for."""
TRADES_PER_S: Final = 4.0
"""Of each symbol; on the wall ten times as many."""
PACE_S: Final = 30
"""Time in which the streams show at what pace they speak."""
PAUSE_SHOWN_S: Final = 5
"""Within so long the page says that a paused exchange is silent."""
HANG_SHOWN_S: Final = 3
"""Within so long it says that nothing is known of a flow that hangs."""
MARGIN_S: Final = 40
"""For a busy machine."""
LEAST_LEVELS: Final = 5
"""Levels of each side that any window has room for."""
LEVELS_SEEN: Final = """() => Object.fromEntries(["asks", "bids"].map((side) => {
  const box = document.getElementById(side).getBoundingClientRect();
  const middle = document.getElementById("mid").getBoundingClientRect();
  const levels = [...document.querySelectorAll(`#${side} .level`)].map((row) => {
    const { left, top, bottom, height } = row.getBoundingClientRect();
    const isSeen = height > 0 && left < box.right && top < box.bottom && bottom > box.top;
    const isWhole = top >= box.top - 0.5 && bottom <= box.bottom + 0.5 && height >= 14;
    const price = Number(row.firstChild.textContent);
    return { price, isSeen, isWhole, away: Math.abs((top + bottom) / 2 - middle.top) };
  });
  return [side, levels.filter(({ isSeen }) => isSeen).sort((one, other) => one.away - other.away)];
}))"""
"""The levels that are seen on each side, nearest to the middle first."""
IS_WHOLE: Final = """() => marketflow.candles.length > 0 && marketflow.candles.every(({ time }, index, all) =>
  !index || time === all[index - 1].time + 60_000)"""
"""Whether the chart holds candles, each a minute after the one before."""
MARK: Final = MarkPrice("BTCUSDT", NOW, 100.5, 100.25, 100.0, 0.000125, NOW + 3_600_000, venue="binance")
FUNDING_NOW: Final = FundingState(
    "binance", "BTCUSDT", NOW, 0.000125, NOW + 3_600_000, 8, 0.02, -0.02,
    Funding("binance", "BTCUSDT", NOW - 25_200_000, -0.0002, 99.0),
)  # fmt: skip


def book(*, synced: bool) -> BookView:
    """A book with one level a side, or one that is not known to be right."""
    bids, asks = [[(99.5, 1.0)], [(100.5, 2.0)]] if synced else [[], []]
    return BookView("binance", "BTCUSDT", synced, 43, NOW, bids, asks)


class Stage:
    """The deployment behind the page, and its browser."""

    def __init__(self, folder: Path, exchange: ThreadedExchange, mongod_uri: str, browser: Browser) -> None:
        self._folder = folder
        self._exchange = exchange
        self._mongo = Mongo(uri=mongod_uri, database=f"page_{folder.name}")
        self._port = free_port()
        self._browser = browser
        self.rest_url = exchange.rest_url
        self.url = ""
        prepare(folder / "recovery")

    @asynccontextmanager
    async def flow(self) -> AsyncIterator[RunningFlow]:
        """The flow; when it is started again it goes on where it was, on the same port."""
        settings = flow_settings(
            self._folder, self._exchange.rest_url, self._mongo.uri,
            hub__port=self._port,
            feed__origin="synthetic",
            feed__symbols=list(SYMBOLS),
            feed__request_pause_ms=0,
            feed__backoff_min_s=0.1,
            mongo__database=self._mongo.database,
            mongo__retention=False,  # the market is of a fixed day, which grows older
        )  # fmt: skip
        flags = ("-r", str(self._folder / "recovery"), "-s", "1", "-b", "0")
        async with running_flow(self._folder, *flags, **settings) as flow:
            yield flow

    def settings(self) -> Settings:
        """Those of the interface."""
        return Settings(
            feed=Feed(
                origin="synthetic", symbols=SYMBOLS, rest_url=self.rest_url, ws_url=self.rest_url.replace("http", "ws")
            ),
            hub=HubSettings(port=self._port),
            mongo=self._mongo,
            trades=TradesSettings(path=self._folder / "trades"),
            api=Api(port=0),
        )

    @asynccontextmanager
    async def page(self, *, size: tuple[int, int] = DESKTOP, **options: Any) -> AsyncIterator[Page]:
        """The page in a window of its own, with prices and a chart. Its console and scripts must find no fault."""
        width, height = size
        context = await self._browser.new_context(viewport={"width": width, "height": height}, **options)
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(f"{self.url}/#BTCUSDT/1m")
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")
        await expect(page.locator("#legend")).to_be_visible()
        await expect(page.locator("#bids .level span").first).not_to_be_empty()
        try:
            yield page
        finally:
            await context.close()
        assert complaints == []


@asynccontextmanager
async def staged(folder: Path, mongod_uri: str, browser: Browser, *, speed: float = SPEED) -> AsyncIterator[Stage]:
    """A synthetic exchange, an interface and a browser."""
    market = SyntheticMarket("spot", SYMBOLS, seed=7, start_ms=BEGIN, trades_per_s=TRADES_PER_S)
    async with AsyncExitStack() as stack:
        exchange = stack.enter_context(exchange_in_thread(market, speed=speed, start_now=True))
        found = Stage(folder, exchange, mongod_uri, browser)
        found.url, _ = await stack.enter_async_context(running_api(found.settings()))
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def stage(
    request: pytest.FixtureRequest, tmp_path: Path, mongod_uri: str, browser: Browser
) -> AsyncIterator[Stage]:
    """A stage for a test that stops what others need; the flow is the test's own."""
    async with staged(tmp_path, mongod_uri, browser, speed=getattr(request, "param", SPEED)) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory, mongod_uri: str, browser: Browser) -> AsyncIterator[Stage]:
    """A stage whose flow runs, for all tests that only look."""
    async with staged(tmp_path_factory.mktemp("market"), mongod_uri, browser) as found, found.flow():
        yield found


async def opening(page: Page) -> str:
    """When the candle in the chart's legend began, as far as it is the newest."""
    return (await page.locator("#legend-status").inner_text()).partition(" · ")[0]


async def drawn(page: Page) -> bool:
    """Whether the chart has something on its canvas."""
    return await page.locator("#canvas canvas").count() > 0


async def test_a_cut_is_shown_and_what_was_missed_is_filled(stage: Stage) -> None:
    light = "#light-text"
    async with AsyncExitStack() as stack:
        flow = await stack.enter_async_context(stage.flow())
        page = await stack.enter_async_context(stage.page(color_scheme="dark"))
        await flow.kill()
        await expect(page.locator(light)).to_contain_text("old")
        await expect(page.locator("body")).to_have_class("cut")
        await keep(page, "cut")
        begun = await opening(page)
        await asyncio.sleep(2 * 60 / SPEED)  # the market goes on for two candles that nobody hears
        await stack.enter_async_context(stage.flow())
        await page.locator("#light").click()
        await expect(page.locator(light)).to_have_text("live")
        await expect(page.locator("body")).not_to_have_class("cut")
        await expect(page.locator("#legend-status")).not_to_contain_text(begun)
        times = await shown_minutes(page, begun)
        assert times == list(range(times[0], times[-1] + 1))
        assert len(times) > 2


async def shown_minutes(page: Page, begun: str) -> list[int]:
    """The candles that the page holds since then, as minutes since 1970."""
    held = await page.evaluate("marketflow.candles.map((candle) => candle.time)")
    since = await page.evaluate("(text) => Date.parse(text)", f"{begun.replace(' ', 'T')}Z")
    return [time // 60_000 for time in held if time >= since]


async def test_a_price_that_rises_lights_up(told: Told) -> None:
    page, deployment, _ = told
    row = page.locator("#prices li[data-symbol=ETHUSDT] .price")
    await expect(row).to_have_text("50.00")
    await row.evaluate(
        "(row) => { row.seen = [];"
        " new MutationObserver(() => row.seen.push(row.dataset.flash ?? '')).observe(row, {attributes: true}); }"
    )
    deployment.tell(price(51.25, "ETHUSDT", time=NOW + 50))  # NOW is a whole second, whose text sorts behind this one's
    await expect(row).to_have_text("51.25")
    await expect(row).not_to_have_attribute("data-flash", "up")
    assert await row.evaluate("(row) => row.seen") == ["up", ""]


async def test_each_venue_has_its_own_decimals_of_a_symbol(told: Told) -> None:
    page, deployment, _ = told
    rows = page.locator("#prices li[data-symbol=ETHUSDT] .price")
    await expect(rows).to_have_text(["50.00"])
    deployment.tell(structs.replace(price(50.125, "ETHUSDT"), venue="binance-usdm"))
    await expect(rows).to_have_count(2)
    await expect(rows.nth(1)).to_have_text("50.125")
    deployment.tell(price(51.5, "ETHUSDT", time=NOW + 50))
    await expect(rows).to_have_text(["51.50", "50.125"])


@pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY)
async def test_a_hole_in_the_chart_is_filled_when_the_store_has_the_candles(told: Told) -> None:
    page, _, _ = told
    charts = "**/api/chart/**"

    async def without_some(route: Route) -> None:
        answer = await route.fetch()
        body = await answer.json()
        if candles := body["data"].get("candles"):
            body["data"] |= {"candles": [*candles[:3], *candles[7:]], "history": None}
        await route.fulfill(response=answer, json=body)

    await page.route(charts, without_some)
    await page.reload()
    await until(lambda: page.evaluate("marketflow.candles.length === 7"))
    assert not await page.evaluate(IS_WHOLE)
    await page.unroute_all(behavior="wait")  # one may be on its way
    await until(lambda: page.evaluate(IS_WHOLE))
    assert await count(page) == 11
    closes = await page.evaluate("marketflow.candles.map(({ close }) => close)")
    assert closes[:9] == [100.0 + minute for minute in range(9)]


async def test_an_amended_candle_takes_the_place_of_the_first_version(told: Told) -> None:
    page, deployment, _ = told
    deployment.tell(candle(9, close=112.0, high=113.0, status="repaired", revision=2))
    deployment.tell(forming(10, close=104.0, high=105.0))
    await expect(page.locator("#legend-close")).to_have_text("104.00")
    shown = await page.evaluate("marketflow.candles.slice(-2).map(({close, status}) => [close, status])")
    assert shown == [[112.0, "repaired"], [104.0, "forming"]]


async def test_a_book_that_is_not_in_step_shows_no_levels(told: Told) -> None:
    page, deployment, _ = told
    best = page.locator("#bids .level span").first
    deployment.tell(book(synced=True))
    await expect(best).to_have_text("99.50")
    deployment.tell(book(synced=False))
    await expect(page.locator("#book-state")).to_have_text("not in step with the exchange")
    await expect(best).to_be_empty()


async def test_a_contract_has_a_panel_of_its_own_and_what_is_none_has_not(told: Told) -> None:
    page, deployment, _ = told
    panel = page.locator("#contract")
    await expect(panel).to_be_hidden()
    deployment.tell(MARK, FUNDING_NOW, OpenInterest("binance", "BTCUSDT", NOW, 1_234.5))
    await expect(page.locator("#mark")).to_have_text("100.50")
    await expect(page.locator("#index")).to_have_text("100.25")
    await expect(page.locator("#funding-rate")).to_have_text("+0.0125%")
    await expect(page.locator("#funding-last")).to_have_text("-0.0200%")
    await expect(page.locator("#interest")).to_have_text("1.235K")
    await expect(page.locator("#no-liquidations")).to_be_visible()
    async with deployment.beating():
        await expect(page.locator("#funding-in")).to_have_text(re.compile(r"^0[01]:[0-5]\d:[0-5]\d$"))
        await changed(page.locator("#funding-in"))
    for second in (2, 1, 2):
        order = Liquidation("BTCUSDT", NOW, NOW - second * 1_000, "SELL", 99.0, 99.5, 1.5, 1.5, venue="binance")
        deployment.tell(order)
    rows = page.locator("#liquidations .trade:not([hidden])")
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("99.50")
    deployment.tell(structs.replace(MARK, event_time=NOW + 1, mark_price=101.75))
    await expect(page.locator("#mark")).to_have_text("101.75")
    await keep(page, "contract")
    await page.keyboard.press("ArrowDown")
    await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
    await expect(panel).to_be_hidden()


async def test_prices_of_the_same_asset_are_compared_where_there_are_several(told: Told) -> None:
    page, deployment, _ = told
    panel = page.locator("#compare")
    await expect(panel).to_be_hidden()
    async with deployment.beating():
        deployment.tell(price(92.5, "BTCEUR"))
        await expect(panel).to_be_visible()
        await expect(page.locator("#compare-base")).to_have_text("BTC")
        await expect(page.locator("#compared tr")).to_have_count(4)
        await expect(page.locator("#compared tr").nth(1)).to_contain_text("binance100.00")
        await expect(page.locator("#compared tr").nth(3)).to_contain_text("binance92.50")
        await keep(page, "compare")
        await page.locator("#prices li[data-symbol=ETHUSDT]").click()
        await expect(panel).to_be_hidden()


async def test_what_is_proven_of_the_venue_is_shown_in_words(told: Told) -> None:
    page, _, _ = told
    words = page.locator("#capabilities")
    await expect(words).to_be_hidden()
    await page.locator("#proven").click()
    await expect(words).to_be_visible()
    await expect(words).to_contain_text("book no change is missing. Witness: update ids.")
    await expect(words.locator("li")).to_have_text("There is no checksum.")


async def test_a_mark_price_that_stands_still_greys_its_panel(told: Told) -> None:
    page, deployment, _ = told
    silent = ChannelStatus("mark", "silent", NOW, "the mark price stands still")
    async with deployment.beating():
        deployment.tell(MARK, state("silent", ChannelStatus("trades", "live", NOW), silent))
        await expect(page.locator("#contract")).to_have_attribute("data-currency", "silent")
        await expect(page.locator("#contract-state")).to_contain_text("exchange silent")


async def test_levels_of_the_book_are_shown_whole_with_the_best_at_the_middle(told: Told) -> None:
    page, deployment, _ = told
    for number, size in enumerate((PHONE, SMALL, DESKTOP)):
        await resize(page, size)
        bids = [(99.25 - level, 1.0 + number) for level in range(20)]
        asks = [(100.25 + level, 2.0) for level in range(20)]
        deployment.tell(BookView("binance", "BTCUSDT", True, 43 + number, NOW, bids, asks))
        await expect(page.locator("#bids .level").first).to_contain_text(f"99.25{1 + number}")
        await are_shown_whole(page)


async def are_shown_whole(page: Page) -> None:
    """No level that is seen is cut off, and none is left out."""
    sides = await page.evaluate(LEVELS_SEEN)
    for side, first, step in (("asks", 100.25, 1.0), ("bids", 99.25, -1.0)):
        assert len(sides[side]) >= LEAST_LEVELS
        assert [level["price"] for level in sides[side]] == [first + step * n for n in range(len(sides[side]))]
        assert [level["price"] for level in sides[side] if not level["isWhole"]] == []


async def test_a_symbol_is_added_and_removed(told: Told) -> None:
    page, deployment, running = told
    await page.keyboard.press("/")
    await page.keyboard.type("solusdt\n")
    added = page.locator("#prices li[data-symbol=SOLUSDT]")
    await expect(added.locator(".price")).to_have_text("…")
    deployment.tell(price(20.0, "SOLUSDT"))
    await expect(added.locator(".price")).to_have_text("20.00")
    await expect(page.locator(".note")).to_have_text("SOLUSDT is recorded")
    await added.hover()
    await added.locator(".remove").click()
    await page.locator("#question-yes").click()

    async def is_unwanted() -> bool:
        states = await running.data("/api/symbols")
        return [state["wanted"] for state in states if state["symbol"] == "SOLUSDT"] == [False]

    await until(is_unwanted)


async def test_an_unknown_symbol_is_refused_with_the_reason(told: Told) -> None:
    page, _, _ = told
    await page.locator("#add-symbol").fill("NOSUCH")
    await expect(page.locator("#found")).to_have_text("no venue that is followed lists it")
    await page.locator("#add button").click()
    await expect(page.locator(".note.bad")).to_contain_text("NOSUCH")


def panels(page: Page) -> Locator:
    """What of the page is shown and grey."""
    return page.locator(".live.old:not([hidden])")


async def test_what_is_not_of_now_is_grey_and_says_why_and_since_when(told: Told) -> None:
    page, deployment, _ = told
    async with deployment.beating():
        deployment.tell(state("live"), state("quiet", symbol="ETHUSDT"))
        await expect(page.locator("#light-text")).to_have_text("live")
        await expect(panels(page)).to_have_count(0)
        began = deployment.clock.now().feed - 34_000
        deployment.tell(state("silent", since=began))
        await expect(page.locator("#light")).to_have_attribute("data-state", "silent")
        await expect(page.locator("#light-text")).to_have_text(re.compile("exchange silent for 3[4-9] s"))
        await expect(page.locator("#state")).to_have_text(re.compile("exchange silent for 3[4-9] s"))
        await expect(page.locator("#tape-state")).to_contain_text("exchange silent")
        await expect(page).to_have_title(re.compile(r"^\(exchange silent for .*\) 100.00 BTCUSDT"))
        assert await panels(page).evaluate_all("(all) => all.map(({id}) => id).sort()") == [
            "analysis", "book", "head", "stage", "tape",
        ]  # fmt: skip
        rows = page.locator("#prices li.old")
        assert await rows.evaluate_all("(all) => all.map((row) => row.dataset.symbol)") == ["BTCUSDT"]
        before, after = await changed(page.locator("#state"))
        assert before != after, "the seconds are counted"
        await assert_banner_says_what_the_head_does(page, "")
        await keep(page, "silent")
        deployment.tell(state("live"))
        await expect(page.locator("#light-text")).to_have_text("live")
        await expect(panels(page)).to_have_count(0)
        await expect(page).to_have_title(re.compile("^100.00 BTCUSDT"))


async def test_every_state_that_is_not_of_now_is_shown(told: Told) -> None:
    page, deployment, _ = told
    words: tuple[ChannelState, ...] = ("behind", "cut", "connecting", "halted", "gone", "not stored")
    async with deployment.beating():
        for word in words:
            deployment.tell(state("live"))
            await expect(panels(page)).to_have_count(0)
            deployment.tell(state(word))
            await expect(page.locator("#light")).to_have_attribute("data-state", word)
            await expect(panels(page)).to_have_count(5)
            await assert_banner_says_what_the_head_does(page, "")


async def test_a_book_that_is_out_of_step_greys_the_book_alone(told: Told) -> None:
    page, deployment, _ = told
    async with deployment.beating():
        channels = [ChannelStatus("trades", "live", NOW), ChannelStatus("book", "unsynced", NOW, "why")]
        deployment.tell(state("unsynced", *channels))
        await expect(page.locator("#book-state")).to_contain_text("not in step")
        assert await panels(page).evaluate_all("(all) => all.map(({id}) => id)") == ["book"]


async def test_a_hub_whose_flow_is_silent_makes_everything_unknown(told: Told) -> None:
    page, deployment, _ = told
    async with deployment.beating():
        deployment.tell(state("live"))
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")
    await expect(page.locator("#light")).to_have_attribute("data-state", "unknown")
    await expect(panels(page)).to_have_count(5)
    await keep(page, "unknown")
    for _ in range(8):
        await assert_banner_says_what_the_head_does(page, "the flow gives no sign of life")
        await page.wait_for_timeout(300)
    async with deployment.beating():
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")


async def assert_banner_says_what_the_head_does(page: Page, why: str) -> None:
    """At one moment, with the same number of seconds."""
    head, light, banner = await page.evaluate(
        "() => ['state', 'light-text', 'missing'].map((id) => document.getElementById(id).textContent)"
    )
    assert head == light
    assert f"BTCUSDT: {head}: {why}" in banner


async def test_no_latency_is_shown_that_is_not_measured_now(told: Told) -> None:
    page, deployment, _ = told
    async with deployment.beating():
        deployment.tell(state("live"), price(101.0, time=deployment.clock.now().feed))
        await expect(page.locator("#latency")).to_contain_text("ms")
        deployment.tell(state("silent"))
        await expect(page.locator("#latency")).to_have_text("\N{EN DASH}")


@pytest.mark.parametrize("stage", [CALM], indirect=True, ids=["calm"])
async def test_a_paused_exchange_and_a_hung_flow_are_shown_within_seconds(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        flow = await stack.enter_async_context(stage.flow())
        operator = await stack.enter_async_context(ClientSession())
        await asyncio.sleep(PACE_S)  # no page meanwhile: one that moves takes half a processor
        page = await stack.enter_async_context(stage.page())
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")
        await expect(page.locator("#replay-speed")).to_have_value(str(int(CALM)))
        await changed(page.locator("#replay-position"))
        faults = page.locator("#replay-faults-open")
        await faults.click()
        await page.locator("#fault-kind").select_option("stale_depth")
        await expect(page.locator("#fault-order")).to_have_value(re.compile('"symbol": "BTCUSDT"'))
        await page.locator("#order-fault button").click()
        await expect(faults).to_have_text("Faults (1)")
        await expect(page.locator("#faults-on")).to_contain_text("stale_depth at binance, until it is ended")
        await page.locator("#faults-end").click()
        await expect(page.locator("#faults-on")).to_have_text("none")
        await page.keyboard.press("Escape")
        await page.locator("#replay-pause").click()
        await expect(page.locator("#replay-state")).to_have_text("paused")
        shown_s = await seconds_until(page, "#light", "silent")
        assert shown_s <= PAUSE_SHOWN_S + MARGIN_S
        await expect(page.locator("#light-text")).to_contain_text("exchange silent for")
        await expect(page.locator("#latency")).to_have_text("\N{EN DASH}")
        await keep(page, "paused")
        await until(partial(are_all, operator, f"{stage.url}/api/prices", "silent"))
        async with operator.get(f"{stage.url}/health/ready") as answer:
            assert answer.status == 503
            assert "data of now" in await answer.text()
        await page.locator("#replay-pause").click()
        await expect(page.locator("#replay-pause")).to_have_text("Pause")
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")
        os.kill(flow.pid, signal.SIGSTOP)
        try:
            shown_s = await seconds_until(page, "#light", "unknown")
            assert shown_s <= HANG_SHOWN_S + MARGIN_S
            assert await are_all(operator, f"{stage.url}/api/prices", "unknown")
            async with operator.get(f"{stage.url}/health/ready") as answer:
                assert (answer.status, "the flow of binance" in await answer.text()) == (503, True)
        finally:
            os.kill(flow.pid, signal.SIGCONT)
        await expect(page.locator("#light")).to_have_attribute("data-state", "live")


async def are_all(operator: ClientSession, url: str, state: str) -> bool:
    """Whether the interface says of all prices that they are this, and so stale."""
    async with operator.get(url) as answer:
        prices = (await answer.json())["data"]
    return bool(prices) and all((one["state"], one["stale"]) == (state, True) for one in prices)


async def seconds_until(page: Page, selector: str, state: str) -> float:
    """How long it takes until the page shows a state."""
    began = time.monotonic()
    await expect(page.locator(selector)).to_have_attribute("data-state", state)
    return time.monotonic() - began


# --- on a market that moves: behind all others, for it takes half a processor as long as it is there ---


async def test_it_shows_the_market_as_it_moves(market: Stage) -> None:
    async with market.page(color_scheme="dark") as page:
        await expect(page.locator("#banner")).to_contain_text("synthetic")
        assert await page.locator("#prices li .name").all_inner_texts() == list(SYMBOLS)
        for place in ("#price", "#prices li[data-symbol=ETHUSDT] .price", "#legend-close", "#bids .level span"):
            before, after = await changed(page.locator(place).first)
            assert before != after
        await expect(page.locator(".trade:not([hidden])")).not_to_have_count(0)
        await expect(page.locator("#completeness")).to_have_text("100%")
        await expect(page.locator("#signal")).not_to_have_text("…")
        begun, begins = await opening(page), page.locator("#legend-status")
        await expect(begins).not_to_contain_text(begun)  # a candle closed, and the next one forms
        assert await opening(page) > begun
        assert await drawn(page) == LIBRARY.is_file()
        await keep(page, "dark")


async def test_symbol_and_timeframe_are_chosen_by_keys_and_by_pointer(market: Stage) -> None:
    async with market.page(color_scheme="light") as page:
        await page.keyboard.press("ArrowDown")
        await expect(page.locator("#symbol")).to_have_text("ETHUSDT")
        await expect(page.locator("#prices li:has([aria-current])")).to_have_attribute("data-symbol", "ETHUSDT")
        await page.keyboard.press("2")
        await expect(page.locator("#timeframes button[aria-pressed=true]")).to_have_text("5m")
        assert page.url.endswith("#binance/ETHUSDT/5m")
        await expect(page.locator("#legend-status")).to_have_text(re.compile(r":[0-5][05] · forming$"))
        await changed(page.locator("#legend-close"))
        await page.locator("#prices li[data-symbol=BTCUSDT]").click()
        await expect(page.locator("#symbol")).to_have_text("BTCUSDT")
        assert await page.evaluate("document.documentElement.dataset.theme") == "light"
        await keep(page, "light")
        await page.locator("#theme").click()
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"


async def test_it_fits_a_phone(market: Stage) -> None:
    async with market.page(size=PHONE, color_scheme="dark", has_touch=True) as page:
        assert await page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
        await keep(page, "phone")


@pytest.mark.skipif(not LIBRARY.is_file(), reason=NO_LIBRARY)
async def test_history_comes_on_scrolling_back(market: Stage) -> None:
    async with market.page() as page:
        box = await page.locator("#canvas").bounding_box()
        assert box is not None
        for _ in range(3):
            held = await count(page)
            async with asyncio.timeout(PATIENCE_MS / 1_000):
                while await count(page) <= held:
                    await page.mouse.move(box["x"] + 100, box["y"] + 200)
                    await page.mouse.down()
                    await page.mouse.move(box["x"] + 800, box["y"] + 200, steps=4)
                    await page.mouse.up()
                    await page.wait_for_timeout(200)
        await until(lambda: page.evaluate(IS_WHOLE))


async def count(page: Page) -> int:
    """How many candles the page holds."""
    held: int = await page.evaluate("marketflow.candles.length")
    return held


async def test_without_the_chart_library_the_rest_works(market: Stage) -> None:
    async with market.page() as page:
        await page.route("**/vendor/**", lambda route: route.abort())
        await page.reload()
        await expect(page.locator(".no-chart")).to_be_visible()
        await changed(page.locator("#price"))
        await changed(page.locator("#legend-close"))
