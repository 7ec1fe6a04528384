"""A tape with the times of now: it is under way at the first answer, however long after its loading that comes."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import zstandard
from websockets.asyncio.client import connect

from flows.clock import wall_ms
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.market.market import Market
from sources.replay.tape.tapes import load_tapes

BEGIN_MS = 1_700_000_043_210
LATER_MS = 3_000_000 + 12_345
MINUTE_MS = 60_000


def tape(folder: Path, seconds: int) -> Market:
    header = {"format": "marketflow-tape", "version": 1, "venue": "binance", "symbols": ["XUSDT"], "started_ns": 0}
    lines = [msgspec.json.encode(header)]
    for number in range(seconds * 2):
        time = BEGIN_MS + number * 500
        data = {"e": "trade", "E": time, "s": "XUSDT", "t": number + 1, "p": "10.5", "q": "1.0", "T": time, "m": False}
        lines.append(b"%d %b" % (number, msgspec.json.encode({"stream": "xusdt@trade", "data": data})))
    path = folder / "x.tape.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(lines) + b"\n"))
    return load_tapes([path], kind="spot", times="now")


@pytest.fixture
def clock_ms() -> int:
    """A time long after the tape was loaded, at which the first request comes."""
    return wall_ms() + LATER_MS


@pytest.fixture
async def exchange(tmp_path: Path, clock_ms: int) -> AsyncIterator[ReplayExchange]:
    async with running_exchange(tape(tmp_path, 600), speed=1.0, wall_ms=lambda: clock_ms) as served:
        yield served


async def test_the_first_answer_of_rest_has_prices_and_the_time_of_now(exchange: ReplayExchange, clock_ms: int) -> None:
    async with httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as client:
        ticker = (await client.get("/api/v3/ticker/24hr", params={"symbol": "XUSDT"})).json()
        assert ticker["lastPrice"] == "10.50000000"
        assert ticker["closeTime"] > clock_ms - MINUTE_MS
        rows = (await client.get("/api/v3/aggTrades", params={"symbol": "XUSDT"})).json()
        assert len(rows) >= 4
        assert clock_ms - MINUTE_MS - 2_000 - 500 <= rows[0]["T"] <= clock_ms - 2_000
        assert rows[-1]["T"] > clock_ms - 500
        assert (rows[0]["T"] - BEGIN_MS) % MINUTE_MS == 0
        assert (await client.get("/api/v3/time")).json()["serverTime"] >= clock_ms


async def test_the_first_message_has_the_time_of_now(exchange: ReplayExchange, clock_ms: int) -> None:
    async with connect(exchange.ws_url + "/ws/xusdt@trade") as client:
        first = msgspec.json.decode(await client.recv())
    assert first["E"] > clock_ms - 500
    assert first["t"] >= 4


async def test_a_short_tape_is_played_from_about_its_begin(tmp_path: Path, clock_ms: int) -> None:
    async with (
        running_exchange(tape(tmp_path, 20), speed=1.0, wall_ms=lambda: clock_ms) as exchange,
        connect(exchange.ws_url + "/ws/xusdt@trade") as client,
    ):
        first = msgspec.json.decode(await client.recv())
    assert 4 <= first["t"] <= 8
    assert first["E"] > clock_ms - 500


async def test_a_tape_goes_on_at_another_speed_with_the_trades_that_it_has(tmp_path: Path, clock_ms: int) -> None:
    async with (
        running_exchange(tape(tmp_path, 20), speed=1.0, wall_ms=lambda: clock_ms) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
        connect(exchange.ws_url + "/ws/xusdt@trade") as client,
    ):
        ids = [msgspec.json.decode(await client.recv())["t"]]
        times = [clock_ms]
        for speed in (4.0, 100.0):
            state = (await http.post("/control/speed", json={"speed": speed})).json()
            times.append(state["now"])
            ids.append(msgspec.json.decode(await client.recv())["t"])
        ids += [msgspec.json.decode(await client.recv())["t"] for _ in range(40 - ids[-1])]
        assert ids == list(range(ids[0], 41))
        assert times == sorted(times)
