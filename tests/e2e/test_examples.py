"""The programs of docs/examples, each a process beside a real deployment: what they print is what the exchange says."""

import asyncio
import csv
import io
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.live.messages import ms_of
from flows.model import Kline
from flows.operators.candles.compare import is_same
from sources.record import TapeWriter
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import (
    ROOT,
    START_S,
    environment_of,
    flow_settings,
    free_port,
    hub_client,
    running_flow,
)
from tests.fakes.interface import until
from tests.fakes.true_tape import BEGIN_MS, TrueTape
from tests.fakes.witness import Witness, stored_candles

pytestmark = pytest.mark.e2e

EXAMPLES = ROOT / "docs" / "examples"
SYMBOL = "BTCUSDT"
MINUTE_MS = 60_000
MINUTES = 3
"""Candles that are compared."""
SPEED = 30.0
PATIENCE_S = 120
"""Longest wait for something that takes seconds: a bound for broken runs, not a measure."""


@contextmanager
def market() -> Iterator[tuple[ThreadedExchange, Witness]]:
    """A synthetic exchange that waits for the word to begin, and somebody who asks it."""
    synthetic = SyntheticMarket("spot", (SYMBOL,), seed=7, start_ms=BEGIN_MS, trades_per_s=5.0)
    with (
        exchange_in_thread(synthetic, speed=SPEED, paused=True) as exchange,
        closing(Witness(exchange.rest_url)) as witness,
    ):
        yield exchange, witness


def settings_for(folder: Path, exchange: ThreadedExchange, mongod_uri: str) -> dict[str, Any]:
    return flow_settings(
        folder, exchange.rest_url, mongod_uri,
        feed__symbols=[SYMBOL],
        feed__timeframes=["1m"],
        feed__streams=["aggTrade", "kline"],
        feed__kline_limit=5,
    )  # fmt: skip


@asynccontextmanager
async def running_example(name: str, *arguments: str, **settings: Any) -> AsyncIterator[Process]:
    """An example as a process, told by the environment; it is killed in the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *arguments, cwd=ROOT, stdout=PIPE, env=environment_of(settings)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def words_of(process: Process) -> list[str]:
    """The words of the next line that it prints."""
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        line = await process.stdout.readline()
    assert line, "it has ended"
    return line.decode().split()


async def test_the_bot_sees_the_candles_that_the_exchange_closes(mongod_uri: str, tmp_path: Path) -> None:
    with market() as (exchange, witness):
        async with (
            running_flow(tmp_path, **settings_for(tmp_path, exchange, mongod_uri)) as flow,
            hub_client(flow.hub_url) as hub,
            running_example("closed_candles.py", flow.hub_url) as bot,
        ):
            await hub.subscribe("Status")
            await hub.until_live(lines=1)
            exchange.resume()
            seen = [await words_of(bot) for _ in range(MINUTES)]
            exchange.pause()
        klines = {str(one.open_time): one for one in witness.klines(SYMBOL, "1m", BEGIN_MS - 60 * MINUTE_MS)}
    for symbol, timeframe, timestamp, close, status, revision in seen:
        assert (symbol, timeframe, float(close)) == (SYMBOL, "1m", klines[timestamp].close)
        assert status in ("final", "repaired", "venue")
        assert int(revision) >= 0
    assert len({timestamp for _, _, timestamp, *_ in seen}) > 1


async def test_candles_and_trades_are_read_together(mongod_uri: str, tmp_path: Path) -> None:
    def proven() -> int:
        candles = stored_candles(mongod_uri, tmp_path.name, SYMBOL, "1m")
        return sum(one.status == "final" and one.proof == "equal" for one in candles)

    with market() as (exchange, witness):
        settings = settings_for(tmp_path, exchange, mongod_uri)
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as hub:
            await hub.subscribe("Status")
            await hub.until_live(lines=1)
            exchange.resume()
            await until(lambda: proven() >= MINUTES, patience_s=PATIENCE_S)
            exchange.pause()
            assert await flow.stop() == 0, flow.said()
        async with running_example("candles_and_trades.py", SYMBOL, **settings) as example:
            async with asyncio.timeout(START_S):
                printed, _ = await example.communicate()
            assert example.returncode == 0
        klines = {one.open_time: one for one in witness.klines(SYMBOL, "1m", BEGIN_MS)}
        trades = witness.aggregates(SYMBOL, witness.first_id(SYMBOL, BEGIN_MS))
    rows = list(csv.DictReader(io.StringIO(printed.decode())))
    proofs = [row["proof"] for row in rows]
    assert proofs.count("equal") >= MINUTES
    for row in rows:
        kline = klines[ms_of(row["timestamp"].replace("+0000", "Z"))]
        assert_is(row, kline, [(price, quantity) for _, time, price, quantity, _ in trades if is_in(kline, time)])


async def test_without_a_database_an_example_names_what_to_start(tmp_path: Path) -> None:
    settings = {"mongo__uri": f"mongodb://127.0.0.1:{free_port()}", "trades__path": str(tmp_path)}
    said = await refusal("candles_and_trades.py", SYMBOL, **settings)
    assert said.startswith("the database does not answer (127.0.0.1:")
    assert "start the deployment with marketflow run" in said
    said = await refusal("candles_and_trades.py", SYMBOL, str(tmp_path))
    assert said.startswith(f"no deployment has been started in {tmp_path}: ")


async def refusal(name: str, *arguments: str, **settings: Any) -> str:
    """The one line that an example says as it cannot run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(EXAMPLES / name), *arguments, cwd=ROOT, stderr=PIPE, env=environment_of(settings)
    )
    async with asyncio.timeout(PATIENCE_S):
        _, said = await process.communicate()
    assert (process.returncode, said.count(b"\n")) == (1, 1), said.decode()
    return said.decode()


