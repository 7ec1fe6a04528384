"""The whole deployment: exchange ▶ flow ▶ mongod, RocksDB, hub ▶ clients, in processes as in life.

Every run is bounded in count and time.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
from bytewax.testing import run_main
from websockets.asyncio.client import connect

from flows.graph import Sinks, market_flow
from flows.settings import Feed, Hub, Mongo, Trades
from sinks.bridge import PartitionedWriterSink
from sinks.hub.broadcast import Broadcast
from sinks.mongo.writer import open_mongo_writer
from sinks.mongod.server import running_mongod
from sinks.trades.reader import TradeReader
from sinks.trades.writer import open_trade_writer
from sources.binance.parse import BinanceParser
from sources.record import TapeWriter
from tests.benchmarks.around import cores_of, listeners, running_exchange_process
from tests.benchmarks.bench_flow import plain_loop
from tests.benchmarks.latency import measured
from tests.benchmarks.market import PolledFrames, agg_trade_frames, symbols_of
from tests.benchmarks.rows import Row, in_turns, median_ratio
from tests.fakes.deployment import START_S, RunningFlow, flow_settings, running_flow

SYMBOLS = 50
SOCKET_TRADES = 400_000
DIRECT_TRADES = 1_000_000
DIRECT_ROUNDS = 5
LATENCY_S = 8.0
GOALS_MS = {100: 1.5, 1_000: 2, 10_000: 3}
"""Of the median, by trades a second."""
P99_MS = 10
IDLE_S = 10.0


# --- throughput through the socket ---


async def socket_rate(uri: str, folder: Path) -> tuple[float, int]:
    """Trades a second from the exchange's socket to the hub and both stores, and how many of them are missing."""
    frames = agg_trade_frames(count=SOCKET_TRADES, symbols=SYMBOLS, trades_per_s=20_000)
    symbols = list(symbols_of(SYMBOLS))
    tape = folder / "bench.tape.zst"
    writer = TapeWriter(tape, venue="binance", symbols=tuple(symbols))
    for number, frame in enumerate(frames):
        writer.write(frame, number)
    writer.close()
    last = {json.loads(frame)["data"]["s"]: json.loads(frame)["data"]["a"] for frame in frames}

    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_exchange_process(str(tape), "--speed", "max"))
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=60) as control:
            (await control.post("/control/pause")).raise_for_status()
            settings = flow_settings(
                folder, f"http://{address}", uri, feed__symbols=symbols, feed__streams=["aggTrade"]
            )
            flow = await stack.enter_async_context(running_flow(folder, **settings))
            stack.enter_context(listeners(flow.hub_url, 9))
            client = await stack.enter_async_context(connect(flow.hub_url, max_size=None, max_queue=None))
            await client.send(json.dumps({"op": "subscribe", "channels": ["Trade", "Status"]}))
            await _until_live(client, lines=1)
            (await control.post("/control/resume")).raise_for_status()
            begin = time.perf_counter()
            await _until_last_trades(client, last)
            seconds = time.perf_counter() - begin
            assert await flow.stop() == 0
    with TradeReader(folder / "trades" / "binance") as stored:
        missing = SOCKET_TRADES - sum(stored.count(symbol) for symbol in symbols)
    return SOCKET_TRADES / seconds, missing


async def _until_live(client: Any, *, lines: int) -> None:
    live: set[str] = set()
    while len(live) < lines:
        message = json.loads(await asyncio.wait_for(client.recv(), START_S))
        for item in message["data"]["messages"] if message["type"] == "Snapshot" else [message]:
            if item["type"] == "Status" and item["data"].get("line") and item["data"]["state"] == "live":
                live.add(item["data"]["line"])


async def _until_last_trades(client: Any, last: dict[str, int]) -> None:
    waiting = dict(last)
    while waiting:
        message = json.loads(await asyncio.wait_for(client.recv(), START_S))
        if message["type"] == "Trade":
            data = message["data"]
            if data["trades"][-1]["id"] >= waiting.get(data["symbol"], 1 << 62):
                del waiting[data["symbol"]]


# --- throughput from frames read directly ---


