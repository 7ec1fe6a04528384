"""Two flows on one exchange: one is left alone, the other is killed again and again. What both have stored when the
market stands still must be the same.

The market ends when the kills are done, and not before: so it is always long enough, however slow the machine is.
"""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from math import isnan
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import polars as pl
from pymongo import MongoClient

from flows.operators.candles.compare import is_same
from flows.recovery import prepare
from flows.settings import Feed
from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.market.market import Market
from tests.fakes.deployment import HubClient, RunningFlow, flow_settings, hub_client, running_flow
from tests.fakes.waiting import rest_after
from tests.fakes.witness import Witness, last_stored

SYMBOLS = ("BTCUSDT", "ETHUSDT")
LIMIT = 50
"""Past candles of each symbol and timeframe."""
LONGEST_LIFE_S = 2.0
FIRST_EPOCHS = 2
"""Epochs after which its state is kept: without any, a flow would begin like one that never was."""
MID_MINUTE_S = range(10, 30)
"""Where the market is stopped: what closed has its proof by then, and nothing is about to close."""
PATIENCE_S = 300
"""Longest wait for the stores to be complete: a bound for broken runs, not a measure."""
TIMES_OF_WRITING = ("_id", "created_at", "updated_at", "expires_at")


class HasUrl(Protocol):
    """An exchange that is served."""

    rest_url: str


Stored = tuple[list[dict[str, Any]], dict[str, pl.DataFrame]]


def settings_for(folder: Path, exchange: HasUrl, mongod_uri: str) -> dict[str, Any]:
    """A flow of trades and klines whose stores are named by its folder.

    It waits for trades that are on their way as long as a slow machine needs to bring them: what is closed by time
    alone says what it lacks and is amended, so it has one version more than in a run that was not killed.
    """
    return flow_settings(
        folder, exchange.rest_url, mongod_uri,
        feed__symbols=list(SYMBOLS),
        feed__streams=["aggTrade", "kline"],
        feed__backoff_min_s=0.1,
        feed__kline_limit=LIMIT,
        feed__proof_grace_ms=500,
        feed__close_grace_ms=60_000,
        feed__repair_ms=PATIENCE_S * 1_000,
        feed__request_pause_ms=0,
    )  # fmt: skip


def recovering(folder: Path) -> tuple[str, ...]:
    """Flags of the engine that keep the state in `folder`."""
    return ("-r", str(folder / "recovery"), "-s", "1", "-b", "0")


