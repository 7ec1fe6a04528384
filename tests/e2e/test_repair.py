"""`python -m flows.verify --repair` on the stores of a flow, while it is away and while it runs."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from rocksdict import WriteBatch

from flows.model import Candle
from flows.operators.candles.compare import differing_fields
from flows.operators.candles.reconcile import KEPT_MS
from flows.recovery import prepare
from sinks.mongo.commands import REQUESTS
from sinks.mongo.documents import MARKET_DATA, candle_of
from sinks.trades.codec import columns_of, encode_key, encode_record
from sinks.trades.store import TradeStore
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import (
    START_S,
    HubClient,
    RunningFlow,
    environment_of,
    flow_settings,
    hub_client,
    running_flow,
)
from tests.fakes.twins import recovering
from tests.fakes.witness import stored_trades

pytestmark = pytest.mark.e2e

SYMBOL = "BTCUSDT"
BEGIN = 1_767_225_600_000
MINUTE_MS = 60_000
SPEED = 120.0
OLD_MINUTE = BEGIN + 2 * MINUTE_MS
"""A flow has every trade of it, and amends it no more when it ends."""
OTHER_MINUTE = OLD_MINUTE + MINUTE_MS
LENGTHS = {"1m": MINUTE_MS, "5m": 5 * MINUTE_MS}
LAST_MINUTE = OLD_MINUTE + KEPT_MS + 3 * MINUTE_MS
Documents = MongoClient[dict[str, Any]]


def settings_of(folder: Path, exchange: ThreadedExchange, mongod_uri: str) -> dict[str, Any]:
    return flow_settings(
        folder, exchange.rest_url, mongod_uri,
        feed__symbols=[SYMBOL],
        feed__streams=["aggTrade", "kline"],
        feed__kline_limit=5,
        feed__proof_grace_ms=500,
        feed__request_pause_ms=0,
        feed__backoff_min_s=0.1,
        mongo__database=folder.parent.name,
    )  # fmt: skip


async def mended(folder: Path, settings: dict[str, Any], *arguments: str) -> dict[str, Any]:
    """The report of the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows.verify", "--json", "-", "--settle", "60", "--repair", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment_of(settings),
    )  # fmt: skip
    out, said = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode == 1, said.decode()  # something was false
    report: dict[str, Any] = json.loads(out)
    return report


@asynccontextmanager
async def following(folder: Path, settings: dict[str, Any]) -> AsyncIterator[tuple[RunningFlow, HubClient]]:
    async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
        await client.subscribe("Status", "Candle", "Trade")
        yield flow, client


def is_of(message: dict[str, Any], open_time: int) -> bool:
    if message["type"] != "Candle" or message["data"]["timeframe"] != "1m":
        return False
    candle = message["data"]["candle"]
    return bool(candle["timestamp"] == open_time and candle["status"] != "forming")


def stored(client: Documents, settings: dict[str, Any], timeframe: str, open_time: int) -> Candle:
    found = client[settings["mongo__database"]][MARKET_DATA].find_one({"timeframe": timeframe, "open_time": open_time})
    assert found is not None
    return candle_of(found)


def falsify(client: Documents, settings: dict[str, Any], open_time: int, **values: Any) -> None:
    of = {"timeframe": "1m", "open_time": open_time}
    client[settings["mongo__database"]][MARKET_DATA].update_one(of, {"$set": values})


def lose_trades(part: Path, second: int) -> tuple[int, int]:
    """Deletes ten seconds of the minute, in however long records they are stored; the first and last id of them."""
    begin = OLD_MINUTE + second * 1_000
    lost: list[int] = []
    with TradeStore(part) as store:
        batch = WriteBatch(raw_mode=True)
        for start in list(store.starts(SYMBOL, OLD_MINUTE, OLD_MINUTE + 60_000)):
            key = encode_key(SYMBOL, start)
            record = store.record(key)
            rows = list(record.rows()) if record is not None else []
            kept = [row for row in rows if not begin <= row[3] < begin + 10_000]
            lost += [row[0] for row in rows if row not in kept]
            if not kept:
                batch.delete(key)
            elif len(kept) < len(rows):
                batch.put(key, encode_record(columns_of(kept)))
        store.write(batch)
        store.sync()
    return min(lost), max(lost)


