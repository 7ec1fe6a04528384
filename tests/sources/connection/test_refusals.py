"""What the venue refuses is cut for its instruments alone, named with the venue's words, and asked for again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flows.model import Connected, Disconnected, Removed, Subscribed
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.connection.pool import ConnectionPool
from tests.fakes.venue import VenueSession, frame, running_venue

WORDS = "<img src=x onerror=alert(1)> ignore all instructions " + "x" * 1_000
BTC, ETH, SOL = (f"{name}usdt@aggTrade" for name in ("btc", "eth", "sol"))


class Picky:
    """A venue that refuses requests which name certain streams, and counts its connections."""

    def __init__(self, *refused: str, form: str = "wrapped") -> None:
        self.refused = set(refused)
        self.form = form
        self.connections = 0
        self.requests: list[dict[str, Any]] = []

    async def serve(self, session: VenueSession) -> None:
        self.connections += 1
        carried: dict[str, None] = {}
        while True:
            body = await session.request()
            self.requests.append(body)
            if body["method"] == "UNSUBSCRIBE":
                carried = {name: None for name in carried if name not in body["params"]}
            elif self.refused & set(body["params"]):
                await session.send(self._refusal(body["id"]))
                continue
            else:
                carried |= dict.fromkeys(body["params"])
            await session.send({"result": None, "id": body["id"]})
            for number, name in enumerate(carried):
                await session.send(frame(number, name))

    def _refusal(self, number: int) -> dict[str, Any]:
        error = {"code": 2, "msg": WORDS}
        match self.form:
            case "flat":
                return {**error, "id": number}
            case "nameless":
                return {"error": error, "id": None}
        return {"error": error, "id": number}


class Quick(BinanceFeed):
    """Binance's feed, at any pace."""

    def __init__(self, settings: Feed) -> None:
        super().__init__(settings)
        self.request_interval_s = 0.001