def candles_of(mongod_uri: str, database: str) -> list[dict[str, Any]]:
    """Every document, without the times of writing, in the order of its key."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        documents = list(client[database]["market_data"].find({}, dict.fromkeys(TIMES_OF_WRITING, 0)))
    return sorted(documents, key=lambda d: (d["symbol"], d["timeframe"], d["open_time"]))


def trades_of(folder: Path, venue: str = "binance") -> dict[str, pl.DataFrame]:
    """All stored trades of a venue by symbol."""
    with TradeReader(folder / "trades" / venue) as reader:
        return {symbol: reader.trades(symbol, 0, 2 << 42) for symbol in reader.symbols()}


def is_proven(mongod_uri: str, database: str) -> bool:
    """Whether every closed candle has its proof."""
    closed = [document for document in candles_of(mongod_uri, database) if document["is_closed"]]
    return all(document["proof"] or document["status"] == "venue" for document in closed)


def closed_since(mongod_uri: str, database: str, begin_ms: int) -> frozenset[tuple[str, str, int]]:
    """The closed candles that ended behind a time."""
    return frozenset(
        (one["symbol"], one["timeframe"], one["open_time"])
        for one in candles_of(mongod_uri, database)
        if one["is_closed"] and one["close_time"] >= begin_ms
    )


def _first_time(path: Path) -> int:
    """Time of the first stored trade."""
    return min(int(frame["time"][0]) for frame in trades_of(path).values())


async def begun(exchange: ThreadedExchange, *clients: HubClient, first_alone: bool = False) -> None:
    """Lets the market begin when all are live, and waits until the first trades are seen: before them nobody knows of a
    gap. With `first_alone` the others are live by what the first one passes on.
    """
    for number, client in enumerate(clients):
        await client.subscribe("Status", "Trade")
        if not number or not first_alone:
            await client.until_live(1)
    exchange.resume()
    for client in clients:
        await traded(client)


async def traded(client: HubClient) -> None:
    """Waits for a trade of each symbol."""
    for symbol in SYMBOLS:
        await client.until(lambda m, symbol=symbol: m["type"] == "Trade" and m["data"]["symbol"] == symbol)


async def compared(
    folder: Path,
    mongod_uri: str,
    market: Market,
    *,
    speed: float,
    kills: int,
    seed: int = 7,
    on_kill: Callable[[int], None] = lambda _: None,
    flags: Callable[[int], tuple[str, ...]] = lambda _: (),
    of_calm: Mapping[str, Any] = MappingProxyType({}),
    at_end: Callable[[ThreadedExchange], Awaitable[None]] | None = None,
    **more: Any,
) -> tuple[Stored, Stored]:
    """What both have stored: the one that was left alone, and the one that was killed so many times. `flags` are those
    of the engine for each of its lives, from 0 on, and `more` are settings of its own; `of_calm` are those of the
    other, on which the killed one then depends. `at_end` is awaited when both have ended, before the exchange does.

    Half of its lives last until it has traded again and a random while longer, the others are as short as chance wants
    them, from the moment on at which it is up.
    """
    calm, killed = folder / "calm", folder / "killed"
    for path in (calm, killed):
        path.mkdir(parents=True)
        prepare(path / "recovery")
    chance = random.Random(seed)
    with exchange_in_thread(market, speed=speed, paused=True, start_now=True) as exchange:

        @asynccontextmanager
        async def following(path: Path, life: int = 0) -> AsyncIterator[tuple[RunningFlow, HubClient]]:
            chosen = settings_for(path, exchange, mongod_uri) | {"mongo__database": f"{folder.name}_{path.name}"}
            of_killed = path == killed
            chosen |= more if of_killed else of_calm
            own = (*recovering(path), *(flags(life) if of_killed else ()))
            async with running_flow(path, *own, **chosen) as flow, hub_client(flow.hub_url) as client:
                yield flow, client

        async with following(calm) as (calm_flow, calm_client):
            async with following(killed) as (flow, client):
                await begun(exchange, calm_client, client, first_alone=bool(of_calm))
                begin = min(_minute_of(message) for message in client.messages if message["type"] == "Trade")
                await calm_client.close()
                past = await asyncio.to_thread(_past, exchange.rest_url)
                await until(lambda: _is_known(mongod_uri, folder, killed, past))
                known = _frontier(killed)
                await until(lambda: _frontier(killed) >= known + FIRST_EPOCHS)
                await _live(flow, chance, 1, on_kill)
            for number in range(2, kills + 1):
                async with following(killed, number - 1) as (flow, client):
                    if number % 2:
                        await client.subscribe("Trade")
                        await traded(client)
                    await _live(flow, chance, number, on_kill)
            async with following(killed, kills) as (flow, client):
                await client.subscribe("Trade")
                await traded(client)  # what is missing shows by the first trade behind it
                await client.until(
                    lambda m: m["type"] == "Trade" and _second_of(m) in MID_MINUTE_S and _minute_of(m) > begin + 1
                )  # a whole minute has been closed at least
                await asyncio.to_thread(exchange.pause)
                await _until_complete(exchange, mongod_uri, folder, calm, killed)
                codes = await asyncio.gather(flow.stop(), calm_flow.stop())
                assert list(codes) == [0, 0], flow.said() + calm_flow.said()
        if at_end:
            await at_end(exchange)
    calm_stored, killed_stored = (
        (candles_of(mongod_uri, f"{folder.name}_{path.name}"), trades_of(path)) for path in (calm, killed)
    )
    return calm_stored, killed_stored


def _second_of(message: dict[str, Any]) -> int:
    """The second of the minute of the newest trade."""
    second: int = message["data"]["trades"][-1]["timestamp"] // 1_000 % 60
    return second


def _minute_of(message: dict[str, Any]) -> int:
    """The minute of the newest trade, counted from 1970."""
    minute: int = message["data"]["trades"][-1]["timestamp"] // 60_000
    return minute


async def _live(flow: RunningFlow, chance: random.Random, number: int, on_kill: Callable[[int], None]) -> None:
    """The rest of a life, and its end."""
    await asyncio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
    await flow.kill()
    on_kill(number)


async def _until_complete(exchange: ThreadedExchange, mongod_uri: str, folder: Path, *paths: Path) -> None:
    """Waits until both have the last trades, the same closed candles, and a proof for each of them."""
    begun_ms = min(_first_time(path) for path in paths)
    with contextlib.closing(Witness(exchange.rest_url)) as witness:
        newest = {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}

    def is_complete(path: Path) -> bool:
        stored = {symbol: last_stored(_store(path), symbol) or 0 for symbol in SYMBOLS}
        return stored == newest and is_proven(mongod_uri, f"{folder.name}_{path.name}")

    for path in paths:
        await until(partial(is_complete, path))
    databases = [f"{folder.name}_{path.name}" for path in paths]
    await until(lambda: len({closed_since(mongod_uri, name, begun_ms) for name in databases}) == 1)
    for path in paths:  # what closed meanwhile is proven too
        await until(partial(is_complete, path))


def _past(rest_url: str) -> int:
    """How many past candles a flow finds: of the longer timeframes the exchange's own past has fewer."""
    with contextlib.closing(Witness(rest_url)) as witness:
        told = (len(witness.klines(symbol, name, 0)) for symbol in SYMBOLS for name in Feed().timeframes)
        return sum(min(LIMIT, number) for number in told)


