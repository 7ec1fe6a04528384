"""Lives of a flow of trades that end as by a loss of power, and what its store lacks afterwards."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flows.recovery import prepare
from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import ThreadedExchange
from tests.fakes.deployment import HubClient, RunningFlow, flow_settings, hub_client, running_flow
from tests.fakes.twins import SYMBOLS, recovering, traded


@asynccontextmanager
async def following(folder: Path, exchange: ThreadedExchange) -> AsyncIterator[tuple[RunningFlow, HubClient]]:
    """A flow of trades without MongoDB, and a client of its hub."""
    settings: dict[str, Any] = flow_settings(
        folder, exchange.rest_url, "mongodb://127.0.0.1:9",
        feed__streams=["aggTrade"], feed__backoff_min_s=0.1, mongo__enabled=False,
    )  # fmt: skip
    async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
        await client.subscribe("Trade", "Incident")
        yield flow, client


def prepared(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    prepare(folder / "recovery")
    return folder


def store(folder: Path) -> Path:
    return folder / "trades" / "binance"


def told_first(client: HubClient) -> dict[str, int]:
    """The first trade of each symbol that the hub has told of."""
    found: dict[str, int] = {}
    for message in client.of_type("Trade"):
        found.setdefault(message["symbol"], message["trades"][0]["id"])
    return found


def holes(folder: Path, first: dict[str, int]) -> list[tuple[str, int, int]]:
    """Ids that are not stored, from the first one that was told to the newest stored one."""
    missing = []
    with TradeReader(store(folder)) as reader:
        for symbol, begin in first.items():
            ids = reader.trades(symbol, 0, 2 << 42)["id"].to_list()
            expected = range(min(begin, ids[0]), ids[-1] + 1)
            missing += [(symbol, begin, number) for number in sorted(set(expected) - set(ids))]
    return missing


async def lived(folder: Path, exchange: ThreadedExchange, seconds: float) -> dict[str, int]:
    """A life that ends as by a loss of power, and the first trades that it told of."""
    async with following(folder, exchange) as (flow, client):
        await traded(client)
        await asyncio.sleep(seconds)
        await flow.kill()
    return told_first(client)


async def lost_after_a_first_life(
    folder: Path, exchange: ThreadedExchange, seconds: float
) -> list[tuple[str, int, int]]:
    """What is not stored when a first life has ended so soon after its first trades, and a second one goes on."""
    first = await lived(folder, exchange, seconds)
    async with following(folder, exchange) as (flow, client):
        await traded(client)
        assert await flow.stop() == 0, flow.said()
    assert set(first) == set(SYMBOLS)
    return holes(folder, first)
