import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.content_faults import Malformed, WrongValue
from sources.replay.faults.orders import AnyFault, ClockSkew, Drop, Duplicate, Gap, Refuse, Reorder, Shutdown, Silence
from sources.replay.market.market import Message
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.kraken.dialect import KrakenDialect, serve_kraken, synthetic_kraken
from tests.fakes.shapes import parse

BEGIN_MS = 1_767_225_600_000


@asynccontextmanager
async def exchange(*faults: AnyFault) -> AsyncIterator[tuple[ReplayExchange, ClientConnection]]:
    """An exchange that waits for `resume`, and a client of it."""
    market, dialect = synthetic_kraken(["BTC-USD"], seed=5, start_ms=BEGIN_MS)
    async with (
        running_exchange(market, dialect=dialect, paused=True) as running,
        connect(running.ws_url + "/v2", max_queue=None) as client,  # a full queue would hide the end from it for 10 s
    ):
        for fault in faults:
            running.inject(fault)
        yield running, client


async def subscribed(client: ClientConnection, **params: Any) -> None:
    await client.send(json.dumps({"method": "subscribe", "params": {"symbol": ["BTC/USD"], **params}}))


async def trade_ids(client: ClientConnection, count: int) -> list[int]:
    ids: list[int] = []
    while len(ids) < count:
        message = json.loads(await client.recv())
        if message.get("channel") == "trade":
            ids += [row["trade_id"] for row in message["data"]]
    return ids


async def test_a_client_gets_status_acknowledgement_data_and_heartbeats() -> None:
    async with exchange() as (running, client):
        await subscribed(client, channel="trade")
        running.resume()
        kinds: list[str] = []
        while not {"heartbeat", "trade"} <= set(kinds):
            message = json.loads(await client.recv())
            kinds.append(message.get("channel") or message["method"])
        assert kinds[:2] == ["status", "subscribe"]
        assert running.state(0.0)["venue"] == "kraken"
        assert running.state(0.0)["clients"][0]["streams"] == ("BTC/USD@trade",)


@pytest.mark.parametrize(
    ("fault", "steps"),
    [
        (Gap(stream="BTC/USD@trade", after=3), {"jump"}),
        (Duplicate(stream="BTC/USD@trade", after=3), {"back"}),
        (Reorder(stream="BTC/USD@trade", after=3), {"jump", "back"}),
    ],
)
async def test_faults_of_the_stream_reach_the_client(fault: AnyFault, steps: set[str]) -> None:
    async with exchange(fault) as (running, client):
        await subscribed(client, channel="trade")
        running.resume()
        ids = await trade_ids(client, 30)
    seen = {"jump" if later > earlier else "back" for earlier, later in pairwise(ids) if later - earlier != 1}
    assert seen == steps


async def test_wrong_contents_pass_in_the_venues_own_form() -> None:
    faults = (
        WrongValue(stream="*@trade", field="data.0.price", json="1e400"),
        Malformed(stream="*@trade", after=1),
        Silence(stream="heartbeat"),
    )
    async with exchange(*faults) as (running, client):
        await subscribed(client, channel="trade")
        running.resume()
        texts = [await client.recv() for _ in range(4)][2:]
        assert '"price":1e400,' in str(texts[0])
        with pytest.raises(json.JSONDecodeError):
            parse(texts[1])
        ids = await trade_ids(client, 100)
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_the_clock_is_wrong_in_replies_and_in_rest() -> None:
    async with exchange() as (running, client), httpx.AsyncClient(base_url=running.rest_url, timeout=60) as rest:
        await client.recv()
        running.inject(ClockSkew(by_ms=3_600_000))
        await client.send('{"method":"ping"}')
        assert json.loads(await client.recv())["time_in"] == "2026-01-01T01:00:00.000000Z"
        assert (await rest.get("/0/public/Time")).json()["result"]["unixtime"] == BEGIN_MS // 1_000 + 3_600


def test_the_clock_is_wrong_in_the_time_of_an_envelope_alone() -> None:
    dialect = synthetic_kraken(["BTC-USD"], seed=5, start_ms=BEGIN_MS).dialect
    data = b'{"channel":"ohlc","type":"update","timestamp":"2026-01-01T00:00:30.500123456Z","data":[{"timestamp":"x"}]}'
    moved = dialect.with_clock(Message(0, "BTC/USD@ohlc-1", data), -31_000)
    assert moved.data == data.replace(b"2026-01-01T00:00:30.500123456Z", b"2025-12-31T23:59:59.500123456Z")


async def test_rest_is_served_and_refused_with_an_order() -> None:
    async with exchange() as (running, _), httpx.AsyncClient(base_url=running.rest_url, timeout=60) as rest:
        assert (await rest.get("/0/public/SystemStatus")).json()["error"] == []
        running.inject(Refuse(status=503, path="/0/public/Depth"))
        refused = await rest.get("/0/public/Depth", params={"pair": "XBTUSD"})
        assert (refused.status_code, refused.json()) == (503, {"error": ["EService:Unavailable"]})
        assert (await rest.get("/0/public/Depth", params={"pair": "XBTUSD"})).json()["error"] == []


async def test_connections_end_without_a_notice() -> None:
    async with exchange() as (running, client):
        await client.recv()
        running.inject(Shutdown())
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        async with connect(running.ws_url + "/v2") as other:
            await other.recv()
            running.inject(Drop())
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(other.recv(), 60)


def test_a_market_of_another_venue_is_refused() -> None:
    with pytest.raises(TypeError):
        serve_kraken(SyntheticMarket("spot", ["BTCUSDT"], seed=1, start_ms=BEGIN_MS))
    assert isinstance(synthetic_kraken(["BTC/USD"], seed=1, start_ms=BEGIN_MS).dialect, KrakenDialect)
    with pytest.raises(ValueError, match="no pair"):
        synthetic_kraken(["BTCUSD"], seed=1, start_ms=BEGIN_MS)
