import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import serve

from flows.command.outcome import CommandError
from flows.command.tail import Follower
from flows.model import MarketData
from flows.settings import Hub
from sinks.hub.broadcast import Broadcast
from tests.fakes.candles import candle
from tests.fakes.deployment import free_port
from tests.fakes.interface import NOW, Deployment, price, until
from tests.flows.command.conftest import Run


@pytest.fixture
def deployment(folder: Path) -> Deployment:
    return Deployment(folder, "mongodb://127.0.0.1:1")


def follower(url: str, lines: list[str], *, count: int = 0, **query: str) -> Follower:
    return Follower(url, query, token=None, count=count, write=lines.append)


async def joined(broadcast: Broadcast) -> None:
    await until(lambda: broadcast.counters.clients == 1)


async def test_messages_are_lines_in_their_order(deployment: Deployment) -> None:
    hub = deployment.start_hub()
    lines: list[str] = []
    query = {"channels": "ChartUpdate,MarketData", "symbols": "BTCUSDT"}
    following = asyncio.create_task(follower(f"ws://127.0.0.1:{hub.port}/ws", lines, count=2, **query).run())
    await joined(hub)
    deployment.tell(price(50.0, "ETHUSDT"), price(100.0))
    await until(lambda: len(lines) == 1)
    deployment.tell(candle(9, close=109.0))
    await asyncio.wait_for(following, 60)
    await deployment.stop_hub()
    found = [json.loads(line) for line in lines]
    assert [(one["type"], one["data"]["symbol"]) for one in found] == [
        ("MarketData", "BTCUSDT"), ("ChartUpdate", "BTCUSDT"),
    ]  # fmt: skip
    assert (found[0]["data"]["price"], found[1]["data"]["timeframe"]) == (100.0, "1m")
    assert all("\n" not in line for line in lines)


async def test_a_connection_that_ends_is_resumed_after_the_last_message(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    async def hub(client: Any) -> None:
        asked.append(client.request.path)
        await client.send(json.dumps({"type": "MarketData", "data": {}, "seq": 40 + len(asked)}))

    lines: list[str] = []
    async with serve(hub, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        await follower(f"ws://127.0.0.1:{port}/ws?token=secret", lines, count=2, channels="Trade").run()
    assert asked == ["/ws?token=secret&channels=Trade", "/ws?token=secret&channels=Trade&resume_after=41"]
    assert [json.loads(line)["seq"] for line in lines] == [41, 42]
    said = capsys.readouterr().err
    assert f"ws://127.0.0.1:{port}/ws is away" in said
    assert "secret" not in said


async def test_a_refusal_has_the_hubs_reason(deployment: Deployment) -> None:
    hub = deployment.start_hub()
    with pytest.raises(CommandError, match=r"HTTP 400.*Nonsense"):
        await follower(f"ws://127.0.0.1:{hub.port}/ws", [], channels="Nonsense").run()
    await deployment.stop_hub()


async def test_the_address_and_the_token_are_those_of_the_settings(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    venues, clock = ("binance", "kraken"), Deployment(Path(), "").clock
    broadcast = Broadcast(
        Hub(port=0, token="secret"), origins=dict.fromkeys(venues, "replay"), clocks=dict.fromkeys(venues, clock)
    )
    broadcast.start()
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", str(broadcast.port))
    refused = await run("tail")
    assert refused.exit_code == 1
    assert "HTTP 401" in refused.stderr
    monkeypatch.setenv("MARKETFLOW_HUB__TOKEN", "secret")
    ending = asyncio.create_task(run("tail", "-s", "BTCUSDT", "--venue", "binance", "-n", "1"))
    await joined(broadcast)
    broadcast.write([MarketData("kraken", "BTCUSDT", 99.0, NOW, None, None, None), price(100.0)])
    ended = await ending
    await asyncio.to_thread(broadcast.close)
    assert ended.exit_code == 0
    [line] = ended.stdout.splitlines()
    assert json.loads(line)["data"]["price"] == 100.0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/ws", "nonsense"])
async def test_what_is_no_address_is_refused(url: str, run: Run) -> None:
    ended = await run("tail", "--url", url)
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "is no address of a hub" in ended.stderr


async def test_where_nothing_answers_it_says_so(run: Run) -> None:
    port = free_port()
    ended = await run("tail", "--url", f"ws://127.0.0.1:{port}/ws")
    assert ended.exit_code == 1
    assert f"no hub answers at ws://127.0.0.1:{port}/ws" in ended.stderr


async def test_a_name_of_which_nothing_comes_is_named(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = deployment.start_hub()
    said = ""
    lines: list[str] = []
    following = Follower(
        f"ws://127.0.0.1:{hub.port}/ws", {"symbols": "BTCUSDX"}, token=None, count=0, write=lines.append, quiet_s=0.5
    )
    task = asyncio.create_task(following.run())

    def is_said() -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return "nothing has come of BTCUSDX" in said

    await until(is_said)
    assert lines == []
    task.cancel()
    await deployment.stop_hub()