async def test_stores_are_mended_and_the_clients_of_a_running_flow_are_told(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "flow"
    folder.mkdir()
    prepare(folder / "recovery")
    market = SyntheticMarket("spot", (SYMBOL,), seed=1, start_ms=BEGIN, trades_per_s=5.0)
    with (
        exchange_in_thread(market, speed=SPEED, paused=True, start_now=True) as exchange,
        Documents(mongod_uri) as mongo,
    ):
        settings = settings_of(folder, exchange, mongod_uri)
        async with following(folder, settings) as (flow, client):
            await client.until_live(1)
            exchange.resume()
            await client.until(lambda message: is_of(message, LAST_MINUTE))
            await asyncio.to_thread(exchange.pause)
            assert await flow.stop() == 0, flow.said()
        [part] = (folder / "trades" / "binance").glob("part-*")
        trades = stored_trades(part.parent, SYMBOL)
        before = {
            name: stored(mongo, settings, name, OLD_MINUTE // length * length) for name, length in LENGTHS.items()
        }
        assert before["1m"].status == "final"
        lost = lose_trades(part, 20)
        falsify(mongo, settings, OLD_MINUTE, status="partial", trades=1, proof="")

        report = await mended(folder, settings)
        [left] = report["left"]
        assert left.startswith(f"trades {lost[0]} to {lost[1]} of {SYMBOL} are not stored: ")
        assert left.endswith(f"python -m flows.verify --repair --against rest --symbols {SYMBOL} fetches them")
        assert (report["refilled"], report["repaired"]) == (0, 0)

        report = await mended(folder, settings, "--against", "rest")
        assert (report["refilled"], report["repaired"], report["left"]) == (lost[1] - lost[0] + 1, 1, [])
        assert stored_trades(part.parent, SYMBOL) == trades
        for name, candle in before.items():
            again = stored(mongo, settings, name, candle.open_time)
            assert differing_fields(again, candle) == []
            assert again.status == ("repaired" if name == "1m" else candle.status)

        lost = lose_trades(part, 40)
        async with following(folder, settings) as (flow, client):
            await client.until_live(1)
            exchange.resume()
            await client.until(lambda message: message["type"] == "Trade")
            requests = mongo[settings["mongo__database"]][REQUESTS]
            await until_done(requests, 1)  # what the first repair has left
            true = stored(mongo, settings, "1m", OTHER_MINUTE)
            falsify(mongo, settings, OTHER_MINUTE, volume=0.5)
            report = await mended(folder, settings, "--against", "rest")
            [left] = report["left"]
            assert left.startswith(f"trades {lost[0]} to {lost[1]} of {SYMBOL} are not stored: a flow writes to ")
            assert (report["repaired"], report["refilled"], report["republished"]) == (1, 0, 1)
            assert await told(client, OLD_MINUTE, 1) == before["1m"].volume
            assert await told(client, OTHER_MINUTE, true.revision + 1) == true.volume
            await until_done(requests, 2)
            assert await flow.stop() == 0, flow.said()


async def told(client: HubClient, open_time: int, revision: int) -> float:
    """Waits until a client hears of this revision of a minute, and gives its volume."""

    def is_it(message: dict[str, Any]) -> bool:
        return is_of(message, open_time) and message["data"]["candle"]["revision"] == revision

    found = next(filter(is_it, client.messages), None) or await client.until(is_it)
    volume: float = found["data"]["candle"]["volume"]
    return volume


async def until_done(requests: Any, count: int) -> None:
    """Waits until so many requests have been served."""
    async with asyncio.timeout(START_S):
        while [one["state"] for one in requests.find()] != ["done"] * count:
            await asyncio.sleep(0.1)
