"""Whatever a frame or an answer says: no exception escapes, no call is long, nothing grows, no candle is wrong.

A finding is reproduced by its seed: `mutated(frame, seed)` of `tests.fakes.mutations` decides alone.
"""

import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from flows.queries import BookQuery, KlinesQuery, TradesQuery
from flows.settings import Feed, Rest
from sources.binance.feed import BinanceFeed
from sources.binance.rest import BinanceRest
from sources.rest.client import VenueError
from tests.fakes.captured import REST_BODIES, recorded_answers
from tests.fakes.examples import examples
from tests.fakes.fuzz_meter import Report
from tests.fakes.fuzzed_flow import fuzz_flow, fuzz_parsing
from tests.fakes.mutations import mutated

pytestmark = pytest.mark.slow

PARSED = examples(5_000)
"""Of each venue, looked at by a connection and parsed."""
FLOWN = examples(2_500)
"""Of each venue, through the flow's machines."""
ASKS = examples(100)
ASKS_A_CLIENT = 50
"""A client of its own for so many: the request weight of a minute is not what is tried here."""
MOST_REQUESTS = 100
"""For one ask: it must end, whatever the answers say."""
MOST_GROWTH_MB = 60
MANY_NAMES = 50_000
MOST_REMEMBERED_BYTES = 1_000_000
VENUES = ("binance", "binance-usdm")
BEGIN_MS = 1_767_225_600_000


def assert_sound(report: Report, frames: int) -> None:
    assert not report.findings, str(report)
    assert report.frames == frames
    assert report.growth_mb < MOST_GROWTH_MB


@pytest.mark.parametrize("venue", VENUES)
def test_no_frame_breaks_what_a_connection_does_with_it_parsing_and_validation(venue: str) -> None:
    report = fuzz_parsing(venue, frames=PARSED, seed=10_000_000)
    assert_sound(report, PARSED)
    assert report.rejected > PARSED // 3


@pytest.mark.parametrize("venue", VENUES)
def test_no_frame_breaks_candles_books_and_prices_and_the_true_ones_are_served_afterwards(venue: str) -> None:
    assert_sound(fuzz_flow(venue, frames=FLOWN, seed=20_000_000), FLOWN)


def test_a_market_without_mutations_is_sound() -> None:
    for venue in VENUES:
        report = fuzz_flow(venue, frames=0, seed=0)
        assert (report.findings, report.rejected) == ([], 0)


@pytest.mark.parametrize("venue", VENUES)
def test_a_connection_remembers_nothing_of_streams_without_number(venue: str) -> None:
    feed = BinanceFeed(Feed.model_validate({"venue": venue}))
    tracemalloc.start()
    try:
        for number in range(MANY_NAMES):
            feed.channel_of(b'{"stream":"x%dusdt@trade","data":{}}' % number)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < MOST_REMEMBERED_BYTES


# --- REST -------------------------------------------------------------------------------------------------------------


class Answers:
    """A venue that answers every request with the next mutation of what it should."""

    def __init__(self) -> None:
        self.seed = 0
        self.requests = 0
        self._recorded = recorded_answers()

    async def on_request(self, request: web.Request) -> web.Response:
        """A mutation, or an error where an ask has already had its share."""
        self.requests += 1
        if self.requests > MOST_REQUESTS:
            return web.Response(status=400, body=REST_BODIES["error"])
        name = request.path.rpartition("/")[2]
        bodies = [REST_BODIES[name], *(self._recorded if name == "aggTrades" else [])]
        body = mutated(
            bodies[self.seed % len(bodies)], self.seed * 1_000 + self.requests, others=[*REST_BODIES.values()]
        )
        status = (200, 200, 200, 400, 403)[self.seed % 5]
        return web.Response(status=status, body=body.frame, content_type="application/json")


