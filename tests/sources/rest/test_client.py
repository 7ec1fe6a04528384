"""The shared client against the replay exchange, and against one that never answers."""

import asyncio
import gc
import gzip
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import zstandard
from aiohttp import web
from structlog.testing import capture_logs

from flows.settings import Rest
from sources.replay.exchange.limits import SPOT_LIMITS
from sources.replay.exchange.server import running_exchange
from sources.replay.faults import orders as faults
from sources.replay.synthetic.market import SyntheticMarket
from sources.rest.client import (
    BREAKER_FAILURES,
    BREAKER_S,
    MOST_BYTES,
    MOST_UNDER_WAY,
    CircuitOpenError,
    RestClient,
    VenueError,
)

HEADER = "X-MBX-USED-WEIGHT-1M"
PING = "/api/v3/ping"


def market() -> SyntheticMarket:
    return SyntheticMarket("spot", ("BTCUSDT",), seed=1, start_ms=1_767_225_600_000)


def client(url: str, *, breaker_s: float = BREAKER_S, **settings: float) -> RestClient:
    return RestClient(
        url,
        settings=Rest(**settings),  # type: ignore[arg-type]
        breaker_s=breaker_s,
        weight_per_minute=SPOT_LIMITS.weight_per_minute,
        weight_header=HEADER,
    )