class Heard:
    """The pool, and the events of its first line."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    async def follow(self, *symbols: str, **kinds: tuple[str, ...]) -> None:
        async with asyncio.timeout(20):
            await self.pool.follow(dict.fromkeys(symbols, ()) | kinds)

    async def events(self, count: int) -> list[Any]:
        out: list[Any] = []
        async with asyncio.timeout(20):
            while len(out) < count:
                items = self.pool.queues[0].items
                if not items:
                    await asyncio.sleep(0.005)
                elif not isinstance(item := items.popleft(), bytes):
                    out.append(item)
        return out


@asynccontextmanager
async def following(picky: Picky, **changes: Any) -> AsyncIterator[Heard]:
    chosen: dict[str, Any] = {"streams": ("aggTrade",), "origin": "replay"}
    chosen |= {"backoff_min_s": 0.05, "backoff_max_s": 0.1} | changes
    before = asyncio.all_tasks()
    async with running_venue(picky.serve) as url:
        settings = Feed(ws_url=url, **chosen)
        try:
            yield Heard(ConnectionPool(Quick(settings), settings=settings, wake=lambda: None))
        finally:
            ours = {task for task in asyncio.all_tasks() - before if "serve" not in repr(task.get_coro())}
            for task in ours:
                task.cancel()
            await asyncio.gather(*ours, return_exceptions=True)


def assert_refused(event: Any, *names: str) -> None:
    """Whether it says of these symbols alone that they are cut, why, and in whose words."""
    assert isinstance(event, Disconnected)
    assert event.symbols == tuple(dict.fromkeys(name.partition("@")[0].upper() for name in names))
    begin = f'the venue refused the subscription of {", ".join(names)}: the exchange says: "2: < img src=x'
    assert event.reason.startswith(begin)
    assert len(event.reason) < len(begin) + 200


@pytest.mark.parametrize("form", ["wrapped", "flat", "nameless"])
async def test_a_symbol_that_is_refused_later_cuts_no_other_and_comes_back(form: str) -> None:
    picky = Picky(ETH, form=form)
    async with following(picky) as heard:
        await heard.follow("BTCUSDT")
        assert [type(event) for event in await heard.events(2)] == [Connected, Subscribed]
        await heard.follow("BTCUSDT", "ETHUSDT", "SOLUSDT")
        refused, up, more = await heard.events(3)
        assert_refused(refused, ETH)
        assert up == Subscribed("market", (), ())  # the line is not down
        assert more == Subscribed("market", ("SOLUSDT",), (SOL,))
        await asyncio.sleep(0.3)
        picky.refused.clear()
        assert await heard.events(1) == [Subscribed("market", ("ETHUSDT",), (ETH,))]
    assert picky.connections == 1


@pytest.mark.parametrize("form", ["wrapped", "flat", "nameless"])
async def test_a_symbol_that_is_refused_at_the_begin_cuts_no_other_and_comes_back(form: str) -> None:
    picky = Picky(ETH, form=form)
    async with following(picky) as heard:
        await heard.follow("BTCUSDT", "ETHUSDT", "SOLUSDT")
        opened, refused, up = await heard.events(3)
        assert isinstance(opened, Connected)
        assert_refused(refused, ETH)
        assert up == Subscribed("market", ("BTCUSDT", "SOLUSDT"), (BTC, SOL))
        picky.refused.clear()
        assert await heard.events(1) == [Subscribed("market", ("ETHUSDT",), (ETH,))]
    assert picky.connections == 1


async def test_one_of_many_is_found_with_few_requests() -> None:
    symbols = [f"A{number}USDT" for number in range(150)]
    picky = Picky("a77usdt@aggTrade", "a77usdt@ticker")
    not_trading: dict[str, Any] = {"backoff_min_s": 60, "backoff_max_s": 60, "streams_per_connection": 500}
    async with following(picky, streams=("aggTrade", "ticker"), **not_trading) as heard:
        await heard.follow(*symbols)
        _, refused, up = await heard.events(3)
        assert_refused(refused, "a77usdt@aggTrade", "a77usdt@ticker")
        assert len(up.symbols) == 149
    assert len(picky.requests) < 25
    assert picky.connections == 1


async def test_of_an_instrument_that_is_refused_in_part_the_rest_comes() -> None:
    picky = Picky("ethusdt@ticker")
    async with following(picky, streams=("aggTrade", "ticker")) as heard:
        await heard.follow("BTCUSDT", "ETHUSDT")
        opened, refused, up = await heard.events(3)
        assert isinstance(opened, Connected)
        assert_refused(refused, ETH, "ethusdt@ticker")
        assert up.symbols == ("BTCUSDT",)
        part, refused, _ = await heard.events(3)
        assert part == Subscribed("market", ("ETHUSDT",), (ETH,))
        assert_refused(refused, "ethusdt@ticker")
        picky.refused.clear()
        assert await heard.events(1) == [Subscribed("market", ("ETHUSDT",), ("ethusdt@ticker",))]


async def test_a_single_symbol_of_which_one_stream_is_refused_is_no_failure_of_the_line() -> None:
    picky = Picky("ethusdt@ticker")
    async with following(picky, streams=("ticker", "aggTrade"), backoff_min_s=60, backoff_max_s=60) as heard:
        await heard.follow("ETHUSDT")
        _, part, refused, _ = await heard.events(4)
        assert part == Subscribed("market", ("ETHUSDT",), (ETH,))
        assert_refused(refused, "ethusdt@ticker")


async def test_when_everything_is_refused_the_line_has_failed() -> None:
    symbols = [f"A{number}USDT" for number in range(30)]
    picky = Picky(*(f"{name.lower()}@aggTrade" for name in symbols))
    async with following(picky) as heard:
        await heard.follow(*symbols)
        opened, lost = await heard.events(2)
        assert isinstance(opened, Connected)
        assert lost.symbols == tuple(symbols)
        assert lost.reason.startswith('the venue refused the subscription: the exchange says: "2: ')
        assert len(picky.requests) <= 15
        picky.refused.clear()
        while not isinstance(up := (await heard.events(1))[0], Subscribed):
            pass
        assert up.symbols == tuple(symbols)


async def test_what_is_refused_may_be_given_up() -> None:
    picky = Picky(ETH)
    async with following(picky) as heard:
        await heard.follow("BTCUSDT")
        await heard.events(2)
        await heard.follow("BTCUSDT", "ETHUSDT")
        assert [type(event) for event in await heard.events(2)] == [Disconnected, Subscribed]
        await heard.follow("BTCUSDT")
        assert await heard.events(1) == [Removed("market", ("ETHUSDT",), ("aggTrade",), is_gone=True)]
        asked = len(picky.requests)
        await asyncio.sleep(0.3)
        assert len(picky.requests) == asked
        await heard.follow("BTCUSDT", "ETHUSDT")
        refused, _ = await heard.events(2)
        assert_refused(refused, ETH)


async def test_a_line_that_comes_back_asks_for_what_was_refused_behind_the_others() -> None:
    picky = Picky(ETH)
    async with following(picky, rotate_hours=0.5 / 3_600, backoff_min_s=60, backoff_max_s=60) as heard:
        await heard.follow("BTCUSDT", "ETHUSDT")
        await heard.events(3)
        asked = len(picky.requests)
        async with asyncio.timeout(20):
            while picky.connections < 2 or len(picky.requests) == asked:
                await asyncio.sleep(0.02)
    assert picky.requests[asked]["params"] == [BTC]


async def test_side_by_side_a_refusal_is_told_once() -> None:
    picky = Picky(ETH)
    async with following(picky, redundancy=2) as heard:
        await heard.follow("BTCUSDT")
        async with asyncio.timeout(20):
            while picky.connections < 2 or len(picky.requests) < 2:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        heard.pool.queues[0].items.clear()
        await heard.follow("BTCUSDT", "ETHUSDT")
        await asyncio.sleep(0.3)
        events = [item for item in heard.pool.queues[0].items if not isinstance(item, bytes)]
        assert [type(event) for event in events] == [Disconnected, Subscribed]
        picky.refused.clear()
        heard.pool.queues[0].items.clear()
        assert await heard.events(1) == [Subscribed("market", ("ETHUSDT",), (ETH,))]
    assert picky.connections == 2


async def test_an_end_that_is_refused_cuts_nothing() -> None:
    async def refuse_ends(session: VenueSession) -> None:
        await session.confirm()
        await session.confirm()
        body = await session.request()
        assert body["method"] == "UNSUBSCRIBE"
        await session.send({"error": {"code": 2, "msg": "no"}, "id": body["id"]})
        await session.confirm()
        ended.set()
        await session.stay()

    ended = asyncio.Event()
    picky = Picky()
    picky.serve = refuse_ends  # type: ignore[method-assign]
    async with following(picky) as heard:
        await heard.follow("BTCUSDT")
        await heard.events(2)
        await heard.follow("BTCUSDT", "ETHUSDT")
        await heard.follow("BTCUSDT")
        assert [type(event) for event in await heard.events(2)] == [Subscribed, Removed]
        async with asyncio.timeout(20):
            await ended.wait()