class Pages:
    """A venue that answers with full pages of well-formed rows that lie elsewhere than asked, or do not rise."""

    def __init__(self, shift: int, step: int) -> None:
        self.requests = 0
        self._shift = shift
        self._step = step

    async def on_request(self, request: web.Request) -> web.Response:
        """As many rows as were asked for; an error where an ask has already had its share."""
        self.requests += 1
        if self.requests > MOST_REQUESTS:
            return web.Response(status=400, body=REST_BODIES["error"])
        query = request.query
        numbers = [self._shift + self._step * number for number in range(int(query["limit"]))]
        if request.path.endswith("/klines"):
            opened = [int(query["startTime"]) + 60_000 * number for number in numbers]
            return web.json_response([[t, *["1"] * 5, t + 59_999, "1", 1, "1", "1", "0"] for t in opened])
        first = int(query.get("fromId", 26_129))
        ids = [max(0, first + number) for number in numbers]
        if request.path.endswith("/historicalTrades"):
            rows = [{"id": i, "price": "1", "qty": "1", "time": BEGIN_MS, "isBuyerMaker": True} for i in ids]
        else:
            rows = [{"a": i, "p": "1", "q": "1", "f": i, "l": i, "T": BEGIN_MS, "m": True} for i in ids]
        return web.json_response(rows)


@asynccontextmanager
async def hostile_venue(answers: Answers | Pages) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers.on_request)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


TRADES = TradesQuery("BTCUSDT", 26_129, 27_000, BEGIN_MS, BEGIN_MS + 60_000)
KLINES = KlinesQuery("BTCUSDT", "1m", BEGIN_MS, BEGIN_MS + 30 * 60_000)


def asks_of(rest: BinanceRest) -> list[Callable[[], Awaitable[Any]]]:
    return [
        lambda: rest.trades(TRADES),
        lambda: rest.first_trades(TRADES),
        lambda: rest.klines(KLINES),
        lambda: rest.book(BookQuery("BTCUSDT", 100)),
        rest.instruments,
        rest.time,
    ]


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["aggTrade", "trade"])
async def test_no_answer_of_rest_is_anything_but_an_answer_or_a_venue_error(venue: str, kind: str) -> None:
    escapes: list[str] = []
    answers = Answers()
    async with hostile_venue(answers) as url:
        for first in range(0, ASKS, ASKS_A_CLIENT):
            feed = Feed.model_validate({"venue": venue, "origin": "replay", "rest_url": url, "streams": (kind,)})
            async with BinanceRest.of(feed, Rest(tries=1, weight_share=1.0)) as rest:
                for seed in range(first, first + ASKS_A_CLIENT):
                    answers.seed, answers.requests = seed, 0
                    query = asks_of(rest)[answers.seed % 6]
                    try:
                        await query()
                    except VenueError:
                        pass
                    except Exception as error:  # noqa: BLE001 - any is one too many
                        escapes.append(f"seed {answers.seed}, ask {answers.seed % 6}: {type(error).__name__}: {error}")
                    if answers.requests > MOST_REQUESTS:
                        escapes.append(
                            f"seed {answers.seed}, ask {answers.seed % 6}: more than {MOST_REQUESTS} requests"
                        )
    assert not escapes, "\n".join(escapes)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["aggTrade", "trade"])
@pytest.mark.parametrize("shift", [0, -20_000, 20_000])
@pytest.mark.parametrize("step", [0, 1, -1])
async def test_pages_that_lie_elsewhere_or_do_not_rise_end_an_ask(venue: str, kind: str, shift: int, step: int) -> None:
    pages = Pages(shift, step)
    async with hostile_venue(pages) as url:
        feed = Feed.model_validate({"venue": venue, "origin": "replay", "rest_url": url, "streams": (kind,)})
        async with BinanceRest.of(feed, Rest(tries=1, weight_share=1.0)) as rest:
            try:
                trades = await rest.trades(TRADES)
            except VenueError:
                trades = []
            assert pages.requests <= MOST_REQUESTS
            ids = [trade.id for trade in trades]
            assert all(TRADES.first_id <= number <= TRADES.last_id for number in ids)
            assert ids == sorted(set(ids))
            pages.requests = 0
            try:
                klines = await rest.klines(KLINES)
            except VenueError:
                klines = []
            assert pages.requests <= MOST_REQUESTS
            opened = [kline.open_time for kline in klines]
            assert all(KLINES.start <= time <= KLINES.end for time in opened)
            assert opened == sorted(set(opened))
