"""Flows that share shards: one is killed, one is halted and goes on. What they have stored and published together is
what one flow has that was left alone.
"""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.recovery import prepare
from flows.settings import Bus
from sinks.bus.client import connected
from sinks.bus.stored import BusError, Stored
from sinks.bus.subjects import channel_of
from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from tests.e2e.test_crash import SPEED, tape
from tests.fakes.deployment import HubClient, hub_client, running_flow
from tests.fakes.nats import bus, needs_nats, running_nats, stored
from tests.fakes.sharing import SharingHost, leases, sharing_host
from tests.fakes.twins import (
    MID_MINUTE_S,
    PATIENCE_S,
    SYMBOLS,
    candles_of,
    closed_since,
    differences,
    is_proven,
    recovering,
    settings_for,
    trades_of,
)
from tests.fakes.waiting import rest_after
from tests.fakes.witness import Witness

pytestmark = [pytest.mark.e2e, needs_nats]

HOSTS = ("one", "other")


class Shared:
    """What two hosts say and own."""

    def __init__(self, settings: Bus) -> None:
        self.settings = settings
        self.hosts: dict[str, SharingHost] = {}

    async def owners(self) -> dict[str, str]:
        """The owner of each shard."""
        return {shard: lease.owner for shard, lease in (await leases(self.settings)).items()}

    async def published(self) -> list[Stored]:
        """All messages; none while there is no stream."""
        with suppress(BusError):
            return await stored(self.settings)
        return []

    async def newest_of(self, subject: str) -> list[dict[str, Any]]:
        """What the newest message of each subject of a pattern says; nothing while there is no stream."""
        with suppress(BusError):
            async with connected(self.settings, "test") as client:
                return [json.loads(one.body) for one in await client.newest(subject, wait_s=5)]
        return []

    async def newest(self) -> dict[str, int]:
        """The newest trade of each symbol."""
        found = [one["data"] for one in await self.newest_of("mf.binance.*.Trade")]
        return {data["symbol"]: data["trades"][-1]["id"] for data in found}

    async def are_live(self) -> bool:
        """Whether each flow says that its line is live."""
        states = await self.newest_of("mf.binance.*.Status.>")
        return len({one["flow"] for one in states if one["data"].get("state") == "live"}) == len(HOSTS)

    async def until(self, holds: Callable[[Any], bool], look: Callable[[], Awaitable[Any]]) -> Any:
        """Waits until what is looked at is so, and gives it."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                begun = time.monotonic()
                while not holds(found := await look()):
                    await rest_after(begun, least_s=0.1)
                    begun = time.monotonic()
                return found
        except TimeoutError as error:
            raise AssertionError("\n".join(host.said()[-4_000:] for host in self.hosts.values())) from error

    async def until_owned_by(self, *names: str) -> dict[str, str]:
        """Waits until each of these has a shard, and nobody else."""
        found: dict[str, str] = await self.until(
            lambda owners: len(owners) == len(HOSTS) and {*owners.values()} == {*names}, self.owners
        )
        return found

    async def until_traded(self) -> None:
        """Waits until newer trades of every symbol are published."""
        known = await self.until(lambda newest: len(newest) == len(SYMBOLS), self.newest)
        await self.until(lambda newest: all(newest.get(one, 0) > known[one] for one in SYMBOLS), self.newest)


def bodies(messages: list[Stored], channel: str) -> list[dict[str, Any]]:
    return [json.loads(one.body)["data"] for one in messages if channel_of(one.subject) == channel]


def ids_of(messages: list[Stored], symbol: str) -> list[int]:
    return [row["id"] for body in bodies(messages, "Trade") if body["symbol"] == symbol for row in body["trades"]]


def newest_stored(folder: Path, symbol: str) -> int:
    path = folder / "trades" / "binance"
    if not path.is_dir():
        return 0
    with TradeReader(path) as reader:
        return reader.last_id(symbol) or 0


async def minutes_later(client: HubClient, minutes: int) -> None:
    """Waits until so many minutes of the market are over, to the middle of one."""

    def minute_of(message: dict[str, Any]) -> int:
        newest: int = message["data"]["trades"][-1]["timestamp"]
        return newest // 60_000

    begin = minute_of(await client.until(lambda one: one["type"] == "Trade"))
    await client.until(
        lambda one: (
            one["type"] == "Trade"
            and minute_of(one) >= begin + minutes
            and one["data"]["trades"][-1]["timestamp"] // 1_000 % 60 in MID_MINUTE_S
        )
    )


async def until_complete(shared: Shared, exchange: ThreadedExchange, folder: Path, calm: Path, uri: str) -> None:
    """Waits until both sides have everything that was made until the market stood still."""
    begin_ms = min(int(frame["time"][0]) for frame in trades_of(calm).values())
    witness = Witness(exchange.rest_url)
    newest = {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}
    witness.close()

    async def is_complete() -> bool:
        found = {symbol: max(newest_stored(folder / name, symbol) for name in HOSTS) for symbol in SYMBOLS}
        own = {symbol: newest_stored(calm, symbol) for symbol in SYMBOLS}
        is_there = found == own == newest == await shared.newest()
        are_proven = is_there and is_proven(uri, "calm") and is_proven(uri, "shared")
        return are_proven and closed_since(uri, "calm", begin_ms) == closed_since(uri, "shared", begin_ms)

    await shared.until(bool, is_complete)


async def test_what_a_lost_flow_followed_another_follows_without_a_loss_or_a_repetition(
    mongod_uri: str, tmp_path: Path
) -> None:
    calm = tmp_path / "calm"
    calm.mkdir()
    prepare(calm / "recovery")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_nats(tmp_path))
        exchange = stack.enter_context(exchange_in_thread(tape(loop=True), speed=SPEED, paused=True, start_now=True))
        shared = Shared(bus(server))

        frames = {"feed__timeframes": ["1m", "5m"]}  # whole ones of both pass

        async def start(name: str) -> None:
            of_bus = {"bus__url": server.url, "bus__shards": 2, "bus__lease_s": 2, "bus__flow": name}
            chosen = settings_for(tmp_path / name, exchange, mongod_uri) | of_bus | frames
            chosen |= {"mongo__database": "shared"}
            shared.hosts[name] = await stack.enter_async_context(sharing_host(tmp_path / name, **chosen))

        flow = await stack.enter_async_context(
            running_flow(calm, *recovering(calm), **settings_for(calm, exchange, mongod_uri) | frames)
        )
        client = await stack.enter_async_context(hub_client(flow.hub_url))
        for name in HOSTS:
            await start(name)
        await shared.until_owned_by(*HOSTS)
        await shared.until(bool, shared.are_live)
        await client.subscribe("Status", "Trade")
        await client.until_live(1)
        exchange.resume()
        await minutes_later(client, 2)

        before = await leases(shared.settings)
        await shared.hosts["one"].kill()
        await shared.until_owned_by("other")
        after = await leases(shared.settings)
        assert {shard: after[shard].epoch - before[shard].epoch for shard in before} == {
            shard: int(lease.owner == "one") for shard, lease in before.items()
        }
        await shared.until_traded()
        await start("one")
        await shared.until_owned_by(*HOSTS)  # one has a shard again, without a lease that has run out

        shared.hosts["other"].send(signal.SIGSTOP)
        await shared.until_owned_by("one")
        await shared.until_traded()
        shared.hosts["other"].send(signal.SIGCONT)  # it goes on to publish, and is refused
        await shared.until_owned_by(*HOSTS)
        await shared.until_traded()
        await minutes_later(client, 1)
        await asyncio.to_thread(exchange.pause)
        await until_complete(shared, exchange, tmp_path, calm, mongod_uri)
        assert [await host.stop() for host in shared.hosts.values()] == [0, 0]
        assert await flow.stop() == 0
        messages = await shared.published()

    for symbol in SYMBOLS:
        found = ids_of(messages, symbol)
        assert found == [*range(found[0], found[0] + len(found))]
    closed = [(one["symbol"], one["timeframe"], one["candle"]["timestamp"]) for one in bodies(messages, "ChartUpdate")]
    assert len(closed) == len(set(closed))
    parts = [trades_of(tmp_path / name) for name in HOSTS]
    together = {
        symbol: pl.concat([part[symbol] for part in parts if symbol in part]).unique("id").sort("id")
        for symbol in SYMBOLS
    }
    left = differences((candles_of(mongod_uri, "calm"), trades_of(calm)), (candles_of(mongod_uri, "shared"), together))
    assert not left, "\n".join(map(str, left))
