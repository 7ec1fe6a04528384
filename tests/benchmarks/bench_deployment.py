"""The whole deployment: exchange ▶ flow ▶ mongod, RocksDB, hub ▶ clients, in processes as in life.

Every run is bounded in count and time.
"""

import asyncio
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from bytewax.testing import run_main
from websockets.asyncio.client import connect

from flows.graph import Sinks, market_flow
from flows.settings import Feed, Hub, Mongo, Trades
from sinks.bridge import PartitionedWriterSink, Unpacking
from sinks.broadcast import Broadcast
from sinks.mongo import open_mongo_writer
from sinks.mongod import running_mongod
from sinks.trade_reader import TradeReader
from sinks.trades import open_trade_writer
from sources.binance.parse import BinanceParser
from sources.record import TapeWriter
from tests.benchmarks.market import PolledFrames, agg_trade_frames
from tests.benchmarks.rows import Row
from tests.fakes.deployment import ROOT, START_S, RunningFlow, running_flow

SYMBOLS = 50
SOCKET_TRADES = 400_000
DIRECT_TRADES = 1_000_000
LATENCY_S = 8.0
WARM_UP_S = 3.0
IDLE_S = 10.0
ALL_TIME = (0, 1 << 43)


@asynccontextmanager
async def running_exchange_process(*arguments: str) -> AsyncIterator[str]:
    """The replay exchange as the command that users run; yields `host:port`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sources.replay", *arguments, "--port", "0",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout
        address = await asyncio.wait_for(process.stdout.readline(), START_S)
        yield address.decode().strip()
    finally:
        process.terminate()
        await process.wait()


@contextmanager
def listeners(hub_url: str, count: int) -> Iterator[None]:
    """So many clients of the hub that only empty their sockets, twenty times a second, on a thread.

    What they cost must not be the benchmark's own Python, for it shares the processors with what is measured.
    """
    port = int(hub_url.rpartition(":")[2].partition("/")[0])
    request = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    for line in sockets:
        line.sendall(request.encode())
        line.setblocking(False)
    ended = threading.Event()

    def sweep() -> None:
        while not ended.wait(0.05):
            for line in sockets:
                with suppress(BlockingIOError):
                    while line.recv(1 << 18):
                        pass

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        for line in sockets:
            line.close()


def settings_for(address: str, uri: str, folder: Path, symbols: list[str], **more: Any) -> dict[str, Any]:
    """The settings of a flow that listens to that exchange."""
    return {
        "feed__origin": "replay",
        "feed__symbols": symbols,
        "feed__ws_url": f"ws://{address}",
        "feed__rest_url": f"http://{address}",
        "mongo__uri": uri,
        "mongo__database": folder.name.replace(".", "_"),
        "trades__path": str(folder / "trades"),
    } | more


# --- throughput through the socket ---


async def socket_rate(uri: str, folder: Path) -> tuple[float, int]:
    """Trades a second from the exchange's socket to the hub and both stores, and how many of them are missing."""
    frames = agg_trade_frames(count=SOCKET_TRADES, symbols=SYMBOLS, trades_per_s=20_000)
    symbols = [f"COIN{index:02d}USDT" for index in range(SYMBOLS)]
    tape = folder / "bench.tape.zst"
    writer = TapeWriter(tape, venue="binance", symbols=tuple(symbols))
    for number, frame in enumerate(frames):
        writer.write(frame, number)
    writer.close()
    last = {json.loads(frame)["data"]["s"]: json.loads(frame)["data"]["a"] for frame in frames}

    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_exchange_process(str(tape), "--speed", "max"))
        async with httpx.AsyncClient(base_url=f"http://{address}") as control:
            (await control.post("/control/pause")).raise_for_status()
            settings = settings_for(address, uri, folder, symbols, feed__streams=["aggTrade"])
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
            if item["type"] == "Status" and item["data"]["state"] == "live":
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


def direct_rate(uri: str, folder: Path) -> tuple[float, int]:
    """Trades a second through the flow with its real stores and hub, until all is flushed, and how many are missing."""
    frames = agg_trade_frames(count=DIRECT_TRADES, symbols=SYMBOLS, trades_per_s=20_000)
    lost: list[Any] = []
    broadcast = Broadcast(Hub(port=0), venue="binance", origin="replay")
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
            candles=PartitionedWriterSink(["mongodb"], lambda _: Unpacking(mongo), lambda _: 0),
            trades=PartitionedWriterSink(["part-00"], open_partition, lambda _: 0),
            broadcast=PartitionedWriterSink(["hub"], lambda _: Unpacking(broadcast), lambda _: 0),
        ),
    )
    begin = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - begin
    with TradeReader(folder / "trades" / "binance") as stored:
        missing = DIRECT_TRADES - sum(stored.count(symbol) for symbol in stored.symbols())
    assert not lost
    return DIRECT_TRADES / seconds, missing


