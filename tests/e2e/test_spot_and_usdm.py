"""The line through the house: exchange ▶ flow in a process of its own ▶ MongoDB, RocksDB and a client of the hub."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from flows.model import Candle
from sinks.mongo.reader import read_candles
from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import SHORT_POLL, flow_settings, hub_client, running_flow, without_silence
from tests.fakes.recordings import frames_of, official_klines, recording
from tests.fakes.tapes import market_of

pytestmark = pytest.mark.e2e

DAY = (0, 2 << 42)


def trade_ids(folder: Path) -> dict[str, list[int]]:
    """Every trade id of a recording, by symbol, in order."""
    ids: defaultdict[str, list[int]] = defaultdict(list)
    for path in sorted(folder.glob("*.gz")):
        for frame in frames_of(path):
            if b"@trade" in frame[:64]:
                data = json.loads(frame)["data"]
                ids[data["s"]].append(data["t"])
    return dict(ids)


async def play(
    folder: Path, mongod_uri: str, tmp_path: Path, *, kind: Any, venue: str, flags: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """Plays a recording through the deployment to its last trade, ends the flow, and gives what the client was told."""
    ids = trade_ids(folder)
    market = market_of([folder], kind=kind)
    with exchange_in_thread(market, speed="max", paused=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__venue=venue,
            feed__symbols=list(ids),
            feed__streams=["trade", "kline", "ticker", "depth", "bookTicker"],
            feed__poll_frames=SHORT_POLL,
        )  # fmt: skip
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Trade", "ChartUpdate", "MarketData", "Incident", "Status")
            await client.until_live()
            exchange.resume()
            waiting = {symbol: numbers[-1] for symbol, numbers in ids.items()}

            def all_arrived(message: dict[str, Any]) -> bool:
                data = message.get("data", {})
                if message["type"] == "Trade" and data["trades"][-1]["id"] >= waiting.get(data["symbol"], 1 << 62):
                    del waiting[data["symbol"]]
                return not waiting

            await client.until(all_arrived)
            assert await flow.stop() == 0, flow.said()
            await client.until_end()
            assert "messages_refused" not in flow.said()
            assert without_silence([m["data"] for m in client.messages if m["type"] == "Incident"]) == []
            return client.messages


def assert_trades_are_there_once(folder: Path, store: Path) -> None:
    with TradeReader(store) as reader:
        for symbol, ids in trade_ids(folder).items():
            assert reader.trades(symbol, *DAY, every_fill=True)["id"].to_list() == ids


def assert_equal(stored: list[Candle], official: list[dict[str, float]]) -> None:
    ours = {candle.open_time: candle for candle in stored if candle.is_closed}
    for row in official:
        candle = ours[int(row["open_time_ms"])]
        fields = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        assert fields == tuple(row[name] for name in ("open", "high", "low", "close", "volume"))
        assert candle.status == "final"


def assert_client_saw_each_closed_candle_once_and_in_order(messages: list[dict[str, Any]]) -> None:
    sequence = [message["seq"] for message in messages if "seq" in message and message["type"] != "Snapshot"]
    assert all(before < after for before, after in pairwise(sequence))
    versions: defaultdict[tuple[str, str], list[tuple[str, int]]] = defaultdict(list)
    for update in (message["data"] for message in messages if message["type"] == "ChartUpdate"):
        candle = update["candle"]
        assert candle["is_closed"]
        versions[update["symbol"], update["timeframe"]].append((candle["timestamp"], candle["revision"]))
    assert versions
    for seen in versions.values():
        assert len(set(seen)) == len(seen)
        first = [timestamp for timestamp, revision in seen if revision == 0]
        assert first == sorted(first)
        assert {timestamp for timestamp, _ in seen} == set(first)


@pytest.mark.parametrize("flags", [(), ("-w", "2")], ids=["one worker", "two workers"])
async def test_spot(mongod_uri: str, tmp_path: Path, flags: tuple[str, ...]) -> None:
    folder = recording("binance-spot-2024-08-08")
    messages = await play(folder, mongod_uri, tmp_path, kind="spot", venue="binance", flags=flags)
    assert_trades_are_there_once(folder, tmp_path / "trades" / "binance")
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            stored = read_candles(mongo[tmp_path.name], "binance", symbol, "5m", *DAY)
            name = f"binance_spot_{symbol}_5m_2024-08-08T2355_10m.csv"
            assert_equal(stored, official_klines(recording("official-klines") / name))
    assert_client_saw_each_closed_candle_once_and_in_order(messages)
    traded = {
        trade["price"]
        for message in messages
        if message["type"] == "Trade" and message["data"]["symbol"] == "BTCUSDT"
        for trade in message["data"]["trades"]
    }
    told = {m["data"]["price"] for m in messages if m["type"] == "MarketData" and m["data"]["symbol"] == "BTCUSDT"}
    assert told
    assert told <= traded


async def test_usdm(mongod_uri: str, tmp_path: Path) -> None:
    folder = recording("binance-usdm-2024-08-08")
    messages = await play(folder, mongod_uri, tmp_path, kind="usdm", venue="binance-usdm")
    assert_trades_are_there_once(folder, tmp_path / "trades" / "binance-usdm")
    official = official_klines(recording("official-klines") / "binance_usdm_BTCUSDT_1m_2024-08-08T2354_12m.csv")
    whole = [row for row in official if 1_723_161_300_000 <= row["open_time_ms"] < 1_723_161_540_000]
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        stored = read_candles(mongo[tmp_path.name], "binance-usdm", "BTCUSDT", "1m", *DAY)
    assert len(whole) == 4
    assert_equal(stored, whole)
    assert_client_saw_each_closed_candle_once_and_in_order(messages)