class Venue:
    """Answers everything when it is told to, and notes what is asked meanwhile."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.under_way = self.most_under_way = 0
        self.changed = asyncio.Condition()
        self.answers = asyncio.Event()
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}

    async def on_request(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        async with self.changed:
            self.changed.notify_all()
        await self.answers.wait()
        self.under_way -= 1
        return web.Response(status=self.status, body=self.body, headers=self.headers)

    async def until_asked(self, times: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.asked) >= times)


@asynccontextmanager
async def running_venue() -> AsyncIterator[tuple[Venue, str]]:
    venue, app = Venue(), web.Application()
    app.router.add_get("/{path:.*}", venue.on_request)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield venue, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        venue.answers.set()
        await runner.cleanup()


async def test_an_answer_and_what_the_venue_counts() -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        rest = client(exchange.rest_url)
        assert await rest.get(PING) == b"{}"
        await rest.get("/api/v3/exchangeInfo", weight=20)
        assert rest.rate_limit.used == 21
        await rest.aclose()


async def test_a_refusal_is_typed_and_not_tried_again() -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        rest = client(exchange.rest_url)
        with pytest.raises(VenueError, match="Invalid symbol") as caught:
            await rest.get("/api/v3/klines", symbol="NONE", interval="1m")
        assert (caught.value.status, caught.value.code, caught.value.is_passing) == (400, -1121, False)
        await rest.aclose()


@pytest.mark.parametrize("status", [500, 503])
async def test_a_bad_moment_is_waited_out(status: int) -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        exchange.inject(faults.Refuse(status=status, count=2))  # type: ignore[arg-type]
        rest = client(exchange.rest_url)
        assert await rest.get(PING) == b"{}"
        await rest.aclose()


@pytest.mark.parametrize("status", [429, 418])
async def test_a_venue_that_wants_to_be_left_alone_is_not_asked_before_its_time(
    status: int, stopped_clock_s: int
) -> None:
    async with running_exchange(market(), speed=1.0) as exchange:
        exchange.inject(faults.Refuse(status=status, count=1, retry_after_s=1))  # type: ignore[arg-type]
        rest = client(exchange.rest_url)
        assert await rest.get(PING) == b"{}"  # after that second
        exchange.inject(faults.Refuse(status=status, count=1, retry_after_s=90))  # type: ignore[arg-type]
        with pytest.raises(CircuitOpenError, match="rate limited by the venue for another") as caught:
            await rest.get(PING)
        assert caught.value.retry_after_s == pytest.approx(90, abs=10)
        assert exchange.used_weight(stopped_clock_s) == 1  # an ordered refusal costs nothing
        await rest.aclose()


async def test_a_venue_that_does_not_say_for_how_long_is_left_alone_for_a_minute() -> None:
    async with running_venue() as (venue, url):
        venue.status = 429
        venue.answers.set()
        rest = client(url)
        with pytest.raises(CircuitOpenError, match="another 60 s"):
            await rest.get(PING)
        assert venue.asked == [PING]
        await rest.aclose()


async def test_what_waits_behind_a_ban_is_told_so() -> None:
    async with running_venue() as (venue, url):
        venue.status = 418
        rest = client(url)
        asked = [asyncio.create_task(rest.get(PING)) for _ in range(MOST_UNDER_WAY + 5)]
        await venue.until_asked(MOST_UNDER_WAY)
        venue.answers.set()
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(error) for error in errors] == [CircuitOpenError] * len(asked)
        assert len(venue.asked) == MOST_UNDER_WAY
        await rest.aclose()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"code":-1121,"msg":"Invalid symbol."}', 'the exchange says: "Invalid symbol."'),
        (
            b'{"code":1,"msg":"\\"}\\n\\u001b[1mignore previous instructions"}',
            'says: "\'} ignore previous instructions"',
        ),
        (b'{"code":1,"msg":"' + b"x" * (1 << 20) + b'"}', f'the exchange says: "{"x" * 199}…"'),
        (b"<html><h1>Forbidden by the firewall</h1></html>", 'the exchange says: "Bad Request"'),
        (b'{"code":1e999,"msg":"x"}', 'the exchange says: "Bad Request"'),
        (b'{"code":null,"msg":"x"}', 'the exchange says: "Bad Request"'),
        (b"[" * 100_000, 'the exchange says: "Bad Request"'),
        (b'{"code":1,"msg":"\xff"}', 'the exchange says: "Bad Request"'),
    ],
    ids=["plain", "a prompt", "a megabyte", "html", "a huge code", "no code", "nested", "bad text"],
)
async def test_what_a_venue_says_is_quoted_whatever_it_is(body: bytes, said: str) -> None:
    async with running_venue() as (venue, url):
        venue.status, venue.body = 400, body
        venue.answers.set()
        rest = client(url)
        with pytest.raises(VenueError) as caught:
            await rest.get(PING)
        assert str(caught.value).endswith(said)
        assert str(caught.value).isprintable()
        await rest.aclose()


PACKED = gzip.compress(b"[1,2]")
BOMB = gzip.compress(bytes(MOST_BYTES + 1))


@pytest.mark.parametrize(
    ("body", "way", "said"),
    [
        (PACKED, "GZIP", ""),
        (BOMB, "gzip", f"the answer is longer than {MOST_BYTES} bytes"),
        (gzip.compress(BOMB), "gzip, gzip", 'another way than asked for, the exchange says: "gzip, gzip"'),
        (zstandard.compress(bytes(MOST_BYTES)), "zstd", 'another way than asked for, the exchange says: "zstd"'),
        (b"[1,2]", "gzip", "compressed wrongly: Error -3 while decompressing data: incorrect header check"),
        (PACKED[:-9], "gzip", "the answer ends before what is compressed in it"),
    ],
    ids=["right", "a bomb", "twice", "not asked for", "not compressed", "cut"],
)
async def test_an_answer_is_decompressed_within_its_bound_or_refused(body: bytes, way: str, said: str) -> None:
    async with running_venue() as (venue, url):
        venue.body, venue.headers = body, {"Content-Encoding": way}
        venue.answers.set()
        rest = client(url, tries=1)
        if said:
            with pytest.raises(VenueError) as caught:
                await rest.get(PING)
            assert str(caught.value).endswith(said)
        else:
            assert await rest.get(PING) == b"[1,2]"
        await rest.aclose()


@pytest.mark.parametrize("number", ["²", "-1", "1e9", "9" * 5_000, "", "soon"])
async def test_numbers_in_headers_that_cannot_be_are_none(number: str) -> None:
    async with running_venue() as (venue, url):
        venue.headers = {HEADER: number, "Retry-After": number}
        venue.answers.set()
        rest = client(url)
        assert await rest.get(PING) == b""
        assert rest.rate_limit.used == 1
        venue.status = 418
        with pytest.raises(CircuitOpenError, match="another 60 s"):
            await rest.get(PING)
        await rest.aclose()


async def test_few_requests_are_under_way_at_a_time() -> None:
    async with running_venue() as (venue, url):
        rest = client(url)
        asked = [asyncio.create_task(rest.get(f"/{number}")) for number in range(3 * MOST_UNDER_WAY)]
        await venue.until_asked(MOST_UNDER_WAY)
        venue.answers.set()
        await asyncio.gather(*asked)
        assert venue.most_under_way == MOST_UNDER_WAY
        assert sorted(venue.asked, key=lambda path: int(path[1:])) == [f"/{n}" for n in range(3 * MOST_UNDER_WAY)]
        await rest.aclose()


async def test_a_venue_that_does_not_answer_in_time_is_asked_again() -> None:
    async with running_venue() as (venue, url):
        rest = client(url, timeout_s=0.1, tries=2)
        with pytest.raises(VenueError, match=r"ReadTimeout|no whole answer in time") as caught:
            await rest.get(PING)
        assert (caught.value.status, venue.asked, rest.rate_limit.used) == (0, [PING] * 2, 2)
        await rest.aclose()


async def test_a_venue_that_is_down_is_not_asked_and_costs_no_weight() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        rest = client(f"http://127.0.0.1:{nobody.getsockname()[1]}", tries=1)
        for _ in range(BREAKER_FAILURES):
            with pytest.raises(VenueError) as caught:
                await rest.get(PING)
            assert (caught.value.status, caught.value.is_passing) == (0, True)
        with pytest.raises(CircuitOpenError, match="failed 5 times in a row"):
            await rest.get(PING)
        assert rest.rate_limit.used == BREAKER_FAILURES
        await rest.aclose()


async def test_of_an_answer_only_its_body_stays() -> None:
    gc.disable()

    def responses() -> int:
        return sum(isinstance(each, httpx.Response) for each in gc.get_objects())

    async with running_venue() as (venue, url):
        venue.answers.set()
        venue.body = b"{}"
        rest = client(url)
        before = responses()
        assert [await rest.get(PING) for _ in range(3)] == [b"{}"] * 3
        assert responses() == before
        await rest.aclose()


async def _error_of(rest: RestClient) -> weakref.ref[VenueError]:
    try:
        await rest.get(PING)
    except VenueError as error:
        return weakref.ref(error)
    raise AssertionError("it was answered")


async def test_of_a_failed_request_nothing_stays_for_the_garbage_collector() -> None:
    gc.disable()  # the flow's collects so seldom that it would stay for hours
    async with running_venue() as (venue, url):
        venue.answers.set()
        venue.status = 500
        rest = client(url, tries=2)
        assert (await _error_of(rest))() is None
        rest.rate_limit.ban(60.0)
        assert (await _error_of(rest))() is None, "it is not sent"
        await rest.aclose()
    with socket.socket() as unanswered:
        unanswered.bind(("127.0.0.1", 0))
        rest = client(f"http://127.0.0.1:{unanswered.getsockname()[1]}", tries=1)
        for _ in range(BREAKER_FAILURES + 1):  # the last one by the breaker
            assert (await _error_of(rest))() is None
        await rest.aclose()


async def test_an_outage_is_told_once_and_so_is_its_end() -> None:
    async with running_venue() as (venue, url):
        venue.answers.set()
        rest = client(url, tries=1, breaker_s=0.05)

        async def tried() -> VenueError | bytes:
            while True:
                try:
                    return await rest.get(PING)
                except CircuitOpenError:
                    await asyncio.sleep(0.01)
                except VenueError as error:
                    return error

        venue.status = 503
        with capture_logs() as logs:
            statuses = [getattr(await tried(), "status", None) for _ in range(BREAKER_FAILURES + 2)]
            venue.status = 200
            assert await tried() == b""
        assert statuses == [503] * (BREAKER_FAILURES + 2)
        assert [log["event"] for log in logs] == ["venue_down", "venue_recovered"]
        await rest.aclose()


async def test_a_venue_that_refuses_is_not_down() -> None:
    async with running_venue() as (venue, url):
        venue.status = 400
        venue.answers.set()
        rest = client(url)
        for _ in range(BREAKER_FAILURES + 1):
            with pytest.raises(VenueError) as caught:
                await rest.get(PING)
            assert caught.value.status == 400
        await rest.aclose()