# --- latency ---


async def latency_ms(uri: str, folder: Path, *, trades_per_s: int) -> tuple[float, float, float]:
    """How much later than a client of the exchange a client of the hub hears of a trade, and the machine's timer noise.

    Milliseconds: median, 99th percentile, and the noise's 99th percentile.
    """
    symbols = [f"COIN{index:02d}USDT" for index in range(10)]
    each = str(trades_per_s / len(symbols))
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            running_exchange_process("--synthetic", "--symbols", *symbols, "--trades-per-s", each)
        )
        settings = settings_for(address, uri, folder, symbols, feed__streams=["aggTrade"])
        flow = await stack.enter_async_context(running_flow(folder, **settings))
        stack.enter_context(listeners(flow.hub_url, 99))
        names = "/".join(f"{symbol.lower()}@aggTrade" for symbol in symbols)
        direct = await stack.enter_async_context(connect(f"ws://{address}/stream?streams={names}", max_queue=None))
        hub = await stack.enter_async_context(connect(flow.hub_url, max_size=None, max_queue=None))
        await asyncio.sleep(WARM_UP_S)
        at_exchange, at_hub, late = await asyncio.gather(
            _arrivals(direct, _of_exchange), _arrivals(hub, _of_hub), _timer_noise(LATENCY_S)
        )
        await flow.stop()
    delays = [(at_hub[key] - at_exchange[key]) * 1_000 for key in at_hub.keys() & at_exchange.keys()]
    return statistics.median(delays), _percentile(delays, 99), _percentile(late, 99)


async def _arrivals(client: Any, key_of: Callable[[dict[str, Any]], Any]) -> dict[Any, float]:
    """When each price of a symbol and millisecond was first heard of."""
    arrivals: dict[Any, float] = {}
    end = time.monotonic() + LATENCY_S
    while (now := time.monotonic()) < end:
        with suppress(TimeoutError):
            text = await asyncio.wait_for(client.recv(), end - now)
            heard = time.monotonic()
            key = key_of(json.loads(text))
            if key is not None:
                arrivals.setdefault(key, heard)
    return arrivals


def _of_exchange(message: dict[str, Any]) -> Any:
    data = message["data"]
    return data["s"], data["E"], float(data["p"])


def _of_hub(message: dict[str, Any]) -> Any:
    if message["type"] != "MarketData":
        return None
    data = message["data"]
    time_ms = round(datetime.fromisoformat(data["timestamp"]).timestamp() * 1_000)
    return data["symbol"], time_ms, data["price"]


async def _timer_noise(seconds: float) -> list[float]:
    """How late the machine wakes someone who sleeps two milliseconds."""
    late = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        await asyncio.sleep(0.002)
        late.append((time.monotonic() - begin - 0.002) * 1_000)
    return late


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


# --- idle ---


async def idle_share(uri: str, folder: Path) -> float:
    """Share of a core that the flow takes with two symbols at a live rate and all streams."""
    symbols = ["BTCUSDT", "ETHUSDT"]
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_exchange_process("--synthetic", "--symbols", *symbols))
        settings = settings_for(address, uri, folder, symbols)
        flow: RunningFlow = await stack.enter_async_context(running_flow(folder, **settings))
        process = psutil.Process(flow.pid)
        await asyncio.sleep(3)
        before, begin = process.cpu_times(), time.monotonic()
        await asyncio.sleep(IDLE_S)
        after, seconds = process.cpu_times(), time.monotonic() - begin
        await flow.stop()
    spent: float = after.user + after.system - before.user - before.system
    return spent / seconds


def run() -> list[Row]:
    """All of it."""
    rows = []
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        folders = (Path(parent) / f"run{number}" for number in range(20))

        def folder() -> Path:
            path = next(folders)
            path.mkdir()
            return path

        rate, missing = asyncio.run(socket_rate(uri, folder()))
        rows.append(Row("through the socket, all stores, 10 clients", "trades/s", f"{missing} missing", rate, 50_000))
        rate, missing = direct_rate(uri, folder())
        rows.append(Row("frames read directly, all stores", "trades/s", f"{missing} missing", rate, 200_000))
        for trades_per_s in (1_000, 5_000):
            p50, p99, noise = asyncio.run(latency_ms(uri, folder(), trades_per_s=trades_per_s))
            name, beside = (
                f"exchange ▶ client, {trades_per_s:,} trades/s, 100 clients",
                f"timer noise p99 {noise:.1f} ms",
            )
            rows.append(Row(name, "p50, ms", beside, p50, 5, at_most=True))
            rows.append(Row(name, "p99, ms", beside, p99, 25, at_most=True))
        share = asyncio.run(idle_share(uri, folder()))
        rows.append(Row("two symbols at live rate, all streams", "share of a core", "", share, 0.05, at_most=True))
    return rows