def direct_seconds(frames: list[bytes], uri: str, folder: Path) -> tuple[float, int]:
    """Wall seconds of the flow with its real stores and hub, until all is flushed, and how many trades are missing."""
    lost: list[Any] = []
    broadcast = Broadcast(Hub(port=0), origins={"binance": "replay"})
    broadcast.start()
    mongo = open_mongo_writer(Mongo(uri=uri, database=folder.name), retention=False, on_incident=lost.append)
    trades = Trades(path=folder / "trades")

    def open_partition(part: str) -> Any:
        return open_trade_writer(trades, venue="binance", partition=part, on_incident=lost.append)

    flow = market_flow(
        source=PolledFrames(frames, size=1_000),
        parser=BinanceParser("binance"),
        feed=Feed(streams=("aggTrade",)),
        sinks=Sinks(
            candles=PartitionedWriterSink(["mongodb"], lambda _: mongo),
            trades=PartitionedWriterSink(["part-00"], open_partition),
            broadcast=PartitionedWriterSink(["hub"], lambda _: broadcast),
        ),
    )
    begin = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - begin
    with TradeReader(folder / "trades" / "binance") as stored:
        missing = len(frames) - sum(stored.count(symbol) for symbol in stored.symbols())
    assert not lost
    return seconds, missing


# --- idle ---


async def idle_share(uri: str, folder: Path) -> float:
    """Share of a core that the flow takes with two symbols at a live rate and all streams."""
    symbols = ["BTCUSDT", "ETHUSDT"]
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_exchange_process("--synthetic", "--symbols", *symbols))
        settings = flow_settings(folder, f"http://{address}", uri, feed__symbols=symbols)
        flow: RunningFlow = await stack.enter_async_context(running_flow(folder, **settings))
        await asyncio.sleep(3)
        share = await cores_of(flow.pid, seconds=IDLE_S)
        await flow.stop()
    return share


def run() -> list[Row]:
    """All of it."""
    rows = []
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:

        def folder() -> Path:
            return Path(tempfile.mkdtemp(prefix="run", dir=parent))

        rate, missing = asyncio.run(socket_rate(uri, folder()))
        rows.append(Row("through the socket, all stores, 10 clients", "trades/s", f"{missing} missing", rate, 50_000))
        rows += _direct_rows(uri, folder)
        for trades_per_s, goal_ms in GOALS_MS.items():
            latency = asyncio.run(measured(uri, folder(), trades_per_s=trades_per_s, seconds=LATENCY_S))
            name = f"exchange ▶ client, {trades_per_s:,} trades/s, 100 clients"
            beside = f"timer noise p99 {latency.noise_p99:.1f} ms"
            rows.append(Row(name, "p50, ms", beside, latency.p50, goal_ms, at_most=True))
            rows.append(Row(name, "p99, ms", beside, latency.p99, P99_MS, at_most=True))
        share = asyncio.run(idle_share(uri, folder()))
        rows.append(Row("two symbols at live rate, all streams", "share of a core", "", share, 0.025, at_most=True))
    return rows


def _direct_rows(uri: str, folder: Callable[[], Path]) -> list[Row]:
    frames = agg_trade_frames(count=DIRECT_TRADES, symbols=SYMBOLS, trades_per_s=20_000)
    missing = 0

    def whole() -> float:
        nonlocal missing
        seconds, lacking = direct_seconds(frames, uri, folder())
        missing += lacking
        return seconds

    def loop() -> float:
        begin = time.perf_counter()
        plain_loop(frames)
        return time.perf_counter() - begin

    ours, plain = in_turns(DIRECT_ROUNDS, whole, loop)
    each = 1e6 / DIRECT_TRADES
    seconds, plain_seconds = statistics.median(ours), statistics.median(plain)
    return [
        Row("frames read directly, all stores", "trades/s", f"{missing} missing", DIRECT_TRADES / seconds, 200_000),
        Row("the same: the whole job, all outputs", f"{seconds * each:.2f} µs a trade",
            f"plain loop, {plain_seconds * each:.2f} µs", median_ratio(plain, ours), 0.7),
    ]  # fmt: skip
