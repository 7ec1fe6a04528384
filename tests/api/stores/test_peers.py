"""Trades of other hosts: two interfaces with a store each, and a third one with none; all of them answer the same."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from api.stores.peers import STORED, PeerTrades, decode_records, encode_record
from flows.model import Trade
from sinks.trades.codec import encode_columns
from sinks.trades.database import TradeStoreError
from tests.fakes.candles import BEGIN
from tests.fakes.interface import Deployment, Interface, fill, interface, trade

TOKEN = "token-of-the-hosts"
MINUTE = 60_000


def trades_of(first: int, last: int) -> list[Trade]:
    """One each second."""
    return [trade(number, BEGIN + number * 1_000) for number in range(first, last + 1)]


class Hosts(NamedTuple):
    """The interfaces: of the owner before, of the owner now, of a host without a store, and of one with everything."""

    before: Interface
    now: Interface
    bare: Interface
    whole: Interface


def other_urls(hosts: list[Interface], own: Interface) -> list[str]:
    return [host.url for host in hosts if host is not own]


@pytest.fixture
async def hosts(mongod_uri: str, tmp_path: Path, deployment: Deployment) -> AsyncIterator[Hosts]:
    """A shard has changed its owner in the middle of a minute; both have the trades around that."""
    deployment.tokens = {"token": TOKEN}
    fill(deployment)
    others = [Deployment(tmp_path / name, mongod_uri) for name in ("before", "now", "bare", "whole")]
    for host, span in zip(others, ((41, 170), (150, 300), None, (41, 300)), strict=True):
        host.tokens, host.database, host.broadcast = deployment.tokens, deployment.database, deployment.broadcast
        if span:
            host.store_trades(trades_of(*span))
    async with AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(interface(one, peer_urls=("http://127.0.0.1:1",))) for one in others[:3]
        ]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            for one in opened:
                peers = one.services.peers
                assert peers is not None
                peers._urls = partial(other_urls, opened, one)
                await peers.look(client)
        whole = await stack.enter_async_context(interface(others[3]))
        yield Hosts(opened[0], opened[1], opened[2], whole)
    for host in others:
        host.broadcast = None


PATHS = [
    f"/api/trades?symbol=BTCUSDT&start={BEGIN}&limit=1000",
    "/api/trades?symbol=BTCUSDT&limit=7",
    f"/api/trades?symbol=BTCUSDT&start={BEGIN + 140_000}&end={BEGIN + 200_000}&limit=25",
    f"/api/bars/BTCUSDT?kind=time&size=1m&start={BEGIN}&end={BEGIN + 5 * MINUTE}",
    "/api/bars/BTCUSDT?limit=500",
    f"/api/bars/BTCUSDT?kind=tick&size=33&start={BEGIN}&end={BEGIN + 5 * MINUTE}",
    f"/api/footprint/BTCUSDT/1m?tick=10&start={BEGIN}&end={BEGIN + 5 * MINUTE}",
    "/api/volume-profile/BTCUSDT?hours=1&min_trades=10&bins=20",
]


async def test_every_interface_answers_as_one_that_has_all_trades(hosts: Hosts) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for path in PATHS:
        expected = steady(await hosts.whole.data(path, headers=headers))
        for one in hosts[:3]:
            assert steady(await one.data(path, headers=headers)) == expected, path
    exports = [
        await text(one, f"/api/export/trades/BTCUSDT?format=csv&start={BEGIN}&end={BEGIN + HOUR}") for one in hosts
    ]
    assert len(exports[0].splitlines()) == 261
    assert exports == [exports[0]] * 4


HOUR = 60 * MINUTE


async def text(one: Interface, path: str) -> str:
    async with one.session.get(one.url + path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
        assert response.status == 200, await response.text()
        return await response.text()


def steady(data: Any) -> Any:
    """An answer without ages, which go on."""
    if isinstance(data, dict):
        return {key: steady(value) for key, value in data.items() if "age" not in key}
    return [steady(one) for one in data] if isinstance(data, list) else data


async def test_what_a_host_says_to_others_is_its_own_alone(hosts: Hosts) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert await hosts.bare.data(STORED, headers=headers) == {"symbols": {}}
    assert await hosts.before.data(STORED, headers=headers) == {"symbols": {"binance": ["BTCUSDT"]}}
    span = await hosts.now.data(f"{STORED}/span?venue=binance&symbol=BTCUSDT&start={BEGIN}", headers=headers)
    assert BEGIN + 150_000 <= span["first"] + MINUTE <= BEGIN + 150_000 + MINUTE
    assert await hosts.now.error(f"{STORED}/records?venue=binance&symbol=BTCUSDT") == (401, "unauthorized")


async def test_a_host_that_has_trades_and_does_not_answer_is_an_error_and_no_shorter_answer(hosts: Hosts) -> None:
    headers, peers = {"Authorization": f"Bearer {TOKEN}"}, hosts.bare.services.peers
    assert peers is not None
    lost = "http://127.0.0.1:1"
    peers._symbols[lost] = {"binance": frozenset(["BTCUSDT"])}
    peers._urls = lambda: [lost, hosts.now.url]
    status, body = await hosts.bare.get("/api/trades?symbol=BTCUSDT", headers=headers)
    assert (status, body["error"]["code"]) == (503, "trade_store_absent")
    assert lost in body["error"]["message"]
    async with httpx.AsyncClient(headers=headers) as client:
        await peers.look(client)
    assert list(peers.away) == [lost]
    missing = (await hosts.bare.data("/api/status", headers=headers))["missing"]
    assert any(one.startswith(f"the trades at {lost} cannot be read") for one in missing)

    peers._urls = lambda: [hosts.now.url]  # it is no longer listed: it is gone for good
    async with httpx.AsyncClient(headers=headers) as client:
        await peers.look(client)
    assert not peers.away
    found = await hosts.bare.data(f"/api/trades?symbol=BTCUSDT&start={BEGIN}&limit=1000", headers=headers)
    assert [one["id"] for one in found["trades"]] == [*range(150, 301)]


@given(st.lists(st.integers(1, 40), max_size=5), st.integers(1, 50))
def test_records_are_read_however_an_answer_is_cut(counts: list[int], size: int) -> None:
    made = []
    for minute, count in enumerate(counts):
        start = BEGIN + minute * MINUTE
        made.append((start, encode_columns([trade(100 * minute + n, start + n) for n in range(1, count + 1)])))
    body = b"".join(encode_record(*one) for one in made)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert [(one.start, one.columns) for one in decode_records(chunks)] == made
    if body:
        with pytest.raises(ValueError, match="within a record"):
            list(decode_records([body[:-1]]))


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def broken(_: web.Request) -> web.Response:
        return web.Response(body=b"\x00\x00\x00\x09abc")

    app = web.Application()
    app.router.add_get(f"{STORED}/records", broken)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    peers = PeerTrades(lambda: [url], token=None)
    try:
        with pytest.raises(TradeStoreError, match="within a record"):
            await asyncio.to_thread(lambda: list(peers.records(url, venue="binance", symbol="BTCUSDT")))
    finally:
        peers.close()
        await runner.cleanup()