def _is_known(mongod_uri: str, folder: Path, path: Path, past: int) -> bool:
    """Whether trades are stored of every symbol, and so many candles."""
    stored = all(last_stored(_store(path), symbol) for symbol in SYMBOLS)
    return stored and len(candles_of(mongod_uri, f"{folder.name}_{path.name}")) >= past


def _frontier(path: Path) -> int:
    """The epoch with which the flow would go on: what belongs to earlier ones is kept."""
    file = (path / "recovery" / "part-0.sqlite3").absolute()
    with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as database:
        [(epoch,)] = database.execute("SELECT min(worker_frontier) FROM fronts")
    return epoch or 0


def _store(path: Path) -> Path:
    return path / "trades" / "binance"


async def until(is_so: Callable[[], bool]) -> None:
    """Waits for something that is looked up on a thread."""
    async with asyncio.timeout(PATIENCE_S):
        begun = time.monotonic()
        while not await asyncio.to_thread(is_so):
            await rest_after(begun, least_s=0.2)
            begun = time.monotonic()


def differences(expected: Stored, found: Stored, *, begin: int | None = None) -> list[tuple[Any, ...]]:
    """What differs: candle by candle and field by field, and symbol by symbol of the trades; both values. How far back
    the past goes is no difference: that follows from the minute in which each of them looked for it. `begin` is when
    the first trade was; None: the first of those.
    """
    if begin is None:
        begin = min(frame["time"][0] for frame in expected[1].values())
    return [*_candles_that_differ(expected[0], found[0], begin), *_trades_that_differ(expected[1], found[1])]


def _candles_that_differ(
    expected: list[dict[str, Any]], found: list[dict[str, Any]], begin: int
) -> Iterator[tuple[Any, ...]]:
    keys = ("symbol", "timeframe", "open_time")
    ours = {tuple(document[key] for key in keys): document for document in found}
    theirs = {tuple(document[key] for key in keys): document for document in expected}
    for one, other, word in ((theirs, ours, "missing"), (ours, theirs, "superfluous")):
        yield from ((key, word) for key in one.keys() - other.keys() if one[key]["close_time"] >= begin)
    for key in theirs.keys() & ours.keys():
        for field, value in theirs[key].items():
            if field == "revision" and theirs[key]["open_time"] < begin:
                continue  # of what began before both, the order of stream and REST decides how many versions there were
            if not _same(ours[key].get(field), value):
                yield key, field, value, ours[key].get(field)


def _same(ours: Any, theirs: Any) -> bool:
    """Equal; quote volumes of a day have more digits than float64, so their last place depends on where the start
    fell. What the venue does not state is not a number.
    """
    if isinstance(theirs, float) and isinstance(ours, float):
        return is_same(ours, theirs) or (isnan(ours) and isnan(theirs))
    return bool(ours == theirs)


def _trades_that_differ(expected: dict[str, pl.DataFrame], found: dict[str, pl.DataFrame]) -> Iterator[tuple[Any, ...]]:
    for symbol, theirs in expected.items():
        ours = found.get(symbol, theirs.clear())
        for one, other, word in ((theirs, ours, "missing"), (ours, theirs, "superfluous")):
            yield from ((symbol, row, word) for row in one.join(other, on=one.columns, how="anti").rows())
        if ours.height != theirs.height:
            yield symbol, "trades", theirs.height, ours.height