def is_in(kline: Kline, time: int) -> bool:
    return kline.open_time <= time < kline.open_time + MINUTE_MS


def assert_is(row: dict[str, str], kline: Kline, trades: list[tuple[float, float]]) -> None:
    """A row of the table, against the exchange's kline and its trades of that minute."""
    volume = sum(quantity for _, quantity in trades)
    assert float(row["close"]) == kline.close
    assert is_same(float(row["volume"]), kline.volume)
    assert is_same(float(row["traded"]), volume)
    assert float(row["vwap"]) == pytest.approx(sum(price * quantity for price, quantity in trades) / volume)


async def test_a_tape_is_played_into_the_dashboard(tmp_path: Path) -> None:
    market = TrueTape("binance", seconds=150)
    frames = [frame for frame in market.frames if frame.symbol == SYMBOL]
    tape = tmp_path / "market.tape.zst"
    with closing(TapeWriter(tape, venue="binance", symbols=(SYMBOL,))) as writer:
        for frame in frames:
            writer.write(frame.frame, frame.due_ms * 1_000_000)
    last_price = float(json.loads([frame for frame in frames if frame.channel == "aggTrade"][-1].message.data)["p"])
    settings = {
        "feed__symbols": [SYMBOL],
        "feed__streams": ["aggTrade", "kline"],
        "feed__timeframes": ["1m"],
        "hub__port": free_port(),
        "api__port": free_port(),
        "replay__port": free_port(),
        "metrics__enabled": False,
    }
    async with running_example("replay_to_dashboard.py", str(tape), "--speed", str(SPEED), **settings) as example:
        dashboard = (await words_of(example))[-1]
        assert dashboard == f"http://127.0.0.1:{settings['api__port']}/"
        async with httpx.AsyncClient(base_url=dashboard, timeout=PATIENCE_S) as http:
            await until(lambda: has_price(http, last_price), patience_s=PATIENCE_S)
            page = await http.get("/")
            chart = (await http.get(f"/api/chart/{SYMBOL}/1m", params={"limit": 2})).json()["data"]
            status = (await http.get("/api/status")).json()["data"]
            example.send_signal(signal.SIGINT)
            async with asyncio.timeout(START_S):
                assert await example.wait() == 0
            with pytest.raises(httpx.TransportError):
                await http.get("/")
    assert "<title>" in page.text
    assert status["origin"] == "replay"
    closed, forming = chart["candles"]
    minute = BEGIN_MS + MINUTE_MS
    prices, _ = market.closed_minutes(SYMBOL, minute)[minute]
    assert (closed["timestamp"], closed["is_closed"]) == (minute, True)
    assert tuple(closed[name] for name in ("open", "high", "low", "close")) == prices
    assert (forming["timestamp"], forming["is_closed"]) == (minute + MINUTE_MS, False)
    assert chart["latest_price"] == forming["close"] == last_price


async def has_price(http: httpx.AsyncClient, price: float) -> bool:
    """Whether the interface runs, and the forming candle ends with this price."""
    try:
        answer = (await http.get(f"/api/chart/{SYMBOL}/1m", params={"limit": 1})).json()
    except httpx.TransportError:
        return False
    data = answer["data"] or {}
    return bool(data.get("candles")) and data["latest_price"] == data["candles"][-1]["close"] == price
